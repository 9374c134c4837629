//! One configuration, validated and compiled: what the server and its workers run on.
//!
//! Immutable once built; workers share it by `Arc`.

use crate::admin::config::AdminConfig;
use crate::api::envoy::config::bootstrap::v3::Bootstrap;
use crate::http::config::HcmStats;
use crate::listener::config::ListenerConfig;
use crate::stats::{
    ClusterManagerStats, FilesystemStats, ListenerManagerStats, ListenerStats, Registry, ServerStats,
    StatsConfig,
};
use crate::tls::Context;
use crate::udp::config::UdpListenerConfig;
use crate::upstream::config::ClusterTable;
use std::sync::Arc;

/// A whole configuration (`envoy.config.bootstrap.v3.Bootstrap`).
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration as it was read.
    pub bootstrap: Bootstrap,
    /// Who this process says it is.
    pub node: Node,
    /// The admin interface, if there is one.
    pub admin: Option<AdminConfig>,
    /// Most connections that all listeners have at a time.
    pub connection_limit: Option<u32>,
    /// In configuration order.
    pub listeners: Vec<Arc<ListenerConfig>>,
    /// The listeners on UDP, in configuration order.
    pub udp_listeners: Vec<Arc<UdpListenerConfig>>,
    /// In configuration order.
    pub clusters: ClusterTable,
    /// Every statistic that something in here counts.
    pub registry: Registry,
    /// `server.`.
    pub server_stats: ServerStats,
    /// `filesystem.`.
    pub filesystem_stats: FilesystemStats,
    /// `listener_manager.`.
    pub listener_manager_stats: ListenerManagerStats,
    /// `cluster_manager.`.
    pub cluster_manager_stats: ClusterManagerStats,
    /// What the configuration says about statistics.
    pub stats: StatsConfig,
    /// `http.admin.`; see `admin::register`.
    pub admin_stats: HcmStats,
    /// `listener.admin.`.
    pub admin_listener_stats: ListenerStats,
}

/// `envoy.config.core.v3.Node`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `node.id`.
    pub id: String,
    /// `node.cluster`.
    pub cluster: String,
    /// `node.locality.zone`.
    pub zone: String,
}

impl Snapshot {
    /// All TLS contexts: those of listeners, then those of clusters.
    pub fn tls(&self) -> impl Iterator<Item = Arc<dyn Context>> {
        let servers = self.listeners.iter().flat_map(|listener| listener.tls());
        let clients = self.clusters.clusters.iter().filter_map(|cluster| cluster.tls.as_ref());
        let servers = servers.map(|context| Arc::clone(context) as Arc<dyn Context>);
        servers.chain(clients.map(|context| Arc::clone(context) as Arc<dyn Context>))
    }
}
