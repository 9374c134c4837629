//! Network filters from the configuration: the table of their types.

use super::config::{Filter, Terminal};
use super::limit::ConnectionLimit;
use super::rate_limit::LocalRateLimit;
use super::rbac::RbacConfig;
use super::set_filter_state::Assignment;
use super::tcp_proxy;
use crate::api::envoy::config::core::v3::RuntimeFeatureFlag;
use crate::api::envoy::extensions::filters::network as proto;
use crate::config::{Cx, data, is};
use prost::Name;
use prost_types::Any;
use proto::direct_response::v3::Config as DirectResponse;
use proto::echo::v3::Echo;
use proto::set_filter_state::v3::Config as SetFilterState;
use proto::sni_cluster::v3::SniCluster;
use proto::tcp_proxy::v3::TcpProxy;
use std::sync::Arc;

/// A network filter other than the HTTP connection manager.
#[derive(Clone, Debug)]
pub enum Compiled {
    /// It does not end its chain.
    Filter(Filter),
    /// It does.
    Terminal(Terminal),
}

/// The types of the filters that [`filter`] knows.
pub fn names() -> Vec<String> {
    vec![
        TcpProxy::full_name(),
        Echo::full_name(),
        DirectResponse::full_name(),
        proto::rbac::v3::Rbac::full_name(),
        proto::connection_limit::v3::ConnectionLimit::full_name(),
        proto::local_ratelimit::v3::LocalRateLimit::full_name(),
        SniCluster::full_name(),
        SetFilterState::full_name(),
    ]
}

/// Whether a filter ends its chain.
pub fn is_terminal(any: &Any) -> bool {
    is::<TcpProxy>(any) || is::<Echo>(any) || is::<DirectResponse>(any)
}

/// Compiles a filter; one whose type is not in [`names`] is none.
pub fn filter(any: &Any, cx: &mut Cx<'_>) -> Option<Compiled> {
    if is::<TcpProxy>(any) {
        let config = tcp_proxy::compile::tcp_proxy(&cx.unpack(any)?, cx)?;
        return Some(Compiled::Terminal(Terminal::TcpProxy(Arc::new(config))));
    }
    if is::<Echo>(any) {
        return Some(Compiled::Terminal(Terminal::Echo));
    }
    if is::<DirectResponse>(any) {
        let config = cx.unpack::<DirectResponse>(any)?;
        let response = match &config.response {
            None => Vec::new(),
            Some(source) => cx.field("response", |cx| data(source, cx))?,
        };
        return Some(Compiled::Terminal(Terminal::DirectResponse(response.into())));
    }
    Some(Compiled::Filter(if is::<proto::rbac::v3::Rbac>(any) {
        Filter::Rbac(Arc::new(RbacConfig::compile(&cx.unpack(any)?, cx)))
    } else if is::<proto::connection_limit::v3::ConnectionLimit>(any) {
        Filter::ConnectionLimit(Arc::new(ConnectionLimit::compile(&cx.unpack(any)?, cx)))
    } else if is::<proto::local_ratelimit::v3::LocalRateLimit>(any) {
        Filter::LocalRateLimit(Arc::new(LocalRateLimit::compile(&cx.unpack(any)?, cx)?))
    } else if is::<SniCluster>(any) {
        Filter::SniCluster
    } else if is::<SetFilterState>(any) {
        let config = cx.unpack::<SetFilterState>(any)?;
        if config.on_new_connection.is_empty() {
            cx.missing(&["on_new_connection"], "`on_new_connection` is required: at least one object");
        }
        let assignments =
            cx.each("on_new_connection", &config.on_new_connection, |cx, one| Assignment::compile(one, cx));
        Filter::SetFilterState(assignments.into())
    } else {
        return None;
    }))
}

/// A switch that is on by default.
pub(super) fn enabled(flag: Option<&RuntimeFeatureFlag>, cx: &mut Cx<'_>) -> bool {
    let Some(flag) = flag else { return true };
    cx.field("runtime_enabled", |cx| {
        let default = cx.required("default_value", &flag.default_value).copied().unwrap_or(true);
        // Without a key there is nothing to look up.
        cx.runtime.boolean(&flag.runtime_key).unwrap_or(default)
    })
}
