//! Load balancing: which host of a cluster takes the next request.
//!
//! One file per policy. A balancer belongs to one worker and keeps what it needs between picks; live numbers
//! of the hosts come from the shared gates.

pub(super) mod compile;
mod edf;
mod hashing;
mod least_request;
mod maglev;
mod ring_hash;
mod round_robin;

pub use hashing::{HashFunction, hash_of, hash_of_all};
pub use maglev::Maglev;
pub use ring_hash::Ring;
pub(super) use ring_hash::RingOptions;

use super::circuit::SharedCluster;
use super::config::{ClusterConfig, LoadBalancing};
use crate::io::Rng;
use std::sync::Arc;

/// The state of one cluster's policy on one worker.
#[derive(Debug)]
pub(super) struct Balancer(Policy);

#[derive(Debug)]
enum Policy {
    RoundRobin(round_robin::RoundRobin),
    LeastRequest(least_request::LeastRequest),
    Random,
    RingHash(Arc<Ring>),
    Maglev(Arc<Maglev>),
}

impl Balancer {
    pub(super) fn new(cluster: &ClusterConfig, rng: &mut Rng) -> Self {
        let weights: Vec<u32> = cluster.hosts.iter().map(|host| host.weight).collect();
        Self(match &cluster.policy {
            LoadBalancing::RoundRobin => Policy::RoundRobin(round_robin::RoundRobin::new(&weights, rng)),
            LoadBalancing::LeastRequest { choices } => {
                Policy::LeastRequest(least_request::LeastRequest::new(&weights, *choices, rng))
            }
            LoadBalancing::Random => Policy::Random,
            LoadBalancing::RingHash(ring) => Policy::RingHash(Arc::clone(ring)),
            LoadBalancing::Maglev(table) => Policy::Maglev(Arc::clone(table)),
        })
    }

    /// The index of the host to use; `None` when the cluster has no hosts. `hash` is what policies go by that send the same
    /// client to the same host; as in Envoy they choose any host for who has none.
    pub(super) fn pick(&mut self, hash: Option<u64>, shared: &SharedCluster, rng: &mut Rng) -> Option<usize> {
        let hosts = shared.hosts.len();
        match (hosts, &mut self.0) {
            (0, _) => None,
            (1, _) => Some(0),
            (_, Policy::RoundRobin(balancer)) => Some(balancer.pick()),
            (_, Policy::LeastRequest(balancer)) => Some(balancer.pick(|host| shared.hosts[host].now(), rng)),
            // As in Envoy, weights play no part here.
            (_, Policy::Random) => Some(rng.below(hosts as u64) as usize),
            (_, Policy::RingHash(ring)) => Some(ring.pick(hash.unwrap_or_else(|| rng.bits()))),
            (_, Policy::Maglev(table)) => Some(table.pick(hash.unwrap_or_else(|| rng.bits()))),
        }
    }
}
