//! The admin interface: what an operator asks the process over HTTP.
//!
//! Requests come through the same connection manager as any other traffic, on the main thread's engine, with a
//! terminal filter that queues them. Answers are pure functions of a [`View`]; what changes something must be a POST,
//! and the change itself is an [`Action`] that the server carries out. Paths, words and JSON are Envoy's.

mod certs;
mod clusters;
pub mod compile;
pub mod config;
mod config_dump;
mod entrance;
mod server;
mod stats;

pub use entrance::{is_private, listener, register};

use crate::io::{Discourage, Scope};
use crate::server::snapshot::Snapshot;
use crate::stats::{Collector, Merged};
use log::LevelFilter;
use nuncio_reactor::Address;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// What the process looks like at the moment of a question.
#[derive(Debug)]
pub struct View<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// Listeners by name, and where they listen.
    pub listeners: &'a [(String, Address)],
    /// All statistics with names.
    pub stats: Merged,
    /// Those without.
    pub collector: &'a Collector,
    /// The command line, by the names of `envoy.admin.v3.CommandLineOptions`.
    pub command_line: &'a Map<String, Value>,
    /// Since the start.
    pub uptime: Duration,
    /// The start.
    pub started: SystemTime,
    /// Neither draining nor told to look sick.
    pub live: bool,
    /// Memory in bytes: resident, and of that what is not a part of files.
    pub memory: (u64, u64),
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
    /// What is to be done after this answer.
    pub action: Option<Action>,
}

/// What an operator wants to happen.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process ends.
    Quit,
    /// All counters become 0.
    ResetCounters,
    /// Access log files are opened anew.
    ReopenLogs,
    /// From now on the process looks sick to health checks, or not.
    LookSick(bool),
    /// What is logged.
    SetLogLevel(LevelFilter),
    /// Listeners close, or will.
    DrainListeners {
        /// Not before the drain time.
        graceful: bool,
        /// They do not: only connections are to go elsewhere.
        skip_exit: bool,
        /// Which.
        scope: Scope,
    },
}

impl Action {
    /// How responses treat their connections after this, with what `--drain-strategy` makes of a graceful drain.
    pub fn discourages(self, gradual: Discourage) -> Option<(Discourage, Scope)> {
        match self {
            Self::LookSick(true) => Some((Discourage::Always, Scope::Healthy)),
            Self::LookSick(false) => Some((Discourage::No, Scope::Healthy)),
            Self::DrainListeners { graceful, skip_exit, scope } => {
                (graceful || skip_exit).then_some((gradual, scope))
            }
            _ => None,
        }
    }
}

