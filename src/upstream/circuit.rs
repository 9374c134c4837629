//! Circuit breakers and the other numbers that all workers share.
//!
//! Best effort, as in Envoy: two workers may pass a limit at the same moment and overshoot by one each.

use super::config::{CircuitLimits, ClusterTable};
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

/// What all workers share about one cluster.
#[derive(Debug)]
pub(super) struct SharedCluster {
    pub(super) limits: CircuitLimits,
    pub(super) connections: Gate,
    pub(super) pending: Gate,
    pub(super) requests: Gate,
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
                    limits: cluster.limits,
                    connections: Gate::default(),
                    pending: Gate::default(),
                    requests: Gate::default(),
                    hosts: cluster.hosts.iter().map(|_| Gate::default()).collect(),
                })
                .collect(),
        )
    }
}

impl SharedClusters {
    /// Sets the gauges of the circuit breakers of all clusters; for the main thread, since the numbers are everybody's.
    pub fn show(&self, clusters: &ClusterTable, stats: &Block) {
        for (shared, cluster) in self.0.iter().zip(&clusters.clusters) {
            let (limits, names) = (&shared.limits, &cluster.stats);
            let rows = [
                (&shared.connections, limits.max_connections, names.cx_open, names.remaining_cx),
                (
                    &shared.pending,
                    limits.max_pending_requests,
                    names.rq_pending_open,
                    names.remaining_pending,
                ),
                (&shared.requests, limits.max_requests, names.rq_open, names.remaining_rq),
            ];
            for (gate, limit, open, remaining) in rows {
                stats.set_gauge(open, u64::from(gate.now() >= limit));
                if limits.track_remaining {
                    stats.set_gauge(remaining, u64::from(limit.saturating_sub(gate.now())));
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
