//! The validated form of what a configuration says about statistics.

use super::Tags;
use crate::router::config::StringMatch;
use std::net::SocketAddr;
use std::time::Duration;

/// Upper bounds of the buckets of a histogram, unless the configuration gives others. Milliseconds or bytes.
const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// `stats_config`, `stats_sinks` and `stats_flush_interval` of `envoy.config.bootstrap.v3.Bootstrap`.
#[derive(Debug)]
pub struct StatsConfig {
    /// How often histograms are merged and sinks are fed: 1 ms to 5 min, default 5 s.
    pub flush_interval: Duration,
    /// What becomes a tag.
    pub tags: Tags,
    /// Which statistics there are.
    pub matcher: StatsMatcher,
    /// Which histograms have their own buckets: the first match counts.
    pub buckets: Vec<(StringMatch, Vec<f64>)>,
    /// Where statistics are sent.
    pub sinks: Vec<SinkConfig>,
}

impl StatsConfig {
    /// The upper bounds of the buckets of this histogram, ascending.
    pub fn buckets(&self, name: &str) -> &[f64] {
        let own = self.buckets.iter().find(|(matcher, _)| matcher.matches(name.as_bytes()));
        own.map_or(&BUCKETS[..], |(_, bounds)| bounds)
    }
}

/// `envoy.config.metrics.v3.StatsMatcher`.
#[derive(Debug, Default)]
pub enum StatsMatcher {
    /// All statistics.
    #[default]
    All,
    /// None.
    Nothing,
    /// All but those that match one of these.
    Except(Vec<StringMatch>),
    /// Only those that match one of these.
    Only(Vec<StringMatch>),
}

impl StatsMatcher {
    /// Whether the statistic of this name exists.
    pub fn lets_in(&self, name: &str) -> bool {
        let any = |list: &[StringMatch]| list.iter().any(|matcher| matcher.matches(name.as_bytes()));
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Except(list) => !any(list),
            Self::Only(list) => any(list),
        }
    }
}

/// A receiver of statistics.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Where it listens: UDP.
    pub address: SocketAddr,
    /// Begins every name. Default `envoy`.
    pub prefix: String,
    /// Tags as DogStatsD writes them, instead of names with everything in them.
    pub tags: bool,
    /// Bytes of a datagram that several statistics may share; 0 sends each by itself.
    pub datagram: usize,
}
