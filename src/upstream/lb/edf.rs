//! Earliest deadline first: weighted turns without clumping.
//!
//! Each host has a deadline 1/weight after its last turn; the earliest is next. Over any stretch hosts come up
//! in proportion to their weights and as evenly spread as they can be. Picking costs O(log n) and allocates
//! nothing.

use crate::io::Rng;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Debug)]
struct Turn {
    deadline: f64,
    /// Breaks ties in order of insertion.
    order: u64,
    host: usize,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its greatest: the earliest deadline is greatest.
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

/// The schedule of one cluster.
#[derive(Debug)]
pub(super) struct Edf {
    turns: BinaryHeap<Turn>,
    order: u64,
}

impl Edf {
    /// A schedule that starts at a random place, so that workers do not march in step.
    pub(super) fn new(weights: &[u32], rng: &mut Rng) -> Self {
        let mut edf = Self { turns: BinaryHeap::with_capacity(weights.len()), order: 0 };
        for (host, &weight) in weights.iter().enumerate() {
            edf.push(host, 1.0 / f64::from(weight));
        }
        // One whole cycle of a small cluster, a bounded number of turns of a large one.
        for _ in 0..rng.below(weights.len().clamp(1, 256) as u64) {
            edf.pick(|host| f64::from(weights[host]));
        }
        edf
    }

    /// The next host; its following turn is 1/`weight(host)` later.
    pub(super) fn pick(&mut self, weight: impl Fn(usize) -> f64) -> usize {
        let turn = self.turns.pop().expect("a cluster with hosts has a turn for each");
        self.push(turn.host, turn.deadline + 1.0 / weight(turn.host));
        turn.host
    }

    fn push(&mut self, host: usize, deadline: f64) {
        self.order += 1;
        self.turns.push(Turn { deadline, order: self.order, host });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_weights_and_do_not_clump() {
        let weights = [5, 1, 2];
        for seed in 0..20 {
            let mut edf = Edf::new(&weights, &mut Rng::seeded(seed));
            let picks: Vec<usize> = (0..8000).map(|_| edf.pick(|host| f64::from(weights[host]))).collect();
            for (host, &weight) in weights.iter().enumerate() {
                let count = picks.iter().filter(|&&pick| pick == host).count();
                assert!(count.abs_diff(weight as usize * 1000) <= 2, "{host}: {count}");
            }
            // Weight 5 of 8: no window of 8 turns lacks it for more than one turn beyond its spacing.
            assert!(picks.windows(4).all(|window| window.contains(&0)));
        }
    }
}
