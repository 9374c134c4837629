//! The validated form of an HTTP connection manager.

pub use super::client_cert::{ClientCert, ClientCertDetail, ClientCertMode};
pub use super::reply_rules::ReplyRules;
use crate::access_log::config::AccessLogConfig;
pub use crate::network::Cidr;
use crate::router::config::{RouteConfig, StringMatch};
use crate::stats::{Http1Stats, Http2Stats, HttpStats, ListenerHttpStats};
use crate::upstream::http2::Http2Config;
use nuncio_codec::h1;
use std::net::{IpAddr, Ipv4Addr};
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
    /// The same of HTTP/2 (`http2_protocol_options` and the limits on heads).
    pub http2: Http2Config,
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
    /// A request must be complete after this, and its response too. Default: unlimited.
    pub max_stream_duration: Option<Duration>,
    /// A connection is drained after this. Default: unlimited.
    pub max_connection_duration: Option<Duration>,
    /// Up to which part of it is added at random.
    pub max_connection_duration_jitter: f64,
    /// How long a connection that is drained for its age is left open without a request. Default 5 s.
    pub drain_timeout: Duration,
    /// The last response on a connection. Default: unlimited.
    pub max_requests_per_connection: Option<u32>,
    /// `server_name`.
    pub server_name: Box<[u8]>,
    /// `server_header_transformation`.
    pub server_header: ServerHeader,
    /// `scheme_header_transformation.scheme_to_overwrite`.
    pub scheme: Option<&'static [u8]>,
    /// Who the client is, and what is told of it.
    pub forwarding: Forwarding,
    /// What is told of the client's certificate.
    pub client_cert: ClientCert,
    /// `via`.
    pub via: Option<Box<[u8]>>,
    /// What is done about `x-request-id`.
    pub request_id: RequestId,
    /// `add_user_agent`.
    pub user_agent: Option<UserAgent>,
    /// How paths are made comparable.
    pub path: PathRules,
    /// What is done with the port of the host.
    pub strip_port: HostPort,
    /// `strip_trailing_host_dot`.
    pub strip_trailing_dot: bool,
    /// `common_http_protocol_options.headers_with_underscores_action`.
    pub underscores: Underscores,
    /// `http_protocol_options.default_host_for_http_10`.
    pub default_host: Option<Box<[u8]>>,
    /// `proxy_100_continue`.
    pub proxy_100_continue: bool,
    /// `upgrade_configs`: lower-case protocol, and whether it is allowed.
    pub upgrades: Vec<(Box<[u8]>, bool)>,
    /// `http_protocol_options.ignore_http_11_upgrade`.
    pub ignored_upgrades: Vec<StringMatch>,
    /// An invalid message ends its stream only, where its end is known (`stream_error_on_invalid_http_message` or its
    /// override for HTTP/1).
    pub keep_after_error: bool,
    /// `local_reply_config`.
    pub replies: Option<ReplyRules>,
    /// Written when a request ends.
    pub access_log: Vec<AccessLogConfig>,
    /// Where it counts.
    pub stats: HttpStats,
    /// `http1.`, which all connection managers share.
    pub codec_stats: Http1Stats,
    /// `http2.`, the same.
    pub http2_stats: Http2Stats,
    /// Where its answers count at the listener.
    pub listener_stats: ListenerHttpStats,
}

/// Where a connection manager counts: for itself, for each codec, and at its listener.
pub type HcmStats = (HttpStats, Http1Stats, Http2Stats, ListenerHttpStats);

impl HcmConfig {
    /// A connection manager in which all that can be left out is left out.
    pub fn new(
        stat_prefix: &str,
        (stats, codec_stats, http2_stats, listener_stats): HcmStats,
        routes: Arc<RouteConfig>,
        terminal: Terminal,
    ) -> Self {
        Self {
            stat_prefix: stat_prefix.to_owned(),
            codec: CodecType::Auto,
            http1: h1::ServerSettings::default(),
            http2: Http2Config::default(),
            routes,
            terminal,
            request_timeout: None,
            request_headers_timeout: None,
            stream_idle_timeout: Some(Duration::from_secs(300)),
            idle_timeout: Some(Duration::from_secs(3600)),
            delayed_close_timeout: Some(Duration::from_secs(1)),
            max_stream_duration: None,
            max_connection_duration: None,
            max_connection_duration_jitter: 0.0,
            drain_timeout: Duration::from_secs(5),
            max_requests_per_connection: None,
            server_name: b"envoy"[..].into(),
            server_header: ServerHeader::default(),
            scheme: None,
            forwarding: Forwarding::default(),
            client_cert: ClientCert::default(),
            via: None,
            request_id: RequestId::default(),
            user_agent: None,
            path: PathRules::default(),
            strip_port: HostPort::default(),
            strip_trailing_dot: false,
            underscores: Underscores::default(),
            default_host: None,
            proxy_100_continue: false,
            upgrades: Vec::new(),
            ignored_upgrades: Vec::new(),
            keep_after_error: false,
            replies: None,
            access_log: Vec::new(),
            stats,
            codec_stats,
            http2_stats,
            listener_stats,
        }
    }

