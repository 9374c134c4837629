//! The validated form of a listener.

pub use super::filters::ListenerFilter;
use super::matcher::Matcher;
use crate::access_log::config::AccessLogConfig;
use crate::http::config::HcmConfig;
use crate::io::Scope;
use crate::network::config::{Filter, Terminal};
use crate::stats::ListenerStats;
use crate::tls::config::ServerContext;
use nuncio_reactor::{Address, ListenOptions};
use std::sync::Arc;
use std::time::Duration;

/// `envoy.config.listener.v3.Listener`.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Unique; the address when the configuration gives none.
    pub name: String,
    /// Where it listens: its own address, then the additional ones.
    pub addresses: Vec<ListenAddress>,
    /// It has sockets (`bind_to_port`); one without only gets what others hand over.
    pub bound: bool,
    /// Connections for the address of another listener are handed to it (`use_original_dst`).
    pub hands_over: bool,
    /// Most connections accepted before others have their turn.
    pub accept_batch: usize,
    /// Soft limit of the read and write buffers of one connection, in bytes. Default 1 MiB.
    pub buffer_limit: u32,
    /// What looks at a connection before its filter chain is chosen, in order.
    pub listener_filters: Vec<ListenerFilter>,
    /// How long they may take. Default 15 s; `None` is for ever.
    pub filters_timeout: Option<Duration>,
    /// A connection for which they take too long goes on, in place of being closed.
    pub continue_on_timeout: bool,
    /// What may be done with a connection; `default_filter_chain` is the last, if there is one.
    pub filter_chains: Vec<FilterChain>,
    /// Which of the chains a connection gets.
    pub matcher: Matcher,
    /// Most connections at a time, of all workers.
    pub connection_limit: Option<u32>,
    /// Its connections do not count for the limit of the process.
    pub ignores_global_limit: bool,
    /// Each connection goes to the worker that has fewest of this listener's (`exact_balance`).
    pub balanced: bool,
    /// Whose traffic it is.
    pub direction: Direction,
    /// Its connections are sent away when health checks are made to fail (`drain_type: DEFAULT`).
    pub drains_when_sick: bool,
    /// Written when a connection ends, or gets no filter chain.
    pub access_log: Vec<AccessLogConfig>,
    /// Where it counts.
    pub stats: ListenerStats,
}

/// One address of a listener, and how its sockets are made.
#[derive(Clone, Debug)]
pub struct ListenAddress {
    /// Port 0 lets the kernel choose (then every worker shares the chosen port).
    pub address: Address,
    /// How its sockets are made; with `reuse_port` each worker has one, else all share one.
    pub options: ListenOptions,
}

/// `envoy.config.core.v3.TrafficDirection`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Not said.
    #[default]
    Unspecified,
    /// To the workload that this proxy stands in front of.
    Inbound,
    /// From it.
    Outbound,
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
    /// `transport_socket`.
    pub transport: TransportSocket,
    /// `transport_socket_connect_timeout`: how long a TLS handshake may take. Default: unlimited.
    pub handshake_timeout: Option<Duration>,
}

/// What carries the bytes of a filter chain's connections.
#[derive(Clone, Debug)]
pub enum TransportSocket {
    /// `envoy.transport_sockets.raw_buffer`, and the default.
    Raw,
    /// `envoy.transport_sockets.tls`.
    Tls(Arc<ServerContext>),
}

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

impl FilterChain {
    /// A chain without a name or TLS.
    pub fn plain(terminal: NetworkTerminal) -> Self {
        Self {
            name: String::new(),
            filters: Arc::default(),
            terminal,
            transport: TransportSocket::Raw,
            handshake_timeout: None,
        }
    }

    /// Whether its connections have TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self.transport, TransportSocket::Tls(_))
    }
}

impl ListenerConfig {
    /// The TLS of its filter chains.
    pub fn tls(&self) -> impl Iterator<Item = &Arc<ServerContext>> {
        self.filter_chains.iter().filter_map(|chain| match &chain.transport {
            TransportSocket::Raw => None,
            TransportSocket::Tls(context) => Some(context),
        })
    }

    /// Whether it is one of these.
    pub fn is_in(&self, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Inbound => self.direction == Direction::Inbound,
            Scope::Healthy => self.drains_when_sick,
        }
    }

    /// A listener at one address that does nothing but accept connections for one filter chain.
    pub fn plain(name: &str, address: Address, chain: FilterChain, stats: ListenerStats) -> Self {
        let options = ListenOptions { nodelay: true, ..ListenOptions::default() };
        Self {
            name: name.to_owned(),
            addresses: vec![ListenAddress { address, options }],
            bound: true,
            hands_over: false,
            accept_batch: Self::ACCEPT_BATCH,
            buffer_limit: crate::upstream::compile::BUFFER_LIMIT,
            listener_filters: Vec::new(),
            filters_timeout: None,
            continue_on_timeout: false,
            filter_chains: vec![chain],
            matcher: Matcher::only(),
            connection_limit: None,
            ignores_global_limit: false,
            balanced: false,
            direction: Direction::Unspecified,
            drains_when_sick: false,
            access_log: Vec::new(),
            stats,
        }
    }

    /// Most connections accepted from one socket before others have their turn.
    pub const ACCEPT_BATCH: usize = 64;
}
