//! `envoy.config.listener.v3.Listener` to [`ListenerConfig`].

use super::config::{FilterChain, ListenerConfig, NetworkTerminal, TransportSocket};
use crate::api::envoy::config::core::v3 as core;
use crate::api::envoy::config::listener::v3 as proto;
use crate::api::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use crate::api::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use crate::api::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use crate::config::{Cx, is};
use crate::http;
use crate::stats::ListenerStats;
use crate::tls;
use crate::upstream::compile::{BUFFER_LIMIT, address};
use prost::Name;
use proto::filter::ConfigType;
use std::sync::Arc;

/// Compiles a listener.
pub fn listener(proto: &proto::Listener, cx: &mut Cx<'_>) -> Option<ListenerConfig> {
    let address = match cx.required("address", &proto.address) {
        Some(address) => cx.field("address", |cx| self::address(address, cx)),
        None => None,
    };
    if proto.filter_chains.len() != 1 {
        let count = proto.filter_chains.len();
        cx.error_at("filter_chains", format!("exactly one filter chain is supported, found {count}"));
    }
    let at = address.as_ref().map(|(address, _)| address.to_string()).unwrap_or_default();
    let scope = if proto.stat_prefix.is_empty() { &at } else { &proto.stat_prefix };
    let prefix = format!("listener.{}.", scope.replace(':', "_"));
    let chains = cx.each("filter_chains", &proto.filter_chains, |cx, chain| filter_chain(chain, &prefix, cx));
    let (address, mode) = address?;
    let name = if proto.name.is_empty() { at } else { proto.name.clone() };
    let filter_chain = chains.into_iter().next()?;
    let NetworkTerminal::Http(hcm) = &filter_chain.terminal;
    let http = hcm.stat_prefix.replace(':', "_");
    Some(ListenerConfig {
        name,
        address,
        mode,
        reuse_port: proto.enable_reuse_port.unwrap_or(true),
        backlog: proto.tcp_backlog_size,
        buffer_limit: proto.per_connection_buffer_limit_bytes.unwrap_or(BUFFER_LIMIT),
        stats: ListenerStats::register(cx.registry, &prefix, &http),
        filter_chain,
    })
}

fn filter_chain(chain: &proto::FilterChain, scope: &str, cx: &mut Cx<'_>) -> Option<FilterChain> {
    if chain.filters.len() != 1 {
        cx.error_at(
            "filters",
            format!("exactly one network filter, {}, is supported", HttpConnectionManager::full_name()),
        );
    }
    let terminals = cx.each("filters", &chain.filters, |cx, filter| {
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
            cx.missing(&["typed_config"], "`typed_config` is required");
            return None;
        };
        cx.field("typed_config", |cx| {
            if !is::<HttpConnectionManager>(any) {
                cx.wrong_extension(any, "network filter", &[&HttpConnectionManager::full_name()]);
                return None;
            }
            let hcm = cx.unpack::<HttpConnectionManager>(any)?;
            http::compile::hcm(&hcm, cx).map(|hcm| NetworkTerminal::Http(Arc::new(hcm)))
        })
    });
    let transport = match &chain.transport_socket {
        None => Some(TransportSocket::Raw),
        Some(socket) => cx.field("transport_socket", |cx| transport(socket, scope, cx)),
    };
    let limit = chain.transport_socket_connect_timeout.as_ref();
    let handshake_timeout = cx.limit("transport_socket_connect_timeout", limit, None);
    Some(FilterChain {
        name: chain.name.clone(),
        terminal: terminals.into_iter().next()?,
        transport: transport?,
        handshake_timeout,
    })
}

/// `FilterChain.transport_socket`.
fn transport(proto: &core::TransportSocket, scope: &str, cx: &mut Cx<'_>) -> Option<TransportSocket> {
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
        let context = tls::compile::server(&cx.unpack::<DownstreamTlsContext>(any)?, scope, cx)?;
        Some(TransportSocket::Tls(Arc::new(context)))
    })
}