    /// `Router.suppress_envoy_headers`.
    pub fn suppresses_envoy_headers(&self) -> bool {
        matches!(&self.terminal, Terminal::Router(router) if router.suppress_envoy_headers)
    }

    /// Whether an upgrade is allowed where the route does not say so; the protocol in lower case.
    pub fn allows_upgrade(&self, protocol: &[u8]) -> bool {
        self.upgrades.iter().any(|(name, enabled)| **name == *protocol && *enabled)
    }
}

/// `HttpConnectionManager.ServerHeaderTransformation`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerHeader {
    /// Ours instead of the upstream's.
    #[default]
    Overwrite,
    /// Ours if the upstream has none.
    AppendIfAbsent,
    /// The upstream's, if any.
    PassThrough,
}

/// What a request tells of its client, and what is told of it.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// `use_remote_address`.
    pub use_remote_address: bool,
    /// `xff_num_trusted_hops`.
    pub trusted_hops: u32,
    /// `skip_xff_append`.
    pub skip_append: bool,
    /// `append_x_forwarded_port`.
    pub append_port: bool,
    /// `represent_ipv4_remote_address_as_ipv4_mapped_ipv6`.
    pub ipv4_as_mapped_ipv6: bool,
    /// `internal_address_config.unix_sockets`.
    pub internal_unix: bool,
    /// `internal_address_config.cidr_ranges`.
    pub internal: Vec<Cidr>,
    /// What is written for clients on this machine.
    pub own_address: IpAddr,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            use_remote_address: false,
            trusted_hops: 0,
            skip_append: false,
            append_port: false,
            ipv4_as_mapped_ipv6: false,
            internal_unix: false,
            internal: Vec::new(),
            own_address: Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// What is done about `x-request-id`.
#[derive(Copy, Clone, Debug)]
pub struct RequestId {
    /// `generate_request_id`. Default true.
    pub generate: bool,
    /// `preserve_external_request_id`.
    pub preserve_external: bool,
    /// `always_set_request_id_in_response`.
    pub always_in_response: bool,
}

impl Default for RequestId {
    fn default() -> Self {
        Self { generate: true, preserve_external: false, always_in_response: false }
    }
}

/// What `add_user_agent` adds.
#[derive(Clone, Debug, Default)]
pub struct UserAgent {
    /// `node.cluster`.
    pub cluster: Box<[u8]>,
    /// `node.id`.
    pub node: Box<[u8]>,
}

/// How paths are made comparable.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// `normalize_path`.
    pub normalize: bool,
    /// `merge_slashes`.
    pub merge_slashes: bool,
    /// `path_with_escaped_slashes_action`.
    pub escaped_slashes: EscapedSlashes,
}

/// `HttpConnectionManager.PathWithEscapedSlashesAction`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// Nothing.
    #[default]
    Keep,
    /// 400.
    Reject,
    /// A redirect to the path without them.
    UnescapeAndRedirect,
    /// The path goes on without them.
    Unescape,
}

/// What is done with the port of the host.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum HostPort {
    /// Nothing.
    #[default]
    Keep,
    /// `strip_matching_host_port`: the listener's own is taken out.
    StripMatching,
    /// `strip_any_host_port`.
    StripAny,
}

/// `HttpProtocolOptions.HeadersWithUnderscoresAction`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They are headers like others.
    #[default]
    Allow,
    /// The request is refused.
    Reject,
    /// They are dropped.
    Drop,
}

/// `HttpConnectionManager.codec_type`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CodecType {
    /// By what the client says first: HTTP/2 or HTTP/1.
    Auto,
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2, without asking.
    Http2,
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
