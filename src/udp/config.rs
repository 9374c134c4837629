//! The validated form of a UDP listener and its proxy.

use super::filter::SessionFilterConfig;
use crate::access_log::config::AccessLogConfig;
use crate::io::Scope;
use crate::matching::Matcher;
use crate::stats::{ClusterStats, UdpClusterStats, UdpListenerStats, UdpStats};
use crate::upstream::config::ClusterId;
use crate::upstream::hash_of;
use nuncio_reactor::ListenOptions;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// `envoy.config.listener.v3.Listener` on UDP.
#[derive(Debug)]
pub struct UdpListenerConfig {
    /// Unique; the address when the configuration gives none.
    pub name: String,
    /// Where it is bound: its own address, then the additional ones.
    pub addresses: Vec<UdpAddress>,
    /// It is for inbound traffic.
    pub inbound: bool,
    /// How its sockets receive.
    pub receive: Receive,
    /// What is done with datagrams.
    pub proxy: UdpProxyConfig,
    /// Where it counts.
    pub stats: UdpListenerStats,
}

impl UdpListenerConfig {
    /// Whether it is one of these.
    pub fn is_in(&self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Inbound => self.inbound,
            // Nothing of a session can tell its client to go elsewhere.
            Scope::Healthy => false,
        }
    }
}

/// One address of a listener, and how its sockets are made.
#[derive(Clone, Debug)]
pub struct UdpAddress {
    /// Port 0 lets the kernel choose (then every worker shares the chosen port).
    pub address: SocketAddr,
    /// One socket per worker with SO_REUSEPORT (default); without it there can be one worker only.
    pub options: ListenOptions,
}

/// `envoy.config.core.v3.UdpSocketConfig`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Longest datagram, in bytes: longer ones are dropped. Default 1500; with `segments` it is 65535 in any case.
    pub longest: usize,
    /// The kernel may put datagrams of one sender together (GRO). Default for clients false, for hosts true.
    pub segments: bool,
}

/// `envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig`.
#[derive(Debug)]
pub struct UdpProxyConfig {
    /// Begins the names of its statistics.
    pub stat_prefix: String,
    /// Leads to a place in `targets`.
    pub routes: Matcher<u32>,
    /// The clusters that the routes name.
    pub targets: Vec<Target>,
    /// A session ends when no datagram came or went for so long. Default 60 s.
    pub idle_timeout: Duration,
    /// Send to hosts from the client's address.
    pub original_source: bool,
    /// What consistent balancing goes by.
    pub hash: Option<HashPolicy>,
    /// How sockets towards hosts receive.
    pub receive: Receive,
    /// A host is chosen for each datagram.
    pub per_packet: bool,
    /// What each session passes, in order.
    pub session_filters: Vec<Box<dyn SessionFilterConfig>>,
    /// About each session.
    pub access_log: Vec<AccessLogConfig>,
    /// About each worker, when it ends.
    pub proxy_access_log: Vec<AccessLogConfig>,
    /// About each session also each time that it has lived so long.
    pub log_interval: Option<Duration>,
    /// Where it counts.
    pub stats: UdpStats,
}

/// A cluster that datagrams go to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The cluster.
    pub cluster: ClusterId,
    /// `cluster.<name>.udp.`.
    pub stats: UdpClusterStats,
    /// `cluster.<name>.`.
    pub cluster_stats: ClusterStats,
}

/// `UdpProxyConfig.HashPolicy`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HashPolicy {
    /// The sender's IP address.
    SourceIp,
    /// The same for everybody.
    Key(u64),
}

impl UdpProxyConfig {
    /// What consistent balancing goes by for a sender.
    pub fn hash_of(&self, sender: IpAddr) -> Option<u64> {
        self.hash.map(|policy| match policy {
            HashPolicy::SourceIp => hash_of(sender.to_string().as_bytes()),
            HashPolicy::Key(hash) => hash,
        })
    }
}
