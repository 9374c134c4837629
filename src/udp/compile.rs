//! `envoy.config.listener.v3.Listener` on UDP to [`UdpListenerConfig`].

use super::config::{HashPolicy, Receive, Target, UdpAddress, UdpListenerConfig, UdpProxyConfig};
use crate::access_log;
use crate::api::envoy::config::core::v3::{
    TrafficDirection, UdpSocketConfig, address::Address as ProtoAddress, socket_address::Protocol,
};
use crate::api::envoy::config::listener::v3 as proto;
use crate::api::envoy::extensions::filters::udp::udp_proxy::v3 as udp;
use crate::config::{Cx, is};
use crate::listener::compile::{Kind, addresses};
use crate::matching::{self, Matcher};
use crate::router;
use crate::stats::{UdpClusterStats, UdpListenerStats, UdpStats};
use crate::upstream::hash_of;
use nuncio_reactor::{Address, may_be_transparent};
use prost::Name;
use prost_types::Any;
use proto::listener_filter::ConfigType;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use udp::udp_proxy_config::{HashPolicy as ProtoHash, RouteSpecifier, hash_policy::PolicySpecifier};

/// Default of `max_rx_datagram_size`.
const LONGEST: u64 = 1500;
/// No datagram is longer.
const MOST: u64 = 65_535;
/// Default of `idle_timeout`.
const IDLE: Duration = Duration::from_secs(60);

/// Whether a listener is for datagrams.
pub fn is_udp(proto: &proto::Listener) -> bool {
    let address = proto.address.as_ref().and_then(|address| address.address.as_ref());
    matches!(address, Some(ProtoAddress::SocketAddress(socket)) if socket.protocol() == Protocol::Udp)
}

/// Compiles a UDP listener.
pub fn listener(proto: &proto::Listener, cx: &mut Cx<'_>) -> Option<UdpListenerConfig> {
    let addresses = addresses(proto, Kind::Datagram, cx).map(|addresses| {
        let inet = addresses.into_iter().filter_map(|at| match at.address {
            Address::Inet(address) => Some(UdpAddress { address, options: at.options }),
            Address::Unix(_) => None,
        });
        inet.collect::<Vec<_>>()
    });
    let streams_only = [
        ("filter_chains", !proto.filter_chains.is_empty()),
        ("default_filter_chain", proto.default_filter_chain.is_some()),
        ("per_connection_buffer_limit_bytes", proto.per_connection_buffer_limit_bytes.is_some()),
        ("tcp_backlog_size", proto.tcp_backlog_size.is_some()),
        ("use_original_dst", proto.use_original_dst.is_some()),
        ("tcp_fast_open_queue_length", proto.tcp_fast_open_queue_length.is_some()),
        ("listener_filters_timeout", proto.listener_filters_timeout.is_some()),
        ("continue_on_listener_filters_timeout", proto.continue_on_listener_filters_timeout),
        ("connection_balance_config", proto.connection_balance_config.is_some()),
        ("enable_mptcp", proto.enable_mptcp),
        ("ignore_global_conn_limit", proto.ignore_global_conn_limit),
        (
            "max_connections_to_accept_per_socket_event",
            proto.max_connections_to_accept_per_socket_event.is_some(),
        ),
        ("tcp_keepalive", proto.tcp_keepalive.is_some()),
    ];
    for (field, given) in streams_only {
        if given {
            cx.error_at(field, "is about connections, which a UDP listener does not have");
        }
    }
    if proto.bind_to_port == Some(false) {
        cx.error_at("bind_to_port", "nothing hands datagrams over: a UDP listener needs a socket");
    }
    // As in Envoy, no line is ever written for a listener on UDP: there are no connections.
    cx.each("access_log", &proto.access_log, |cx, log| access_log::compile::access_log(log, cx));
    let config = proto.udp_listener_config.unwrap_or_default();
    let receive = cx.field("udp_listener_config", |cx| {
        receive("downstream_socket_config", config.downstream_socket_config, false, cx)
    });
    if proto.listener_filters.len() != 1 {
        let count = proto.listener_filters.len();
        let name = udp::UdpProxyConfig::full_name();
        let message = format!("exactly one listener filter, {name}, is supported on UDP, found {count}");
        match count {
            // Whoever has filter chains there means another protocol.
            0 if !proto.filter_chains.is_empty() => {}
            0 => cx.missing(&["listener_filters"], message),
            _ => cx.error_at("listener_filters", message),
        }
    }
    let proxies = cx.each("listener_filters", &proto.listener_filters, |cx, filter| {
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
            cx.missing(&["typed_config"], "`typed_config` is required");
            return None;
        };
        cx.field("typed_config", |cx| {
            if !is::<udp::UdpProxyConfig>(any) {
                cx.wrong_extension(any, "listener filter on UDP", &[&udp::UdpProxyConfig::full_name()]);
                return None;
            }
            let config = cx.unpack::<udp::UdpProxyConfig>(any)?;
            proxy(&config, cx)
        })
    });
    let addresses = addresses?;
    let address = addresses.first()?.address;
    let name = if proto.name.is_empty() { address.to_string() } else { proto.name.clone() };
    let scope = if proto.stat_prefix.is_empty() { address.to_string() } else { proto.stat_prefix.clone() };
    Some(UdpListenerConfig {
        name,
        addresses,
        inbound: proto.traffic_direction() == TrafficDirection::Inbound,
        receive,
        proxy: proxies.into_iter().next()?,
        stats: UdpListenerStats::register(cx.registry, &format!("listener.{}.", scope.replace(':', "_"))),
    })
}

