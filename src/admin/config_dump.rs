//! `/config_dump` (`envoy.admin.v3.ConfigDump`): the configuration as it was understood, or parts of it.

use super::{Query, Reply, View};
use crate::api::envoy::extensions::transport_sockets::tls::v3::Secret;
use crate::api::{TYPE_URL, pool};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use regex::Regex;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// Sections of a dump that have parts with names: the section's type, its field, what its elements are called, and
/// the type of an element.
const SECTIONS: [(&str, &str, &str, &str); 5] = [
    ("ClustersConfigDump", "static_clusters", "cluster", "StaticCluster"),
    ("ListenersConfigDump", "static_listeners", "listener", "StaticListener"),
    ("RoutesConfigDump", "static_route_configs", "route_config", "StaticRouteConfig"),
    ("SecretsConfigDump", "static_secrets", "secret", "StaticSecret"),
    ("SecretsConfigDump", "dynamic_active_secrets", FETCHED, "DynamicSecret"),
];

/// Secrets that are in files.
const FETCHED: &str = "fetched secret";

/// Resources of Envoy that there never are, since nothing here is loaded while running.
const NEVER: [&str; 4] =
    ["dynamic_active_clusters", "dynamic_warming_clusters", "dynamic_listeners", "dynamic_route_configs"];

/// `/config_dump`.
pub(super) fn config_dump(view: &View<'_>, query: &Query) -> Reply {
    let names = match query.regex("name_regex") {
        Ok(names) => names,
        Err(reply) => return reply,
    };
    let mask: Vec<Vec<&str>> = query
        .value("mask")
        .into_iter()
        .flat_map(|mask| mask.split(','))
        .map(|path| path.trim().split('.').collect())
        .collect();
    let pool = pool();
    let configs = match query.value("resource") {
        None => whole(view, names.as_ref(), &pool),
        Some(resource) => match SECTIONS.iter().find(|section| section.1 == resource) {
            Some((section, _, element, kind)) => elements(view, element, names.as_ref(), &pool)
                .into_iter()
                .map(|part| typed(&format!("envoy.admin.v3.{section}.{kind}"), part))
                .collect(),
            None if NEVER.contains(&resource) => Vec::new(),
            None => {
                return Reply { status: 404, ..Reply::text(format!("{resource} not found in config dump")) };
            }
        },
    };
    if mask.is_empty() {
        return Reply::json(&json!({"configs": configs}));
    }
    let some = !configs.is_empty();
    let configs: Vec<_> = configs.iter().filter_map(|config| masked(config, &mask)).collect();
    if some && configs.is_empty() {
        let mask = query.value("mask").unwrap_or_default();
        return Reply::wrong(format!("FieldMask {mask} could not be successfully applied to any configs."));
    }
    Reply::json(&json!({"configs": configs}))
}

fn whole(view: &View<'_>, names: Option<&Regex>, pool: &DescriptorPool) -> Vec<Value> {
    let mut bootstrap = Map::new();
    bootstrap.insert("bootstrap".to_owned(), shown(&view.snapshot.bootstrap, pool));
    bootstrap.insert("last_updated".to_owned(), time(view.started));
    let mut configs = vec![typed("envoy.admin.v3.BootstrapConfigDump", bootstrap)];
    let mut dumps: Vec<(&str, Map<String, Value>)> = Vec::new();
    for (section, field, element, _) in SECTIONS {
        let parts: Vec<_> = elements(view, element, names, pool).into_iter().map(Value::from).collect();
        if dumps.last().is_none_or(|(last, _)| *last != section) {
            dumps.push((section, Map::new()));
        }
        if let Some((_, dump)) = dumps.last_mut().filter(|_| !parts.is_empty()) {
            dump.insert(field.to_owned(), parts.into());
        }
    }
    configs
        .extend(dumps.into_iter().map(|(section, dump)| typed(&format!("envoy.admin.v3.{section}"), dump)));
    configs
}

