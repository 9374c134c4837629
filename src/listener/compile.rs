//! `envoy.config.listener.v3.Listener` to [`ListenerConfig`].

use super::config::{
    Direction, FilterChain, ListenAddress, ListenerConfig, ListenerFilter, NetworkTerminal, TransportSocket,
};
use super::filters::compile::{filter, original_dst, proxy_protocol};
use super::matcher::{Criteria, Matcher, Overlap, SourceType};
use crate::access_log;
use crate::api::envoy::config::core::v3::socket_option::{SocketIpVersion, SocketState, Value};
use crate::api::envoy::config::core::v3::{
    self as core, SocketOption, TcpKeepalive, TrafficDirection, socket_address::Protocol,
};
use crate::api::envoy::config::listener::v3 as proto;
use crate::api::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use crate::api::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use crate::api::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use crate::config::{Cx, is};
use crate::http;
use crate::network::{self, Cidr, compile::Compiled};
use crate::stats::ListenerStats;
use crate::tls;
use crate::upstream::compile::{BUFFER_LIMIT, address_and_more, keepalive};
use nuncio_reactor::{Address, ListenOptions, Moment, RawOption};
use prost::Name;
use proto::filter::ConfigType;
use proto::filter_chain_match::ConnectionSourceType;
use proto::listener::{DrainType, connection_balance_config::BalanceType};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Compiles a listener.
pub fn listener(proto: &proto::Listener, cx: &mut Cx<'_>) -> Option<ListenerConfig> {
    let addresses = addresses(proto, Kind::Stream, cx);
    if proto.udp_listener_config.is_some() {
        cx.error_at("udp_listener_config", "is about UDP, which this listener does not use");
    }
    let first = addresses.as_ref().and_then(|addresses| addresses.first());
    let shown = first.map_or(String::new(), |first| first.address.to_string());
    let scope = if proto.stat_prefix.is_empty() { &shown } else { &proto.stat_prefix };
    cx.listener_scope = format!("listener.{}.", scope.replace(':', "_"));
    let (filter_chains, matcher) = filter_chains(proto, cx);
    let listener_filters = listener_filters(proto, cx);
    let filters_timeout = cx.limit(
        "listener_filters_timeout",
        proto.listener_filters_timeout.as_ref(),
        Some(Duration::from_secs(15)),
    );
    let balanced = match &proto.connection_balance_config {
        None => false,
        Some(balance) => cx.field("connection_balance_config", |cx| match balance.balance_type {
            None => {
                cx.one_of(&["exact_balance"]);
                false
            }
            Some(BalanceType::ExactBalance(_)) => true,
        }),
    };
    let accept_batch = proto.max_connections_to_accept_per_socket_event;
    if accept_batch == Some(0) {
        cx.error_at("max_connections_to_accept_per_socket_event", "at least 1 connection must be accepted");
    }
    let access_log =
        cx.each("access_log", &proto.access_log, |cx, log| access_log::compile::access_log(log, cx));
    let addresses = addresses?;
    let name = if proto.name.is_empty() { shown } else { proto.name.clone() };
    let limit = cx.runtime.integer(&format!("envoy.resource_limits.listener.{name}.connection_limit"));
    Some(ListenerConfig {
        addresses,
        bound: proto.bind_to_port.unwrap_or(true),
        hands_over: proto.use_original_dst.unwrap_or(false),
        accept_batch: accept_batch
            .map_or(ListenerConfig::ACCEPT_BATCH, |most| ListenerConfig::ACCEPT_BATCH.min(most as usize)),
        buffer_limit: proto.per_connection_buffer_limit_bytes.unwrap_or(BUFFER_LIMIT),
        listener_filters,
        filters_timeout,
        continue_on_timeout: proto.continue_on_listener_filters_timeout,
        filter_chains,
        matcher: matcher?,
        connection_limit: limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
        ignores_global_limit: proto.ignore_global_conn_limit,
        balanced,
        direction: match proto.traffic_direction() {
            TrafficDirection::Unspecified => Direction::Unspecified,
            TrafficDirection::Inbound => Direction::Inbound,
            TrafficDirection::Outbound => Direction::Outbound,
        },
        drains_when_sick: proto.drain_type() == DrainType::Default,
        access_log,
        stats: ListenerStats::of_listener(cx.registry, &cx.listener_scope),
        name,
    })
}

