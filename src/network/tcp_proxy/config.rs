//! The validated form of a TCP proxy.

use crate::access_log::config::AccessLogConfig;
use crate::formatter::Format;
use crate::router::HeaderOps;
use crate::stats::TcpStats;
use crate::upstream::config::ClusterId;
use std::sync::Arc;
use std::time::Duration;

/// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.
#[derive(Debug)]
pub struct TcpProxyConfig {
    /// Where connections go.
    pub cluster: ClusterChoice,
    /// No byte in either direction. Default 1 h; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// Attempts to connect. Default 1.
    pub max_connect_attempts: u32,
    /// Rests between them: the first and the longest. Default: none.
    pub back_off: Option<(Duration, Duration)>,
    /// What consistent balancing goes by; the first that there is counts.
    pub hash_policy: Vec<HashPolicy>,
    /// A session is closed after this. Default: never.
    pub max_duration: Option<Duration>,
    /// Up to so much of it is added, at random: 0 to 1.
    pub max_duration_jitter: f64,
    /// Whether the connection to the host waits for the first byte from the client.
    pub connect_on_data: bool,
    /// What the client may send before that connection is there, in bytes.
    pub max_early_data: Option<usize>,
    /// Through an HTTP proxy.
    pub tunnel: Option<Tunnel>,
    /// One line for each session.
    pub access_log: Vec<AccessLogConfig>,
    /// Further lines, this often.
    pub log_interval: Option<Duration>,
    /// A further line when the connection to the host is there.
    pub log_connected: bool,
    /// Where it counts.
    pub stats: TcpStats,
}

/// `TcpProxy.TunnelingConfig`.
#[derive(Debug)]
pub struct Tunnel {
    /// What is asked for.
    pub hostname: Format,
    /// The path, if it is asked for by POST in place of CONNECT.
    pub post: Option<Box<[u8]>>,
    /// Headers of the request.
    pub headers: HeaderOps,
}

/// Where connections go.
#[derive(Debug)]
pub enum ClusterChoice {
    /// `cluster`: `None` if there is no such cluster.
    One(Option<ClusterId>),
    /// `weighted_clusters`: sums of weights up to and including each.
    Weighted(Vec<(u64, Option<ClusterId>)>),
}

/// `envoy.type.v3.HashPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashPolicy {
    /// The client's address.
    SourceIp,
    /// An object of the filter state.
    FilterState(Arc<str>),
}