/// The clusters, listeners, route configurations or secrets whose names are asked for.
fn elements(
    view: &View<'_>,
    element: &str,
    names: Option<&Regex>,
    pool: &DescriptorPool,
) -> Vec<Map<String, Value>> {
    let resources = view.snapshot.bootstrap.static_resources.clone().unwrap_or_default();
    let mut parts = Vec::new();
    let mut add = |name: &str, kind: &str, value: Value| {
        if names.is_none_or(|names| names.is_match(name)) {
            let Value::Object(value) = value else { return };
            let mut part = Map::new();
            part.insert(element.to_owned(), typed(kind, value));
            part.insert("last_updated".to_owned(), time(view.started));
            parts.push(part);
        }
    };
    match element {
        "cluster" => {
            let mut clusters: Vec<_> = resources.clusters.iter().collect();
            clusters.sort_by(|a, b| a.name.cmp(&b.name));
            for cluster in clusters {
                add(&cluster.name, "envoy.config.cluster.v3.Cluster", shown(cluster, pool));
            }
        }
        "listener" => {
            for listener in &resources.listeners {
                add(&listener.name, "envoy.config.listener.v3.Listener", shown(listener, pool));
            }
        }
        "secret" => {
            for secret in &resources.secrets {
                parts.extend(self::secret(secret, names, view.started, pool));
            }
        }
        FETCHED => {
            let mut known = Vec::new();
            for context in view.snapshot.tls() {
                for (secret, when) in context.settings().fetched() {
                    if !known.contains(&secret.name) {
                        parts.extend(self::secret(secret, names, *when, pool));
                        known.push(secret.name.clone());
                    }
                }
            }
        }
        _ => {
            for listener in &resources.listeners {
                let mut found = Vec::new();
                route_configs(&shown(listener, pool), &mut found);
                for config in found {
                    let name = config["name"].as_str().unwrap_or_default().to_owned();
                    add(&name, "envoy.config.route.v3.RouteConfiguration", config);
                }
            }
        }
    }
    parts
}

/// A secret, if its name is asked for.
fn secret(
    secret: &Secret,
    names: Option<&Regex>,
    when: SystemTime,
    pool: &DescriptorPool,
) -> Option<Map<String, Value>> {
    let Value::Object(value) = shown(secret, pool) else { return None };
    let mut part = Map::new();
    part.insert("name".to_owned(), secret.name.clone().into());
    part.insert("last_updated".to_owned(), time(when));
    part.insert("secret".to_owned(), typed(&Secret::full_name(), value));
    names.is_none_or(|names| names.is_match(&secret.name)).then_some(part)
}

/// The route configurations that stand inside a listener.
fn route_configs(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "route_config" {
                    found.push(value.clone());
                } else {
                    route_configs(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| route_configs(value, found)),
        _ => {}
    }
}

fn typed(name: &str, fields: Map<String, Value>) -> Value {
    let mut typed = Map::new();
    typed.insert("@type".to_owned(), format!("{TYPE_URL}{name}").into());
    typed.extend(fields);
    typed.into()
}

fn time(time: SystemTime) -> Value {
    let text =
        jiff::Timestamp::try_from(time).map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    text.unwrap_or_default().into()
}

/// A message as JSON with the names that configuration files use.
pub(super) fn shown<M: Message + Name>(message: &M, pool: &DescriptorPool) -> Value {
    let descriptor = pool.get_message_by_name(&M::full_name()).expect("the schema has it");
    let dynamic = DynamicMessage::decode(descriptor, &message.encode_to_vec()[..])
        .expect("just encoded with the same schema");
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut value = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("configuration is made of known types");
    redact(&mut value, false);
    value
}

/// Hides what is nobody's business: private keys, their passwords, the keys of session tickets, also where they are, as Envoy does.
fn redact(value: &mut Value, hide: bool) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let hide = hide || matches!(&name[..], "private_key" | "password" | "session_ticket_keys");
                match value {
                    Value::String(text) if hide => {
                        *text =
                            if name == "inline_bytes" { "W3JlZGFjdGVkXQ==" } else { "[redacted]" }.to_owned();
                    }
                    value => redact(value, hide),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| redact(value, hide)),
        _ => {}
    }
}

/// What the paths name of a value; `None` if that is nothing. A path into a list means every element.
fn masked(value: &Value, paths: &[Vec<&str>]) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                if name == "@type" {
                    kept.insert(name.clone(), value.clone());
                    continue;
                }
                let below: Vec<Vec<&str>> = paths
                    .iter()
                    .filter(|path| path.first() == Some(&&name[..]))
                    .map(|path| path[1..].to_vec())
                    .collect();
                let part = match below.iter().any(Vec::is_empty) {
                    true => Some(value.clone()),
                    false if below.is_empty() => None,
                    false => masked(value, &below),
                };
                if let Some(part) = part {
                    kept.insert(name.clone(), part);
                }
            }
            (kept.len() > usize::from(kept.contains_key("@type"))).then(|| kept.into())
        }
        Value::Array(values) => {
            let kept: Vec<_> = values.iter().filter_map(|value| masked(value, paths)).collect();
            (!kept.is_empty()).then(|| kept.into())
        }
        _ => None,
    }
}