/// All addresses, the listener's own first.
/// What sockets of a listener are for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Connections.
    Stream,
    /// Datagrams.
    Datagram,
}

/// All addresses of a listener.
pub(crate) fn addresses(proto: &proto::Listener, kind: Kind, cx: &mut Cx<'_>) -> Option<Vec<ListenAddress>> {
    let options = socket_options(&proto.socket_options, kind, cx);
    let probes = proto.tcp_keepalive;
    let first = match cx.required("address", &proto.address) {
        Some(address) => {
            cx.field("address", |cx| listen_address(address, proto, (&options, probes), kind, cx))
        }
        None => None,
    };
    let more = cx.each("additional_addresses", &proto.additional_addresses, |cx, more| {
        let own = more
            .socket_options
            .as_ref()
            .map(|own| cx.field("socket_options", |cx| socket_options(&own.socket_options, kind, cx)));
        let options = own.as_ref().unwrap_or(&options);
        let probes = more.tcp_keepalive.or(probes);
        let address = cx.required("address", &more.address)?;
        cx.field("address", |cx| listen_address(address, proto, (options, probes), kind, cx))
    });
    Some([first?].into_iter().chain(more).collect())
}

fn listen_address(
    proto: &core::Address,
    listener: &proto::Listener,
    (raw, probes): (&[(RawOption, SocketIpVersion)], Option<TcpKeepalive>),
    kind: Kind,
    cx: &mut Cx<'_>,
) -> Option<ListenAddress> {
    let (address, mode, dual) = match kind {
        Kind::Stream => address_and_more(proto, cx)?,
        Kind::Datagram => udp_address(proto, cx)?,
    };
    if dual && !matches!(&address, Address::Inet(address) if is_dual(address.ip())) {
        cx.field("socket_address", |cx| {
            cx.error_at("ipv4_compat", "needs the address `::`, or an IPv4 address mapped to IPv6");
        });
    }
    if listener.enable_mptcp && matches!(address, Address::Unix(_)) {
        cx.error("`enable_mptcp` needs IP addresses");
    }
    let options = ListenOptions {
        reuse_port: listener.enable_reuse_port.unwrap_or(true),
        backlog: listener.tcp_backlog_size,
        nodelay: true,
        mode,
        dual,
        transparent: listener.transparent,
        freebind: listener.freebind,
        fast_open: listener.tcp_fast_open_queue_length,
        keepalive: probes.map(keepalive),
        multipath: listener.enable_mptcp,
        raw: raw
            .iter()
            .filter(|(_, version)| match (version, &address) {
                (SocketIpVersion::Unspecified, _) => true,
                (SocketIpVersion::Ipv4, Address::Inet(address)) => address.is_ipv4(),
                (SocketIpVersion::Ipv6, Address::Inet(address)) => address.is_ipv6(),
                (_, Address::Unix(_)) => false,
            })
            .map(|(option, _)| option.clone())
            .collect(),
    };
    Some(ListenAddress { address, options })
}

/// An address for datagrams.
fn udp_address(proto: &core::Address, cx: &mut Cx<'_>) -> Option<(Address, Option<u32>, bool)> {
    let mut proto = proto.clone();
    match &mut proto.address {
        Some(core::address::Address::SocketAddress(socket)) if socket.protocol() == Protocol::Udp => {
            socket.set_protocol(Protocol::Tcp);
        }
        None => {}
        Some(_) => cx.error("all addresses of a listener must be of one kind: the first one is UDP"),
    }
    address_and_more(&proto, cx)
}

