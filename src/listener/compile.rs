//! `envoy.config.listener.v3.Listener` to [`ListenerConfig`].

use super::config::{FilterChain, ListenerConfig, NetworkTerminal};
use crate::api::envoy::config::listener::v3 as proto;
use crate::api::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use crate::config::{Cx, is};
use crate::http;
use crate::network::{self, compile::Compiled};
use crate::stats::{ListenerHttpStats, ListenerStats};
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
    let scope = match (&address, &*proto.stat_prefix) {
        (Some((address, _)), "") => address.to_string(),
        (_, prefix) => prefix.to_owned(),
    };
    let prefix = format!("listener.{}.", scope.replace(':', "_"));
    let chains = cx.each("filter_chains", &proto.filter_chains, |cx, chain| filter_chain(chain, &prefix, cx));
    let (address, mode) = address?;
    let name = if proto.name.is_empty() { address.to_string() } else { proto.name.clone() };
    let filter_chain = chains.into_iter().next()?;
    Some(ListenerConfig {
        name,
        address,
        mode,
        reuse_port: proto.enable_reuse_port.unwrap_or(true),
        backlog: proto.tcp_backlog_size,
        buffer_limit: proto.per_connection_buffer_limit_bytes.unwrap_or(BUFFER_LIMIT),
        stats: ListenerStats::register(cx.registry, &prefix),
        filter_chain,
    })
}

fn filter_chain(chain: &proto::FilterChain, prefix: &str, cx: &mut Cx<'_>) -> Option<FilterChain> {
    if chain.filters.is_empty() {
        cx.missing(&["filters"], "`filters` is required: at least the one that ends the chain");
    }
    let (mut filters, mut terminal) = (Vec::new(), None);
    let mut left = chain.filters.len();
    cx.each("filters", &chain.filters, |cx, filter| {
        left -= 1;
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
            cx.missing(&["typed_config"], "`typed_config` is required");
            return None;
        };
        let is_http = is::<HttpConnectionManager>(any);
        cx.field("typed_config", |cx| {
            if !is_http && !network::compile::names().iter().any(|name| any.type_url.ends_with(&format!("/{name}"))) {
                let mut allowed = vec![HttpConnectionManager::full_name()];
                allowed.extend(network::compile::names());
                let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
                cx.wrong_extension(any, "network filter", &allowed);
                return;
            }
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
                if let Some(hcm) = hcm.and_then(|hcm| http::compile::hcm(&hcm, cx)) {
                    let prefix = format!("{prefix}http.{}.", hcm.stat_prefix.replace(':', "_"));
                    let answers = ListenerHttpStats::register(cx.registry, &prefix);
                    terminal = Some(NetworkTerminal::Http(Arc::new(hcm), answers));
                }
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
