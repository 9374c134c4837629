//! What sessions of datagrams need of a cluster: a host, and a place under the circuit breaker.
//!
//! A session counts as a connection (`max_connections` of the default priority), as in Envoy; its socket belongs to the
//! layer that has the session.

use super::Upstream;
use super::config::{ClusterId, HostConfig, Priority};
use crate::io::Cx;

impl Upstream {
    /// Chooses a host by the cluster's policy, by its place in the cluster; consistent balancing goes by `hash`. That there is
    /// none is counted.
    pub fn choose_host(&mut self, id: ClusterId, hash: Option<u64>, cx: &mut Cx<'_>) -> Option<u32> {
        let cluster = &mut self.clusters[id.0 as usize];
        let host = cluster.balancer.pick(hash, &self.shared.0[id.0 as usize], cx.rng);
        if host.is_none() {
            cx.stats.inc(cluster.config.stats.upstream_cx_none_healthy);
        }
        host.map(|host| host as u32)
    }

    /// A host by its place in the cluster.
    pub fn host(&self, id: ClusterId, host: u32) -> Option<&HostConfig> {
        self.cluster(id).hosts.get(host as usize)
    }

    /// Counts a session, unless there are as many as there may be.
    pub fn enter_session(&self, id: ClusterId) -> bool {
        let breaker = &self.shared.0[id.0 as usize].breakers[Priority::Default as usize];
        breaker.connections.enter(breaker.limits.max_connections)
    }

    /// A counted session has ended.
    pub fn leave_session(&self, id: ClusterId) {
        self.shared.0[id.0 as usize].breakers[Priority::Default as usize].connections.leave();
    }
}
