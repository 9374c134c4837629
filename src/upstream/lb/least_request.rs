//! LEAST_REQUEST: the least busy of a few random hosts.
//!
//! With equal weights, "power of N choices". With different weights, Envoy's way: weighted turns in which a
//! host's weight is divided by its requests in flight (bias 1).

use super::edf::Edf;
use crate::io::Rng;

/// The state of the policy.
#[derive(Debug)]
pub(super) enum LeastRequest {
    Equal { hosts: usize, choices: u32 },
    Weighted { edf: Edf, weights: Box<[u32]> },
}

impl LeastRequest {
    pub(super) fn new(weights: &[u32], choices: u32, rng: &mut Rng) -> Self {
        if weights.iter().all(|weight| *weight == weights[0]) {
            Self::Equal { hosts: weights.len(), choices }
        } else {
            Self::Weighted { edf: Edf::new(weights, rng), weights: weights.into() }
        }
    }

    pub(super) fn pick(&mut self, active: impl Fn(usize) -> u32, rng: &mut Rng) -> usize {
        match self {
            Self::Equal { hosts, choices } => {
                let mut draw = || rng.below(*hosts as u64) as usize;
                let mut best = draw();
                for _ in 1..*choices {
                    let host = draw();
                    if active(host) < active(best) {
                        best = host;
                    }
                }
                best
            }
            Self::Weighted { edf, weights } => {
                edf.pick(|host| f64::from(weights[host]) / f64::from(active(host).saturating_add(1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busy_host_gets_less() {
        for weights in [[1, 1, 1], [1, 2, 1]] {
            let mut rng = Rng::seeded(7);
            let mut balancer = LeastRequest::new(&weights, 2, &mut rng);
            let mut counts = [0; 3];
            for _ in 0..3000 {
                counts[balancer.pick(|host| if host == 2 { 50 } else { 0 }, &mut rng)] += 1;
            }
            assert!(counts[2] < 500, "{counts:?}");
            assert!(counts[0] > 500 && counts[1] > 500, "{counts:?}");
        }
    }
}
