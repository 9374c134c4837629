//! The validated form of a listener.

use super::matcher::Matcher;
use crate::access_log::config::AccessLogConfig;
use crate::http::config::HcmConfig;
use crate::network::config::{Filter, Terminal};
use crate::stats::ListenerStats;
use nuncio_reactor::Address;
use std::sync::Arc;

/// `envoy.config.listener.v3.Listener`.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Unique; the address when the configuration gives none.
    pub name: String,
    /// Where it is bound; port 0 lets the kernel choose (then every worker shares the chosen port).
    pub address: Address,
    /// Permission bits of a unix socket's file; `None` leaves the umask's.
    pub mode: Option<u32>,
    /// One socket per worker with SO_REUSEPORT (default), else one socket shared by all.
    pub reuse_port: bool,
    /// Length of the accept queue; `None` is the system's maximum (`net.core.somaxconn`).
    pub backlog: Option<u32>,
    /// Soft limit of the read and write buffers of one connection, in bytes. Default 1 MiB.
    pub buffer_limit: u32,
    /// What looks at a connection before its filter chain is chosen, in order.
    pub listener_filters: Vec<ListenerFilter>,
    /// What may be done with a connection; `default_filter_chain` is the last, if there is one.
    pub filter_chains: Vec<FilterChain>,
    /// Which of the chains a connection gets.
    pub matcher: Matcher,
    /// Where it counts.
    pub stats: ListenerStats,
}

/// `envoy.config.listener.v3.FilterChain`.
#[derive(Debug)]
pub struct FilterChain {
    /// `FilterChain.name`; may be empty.
    pub name: String,
    /// Those before the last one, in order.
    pub filters: Arc<[Filter]>,
    /// The network filter that ends the chain.
    pub terminal: NetworkTerminal,
}

/// `envoy.config.listener.v3.ListenerFilter`.
#[derive(Debug)]
pub enum ListenerFilter {}

/// A terminal network filter.
#[derive(Clone, Debug)]
pub enum NetworkTerminal {
    /// `envoy.filters.network.http_connection_manager`.
    Http(Arc<HcmConfig>),
    /// Another.
    Network(Terminal),
}

impl NetworkTerminal {
    /// The access logs of what it serves.
    pub fn access_log(&self) -> &[AccessLogConfig] {
        match self {
            Self::Http(http) => &http.access_log,
            Self::Network(Terminal::TcpProxy(config)) => &config.access_log,
            Self::Network(_) => &[],
        }
    }
}