struct Endpoint {
    path: &'static str,
    /// Must be asked with POST, since it changes something.
    post: bool,
    help: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    answer: fn(&View<'_>, &Query) -> Reply,
}

/// The dashboard at `/`. It asks the endpoints below for what it shows.
const PAGE: &str = include_str!("page.html");

/// In the order of their paths.
const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/", post: false, help: "Admin home page", parameters: &[], answer: page },
    Endpoint {
        path: "/certs",
        post: false,
        help: "print certs on machine",
        parameters: &[],
        answer: certs::certs,
    },
    Endpoint {
        path: "/clusters",
        post: false,
        help: "upstream cluster status",
        parameters: &[
            ("filter", "Regular expression for filtering clusters by name"),
            ("format", "Format to use; One of (text, json)"),
        ],
        answer: clusters::clusters,
    },
    Endpoint {
        path: "/config_dump",
        post: false,
        help: "dump current configs",
        parameters: &[
            ("resource", "The resource to dump"),
            (
                "mask",
                "The fields to dump, as paths with commas between them; with a resource, of every element of it",
            ),
            ("name_regex", "Dump only what has a name that this regular expression matches"),
        ],
        answer: config_dump::config_dump,
    },
    Endpoint {
        path: "/drain_listeners",
        post: true,
        help: "drain listeners",
        parameters: &[
            ("graceful", "Stop listening only after the drain time (--drain-time-s)"),
            ("skip_exit", "Drain connections and never stop listening"),
            ("inboundonly", "Only listeners for inbound traffic"),
        ],
        answer: server::drain_listeners,
    },
    Endpoint {
        path: "/healthcheck/fail",
        post: true,
        help: "cause the server to fail health checks",
        parameters: &[],
        answer: |_, _| Reply::done(Action::LookSick(true)),
    },
    Endpoint {
        path: "/healthcheck/ok",
        post: true,
        help: "cause the server to pass health checks",
        parameters: &[],
        answer: |_, _| Reply::done(Action::LookSick(false)),
    },
    Endpoint {
        path: "/help",
        post: false,
        help: "print out list of admin commands",
        parameters: &[],
        answer: help,
    },
    Endpoint {
        path: "/hot_restart_version",
        post: false,
        help: "print the hot restart compatibility version",
        parameters: &[],
        answer: |_, _| Reply::text("disabled".to_owned()),
    },
    Endpoint {
        path: "/init_dump",
        post: false,
        help: "dump what the start still waits for",
        parameters: &[],
        answer: |_, _| Reply::json(&json!({})),
    },
    Endpoint {
        path: "/listeners",
        post: false,
        help: "print listener info",
        parameters: &[("format", "File format to use; One of (text, json)")],
        answer: listeners,
    },
    Endpoint {
        path: "/logging",
        post: true,
        help: "query/change logging levels",
        parameters: &[
            ("level", "desired logging level; One of (, trace, debug, info, warning, error, critical, off)"),
            ("paths", "Change a logger by setting to <logger_name>:<desired_level>; there is one, nuncio"),
        ],
        answer: server::logging,
    },
    Endpoint {
        path: "/memory",
        post: false,
        help: "print current allocation/heap usage",
        parameters: &[],
        answer: server::memory,
    },
    Endpoint {
        path: "/quitquitquit",
        post: true,
        help: "exit the server",
        parameters: &[],
        answer: |_, _| Reply::done(Action::Quit),
    },
    Endpoint {
        path: "/ready",
        post: false,
        help: "print server state, return 200 if LIVE, otherwise return 503",
        parameters: &[],
        answer: server::ready,
    },
    Endpoint {
        path: "/reopen_logs",
        post: true,
        help: "reopen access logs",
        parameters: &[],
        answer: |_, _| Reply::done(Action::ReopenLogs),
    },
    Endpoint {
        path: "/reset_counters",
        post: true,
        help: "reset all counters to zero",
        parameters: &[],
        answer: |_, _| Reply::done(Action::ResetCounters),
    },
    Endpoint {
        path: "/runtime",
        post: false,
        help: "print runtime values",
        parameters: &[],
        answer: |_, _| Reply::json(&json!({"entries": {}, "layers": []})),
    },
    Endpoint {
        path: "/server_info",
        post: false,
        help: "print server version/status information",
        parameters: &[],
        answer: server::server_info,
    },
    Endpoint {
        path: "/stats",
        post: false,
        help: "print server stats",
        parameters: &[
            ("usedonly", "Only include stats that have been written by system since restart"),
            ("filter", "Regular expression for filtering stats"),
            ("invert_filter", "Invert the filter regex"),
            ("format", "Format to use; One of (text, json, prometheus)"),
            ("type", "Stat types to include.; One of (All, Counters, Histograms, Gauges, TextReadouts)"),
            (
                "histogram_buckets",
                "Histogram bucket display mode; One of (cumulative, disjoint, detailed, summary)",
            ),
        ],
        answer: stats::stats,
    },
    Endpoint {
        path: "/stats/prometheus",
        post: false,
        help: "print server stats in prometheus format",
        parameters: &[
            ("usedonly", "Only include stats that have been written by system since restart"),
            ("filter", "Regular expression for filtering stats"),
            ("invert_filter", "Invert the filter regex"),
            ("histogram_buckets", "Histogram bucket display mode; One of (cumulative, summary)"),
        ],
        answer: stats::prometheus_stats,
    },
];