fn receive(field: &str, proto: Option<UdpSocketConfig>, segments: bool, cx: &mut Cx<'_>) -> Receive {
    let proto = proto.unwrap_or_default();
    let segments = proto.prefer_gro.unwrap_or(segments);
    let longest = proto.max_rx_datagram_size.unwrap_or(LONGEST);
    if !(1..=MOST).contains(&longest) {
        cx.field(field, |cx| {
            cx.error_at("max_rx_datagram_size", format!("{longest} is out of range: 1 to {MOST}"));
        });
    }
    Receive { longest: if segments { MOST } else { longest.min(MOST) } as usize, segments }
}

fn proxy(proto: &udp::UdpProxyConfig, cx: &mut Cx<'_>) -> Option<UdpProxyConfig> {
    let prefix = cx.text("stat_prefix", &proto.stat_prefix).unwrap_or("invalid");
    let stats = UdpStats::register(cx.registry, &format!("udp.{}.", prefix.replace(':', "_")));
    let mut targets = Vec::new();
    let routes = match &proto.route_specifier {
        None => {
            cx.one_of(&["matcher", "cluster"]);
            None
        }
        Some(RouteSpecifier::Cluster(name)) => {
            cx.field("cluster", |cx| target(name, &mut targets, cx)).map(Matcher::always)
        }
        Some(RouteSpecifier::Matcher(matcher)) => cx.field("matcher", |cx| {
            let mut action = |any: &Any, cx: &mut Cx<'_>| route(any, &mut targets, cx);
            matching::compile::matcher(matcher, &mut action, cx)
        }),
    };
    if proto.use_original_src_ip {
        let families = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        // A machine may have one of them only.
        if let Some(Err(error)) = families.map(may_be_transparent).into_iter().max_by_key(Result::is_ok) {
            let message = format!(
                "this process may not send from the addresses of others (IP_TRANSPARENT: {error}): \
                 it needs CAP_NET_ADMIN"
            );
            cx.error_at("use_original_src_ip", message);
        }
    }
    if proto.hash_policies.len() > 1 {
        cx.error_at("hash_policies", "at most one policy is possible");
    }
    let hash = cx.each("hash_policies", &proto.hash_policies, |cx, policy| hash(policy, cx));
    let options = proto.access_log_options.unwrap_or_default();
    let log_interval = cx.field("access_log_options", |cx| {
        let field = "access_log_flush_interval";
        let interval = options.access_log_flush_interval;
        let length = cx.duration(field, interval.as_ref(), Duration::ZERO);
        if interval.is_some() && length < Duration::from_millis(1) {
            cx.error_at(field, "at least 1 ms is required");
        }
        interval.map(|_| length)
    });
    Some(UdpProxyConfig {
        stat_prefix: prefix.to_owned(),
        idle_timeout: cx.duration("idle_timeout", proto.idle_timeout.as_ref(), IDLE),
        original_source: proto.use_original_src_ip,
        hash: hash.into_iter().next(),
        receive: receive("upstream_socket_config", proto.upstream_socket_config, true, cx),
        per_packet: proto.use_per_packet_load_balancing,
        access_log: cx
            .each("access_log", &proto.access_log, |cx, log| access_log::compile::access_log(log, cx)),
        session_filters: Vec::new(),
        proxy_access_log: cx.each("proxy_access_log", &proto.proxy_access_log, |cx, log| {
            access_log::compile::access_log(log, cx)
        }),
        log_interval,
        stats,
        routes: routes?,
        targets,
    })
}

/// The action of a matcher.
fn route(any: &Any, targets: &mut Vec<Target>, cx: &mut Cx<'_>) -> Option<u32> {
    if !is::<udp::Route>(any) {
        cx.wrong_extension(any, "action of a UDP proxy", &[&udp::Route::full_name()]);
        return None;
    }
    let route = cx.unpack::<udp::Route>(any)?;
    cx.field("cluster", |cx| target(&route.cluster, targets, cx))
}

/// The place of a cluster among the targets.
fn target(name: &str, targets: &mut Vec<Target>, cx: &mut Cx<'_>) -> Option<u32> {
    let cluster = router::compile::cluster(name, cx)?;
    let known = targets.iter().position(|target| target.cluster == cluster);
    let at = known.unwrap_or_else(|| {
        let config = Arc::clone(&cx.clusters.clusters[cluster.0 as usize]);
        if config.hosts.iter().any(|host| matches!(host.address, Address::Unix(_))) {
            cx.error(format!("cluster `{name}` has an endpoint at a unix socket, where no datagrams go"));
        }
        let prefix = format!("cluster.{}.udp.", config.observability_name.replace(':', "_"));
        let cluster_stats = config.stats.clone();
        let stats = UdpClusterStats::register(cx.registry, &prefix);
        targets.push(Target { cluster, stats, cluster_stats });
        targets.len() - 1
    });
    Some(at as u32)
}

fn hash(proto: &ProtoHash, cx: &mut Cx<'_>) -> Option<HashPolicy> {
    match &proto.policy_specifier {
        None => {
            cx.one_of(&["source_ip", "key"]);
            None
        }
        Some(PolicySpecifier::SourceIp(true)) => Some(HashPolicy::SourceIp),
        Some(PolicySpecifier::SourceIp(false)) => {
            cx.error_at("source_ip", "only `true` has a meaning here");
            None
        }
        Some(PolicySpecifier::Key(key)) => {
            cx.text("key", key).map(|key| HashPolicy::Key(hash_of(key.as_bytes())))
        }
    }
}
