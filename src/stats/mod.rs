//! Statistics: names, counters, gauges and histograms, and where their values live.
//!
//! A [`Registry`] is filled on the main thread while configuration is compiled: every name gets an index,
//! and the compiled configuration carries the indices ([`Counter`], [`Gauge`]) instead of names. Each worker
//! then owns one [`Block`] of cells and is its only writer, so an increment is a plain load and store; the
//! main thread reads all blocks and sums them when somebody asks. No name is looked up and nothing is
//! locked or formatted on the path of a request.

mod block;
pub mod compile;
pub mod config;
mod histogram;
mod listener;
mod merged;
mod number;
mod prometheus;
mod registry;
mod scopes;
mod sink;
mod tags;

pub use block::Block;
pub use config::{SinkConfig, StatsConfig, StatsMatcher};
pub use histogram::{Bin, Distribution, QUANTILES};
pub use listener::{
    HttpInspectorStats, ListenerStats, ProxyProtocolStats, ProxyVersionStats, TlsInspectorStats,
};
pub use merged::{Collector, HistogramRow, Merged, Row};
pub(crate) use number::{general, plain, shortest};
pub use prometheus::prometheus;
pub use registry::{Counter, Gauge, Histogram, Kind, Registry, StatusCounters, Unit};
pub use scopes::{
    BreakerStats, CallerStats, ClusterManagerStats, ClusterStats, ConnectionLimitStats, FilesystemStats,
    HostStats, Http1Stats, Http2Stats, HttpStats, ListenerHttpStats, ListenerManagerStats,
    LocalRateLimitStats, ServerStats, TcpStats, UdpClusterStats, UdpListenerStats, UdpStats,
};
pub use sink::Sinks;
pub use tags::{Tagged, Tags};
