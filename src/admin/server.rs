//! The process itself: `/server_info`, `/ready`, `/memory`, `/certs`, `/logging`, `/drain_listeners`.

use super::{Action, Query, Reply, View};
use crate::api::pool;
use crate::io::Scope;
use log::LevelFilter;
use serde_json::{Map, Value, json};

/// `/server_info` (`envoy.admin.v3.ServerInfo`).
pub(super) fn server_info(view: &View<'_>, _: &Query) -> Reply {
    let uptime = format!("{}s", view.uptime.as_secs());
    let node = &view.snapshot.node;
    let mut shown = Map::new();
    for (name, value) in [("id", &node.id), ("cluster", &node.cluster)] {
        if !value.is_empty() {
            shown.insert(name.to_owned(), Value::from(&value[..]));
        }
    }
    if let Some(proto) = &view.snapshot.bootstrap.node
        && proto.metadata.is_some()
    {
        shown.insert("metadata".to_owned(), super::config_dump::shown(proto, &pool())["metadata"].clone());
    }
    if !node.zone.is_empty() {
        shown.insert("locality".to_owned(), json!({"zone": node.zone}));
    }
    shown.insert("user_agent_name".to_owned(), Value::from("nuncio"));
    Reply::json(&json!({
        "version": format!("nuncio/{}", env!("CARGO_PKG_VERSION")),
        "state": state(view),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "hot_restart_version": "disabled",
        "command_line_options": view.command_line,
        "node": shown,
    }))
}

fn state(view: &View<'_>) -> &'static str {
    if view.live { "LIVE" } else { "DRAINING" }
}

/// `/ready`.
pub(super) fn ready(view: &View<'_>, _: &Query) -> Reply {
    let status = if view.live { 200 } else { 503 };
    Reply { status, ..Reply::text(format!("{}\n", state(view))) }
}

/// `/memory` (`envoy.admin.v3.Memory`); what only an allocator of Google's knows is 0.
pub(super) fn memory(view: &View<'_>, _: &Query) -> Reply {
    let (resident, anonymous) = view.memory;
    Reply::json(&json!({
        "allocated": anonymous.to_string(),
        "heap_size": anonymous.to_string(),
        "pageheap_unmapped": "0",
        "pageheap_free": "0",
        "total_thread_cache": "0",
        "total_physical_bytes": resident.to_string(),
    }))
}

/// `/drain_listeners`.
pub(super) fn drain_listeners(_: &View<'_>, query: &Query) -> Reply {
    let asked = |name: &str| query.first(name).is_some();
    Reply::done(Action::DrainListeners {
        graceful: asked("graceful"),
        skip_exit: asked("skip_exit"),
        scope: if asked("inboundonly") { Scope::Inbound } else { Scope::All },
    })
}

/// The one logger.
const LOGGER: &str = "nuncio";

/// Envoy's names of levels.
const LEVELS: [(&str, LevelFilter); 7] = [
    ("trace", LevelFilter::Trace),
    ("debug", LevelFilter::Debug),
    ("info", LevelFilter::Info),
    ("warning", LevelFilter::Warn),
    ("error", LevelFilter::Error),
    ("critical", LevelFilter::Error),
    ("off", LevelFilter::Off),
];

/// `/logging`.
pub(super) fn logging(_: &View<'_>, query: &Query) -> Reply {
    match wanted_level(query) {
        Ok(level) => {
            let text = active(level.unwrap_or(log::max_level()));
            Reply { action: level.map(Action::SetLogLevel), ..Reply::text(text) }
        }
        Err(complaint) => Reply::wrong(format!(
            "error: {complaint}\n\nusage: /logging?{LOGGER}=<level> (change the level)\n\
             usage: /logging?paths={LOGGER}:<level> (change the level)\n\
             usage: /logging?level=<level> (change the level)\n\
             levels: trace debug info warning error critical off \n{}",
            active(log::max_level())
        )),
    }
}

fn active(level: LevelFilter) -> String {
    let name = LEVELS.iter().find(|known| known.1 == level).map_or("off", |known| known.0);
    format!("active loggers:\n  {LOGGER}: {name}\n\n")
}

fn wanted_level(query: &Query) -> Result<Option<LevelFilter>, &'static str> {
    let named = |name: &str| {
        let found = LEVELS.iter().find(|known| known.0 == name || (known.0, name) == ("warning", "warn"));
        found.map(|known| known.1).ok_or("unknown logger level")
    };
    match query.0.as_slice() {
        [] => Ok(None),
        [(name, value)] if name == "level" || name == "paths" || name == LOGGER => {
            if value.is_empty() {
                return if name == LOGGER { Err("empty level value") } else { Ok(None) };
            }
            match (name.as_str(), value.split_once(':')) {
                ("paths", Some((LOGGER, level))) => named(level).map(Some),
                ("paths", Some(_)) => Err("unknown logger name"),
                ("paths", None) => Err("empty logger name or empty logger level"),
                _ => named(value).map(Some),
            }
        }
        [(_, value)] => named(value).and(Err("unknown logger name")),
        _ => Err("invalid number of parameters"),
    }
}