/// Whether a socket bound to this address may take connections by IPv4.
fn is_dual(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unspecified() || address.to_ipv4_mapped().is_some())
}

/// The options for sockets of this kind, each with the version of IP that it is for.
fn socket_options(protos: &[SocketOption], of: Kind, cx: &mut Cx<'_>) -> Vec<(RawOption, SocketIpVersion)> {
    cx.each("socket_options", protos, |cx, proto| {
        let option = socket_option(proto, cx)?;
        let wanted = proto.r#type.is_none_or(|kind| match of {
            Kind::Stream => kind.stream.is_some() || kind.datagram.is_none(),
            Kind::Datagram => kind.datagram.is_some() || kind.stream.is_none(),
        });
        wanted.then(|| (option, proto.ip_version()))
    })
}

fn socket_option(proto: &SocketOption, cx: &mut Cx<'_>) -> Option<RawOption> {
    let mut number = |field: &str, number: i64| {
        let small = i32::try_from(number).ok();
        if small.is_none() {
            cx.error_at(field, format!("{number} is out of range for setsockopt(2)"));
        }
        small
    };
    let (level, name) = (number("level", proto.level), number("name", proto.name));
    let value = match &proto.value {
        None => {
            cx.one_of(&["int_value", "buf_value"]);
            None
        }
        Some(Value::IntValue(value)) => {
            number("int_value", *value).map(|value| value.to_ne_bytes().as_slice().into())
        }
        Some(Value::BufValue(bytes)) => Some(bytes.as_slice().into()),
    };
    let moment = match proto.state() {
        SocketState::StatePrebind => Moment::BeforeBind,
        SocketState::StateBound => Moment::AfterBind,
        SocketState::StateListening => Moment::AfterListen,
    };
    Some(RawOption { level: level?, name: name?, value: value?, moment })
}

fn listener_filters(proto: &proto::Listener, cx: &mut Cx<'_>) -> Vec<ListenerFilter> {
    let transparent = proto.transparent.unwrap_or(false);
    let mut filters =
        cx.each("listener_filters", &proto.listener_filters, |cx, proto| filter(proto, transparent, cx));
    if proto.use_original_dst.unwrap_or(false) {
        filters.push(original_dst(transparent));
    }
    // As in Envoy the first chain speaks for all of them.
    let first = proto.filter_chains.first().or(proto.default_filter_chain.as_ref());
    let wants = |chain: &proto::FilterChain| chain.use_proxy_proto == Some(true);
    if first.is_some_and(wants) {
        log::warn!(
            "use_proxy_proto is deprecated: use the listener filter envoy.filters.listener.proxy_protocol"
        );
        filters.push(proxy_protocol(cx));
    } else if let Some(at) = proto.filter_chains.iter().position(wants) {
        cx.field(&format!("filter_chains[{at}]"), |cx| {
            cx.error_at("use_proxy_proto", "it is the first filter chain that says so for all");
        });
    }
    filters
}

