//! The validated form of an HTTP connection manager.

use crate::access_log::config::AccessLogConfig;
use crate::router::config::RouteConfig;
use crate::stats::HttpStats;
use nuncio_codec::h1;
use std::sync::Arc;
use std::time::Duration;

/// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.
///
/// In all time-outs `None` is "off".
#[derive(Debug)]
pub struct HcmConfig {
    /// Root of its statistics: `http.<stat_prefix>.`.
    pub stat_prefix: String,
    /// What is spoken.
    pub codec: CodecType,
    /// HTTP/1 limits and spelling (`http_protocol_options`, `max_request_headers_kb`,
    /// `common_http_protocol_options.max_headers_count`).
    pub http1: h1::ServerSettings,
    /// The routes.
    pub routes: Arc<RouteConfig>,
    /// The last filter.
    pub terminal: Terminal,
    /// From the start of a request to its last byte. Off by default.
    pub request_timeout: Option<Duration>,
    /// From the first byte of a request to the end of its headers. Off by default.
    pub request_headers_timeout: Option<Duration>,
    /// No progress on a stream in either direction. Default 5 min.
    pub stream_idle_timeout: Option<Duration>,
    /// No request on a connection. Default 1 h.
    pub idle_timeout: Option<Duration>,
    /// How long a connection that is being closed may go on sending. Default 1 s.
    pub delayed_close_timeout: Option<Duration>,
    /// Written when a request ends.
    pub access_log: Vec<AccessLogConfig>,
    /// Where it counts.
    pub stats: HttpStats,
}

/// `HttpConnectionManager.codec_type`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CodecType {
    /// By what the client says first.
    Auto,
    /// HTTP/1.0 and 1.1.
    Http1,
}

/// The filter that ends the chain.
#[derive(Debug)]
pub enum Terminal {
    /// `envoy.filters.http.router`.
    Router(RouterConfig),
    /// The admin interface: answered by the main thread's server, never configured by a user.
    Admin,
}

/// `envoy.extensions.filters.http.router.v3.Router`.
#[derive(Debug, Default)]
pub struct RouterConfig {
    /// No `x-envoy-*` headers are added.
    pub suppress_envoy_headers: bool,
}
