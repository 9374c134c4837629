//! `envoy.config.listener.v3.Listener` to [`ListenerConfig`].

use super::config::{FilterChain, ListenerConfig, NetworkTerminal};
use super::matcher::Matcher;
use crate::api::envoy::config::listener::v3 as proto;
use crate::api::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use crate::config::{Cx, is};
use crate::http;
use crate::network::{self, compile::Compiled};
use crate::stats::ListenerStats;
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
    let count = proto.filter_chains.len();
    if count > 1 || count == 0 && proto.default_filter_chain.is_none() {
        cx.error_at("filter_chains", format!("exactly one filter chain is supported, found {count}"));
    }
    let shown = address.as_ref().map_or(String::new(), |(address, _)| address.to_string());
    let scope = if proto.stat_prefix.is_empty() { &shown } else { &proto.stat_prefix };
    cx.listener_scope = format!("listener.{}.", scope.replace(':', "_"));
    let mut filter_chains =
        cx.each("filter_chains", &proto.filter_chains, |cx, chain| filter_chain(chain, cx));
    if let Some(chain) = &proto.default_filter_chain {
        filter_chains.extend(cx.field("default_filter_chain", |cx| filter_chain(chain, cx)));
    }
    let (address, mode) = address?;
    if filter_chains.is_empty() {
        return None;
    }
    let name = if proto.name.is_empty() { shown } else { proto.name.clone() };
    Some(ListenerConfig {
        name,
        address,
        mode,
        reuse_port: proto.enable_reuse_port.unwrap_or(true),
        backlog: proto.tcp_backlog_size,
        buffer_limit: proto.per_connection_buffer_limit_bytes.unwrap_or(BUFFER_LIMIT),
        listener_filters: Vec::new(),
        filter_chains,
        matcher: if count == 0 { Matcher::default_only() } else { Matcher::only() },
        stats: ListenerStats::register(cx.registry, &cx.listener_scope),
    })
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
    Some(FilterChain { name: chain.name.clone(), filters: filters.into(), terminal: terminal? })
}