/// All chains, the default one last, and how one of them is chosen.
fn filter_chains(proto: &proto::Listener, cx: &mut Cx<'_>) -> (Vec<FilterChain>, Option<Matcher>) {
    if proto.filter_chains.is_empty() && proto.default_filter_chain.is_none() {
        cx.missing(
            &["filter_chains", "default_filter_chain"],
            "one of `filter_chains`, `default_filter_chain` is required",
        );
    }
    let (mut criteria, mut place) = (Vec::new(), 0);
    let mut chains = cx.each("filter_chains", &proto.filter_chains, |cx, chain| {
        let wanted = match &chain.filter_chain_match {
            None => (!cx.is_broken(&["filter_chain_match"])).then(Criteria::default),
            Some(wanted) => cx.field("filter_chain_match", |cx| self::criteria(wanted, cx)),
        };
        criteria.extend(wanted.map(|wanted| (place, wanted)));
        place += 1;
        filter_chain(chain, cx)
    });
    let default = proto.default_filter_chain.as_ref().and_then(|chain| {
        cx.field("default_filter_chain", |cx| {
            if chain.filter_chain_match.is_some() {
                cx.error_at(
                    "filter_chain_match",
                    "the default filter chain is for all that others are not for",
                );
            }
            filter_chain(chain, cx)
        })
    });
    // A chain that is wrong has been complained about: places do not matter then.
    let place = default.is_some().then_some(chains.len() as u32);
    chains.extend(default);
    let matcher = Matcher::new(&criteria, place);
    if let Err(Overlap { first, second }) = matcher {
        cx.field(&format!("filter_chains[{second}]"), |cx| {
            cx.error_at(
                "filter_chain_match",
                format!(
                    "filter chain {first} has an equal claim to some of the connections that this one is for"
                ),
            );
        });
    }
    warn(proto, &criteria, cx);
    (chains, matcher.ok())
}

/// As in Envoy, a chain that asks for what nothing finds out is accepted and never chosen.
fn warn(proto: &proto::Listener, criteria: &[(u32, Criteria)], cx: &Cx<'_>) {
    if proto.listener_filters.is_empty() && cx.is_clean() {
        for (place, _) in criteria.iter().filter(|(_, criteria)| criteria.needs_inspection()) {
            log::warn!(
                "listener '{}': filter chain {place} asks for a server name, transport protocol or application \
                 protocol, but there is no listener filter (such as tls_inspector) that finds them out",
                proto.name
            );
        }
    }
}

/// The fields of a match.
const MATCH: [&str; 9] = [
    "destination_port",
    "prefix_ranges",
    "server_names",
    "transport_protocol",
    "application_protocols",
    "direct_source_prefix_ranges",
    "source_type",
    "source_prefix_ranges",
    "source_ports",
];

/// What a chain asks for; `None` if a part of it is wrong, so that it is not known.
fn criteria(proto: &proto::FilterChainMatch, cx: &mut Cx<'_>) -> Option<Criteria> {
    let mut whole = !cx.is_broken(&MATCH);
    let criteria = Criteria {
        destination_port: proto
            .destination_port
            .and_then(|number| whole_or(&mut whole, cx.field("destination_port", |cx| port(number, cx)))),
        destinations: all(&mut whole, "prefix_ranges", &proto.prefix_ranges, cx, Cidr::compile),
        server_names: all(&mut whole, "server_names", &proto.server_names, cx, server_name),
        transport_protocol: Some(proto.transport_protocol.clone()).filter(|name| !name.is_empty()),
        application_protocols: proto.application_protocols.clone(),
        direct_sources: all(
            &mut whole,
            "direct_source_prefix_ranges",
            &proto.direct_source_prefix_ranges,
            cx,
            Cidr::compile,
        ),
        source_type: match proto.source_type() {
            ConnectionSourceType::Any => SourceType::Any,
            ConnectionSourceType::SameIpOrLoopback => SourceType::Local,
            ConnectionSourceType::External => SourceType::External,
        },
        sources: all(&mut whole, "source_prefix_ranges", &proto.source_prefix_ranges, cx, Cidr::compile),
        source_ports: all(&mut whole, "source_ports", &proto.source_ports, cx, |number, cx| {
            port(*number, cx)
        }),
    };
    whole.then_some(criteria)
}

/// Compiles each of a list; `whole` is false from then on if one is wrong.
fn all<T, R>(
    whole: &mut bool,
    field: &str,
    items: &[T],
    cx: &mut Cx<'_>,
    compile: impl Fn(&T, &mut Cx<'_>) -> Option<R>,
) -> Vec<R> {
    cx.each(field, items, |cx, item| whole_or(whole, compile(item, cx)))
}

fn whole_or<T>(whole: &mut bool, part: Option<T>) -> Option<T> {
    *whole &= part.is_some();
    part
}

fn port(number: u32, cx: &mut Cx<'_>) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        cx.error(format!("{number} is not a port: 1 to 65535"));
    }
    port
}

