//! `envoy.config.cluster.v3.Cluster` to [`ClusterConfig`].

use super::config::{CircuitLimits, ClusterConfig, HostConfig, LoadBalancing};
use crate::api::envoy::config::cluster::v3::cluster::{LbConfig, LbPolicy};
use crate::api::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use crate::api::envoy::config::core::v3::{
    self as core, address,
    socket_address::{PortSpecifier, Protocol},
};
use crate::api::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier,
};
use crate::config::Cx;
use crate::stats::ClusterStats;
use nuncio_reactor::Address;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Default of `per_connection_buffer_limit_bytes` of clusters and listeners.
pub(crate) const BUFFER_LIMIT: u32 = 1 << 20;

/// Compiles a cluster.
pub fn cluster(proto: &Cluster, cx: &mut Cx<'_>) -> Option<ClusterConfig> {
    let name = cx.text("name", &proto.name);
    let connect_timeout =
        cx.duration("connect_timeout", proto.connect_timeout.as_ref(), Duration::from_secs(5));
    if proto.connect_timeout.is_some() && connect_timeout.is_zero() {
        cx.error_at("connect_timeout", "a connection needs some time: the time-out must be greater than 0s");
    }
    let choices = match &proto.lb_config {
        Some(LbConfig::LeastRequestLbConfig(config)) => config.choice_count.unwrap_or(2),
        None => 2,
    };
    if choices < 2 {
        cx.field("least_request_lb_config", |cx| {
            cx.error_at("choice_count", "at least 2 hosts must be compared")
        });
    }
    let policy = match proto.lb_policy() {
        LbPolicy::RoundRobin => LoadBalancing::RoundRobin,
        LbPolicy::LeastRequest => LoadBalancing::LeastRequest { choices },
        LbPolicy::Random => LoadBalancing::Random,
    };
    let hosts = match &proto.load_assignment {
        Some(assignment) => cx.field("load_assignment", |cx| hosts(assignment, cx)),
        None => Vec::new(),
    };
    let limits = match &proto.circuit_breakers {
        Some(breakers) => cx.field("circuit_breakers", |cx| limits(breakers, cx)),
        None => CircuitLimits::default(),
    };
    let name = name?;
    let scope = if proto.alt_stat_name.is_empty() { name } else { &proto.alt_stat_name };
    // As in Envoy, a colon in a name cannot stand in a statistic's name.
    let prefix = format!("cluster.{}.", scope.replace(':', "_"));
    Some(ClusterConfig {
        name: name.to_owned(),
        connect_timeout,
        policy,
        hosts,
        buffer_limit: proto.per_connection_buffer_limit_bytes.unwrap_or(BUFFER_LIMIT),
        limits,
        max_response_headers: nuncio_codec::h1::ClientSettings::default().max_headers_bytes,
        idle_timeout: Some(Duration::from_secs(3600)),
        stats: ClusterStats::register(cx.registry, &prefix),
    })
}

fn limits(proto: &CircuitBreakers, cx: &mut Cx<'_>) -> CircuitLimits {
    if proto.thresholds.len() > 1 {
        cx.error_at("thresholds", "only one entry, for the priority DEFAULT, is supported");
    }
    let default = CircuitLimits::default();
    proto.thresholds.first().map_or(default, |limits| CircuitLimits {
        max_connections: limits.max_connections.unwrap_or(default.max_connections),
        max_pending_requests: limits.max_pending_requests.unwrap_or(default.max_pending_requests),
        max_requests: limits.max_requests.unwrap_or(default.max_requests),
        track_remaining: limits.track_remaining,
    })
}

fn hosts(proto: &ClusterLoadAssignment, cx: &mut Cx<'_>) -> Vec<HostConfig> {
    cx.text("cluster_name", &proto.cluster_name);
    let mut total = 0u64;
    let hosts = cx.each("endpoints", &proto.endpoints, |cx, locality| {
        Some(cx.each("lb_endpoints", &locality.lb_endpoints, |cx, endpoint| {
            let host = host(endpoint, cx)?;
            total += u64::from(host.weight);
            Some(host)
        }))
    });
    if total > u64::from(u32::MAX) {
        cx.error_at("endpoints", format!("the sum of all weights is {total}, more than 4294967295"));
    }
    hosts.into_iter().flatten().collect()
}

fn host(proto: &LbEndpoint, cx: &mut Cx<'_>) -> Option<HostConfig> {
    let weight = proto.load_balancing_weight.unwrap_or(1);
    if weight == 0 {
        cx.error_at("load_balancing_weight", "a weight must be at least 1");
    }
    let Some(HostIdentifier::Endpoint(endpoint)) = &proto.host_identifier else {
        cx.missing(&["endpoint"], "`endpoint` is required");
        return None;
    };
    cx.field("endpoint", |cx| {
        let address = cx.required("address", &endpoint.address)?;
        let address = cx.field("address", |cx| {
            let (address, _) = self::address(address, cx)?;
            if matches!(address, Address::Inet(address) if address.port() == 0) {
                cx.field("socket_address", |cx| {
                    cx.error_at("port_value", "a port from 1 to 65535 is required")
                });
            }
            Some(address)
        })?;
        Some(HostConfig { address, weight, hostname: endpoint.hostname.clone() })
    })
}

/// Compiles an address, and the mode of its file if it is a unix socket.
pub(crate) fn address(proto: &core::Address, cx: &mut Cx<'_>) -> Option<(Address, Option<u32>)> {
    match &proto.address {
        None => {
            cx.one_of(&["socket_address", "pipe"]);
            None
        }
        Some(address::Address::SocketAddress(socket)) => cx.field("socket_address", |cx| {
            if socket.protocol() != Protocol::Tcp {
                cx.error_at("protocol", "`UDP` is not supported here");
            }
            let text = cx.text("address", &socket.address)?;
            let ip = text.parse::<IpAddr>();
            if ip.is_err() {
                cx.error_at(
                    "address",
                    format!(
                        "`{text}` is not an IP address; host names need a DNS cluster, which is not supported"
                    ),
                );
            }
            if socket.port_specifier.is_none() {
                cx.missing(&["port_value"], "`port_value` is required");
            }
            let PortSpecifier::PortValue(port) = socket.port_specifier?;
            let port = u16::try_from(port).map_err(|_| {
                cx.error_at("port_value", format!("{port} is not a port: 0 to 65535"));
            });
            Some((Address::Inet(SocketAddr::new(ip.ok()?, port.ok()?)), None))
        }),
        Some(address::Address::Pipe(pipe)) => cx.field("pipe", |cx| {
            let path = cx.text("path", &pipe.path)?;
            // sockaddr_un has room for 108 bytes with the terminating zero.
            if path.len() > 107 {
                cx.error_at("path", format!("the path has {} bytes; the system allows 107", path.len()));
            }
            if pipe.mode > 0o777 {
                cx.error_at("mode", format!("{} is more than 511 (octal 0777)", pipe.mode));
            }
            if pipe.mode != 0 && path.starts_with('@') {
                cx.error_at("mode", "a name in the abstract namespace has no file, and no mode");
            }
            Some((Address::unix(path), (pipe.mode != 0).then_some(pipe.mode)))
        }),
    }
}
