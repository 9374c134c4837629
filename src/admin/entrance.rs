//! How requests come to the admin interface: a listener of its own on the main thread.

use super::config::AdminConfig;
use crate::http::config::{HcmConfig, HcmStats, Terminal};
use crate::listener::config::{FilterChain, ListenerConfig, NetworkTerminal};
use crate::router::config::RouteConfig;
use crate::server::snapshot::Snapshot;
use crate::stats::{Http1Stats, Http2Stats, HttpStats, ListenerHttpStats, ListenerStats, Registry};
use nuncio_reactor::Address;
use std::sync::Arc;

/// The listener that carries the admin interface.
pub fn listener(config: &AdminConfig, snapshot: &Snapshot) -> Arc<ListenerConfig> {
    let stats = snapshot.admin_stats.clone();
    let mut hcm = HcmConfig::new("admin", stats, Arc::new(RouteConfig::empty()), Terminal::Admin);
    hcm.access_log = config.access_log.clone();
    let chain = FilterChain::plain(NetworkTerminal::Http(Arc::new(hcm)));
    let stats = snapshot.admin_listener_stats.clone();
    let mut listener = ListenerConfig::plain("admin", config.address.clone(), chain, stats);
    listener.ignores_global_limit = config.ignores_global_limit;
    Arc::new(listener)
}

/// Whether only this machine can reach the address.
pub fn is_private(address: &Address) -> bool {
    match address {
        Address::Inet(address) => address.ip().is_loopback(),
        Address::Unix(_) => true,
    }
}

/// Registers the statistics of the admin listener.
pub fn register(registry: &mut Registry) -> (HcmStats, ListenerStats) {
    // A listener may have the same `stat_prefix`, and then a router.
    let alone = !registry.contains("http.admin.rq_total");
    let http = HttpStats::register(registry, "http.admin.");
    for name in [
        "no_cluster",
        "no_route",
        "rq_direct_response",
        "rq_redirect",
        "rq_reset_after_downstream_response_started",
        "rq_total",
    ]
    .into_iter()
    .filter(|_| alone)
    {
        registry.hide(&format!("http.admin.{name}"));
    }
    let codec = Http1Stats::register(registry, "http1.");
    let http2 = Http2Stats::register(registry, "http2.");
    let at_listener = ListenerHttpStats::register(registry, "listener.admin.http.admin.");
    ((http, codec, http2, at_listener), ListenerStats::of_listener(registry, "listener.admin."))
}
