//! The validated form of a cluster: what the cluster manager runs on.

use super::http2::Http2Config;
use super::introduction::Introduction;
use super::lb::{Maglev, Ring};
use super::naming::Naming;
use crate::stats::{BreakerStats, CallerStats, ClusterStats, Gauge, HostStats, Http2Stats};
use crate::tls::config::ClientContext;
use nuncio_codec::{Version, h1};
use nuncio_reactor::{Address, Keepalive};
use std::sync::Arc;
use std::time::Duration;

/// A cluster's place in [`ClusterTable`]: how everything above names a cluster once it is resolved.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u32);

/// All clusters of one snapshot, in configuration order.
#[derive(Clone, Debug, Default)]
pub struct ClusterTable {
    /// Indexed by [`ClusterId`].
    pub clusters: Vec<Arc<ClusterConfig>>,
}

impl ClusterTable {
    /// The cluster called `name`.
    pub fn find(&self, name: &str) -> Option<ClusterId> {
        self.clusters.iter().position(|cluster| cluster.name == name).map(|at| ClusterId(at as u32))
    }
}

/// One cluster (`envoy.config.cluster.v3.Cluster`).
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Unique among clusters.
    pub name: String,
    /// What statistics call it: `alt_stat_name`, or the name.
    pub observability_name: String,
    /// Longest wait for a new connection to be established. Default 5 s.
    pub connect_timeout: Duration,
    /// How a host is chosen.
    pub policy: LoadBalancing,
    /// The endpoints, in configuration order.
    pub hosts: Vec<HostConfig>,
    /// Soft limit of the read and write buffers of one upstream connection, in bytes. Default 1 MiB.
    pub buffer_limit: u32,
    /// Limits for each [`Priority`].
    pub limits: [CircuitLimits; 2],
    /// Which HTTP is spoken.
    pub protocol: Protocol,
    /// Limits and options of HTTP/1 towards this cluster.
    pub http1: h1::ClientSettings,
    /// The same of HTTP/2.
    pub http2: Http2Config,
    /// Idle pooled connections are closed after this. Default 1 h; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// Connections are closed with the exchange that they carry then. Default: never.
    pub max_connection_duration: Option<Duration>,
    /// A connection is closed after so many requests. Default: unlimited.
    pub max_requests_per_connection: Option<u32>,
    /// From the first byte of a request to the last of its response. Default: unlimited.
    pub max_stream_duration: Option<Duration>,
    /// TCP keep-alive probes. Default off.
    pub keepalive: Option<Keepalive>,
    /// `transport_socket`, if it is TLS.
    pub tls: Option<Arc<ClientContext>>,
    /// Whom TLS asks for, if that depends on the request.
    pub naming: Option<Naming>,
    /// What is said first on its connections.
    pub introduction: Option<Introduction>,
    /// Gauges that say what the policy has made of the hosts.
    pub lb_gauges: Vec<(Gauge, u64)>,
    /// Where this cluster counts.
    pub stats: ClusterStats,
    /// The same for external and internal callers alone.
    pub callers: [CallerStats; 2],
    /// The same for answers that say that they come from a canary.
    pub canary: CallerStats,
    /// Where its codec of HTTP/2 counts.
    pub http2_stats: Http2Stats,
    /// Where its limits are shown, for each priority.
    pub breaker_stats: [BreakerStats; 2],
}

/// Which HTTP is spoken to a cluster.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, without asking.
    Http2,
    /// That of the request (`use_downstream_protocol_config`).
    Downstream,
    /// What the host chooses in TLS (`auto_config`).
    Auto,
}

impl Protocol {
    /// Whether a request that came in this version goes out as HTTP/2; `None` if that is up to the host.
    pub fn is_h2(self, downstream: Version) -> Option<bool> {
        match self {
            Self::Http1 => Some(false),
            Self::Http2 => Some(true),
            Self::Downstream => Some(downstream == Version::H2),
            Self::Auto => None,
        }
    }
}

/// `envoy.config.core.v3.Locality`; each part may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Part of a zone.
    pub sub_zone: String,
}

/// One endpoint of a cluster.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where it listens.
    pub address: Address,
    /// Share of the traffic relative to its siblings; at least 1.
    pub weight: u32,
    /// `Endpoint.hostname`; empty when not set.
    pub hostname: String,
    /// Where it is.
    pub locality: Locality,
    /// Where it counts.
    pub stats: HostStats,
}

/// `Cluster.lb_policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadBalancing {
    /// Each in turn, by weight.
    RoundRobin,
    /// The least loaded of `choices` random hosts (weights divide the load when they differ).
    LeastRequest {
        /// At least 2. Default 2.
        choices: u32,
    },
    /// Any; weights play no part, as in Envoy.
    Random,
    /// The next on a ring, by what tells clients apart.
    RingHash(Arc<Ring>),
    /// That of an entry in a table, by the same.
    Maglev(Arc<Maglev>),
}

/// `envoy.config.core.v3.RoutingPriority`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Ordinary traffic.
    #[default]
    Default = 0,
    /// What must get through when limits for ordinary traffic are reached.
    High = 1,
}

/// `CircuitBreakers.Thresholds`: shared by all workers, best effort.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CircuitLimits {
    /// Connections to the whole cluster. Default 1024.
    pub max_connections: u32,
    /// Requests that wait for a connection. Default 1024.
    pub max_pending_requests: u32,
    /// Requests in flight. Default 1024.
    pub max_requests: u32,
    /// Whether the gauges `remaining_*` are shown.
    pub track_remaining: bool,
}

impl Default for CircuitLimits {
    fn default() -> Self {
        Self { max_connections: 1024, max_pending_requests: 1024, max_requests: 1024, track_remaining: false }
    }
}
