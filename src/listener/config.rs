//! The validated form of a listener.

use crate::http::config::HcmConfig;
use crate::stats::ListenerStats;
use nuncio_reactor::Address;
use crate::tls::config::ServerContext;
use std::sync::Arc;
use std::time::Duration;

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
    /// What to do with a connection.
    pub filter_chain: FilterChain,
    /// Where it counts.
    pub stats: ListenerStats,
}

/// `envoy.config.listener.v3.FilterChain`.
#[derive(Debug)]
pub struct FilterChain {
    /// `FilterChain.name`; may be empty.
    pub name: String,
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
}