fn server_name(name: &String, cx: &mut Cx<'_>) -> Option<String> {
    if name.strip_prefix("*.").unwrap_or(name).contains('*') || name.is_empty() {
        cx.error(format!(
            "`{name}` is not a server name; a star stands for whole labels in front: *.example.com"
        ));
        return None;
    }
    // As in Envoy, a name that begins with its dot stands for all names below it too.
    let star = if name.starts_with('.') { "*" } else { "" };
    Some(format!("{star}{}", name.to_ascii_lowercase()))
}

fn filter_chain(chain: &proto::FilterChain, cx: &mut Cx<'_>) -> Option<FilterChain> {
    if chain.filters.is_empty() {
        cx.missing(&["filters"], "`filters` is required: at least the one that ends the chain");
    }
    let known = [vec![HttpConnectionManager::full_name()], network::compile::names()].concat();
    let (mut filters, mut terminal) = (Vec::new(), None);
    let mut left = chain.filters.len();
    cx.each("filters", &chain.filters, |cx, filter| {
        left -= 1;
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
            cx.missing(&["typed_config"], "`typed_config` is required");
            return None;
        };
        cx.field("typed_config", |cx| {
            if !known.iter().any(|name| any.type_url.rsplit('/').next() == Some(name)) {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                return cx.wrong_extension(any, "network filter", &known);
            }
            let is_http = is::<HttpConnectionManager>(any);
            match (is_http || network::compile::is_terminal(any), left) {
                (true, 1..) => cx.error("this filter ends the chain: it must be the last one"),
                (false, 0) => cx.error(
                    "the last filter must end the chain, as `http_connection_manager`, `tcp_proxy`, `echo` or \
                     `direct_response` do",
                ),
                _ => {}
            }
            if is_http {
                let hcm = cx.unpack::<HttpConnectionManager>(any);
                let hcm = hcm.and_then(|hcm| http::compile::hcm(&hcm, cx));
                terminal = hcm.map(|hcm| NetworkTerminal::Http(Arc::new(hcm)));
                return;
            }
            match network::compile::filter(any, cx) {
                Some(Compiled::Filter(filter)) => filters.push(filter),
                Some(Compiled::Terminal(last)) => terminal = Some(NetworkTerminal::Network(last)),
                None => {}
            }
        });
        Some(())
    });
    let transport = match &chain.transport_socket {
        None => Some(TransportSocket::Raw),
        Some(socket) => cx.field("transport_socket", |cx| transport(socket, cx)),
    };
    let limit = chain.transport_socket_connect_timeout.as_ref();
    let handshake_timeout = cx.limit("transport_socket_connect_timeout", limit, None);
    Some(FilterChain {
        name: chain.name.clone(),
        filters: filters.into(),
        terminal: terminal?,
        transport: transport?,
        handshake_timeout,
    })
}

/// `FilterChain.transport_socket`.
fn transport(proto: &core::TransportSocket, cx: &mut Cx<'_>) -> Option<TransportSocket> {
    let Some(core::transport_socket::ConfigType::TypedConfig(any)) = &proto.config_type else {
        cx.missing(&["typed_config"], "`typed_config` is required");
        return None;
    };
    cx.field("typed_config", |cx| {
        if is::<RawBuffer>(any) {
            return Some(TransportSocket::Raw);
        }
        if !is::<DownstreamTlsContext>(any) {
            let allowed = [&*DownstreamTlsContext::full_name(), &*RawBuffer::full_name()];
            cx.wrong_extension(any, "transport socket of a listener", &allowed);
            return None;
        }
        let scope = cx.listener_scope.clone();
        let context = tls::compile::server(&cx.unpack::<DownstreamTlsContext>(any)?, &scope, cx)?;
        Some(TransportSocket::Tls(Arc::new(context)))
    })
}
