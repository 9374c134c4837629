//! ROUND_ROBIN: each host in turn, by weight where weights differ.

use super::edf::Edf;
use crate::io::Rng;

/// The state of the policy.
#[derive(Debug)]
pub(super) enum RoundRobin {
    Equal { hosts: usize, next: usize },
    Weighted { edf: Edf, weights: Box<[u32]> },
}

impl RoundRobin {
    pub(super) fn new(weights: &[u32], rng: &mut Rng) -> Self {
        if weights.iter().all(|weight| *weight == weights[0]) {
            let hosts = weights.len();
            Self::Equal { hosts, next: rng.below(hosts.max(1) as u64) as usize }
        } else {
            Self::Weighted { edf: Edf::new(weights, rng), weights: weights.into() }
        }
    }

    pub(super) fn pick(&mut self) -> usize {
        match self {
            Self::Equal { hosts, next } => {
                let host = *next;
                *next = if host + 1 == *hosts { 0 } else { host + 1 };
                host
            }
            Self::Weighted { edf, weights } => edf.pick(|host| f64::from(weights[host])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hosts_take_turns() {
        let mut balancer = RoundRobin::new(&[3, 3, 3], &mut Rng::seeded(1));
        let picks: Vec<_> = (0..6).map(|_| balancer.pick()).collect();
        assert_eq!(picks[..3], picks[3..]);
        let mut sorted = picks[..3].to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2]);
    }

    #[test]
    fn workers_start_at_different_hosts() {
        let starts: std::collections::HashSet<_> =
            (0..50).map(|seed| RoundRobin::new(&[1; 8], &mut Rng::seeded(seed)).pick()).collect();
        assert!(starts.len() > 4);
    }
}
