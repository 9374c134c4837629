//! `TcpProxy` to [`TcpProxyConfig`].

use super::config::{ClusterChoice, HashPolicy, TcpProxyConfig, Tunnel};
use crate::access_log;
use crate::api::envoy::extensions::filters::network::tcp_proxy::v3 as proto;
use crate::api::envoy::r#type::v3::hash_policy::PolicySpecifier;
use crate::config::Cx;
use crate::formatter::Format;
use crate::router::HeaderOps;
use crate::stats::TcpStats;
use proto::UpstreamConnectMode;
use proto::tcp_proxy::{ClusterSpecifier, TunnelingConfig};
use std::time::Duration;

/// Most bytes that may come before a host is connected, as in Envoy.
const MOST_EARLY: u32 = 1 << 20;

/// Compiles a TCP proxy.
pub fn tcp_proxy(proto: &proto::TcpProxy, cx: &mut Cx<'_>) -> Option<TcpProxyConfig> {
    let prefix = cx.text("stat_prefix", &proto.stat_prefix).unwrap_or("invalid");
    let stats = TcpStats::register(cx.registry, &format!("tcp.{}.", prefix.replace(':', "_")));
    let cluster = cluster(proto, cx);
    let tunnel = proto.tunneling_config.as_ref();
    let tunnel = tunnel.and_then(|tunnel| cx.field("tunneling_config", |cx| self::tunnel(tunnel, cx)));
    let max_connect_attempts = proto.max_connect_attempts.unwrap_or(1);
    if max_connect_attempts == 0 {
        cx.error_at("max_connect_attempts", "at least 1 attempt must be made");
    }
    let back_off = proto.backoff_options.as_ref().and_then(|back_off| {
        cx.field("backoff_options", |cx| {
            cx.required("base_interval", &back_off.base_interval)?;
            let base = cx.duration("base_interval", back_off.base_interval.as_ref(), Duration::ZERO);
            if base < Duration::from_millis(1) {
                cx.error_at("base_interval", "the interval must be at least 1ms");
            }
            let longest = cx.duration("max_interval", back_off.max_interval.as_ref(), base * 10);
            if longest < base {
                cx.error_at("max_interval", "the longest interval must not be shorter than `base_interval`");
            }
            Some((base, longest))
        })
    });
    let jitter =
        proto.max_downstream_connection_duration_jitter_percentage.map_or(0.0, |percent| percent.value);
    if !(0.0..=100.0).contains(&jitter) {
        cx.field("max_downstream_connection_duration_jitter_percentage", |cx| {
            cx.error_at("value", format!("{jitter} is out of range: 0 to 100"));
        });
    }
    let (log_interval, log_connected) = log_options(proto, cx);
    let mode = proto.upstream_connect_mode();
    if mode != UpstreamConnectMode::Immediate && proto.max_early_data_bytes.is_none() {
        cx.missing(
            &["max_early_data_bytes"],
            "`max_early_data_bytes` is required unless `upstream_connect_mode` is IMMEDIATE",
        );
    }
    if proto.max_early_data_bytes.is_some_and(|most| most > MOST_EARLY) {
        cx.error_at("max_early_data_bytes", format!("at most {MOST_EARLY} bytes can come early"));
    }
    let access_log =
        cx.each("access_log", &proto.access_log, |cx, log| access_log::compile::access_log(log, cx));
    let hash_policy = hash_policy(proto, cx);
    let max_duration =
        limited("max_downstream_connection_duration", proto.max_downstream_connection_duration.as_ref(), cx);
    Some(TcpProxyConfig {
        cluster: cluster?,
        idle_timeout: cx.limit("idle_timeout", proto.idle_timeout.as_ref(), Some(Duration::from_secs(3600))),
        max_connect_attempts,
        back_off,
        hash_policy,
        max_duration,
        max_duration_jitter: jitter / 100.0,
        connect_on_data: mode == UpstreamConnectMode::OnDownstreamData,
        max_early_data: proto.max_early_data_bytes.map(|bytes| bytes as usize),
        tunnel,
        access_log,
        log_interval,
        log_connected,
        stats,
    })
}

