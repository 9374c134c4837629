//! `envoy.filters.network.connection_limit`: a number of connections that all workers share.

use crate::api::envoy::extensions::filters::network::connection_limit::v3 as proto;
use crate::config::Cx as ConfigCx;
use crate::io::Cx;
use crate::stats::{Block, ConnectionLimitStats, Gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// `envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit`, with its live number.
#[derive(Debug)]
pub struct ConnectionLimit {
    most: u64,
    /// How long a connection too many is left open.
    delay: Option<Duration>,
    enabled: bool,
    stats: ConnectionLimitStats,
    now: Arc<AtomicU64>,
}

/// One connection's share of a limit; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    taken: Arc<AtomicU64>,
    /// This thread's statistics.
    stats: Block,
    active: Gauge,
}

impl ConnectionLimit {
    /// Compiles it.
    pub fn compile(proto: &proto::ConnectionLimit, cx: &mut ConfigCx<'_>) -> Self {
        let prefix = cx.text("stat_prefix", &proto.stat_prefix).unwrap_or("invalid");
        let prefix = format!("connection_limit.{}.", prefix.replace(':', "_"));
        let most = cx.required("max_connections", &proto.max_connections).copied().unwrap_or(1);
        if most == 0 {
            cx.error_at("max_connections", "at least 1 connection must be allowed");
        }
        Self {
            most,
            delay: cx.limit("delay", proto.delay.as_ref(), None),
            enabled: super::compile::enabled(proto.runtime_enabled.as_ref(), cx),
            stats: ConnectionLimitStats::register(cx.registry, &prefix),
            now: Arc::default(),
        }
    }

    /// Takes a place, if there is a limit.
    ///
    /// # Errors
    /// There is none left; how long the connection is left open.
    pub fn enter(&self, cx: &Cx<'_>) -> Result<Option<Place>, Option<Duration>> {
        if !self.enabled {
            return Ok(None);
        }
        // Exact, unlike circuit breakers: whoever comes too late takes back what it has added.
        if self.now.fetch_add(1, Relaxed) >= self.most {
            self.now.fetch_sub(1, Relaxed);
            cx.stats.inc(self.stats.limited_connections);
            return Err(self.delay);
        }
        cx.stats.move_gauge(self.stats.active_connections, 1);
        let (taken, active) = (Arc::clone(&self.now), self.stats.active_connections);
        Ok(Some(Place { taken, stats: cx.stats.clone(), active }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
        self.stats.move_gauge(self.active, -1);
    }
}
