//! The validated form of network filters.

use super::limit::ConnectionLimit;
use super::rate_limit::LocalRateLimit;
use super::rbac::RbacConfig;
use super::set_filter_state::Assignment;
use super::tcp_proxy::config::TcpProxyConfig;
use std::sync::Arc;

/// A network filter that does not end its chain.
#[derive(Clone, Debug)]
pub enum Filter {
    /// `envoy.filters.network.rbac`.
    Rbac(Arc<RbacConfig>),
    /// `envoy.filters.network.connection_limit`.
    ConnectionLimit(Arc<ConnectionLimit>),
    /// `envoy.filters.network.local_ratelimit`.
    LocalRateLimit(Arc<LocalRateLimit>),
    /// `envoy.filters.network.sni_cluster`.
    SniCluster,
    /// `envoy.filters.network.set_filter_state`.
    SetFilterState(Arc<[Assignment]>),
}

/// A network filter that ends its chain, other than the HTTP connection manager.
#[derive(Clone, Debug)]
pub enum Terminal {
    /// `envoy.filters.network.tcp_proxy`.
    TcpProxy(Arc<TcpProxyConfig>),
    /// `envoy.filters.network.echo`.
    Echo,
    /// `envoy.filters.network.direct_response`: what is sent.
    DirectResponse(Arc<[u8]>),
}