/// A duration of at least a millisecond, if it is given.
fn limited(field: &str, value: Option<&prost_types::Duration>, cx: &mut Cx<'_>) -> Option<Duration> {
    value?;
    let duration = cx.duration(field, value, Duration::from_millis(1));
    if duration < Duration::from_millis(1) {
        cx.error_at(field, "must be at least 1ms");
    }
    Some(duration)
}

fn cluster(proto: &proto::TcpProxy, cx: &mut Cx<'_>) -> Option<ClusterChoice> {
    match &proto.cluster_specifier {
        None => {
            cx.one_of(&["cluster", "weighted_clusters"]);
            None
        }
        // As in Envoy, a cluster that does not exist is no error: connections to it are closed and counted.
        Some(ClusterSpecifier::Cluster(name)) => {
            Some(ClusterChoice::One(cx.text("cluster", name).and_then(|name| cx.clusters.find(name))))
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => cx.field("weighted_clusters", |cx| {
            if weighted.clusters.is_empty() {
                cx.missing(&["clusters"], "`clusters` is required: at least one");
            }
            let mut total = 0u64;
            let clusters = cx.each("clusters", &weighted.clusters, |cx, cluster| {
                let name = cx.text("name", &cluster.name);
                if cluster.weight == 0 {
                    cx.missing(&["weight"], "`weight` is required: at least 1");
                }
                total += u64::from(cluster.weight);
                Some((total, name.and_then(|name| cx.clusters.find(name))))
            });
            Some(ClusterChoice::Weighted(clusters))
        }),
    }
}

fn tunnel(proto: &TunnelingConfig, cx: &mut Cx<'_>) -> Option<Tunnel> {
    let headers =
        HeaderOps::compile((&proto.headers_to_add, &[]), ("headers_to_add", "headers_to_remove"), cx);
    let post_path = (!proto.post_path.is_empty()).then_some(&*proto.post_path);
    if post_path.is_some() && !proto.use_post {
        cx.error_at("post_path", "has a meaning with `use_post: true` only");
    }
    if post_path
        .is_some_and(|path| !path.starts_with('/') || path.bytes().any(|byte| !byte.is_ascii_graphic()))
    {
        cx.error_at("post_path", "a path begins with `/` and has no spaces");
    }
    let hostname = cx.text("hostname", &proto.hostname)?;
    let hostname = match Format::parse(hostname) {
        Ok(format) => format,
        Err(error) => {
            cx.error_at("hostname", error.to_string());
            return None;
        }
    };
    let post = proto.use_post.then(|| post_path.unwrap_or("/").as_bytes().into());
    Some(Tunnel { hostname, post, headers })
}

fn hash_policy(proto: &proto::TcpProxy, cx: &mut Cx<'_>) -> Vec<HashPolicy> {
    if proto.hash_policy.len() > 1 {
        cx.error_at("hash_policy", "one policy at most is allowed");
    }
    cx.each("hash_policy", &proto.hash_policy, |cx, policy| match &policy.policy_specifier {
        None => {
            cx.one_of(&["source_ip", "filter_state"]);
            None
        }
        Some(PolicySpecifier::SourceIp(_)) => Some(HashPolicy::SourceIp),
        Some(PolicySpecifier::FilterState(state)) => cx.field("filter_state", |cx| {
            cx.text("key", &state.key).map(|key| HashPolicy::FilterState(key.into()))
        }),
    })
}

/// The newer place of each option, or else the older one.
fn log_options(proto: &proto::TcpProxy, cx: &mut Cx<'_>) -> (Option<Duration>, bool) {
    match &proto.access_log_options {
        Some(options) => {
            let older = [
                ("access_log_flush_interval", proto.access_log_flush_interval.is_some()),
                ("flush_access_log_on_connected", proto.flush_access_log_on_connected),
            ];
            for (field, given) in older {
                if given {
                    cx.error_at(
                        field,
                        format!("is given already, by `access_log_options`: set `{field}` there"),
                    );
                }
            }
            cx.field("access_log_options", |cx| {
                let interval = options.access_log_flush_interval.as_ref();
                (limited("access_log_flush_interval", interval, cx), options.flush_access_log_on_connected)
            })
        }
        None => (
            limited("access_log_flush_interval", proto.access_log_flush_interval.as_ref(), cx),
            proto.flush_access_log_on_connected,
        ),
    }
}
