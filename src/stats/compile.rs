//! The parts of `envoy.config.bootstrap.v3.Bootstrap` about statistics to what the main thread works with.

use crate::api::envoy::config::bootstrap::v3::Bootstrap;
use crate::config::Cx;
use std::time::Duration;

/// `stats_flush_interval`: 1 ms to 5 min, as Envoy has it.
pub fn flush_interval(proto: &Bootstrap, cx: &mut Cx<'_>) -> Duration {
    let default = Duration::from_secs(5);
    let interval = cx.duration("stats_flush_interval", proto.stats_flush_interval.as_ref(), default);
    if interval < Duration::from_millis(1) || interval > Duration::from_secs(300) {
        cx.error_at("stats_flush_interval", "must be between 1ms and 5min");
        return default;
    }
    interval
}
