//! The admin interface: what an operator asks the process over HTTP.
//!
//! Requests come through the same connection manager as any other traffic, on the main thread's engine, with a
//! terminal filter that queues them. Answers are pure functions of a [`View`]. What changes something must be a
//! POST.

pub mod compile;
pub mod config;
mod stats;

use crate::http::config::{HcmConfig, Terminal};
use crate::listener::config::{FilterChain, ListenerConfig, NetworkTerminal};
use crate::router::config::RouteConfig;
use crate::server::snapshot::Snapshot;
use crate::stats::{Http1Stats, HttpStats, ListenerStats, Merged, Registry};
use config::AdminConfig;
use nuncio_reactor::Address;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// What the process looks like at the moment of a question.
#[derive(Debug)]
pub struct View<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// Listeners by name, and where they listen.
    pub listeners: &'a [(String, Address)],
    /// All statistics.
    pub stats: Merged,
    /// Number of workers.
    pub concurrency: usize,
    /// Since the start.
    pub uptime: Duration,
    /// Not draining.
    pub live: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// MIME type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// The process ends after this answer.
    pub quit: bool,
    /// All counters become 0 after this answer.
    pub reset_counters: bool,
}

struct Endpoint {
    path: &'static str,
    /// Must be asked with POST, since it changes something.
    post: bool,
    help: &'static str,
    answer: fn(&View<'_>, &str) -> Reply,
}

/// The dashboard at `/`. It asks the endpoints below for what it shows.
const PAGE: &str = include_str!("page.html");

const ENDPOINTS: [Endpoint; 8] = [
    Endpoint { path: "/help", post: false, help: "print out list of admin commands", answer: help },
    Endpoint { path: "/listeners", post: false, help: "print listener addresses", answer: listeners },
    Endpoint { path: "/quitquitquit", post: true, help: "exit the server", answer: quit },
    Endpoint {
        path: "/ready",
        post: false,
        help: "print server state, return 200 if LIVE, otherwise return 503",
        answer: ready,
    },
    Endpoint {
        path: "/server_info",
        post: false,
        help: "print server version/status information",
        answer: server_info,
    },
    Endpoint {
        path: "/reset_counters",
        post: true,
        help: "reset all counters to zero",
        answer: stats::reset_counters,
    },
    Endpoint { path: "/stats", post: false, help: "print server stats", answer: stats::stats },
    Endpoint {
        path: "/stats/prometheus",
        post: false,
        help: "print server stats in prometheus format",
        answer: stats::prometheus_stats,
    },
];

/// Answers one request.
pub fn answer(method: &str, target: &str, view: &View<'_>) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path == "/" {
        return Reply { content_type: "text/html; charset=UTF-8", ..Reply::text(PAGE.to_owned()) };
    }
    let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.path == path) else {
        let mut reply = help(view, query);
        reply.status = 404;
        reply.body.splice(0..0, *b"invalid path. ");
        return reply;
    };
    if endpoint.post && method != "POST" {
        let text = format!("Method {method} not allowed, POST required.");
        return Reply { status: 400, ..Reply::text(text) };
    }
    (endpoint.answer)(view, query)
}

impl Reply {
    fn text(text: String) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; charset=UTF-8",
            body: text.into_bytes(),
            quit: false,
            reset_counters: false,
        }
    }
}

fn help(_: &View<'_>, _: &str) -> Reply {
    let mut text = String::from("admin commands are:\n");
    for Endpoint { path, post, help, .. } in &ENDPOINTS {
        let post = if *post { " (POST)" } else { "" };
        // Writing into memory does not fail.
        let _ = writeln!(text, "  {path}{post}: {help}");
    }
    Reply::text(text)
}

fn listeners(view: &View<'_>, _: &str) -> Reply {
    let mut text = String::new();
    for (name, address) in view.listeners {
        let _ = writeln!(text, "{name}::{address}");
    }
    Reply::text(text)
}

fn quit(_: &View<'_>, _: &str) -> Reply {
    Reply { quit: true, ..Reply::text("OK\n".to_owned()) }
}

fn ready(view: &View<'_>, _: &str) -> Reply {
    let status = if view.live { 200 } else { 503 };
    Reply { status, ..Reply::text(format!("{}\n", state(view))) }
}

fn state(view: &View<'_>) -> &'static str {
    if view.live { "LIVE" } else { "DRAINING" }
}

fn server_info(view: &View<'_>, _: &str) -> Reply {
    let uptime = view.uptime.as_secs();
    let node = &view.snapshot.node;
    let text = format!(
        "{{\n \"version\": \"nuncio/{}\",\n \"state\": \"{}\",\n \"uptime_current_epoch\": \"{uptime}s\",\n \
         \"uptime_all_epochs\": \"{uptime}s\",\n \"command_line_options\": {{\n  \"concurrency\": {}\n }},\n \
         \"node\": {{\n  \"id\": {},\n  \"cluster\": {},\n  \"locality\": {{\n   \"zone\": {}\n  }}\n }}\n}}\n",
        env!("CARGO_PKG_VERSION"),
        state(view),
        view.concurrency,
        json_string(&node.id),
        json_string(&node.cluster),
        json_string(&node.zone),
    );
    Reply { content_type: "application/json", ..Reply::text(text) }
}

fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The listener that carries the admin interface.
pub fn listener(config: &AdminConfig, snapshot: &Snapshot) -> Arc<ListenerConfig> {
    let stats = snapshot.admin_stats.clone();
    let mut hcm = HcmConfig::new("admin", stats, Arc::new(RouteConfig::empty()), Terminal::Admin);
    hcm.access_log = config.access_log.clone();
    Arc::new(ListenerConfig {
        name: "admin".to_owned(),
        address: config.address.clone(),
        mode: None,
        reuse_port: false,
        backlog: None,
        buffer_limit: 1 << 20,
        filter_chain: FilterChain { name: String::new(), terminal: NetworkTerminal::Http(Arc::new(hcm)) },
        stats: snapshot.admin_listener_stats.clone(),
    })
}

/// Whether only this machine can reach the address.
pub fn is_private(address: &Address) -> bool {
    match address {
        Address::Inet(address) => address.ip().is_loopback(),
        Address::Unix(_) => true,
    }
}

/// Registers the statistics of the admin listener.
pub fn register(registry: &mut Registry) -> ((HttpStats, Http1Stats), ListenerStats) {
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
    ((http, codec), ListenerStats::register(registry, "listener.admin.", "admin"))
}