/// Answers one request.
pub fn answer(method: &str, target: &str, view: &View<'_>) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let allowed = view.snapshot.admin.as_ref().is_none_or(|admin| admin.allows(path));
    if !allowed {
        return Reply { status: 403, ..Reply::text(format!("request to path {path} not allowed")) };
    }
    let query = Query::parse(query);
    let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.path == path) else {
        let mut reply = help(view, &query);
        reply.status = 404;
        reply.body.splice(0..0, *b"invalid path. ");
        return reply;
    };
    if endpoint.post && method != "POST" {
        let text = format!("Method {method} not allowed, POST required.");
        return Reply { status: 405, ..Reply::text(text) };
    }
    (endpoint.answer)(view, &query)
}

impl Reply {
    fn text(text: String) -> Self {
        Self { status: 200, content_type: "text/plain; charset=UTF-8", body: text.into_bytes(), action: None }
    }

    /// Indented by one space for each level, as in Envoy.
    fn json(value: &Value) -> Self {
        let mut body = Vec::new();
        let mut serializer =
            serde_json::Serializer::with_formatter(&mut body, PrettyFormatter::with_indent(b" "));
        value.serialize(&mut serializer).expect("a JSON value can be written into memory");
        body.push(b'\n');
        Self { status: 200, content_type: "application/json", body, action: None }
    }

    fn done(action: Action) -> Self {
        Self { action: Some(action), ..Self::text("OK\n".to_owned()) }
    }

    fn wrong(complaint: String) -> Self {
        Self { status: 400, ..Self::text(complaint) }
    }
}

/// The parameters of a request, decoded.
#[derive(Debug)]
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Self {
        let parameters = text.split('&').filter(|part| !part.is_empty());
        Self(
            parameters
                .map(|part| part.split_once('=').unwrap_or((part, "")))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    /// The first value of a parameter.
    fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|parameter| parameter.0 == name).map(|(_, value)| &value[..])
    }

    /// The same; an empty one is none.
    fn value(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// A regular expression, or what is to be answered if it is none.
    fn regex(&self, name: &str) -> Result<Option<regex::Regex>, Reply> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let built = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
        built.map(Some).map_err(|error| Reply::wrong(format!("Invalid regex: \"{error}\"\n")))
    }

    /// Whether JSON is asked for, where the other choice is text.
    fn wants_json(&self) -> bool {
        self.first("format") == Some("json")
    }
}

/// A part of a query without `%xx`.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 2;
            }
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn page(_: &View<'_>, _: &Query) -> Reply {
    Reply { content_type: "text/html; charset=UTF-8", ..Reply::text(PAGE.to_owned()) }
}

fn help(_: &View<'_>, _: &Query) -> Reply {
    let mut text = String::from("admin commands are:\n");
    for Endpoint { path, post, help, parameters, .. } in ENDPOINTS {
        let post = if *post { " (POST)" } else { "" };
        // Writing into memory does not fail.
        let _ = writeln!(text, "  {path}{post}: {help}");
        for (name, help) in *parameters {
            let _ = writeln!(text, "      {name}: {help}");
        }
    }
    Reply::text(text)
}

fn listeners(view: &View<'_>, query: &Query) -> Reply {
    if query.wants_json() {
        let of_one = view.listeners.chunk_by(|one, other| one.0 == other.0);
        let listeners: Vec<_> = of_one
            .map(|addresses| {
                let (name, first) = &addresses[0];
                let mut status = json!({"name": name, "local_address": address(first)});
                let more: Vec<_> = addresses[1..].iter().map(|(_, at)| address(at)).collect();
                if !more.is_empty() {
                    status["additional_local_addresses"] = more.into();
                }
                status
            })
            .collect();
        return Reply::json(&json!({"listener_statuses": listeners}));
    }
    let mut text = String::new();
    for (name, address) in view.listeners {
        let _ = writeln!(text, "{name}::{address}");
    }
    Reply::text(text)
}

/// `envoy.config.core.v3.Address`.
fn address(address: &Address) -> Value {
    match address {
        Address::Inet(inet) => {
            json!({"socket_address": {"address": inet.ip().to_string(), "port_value": inet.port()}})
        }
        Address::Unix(_) => json!({"pipe": {"path": address.to_string()}}),
    }
}
