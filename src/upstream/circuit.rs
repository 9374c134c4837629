//! Circuit breakers and the other numbers that all workers share.
//!
//! Best effort, as in Envoy: two workers may pass a limit at the same moment and overshoot by one each.

use super::config::{CircuitLimits, ClusterId, ClusterTable, Priority};
use crate::stats::Block;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A live number with a limit.
#[derive(Debug, Default)]
pub(super) struct Gate {
    now: AtomicU32,
}

impl Gate {
    /// Counts one more, unless that would pass `limit`.
    pub(super) fn enter(&self, limit: u32) -> bool {
        if self.now.load(Relaxed) >= limit {
            return false;
        }
        self.now.fetch_add(1, Relaxed);
        true
    }

    /// Counts one more whatever the limit.
    pub(super) fn enter_anyway(&self) {
        self.now.fetch_add(1, Relaxed);
    }

    /// Counts one less.
    pub(super) fn leave(&self) {
        self.now.fetch_sub(1, Relaxed);
    }

    /// The number.
    pub(super) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }
}

/// The circuit breakers of one cluster for one priority.
#[derive(Debug)]
pub(super) struct Breaker {
    pub(super) limits: CircuitLimits,
    pub(super) connections: Gate,
    pub(super) pending: Gate,
    pub(super) requests: Gate,
}

impl Breaker {
    fn new(limits: CircuitLimits) -> Self {
        Self { limits, connections: Gate::default(), pending: Gate::default(), requests: Gate::default() }
    }
}

impl Breaker {
    fn remaining(&self) -> Remaining {
        let Self { limits, connections, pending, requests } = self;
        Remaining {
            connections: limits.max_connections.saturating_sub(connections.now()),
            pending: limits.max_pending_requests.saturating_sub(pending.now()),
            requests: limits.max_requests.saturating_sub(requests.now()),
        }
    }
}

/// How much of a circuit breaker's limits is left.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Connections.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending: u32,
    /// Requests in flight.
    pub requests: u32,
}

/// What all workers share about one cluster.
#[derive(Debug)]
pub(super) struct SharedCluster {
    /// One for each [`super::config::Priority`].
    pub(super) breakers: [Breaker; 2],
    /// Requests in flight at each host, for least-request balancing.
    pub(super) hosts: Box<[Gate]>,
}

/// What all workers share about all clusters of one snapshot.
#[derive(Clone, Debug)]
pub struct SharedClusters(pub(super) Arc<[SharedCluster]>);

impl SharedClusters {
    /// All numbers zero.
    pub fn new(clusters: &ClusterTable) -> Self {
        Self(
            clusters
                .clusters
                .iter()
                .map(|cluster| SharedCluster {
                    breakers: cluster.limits.map(Breaker::new),
                    hosts: cluster.hosts.iter().map(|_| Gate::default()).collect(),
                })
                .collect(),
        )
    }

    /// What is left of a cluster's limits for one priority; 0 is an open breaker.
    pub fn remaining(&self, cluster: ClusterId, priority: Priority) -> Remaining {
        self.0[cluster.0 as usize].breakers[priority as usize].remaining()
    }
}

impl SharedClusters {
    /// Sets the gauges of the circuit breakers of all clusters; for the main thread, since the numbers are everybody's.
    pub fn show(&self, clusters: &ClusterTable, stats: &Block) {
        for (shared, cluster) in self.0.iter().zip(&clusters.clusters) {
            for (at, names) in cluster.breaker_stats.iter().enumerate() {
                let Remaining { connections, pending, requests } = shared.breakers[at].remaining();
                for (left, open, remaining) in [
                    (connections, names.cx_open, names.remaining_cx),
                    (pending, names.rq_pending_open, names.remaining_pending),
                    (requests, names.rq_open, names.remaining_rq),
                ] {
                    stats.set_gauge(open, u64::from(left == 0));
                    if cluster.limits[at].track_remaining {
                        stats.set_gauge(remaining, u64::from(left));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_in_up_to_its_limit() {
        let gate = Gate::default();
        assert!(!gate.enter(0));
        assert!(gate.enter(2) && gate.enter(2) && !gate.enter(2));
        gate.enter_anyway();
        assert_eq!(gate.now(), 3);
        gate.leave();
        gate.leave();
        assert!(gate.enter(2));
    }
}
