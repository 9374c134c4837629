//! `/clusters`: each cluster and its hosts, as text and as JSON (`envoy.admin.v3.Clusters`).

use super::{Query, Reply, View, address};
use crate::upstream::config::{CircuitLimits, ClusterConfig, HostConfig};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The largest number of retries at the same time; there are no retries by policy yet, so it is Envoy's default.
const MAX_RETRIES: u32 = 3;

/// `/clusters`.
pub(super) fn clusters(view: &View<'_>, query: &Query) -> Reply {
    let filter = match query.regex("filter") {
        Ok(filter) => filter,
        Err(reply) => return reply,
    };
    let clusters = view.snapshot.clusters.clusters.iter();
    let mut clusters: Vec<&ClusterConfig> = clusters
        .map(AsRef::as_ref)
        .filter(|cluster| filter.as_ref().is_none_or(|filter| filter.is_match(&cluster.name)))
        .collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    if query.wants_json() {
        let clusters: Vec<_> = clusters.into_iter().map(|cluster| json(view, cluster)).collect();
        return Reply::json(&json!({"cluster_statuses": clusters}));
    }
    let mut text = String::new();
    for cluster in clusters {
        // Writing into memory does not fail.
        let _ = write_cluster(view, cluster, &mut text);
    }
    Reply::text(text)
}

/// A statistic's name and its value now.
type Number = (&'static str, u64);

/// Counters, then gauges, each by name.
fn numbers(view: &View<'_>, host: &HostConfig) -> ([Number; 6], [Number; 3]) {
    let (stats, all) = (&host.stats, view.collector);
    (
        [
            ("cx_connect_fail", all.count(stats.cx_connect_fail)),
            ("cx_total", all.count(stats.cx_total)),
            ("rq_error", all.count(stats.rq_error)),
            ("rq_success", all.count(stats.rq_success)),
            ("rq_timeout", all.count(stats.rq_timeout)),
            ("rq_total", all.count(stats.rq_total)),
        ],
        [
            ("cx_active", all.level(stats.cx_active)),
            ("rq_active", all.level(stats.rq_active)),
            ("rq_pending_active", all.level(stats.rq_pending_active)),
        ],
    )
}

fn limits(cluster: &ClusterConfig) -> impl Iterator<Item = (&'static str, &CircuitLimits)> {
    ["default", "high"].into_iter().zip(&cluster.limits)
}

fn write_cluster(view: &View<'_>, cluster: &ClusterConfig, out: &mut String) -> std::fmt::Result {
    let name = &cluster.name;
    writeln!(out, "{name}::observability_name::{}", cluster.observability_name)?;
    for (priority, limits) in limits(cluster) {
        writeln!(out, "{name}::{priority}_priority::max_connections::{}", limits.max_connections)?;
        writeln!(out, "{name}::{priority}_priority::max_pending_requests::{}", limits.max_pending_requests)?;
        writeln!(out, "{name}::{priority}_priority::max_requests::{}", limits.max_requests)?;
        writeln!(out, "{name}::{priority}_priority::max_retries::{MAX_RETRIES}")?;
    }
    writeln!(out, "{name}::added_via_api::false")?;
    for host in &cluster.hosts {
        let at = format!("{name}::{}", host.address);
        let (counters, gauges) = numbers(view, host);
        let mut all = [&counters[..], &gauges[..]].concat();
        all.sort_unstable();
        for (number, value) in all {
            writeln!(out, "{at}::{number}::{value}")?;
        }
        writeln!(out, "{at}::hostname::{}", host.hostname)?;
        writeln!(out, "{at}::health_flags::healthy")?;
        writeln!(out, "{at}::weight::{}", host.weight)?;
        writeln!(out, "{at}::region::{}", host.locality.region)?;
        writeln!(out, "{at}::zone::{}", host.locality.zone)?;
        writeln!(out, "{at}::sub_zone::{}", host.locality.sub_zone)?;
        writeln!(out, "{at}::canary::false")?;
        writeln!(out, "{at}::priority::0")?;
        writeln!(out, "{at}::success_rate::-1")?;
        writeln!(out, "{at}::local_origin_success_rate::-1")?;
    }
    Ok(())
}

/// `envoy.admin.v3.ClusterStatus`. As in all JSON of protobuf, zeros and empty texts are left out and large numbers
/// are texts.
fn json(view: &View<'_>, cluster: &ClusterConfig) -> Value {
    let thresholds: Vec<_> = limits(cluster)
        .map(|(priority, limits)| {
            let mut shown = Map::new();
            if priority == "high" {
                shown.insert("priority".to_owned(), "HIGH".into());
            }
            for (name, limit) in [
                ("max_connections", limits.max_connections),
                ("max_pending_requests", limits.max_pending_requests),
                ("max_requests", limits.max_requests),
                ("max_retries", MAX_RETRIES),
            ] {
                shown.insert(name.to_owned(), limit.into());
            }
            Value::from(shown)
        })
        .collect();
    let mut shown = Map::new();
    shown.insert("name".to_owned(), cluster.name.clone().into());
    if !cluster.hosts.is_empty() {
        let hosts: Vec<_> = cluster.hosts.iter().map(|host| json_host(view, host)).collect();
        shown.insert("host_statuses".to_owned(), hosts.into());
    }
    shown.insert("circuit_breakers".to_owned(), json!({"thresholds": thresholds}));
    shown.insert("observability_name".to_owned(), cluster.observability_name.clone().into());
    shown.into()
}

/// `envoy.admin.v3.HostStatus`.
fn json_host(view: &View<'_>, host: &HostConfig) -> Value {
    let (counters, gauges) = numbers(view, host);
    let number = |kind: Option<&str>, (name, value): (&str, u64)| {
        let mut shown = Map::new();
        if let Some(kind) = kind {
            shown.insert("type".to_owned(), kind.into());
        }
        if value != 0 {
            shown.insert("value".to_owned(), value.to_string().into());
        }
        shown.insert("name".to_owned(), name.into());
        Value::from(shown)
    };
    let stats: Vec<_> = counters
        .map(|counter| number(None, counter))
        .into_iter()
        .chain(gauges.map(|gauge| number(Some("GAUGE"), gauge)))
        .collect();
    let mut shown = Map::new();
    shown.insert("address".to_owned(), address(&host.address));
    shown.insert("stats".to_owned(), stats.into());
    shown.insert("health_status".to_owned(), json!({"eds_health_status": "HEALTHY"}));
    shown.insert("weight".to_owned(), host.weight.into());
    if !host.hostname.is_empty() {
        shown.insert("hostname".to_owned(), host.hostname.clone().into());
    }
    let locality = &host.locality;
    let parts: Map<_, _> =
        [("region", &locality.region), ("zone", &locality.zone), ("sub_zone", &locality.sub_zone)]
            .into_iter()
            .filter(|(_, part)| !part.is_empty())
            .map(|(name, part)| (name.to_owned(), Value::from(&part[..])))
            .collect();
    shown.insert("locality".to_owned(), parts.into());
    shown.into()
}
