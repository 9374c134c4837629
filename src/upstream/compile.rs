//! `envoy.config.cluster.v3.Cluster` to [`ClusterConfig`].

use super::introduction::Introduction;
use super::config::{
    CircuitLimits, ClusterConfig, HostConfig, Locality, Priority, Protocol as Http,
};
use super::http2::Http2Config;
use super::lb;
use crate::api::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use crate::api::envoy::config::core::v3::{
    self as core, address,
    http_protocol_options::HeadersWithUnderscoresAction,
    http1_protocol_options::header_key_format::HeaderFormat,
    socket_address::{PortSpecifier, Protocol},
};
use crate::api::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier,
};
use crate::api::envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;
use crate::api::envoy::extensions::http::header_formatters::preserve_case::v3::preserve_case_formatter_config::FormatterTypeOnEnvoyHeaders;
use crate::api::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use crate::api::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use crate::api::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use crate::api::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use crate::api::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use crate::config::{Cx, is};
use crate::stats::{BreakerStats, CallerStats, ClusterStats, HostStats, Http2Stats};
use super::naming::Naming;
use crate::api::envoy::config::core::v3::transport_socket::ConfigType;
use crate::tls;
use crate::tls::config::{ClientContext, ClientOptions};
use nuncio_codec::h1::{self, HeaderCase};
use nuncio_codec::{HeaderKey, h2};
use nuncio_reactor::{Address, Keepalive};
use prost::{Message, Name};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Default of `per_connection_buffer_limit_bytes` of clusters and listeners.
pub(crate) const BUFFER_LIMIT: u32 = 1 << 20;

/// Compiles a cluster.
pub fn cluster(proto: &Cluster, cx: &mut Cx<'_>) -> Option<ClusterConfig> {
    let name = cx.text("name", &proto.name);
    let connect_timeout =
        cx.duration("connect_timeout", proto.connect_timeout.as_ref(), Duration::from_secs(5));
    if proto.connect_timeout.is_some() && connect_timeout.is_zero() {
        cx.error_at("connect_timeout", "a connection needs some time: the time-out must be greater than 0s");
    }
    let hosts = match &proto.load_assignment {
        Some(assignment) => cx.field("load_assignment", |cx| hosts(assignment, cx)),
        None => Vec::new(),
    };
    let breakers = proto.circuit_breakers.clone().unwrap_or_default();
    let limits = cx.field("circuit_breakers", |cx| limits(&breakers, cx));
    let protocol = protocol(proto, cx);
    let keepalive = proto.upstream_connection_options.as_ref().and_then(|options| options.tcp_keepalive);
    let name = name?;
    let scope = if proto.alt_stat_name.is_empty() { name } else { &proto.alt_stat_name };
    // As in Envoy, a colon in a name cannot stand in a statistic's name.
    let prefix = format!("cluster.{}.", scope.replace(':', "_"));
    let (policy, lb_gauges) = lb::compile::policy(proto, &hosts, &prefix, cx);
    let options = ClientOptions { match_server_name: protocol.verifies_name };
    let transport = match &proto.transport_socket {
        None => Transport::default(),
        Some(socket) => cx.field("transport_socket", |cx| transport(socket, options, &prefix, cx))?,
    };
    Some(ClusterConfig {
        name: name.to_owned(),
        observability_name: scope.to_owned(),
        connect_timeout,
        policy,
        hosts,
        buffer_limit: proto.per_connection_buffer_limit_bytes.unwrap_or(BUFFER_LIMIT),
        limits,
        protocol: protocol.protocol,
        http1: protocol.http1,
        http2: protocol.http2,
        idle_timeout: protocol.idle_timeout,
        max_connection_duration: protocol.max_connection_duration,
        max_requests_per_connection: protocol.max_requests_per_connection,
        max_stream_duration: protocol.max_stream_duration,
        keepalive: keepalive.map(self::keepalive),
        naming: protocol.naming.filter(|_| transport.tls.is_some()),
        introduction: transport.introduction,
        tls: transport.tls,
        lb_gauges,
        stats: ClusterStats::register(cx.registry, &prefix),
        callers: ["external", "internal"]
            .map(|caller| CallerStats::register(cx.registry, &format!("{prefix}{caller}."))),
        canary: CallerStats::register(cx.registry, &format!("{prefix}canary.")),
        http2_stats: Http2Stats::register(cx.registry, &format!("{prefix}http2.")),
        breaker_stats: ["default", "high"].map(|priority| {
            BreakerStats::register(cx.registry, &format!("{prefix}circuit_breakers.{priority}."))
        }),
    })
}

/// What carries the bytes of a cluster's connections.
#[derive(Default)]
struct Transport {
    introduction: Option<Introduction>,
    tls: Option<Arc<ClientContext>>,
}

/// `Cluster.transport_socket`.
fn transport(
    proto: &core::TransportSocket,
    options: ClientOptions,
    scope: &str,
    cx: &mut Cx<'_>,
) -> Option<Transport> {
    let Some(ConfigType::TypedConfig(any)) = &proto.config_type else {
        cx.missing(&["typed_config"], "`typed_config` is required");
        return None;
    };
    cx.field("typed_config", |cx| {
        if is::<RawBuffer>(any) {
            return Some(Transport::default());
        }
        if is::<UpstreamTlsContext>(any) {
            let context = cx.unpack::<UpstreamTlsContext>(any)?;
            let context = tls::compile::client(&context, options, scope, cx)?;
            return Some(Transport { introduction: None, tls: Some(Arc::new(context)) });
        }
        if !is::<ProxyProtocolUpstreamTransport>(any) {
            let allowed = [
                &*UpstreamTlsContext::full_name(),
                &*ProxyProtocolUpstreamTransport::full_name(),
                &*RawBuffer::full_name(),
            ];
            cx.wrong_extension(any, "transport socket of a cluster", &allowed);
            return None;
        }
        let outer = cx.unpack::<ProxyProtocolUpstreamTransport>(any)?;
        let header = outer.config.unwrap_or_default();
        let introduction = cx.field("config", |cx| Introduction::compile(&header, scope, cx));
        let inner = cx.required("transport_socket", &outer.transport_socket)?;
        match cx.field("transport_socket", |cx| transport(inner, options, scope, cx))? {
            Transport { introduction: None, tls } => {
                Some(Transport { introduction: Some(introduction), tls })
            }
            Transport { introduction: Some(_), .. } => {
                cx.error_at("transport_socket", "a connection has one PROXY header");
                None
            }
        }
    })
}

/// Of several entries for one priority the first counts, as in Envoy.
fn limits(proto: &CircuitBreakers, cx: &mut Cx<'_>) -> [CircuitLimits; 2] {
    let default = CircuitLimits::default();
    let mut limits = [default; 2];
    let mut seen = [false; 2];
    cx.each("thresholds", &proto.thresholds, |_, thresholds| {
        let at = priority(thresholds.priority()) as usize;
        if !std::mem::replace(&mut seen[at], true) {
            limits[at] = CircuitLimits {
                max_connections: thresholds.max_connections.unwrap_or(default.max_connections),
                max_pending_requests: thresholds.max_pending_requests.unwrap_or(default.max_pending_requests),
                max_requests: thresholds.max_requests.unwrap_or(default.max_requests),
                track_remaining: thresholds.track_remaining,
            };
        }
        None::<()>
    });
    limits
}

/// `RoutingPriority`.
pub(crate) fn priority(proto: core::RoutingPriority) -> Priority {
    match proto {
        core::RoutingPriority::Default => Priority::Default,
        core::RoutingPriority::High => Priority::High,
    }
}

pub(crate) fn keepalive(proto: core::TcpKeepalive) -> Keepalive {
    let seconds = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
    Keepalive {
        time: seconds(proto.keepalive_time),
        interval: seconds(proto.keepalive_interval),
        probes: proto.keepalive_probes,
    }
}

/// What a cluster's HTTP options say.
struct HttpOptions {
    protocol: Http,
    http1: h1::ClientSettings,
    http2: Http2Config,
    idle_timeout: Option<Duration>,
    max_connection_duration: Option<Duration>,
    max_requests_per_connection: Option<u32>,
    max_stream_duration: Option<Duration>,
    naming: Option<Naming>,
    /// The name that a request is for must be in the certificate.
    verifies_name: bool,
}

/// The options of HTTP: from `HttpProtocolOptions`, or else from the older fields of the cluster.
fn protocol(proto: &Cluster, cx: &mut Cx<'_>) -> HttpOptions {
    let mut extension = None;
    cx.field("typed_extension_protocol_options", |cx| {
        let mut names: Vec<_> = proto.typed_extension_protocol_options.iter().collect();
        names.sort_by_key(|(name, _)| *name);
        for (name, any) in names {
            cx.field(name, |cx| {
                if is::<HttpProtocolOptions>(any) {
                    extension = cx.unpack::<HttpProtocolOptions>(any).map(|options| (name.clone(), options));
                } else {
                    cx.wrong_extension(any, "protocol option", &[&HttpProtocolOptions::full_name()]);
                }
            });
        }
    });
    match extension {
        None => {
            let mut protocol = common(proto.common_http_protocol_options.unwrap_or_default(), cx);
            protocol.max_requests_per_connection =
                protocol.max_requests_per_connection.or(proto.max_requests_per_connection);
            let options = proto.http_protocol_options.clone().unwrap_or_default();
            cx.field("http_protocol_options", |cx| http1(&options, &mut protocol.http1, cx));
            if let Some(options) = &proto.http2_protocol_options {
                protocol.protocol = Http::Http2;
                cx.field("http2_protocol_options", |cx| http2(options, &mut protocol, cx));
            }
            protocol
        }
        Some((name, options)) => cx.field("typed_extension_protocol_options", |cx| {
            cx.field(&name, |cx| {
                let mut protocol = common(options.common_http_protocol_options.unwrap_or_default(), cx);
                match &options.upstream_protocol_options {
                    None => cx.one_of(&["explicit_http_config", "use_downstream_protocol_config", "auto_config"]),
                    Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => {
                        cx.field("explicit_http_config", |cx| match &explicit.protocol_config {
                            None => cx.one_of(&["http_protocol_options", "http2_protocol_options"]),
                            Some(ProtocolConfig::HttpProtocolOptions(options)) => {
                                cx.field("http_protocol_options", |cx| {
                                    http1(options, &mut protocol.http1, cx)
                                });
                            }
                            Some(ProtocolConfig::Http2ProtocolOptions(options)) => {
                                protocol.protocol = Http::Http2;
                                cx.field("http2_protocol_options", |cx| http2(options, &mut protocol, cx));
                            }
                        });
                    }
                    Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(options)) => {
                        cx.field("use_downstream_protocol_config", |cx| {
                            let of_http1 = options.http_protocol_options.clone().unwrap_or_default();
                            cx.field("http_protocol_options", |cx| http1(&of_http1, &mut protocol.http1, cx));
                            if let Some(options) = &options.http2_protocol_options {
                                protocol.protocol = Http::Downstream;
                                cx.field("http2_protocol_options", |cx| http2(options, &mut protocol, cx));
                            }
                        });
                    }
                    Some(UpstreamProtocolOptions::AutoConfig(options)) => {
                        protocol.protocol = Http::Auto;
                        if !has_tls(proto) {
                            cx.error_at(
                                "auto_config",
                                "hosts choose the version of HTTP in TLS: the cluster needs a `transport_socket` with \
                                 an `UpstreamTlsContext`",
                            );
                        }
                        cx.field("auto_config", |cx| {
                            let of_http1 = options.http_protocol_options.clone().unwrap_or_default();
                            cx.field("http_protocol_options", |cx| http1(&of_http1, &mut protocol.http1, cx));
                            let of_http2 = options.http2_protocol_options.unwrap_or_default();
                            cx.field("http2_protocol_options", |cx| http2(&of_http2, &mut protocol, cx));
                        });
                    }
                }
                if let Some(options) = &options.upstream_http_protocol_options {
                    cx.field("upstream_http_protocol_options", |cx| naming(options, &mut protocol, cx));
                }
                protocol
            })
        }),
    }
}

/// Whether the connections of a cluster have TLS.
fn has_tls(proto: &Cluster) -> bool {
    let mut socket = proto.transport_socket.clone();
    while let Some(core::TransportSocket { config_type: Some(ConfigType::TypedConfig(any)), .. }) = socket {
        if is::<UpstreamTlsContext>(&any) {
            return true;
        }
        // An error of its own if it cannot be read.
        let outer = is::<ProxyProtocolUpstreamTransport>(&any)
            .then(|| ProxyProtocolUpstreamTransport::decode(&any.value[..]).unwrap_or_default());
        socket = outer.and_then(|outer| outer.transport_socket);
    }
    false
}

/// `UpstreamHttpProtocolOptions`.
fn naming(options: &core::UpstreamHttpProtocolOptions, protocol: &mut HttpOptions, cx: &mut Cx<'_>) {
    let header = match &options.override_auto_sni_header[..] {
        "" => None,
        name => HeaderKey::new(name)
            .map_err(|error| cx.error_at("override_auto_sni_header", format!("`{name}` is {error}")))
            .ok(),
    };
    if options.auto_san_validation && !options.auto_sni {
        cx.error_at(
            "auto_san_validation",
            "the name that is checked is the one that is asked for: `auto_sni` is required",
        );
    }
    if options.auto_sni {
        protocol.naming = Some(Naming { header });
        protocol.verifies_name = options.auto_san_validation;
    }
}

fn common(proto: core::HttpProtocolOptions, cx: &mut Cx<'_>) -> HttpOptions {
    cx.field("common_http_protocol_options", |cx| {
        let default = h1::ClientSettings::default();
        let kib = proto.max_response_headers_kb;
        if kib.is_some_and(|kib| kib == 0 || kib > 8192) {
            cx.error_at("max_response_headers_kb", "the size is out of range: 1 to 8192");
        }
        if proto.max_connection_duration_jitter.is_some() {
            cx.error_at(
                "max_connection_duration_jitter",
                "is about connections of clients, not those of a cluster",
            );
        }
        if proto.headers_with_underscores_action() != HeadersWithUnderscoresAction::Allow {
            cx.error_at("headers_with_underscores_action", "has no meaning for responses of a cluster");
        }
        let max_headers_count = max_headers_count(proto.max_headers_count, cx);
        HttpOptions {
            protocol: Http::Http1,
            http2: Http2Config {
                settings: h2::Settings {
                    max_headers_bytes: kib.map_or(default.max_headers_bytes, |kib| kib.min(8192) * 1024),
                    max_headers_count: max_headers_count.unwrap_or(default.max_headers_count),
                    ..h2::Settings::default()
                },
                keepalive: None,
            },
            http1: h1::ClientSettings {
                max_headers_bytes: kib.map_or(default.max_headers_bytes, |kib| kib.min(8192) * 1024),
                max_headers_count: max_headers_count.unwrap_or(default.max_headers_count),
                ..default
            },
            idle_timeout: cx.limit(
                "idle_timeout",
                proto.idle_timeout.as_ref(),
                Some(Duration::from_secs(3600)),
            ),
            max_connection_duration: cx.limit(
                "max_connection_duration",
                proto.max_connection_duration.as_ref(),
                None,
            ),
            max_requests_per_connection: proto.max_requests_per_connection.filter(|limit| *limit > 0),
            max_stream_duration: cx.limit("max_stream_duration", proto.max_stream_duration.as_ref(), None),
            naming: None,
            verifies_name: false,
        }
    })
}

/// What `Http2ProtocolOptions` says about connections to a cluster.
fn http2(options: &core::Http2ProtocolOptions, protocol: &mut HttpOptions, cx: &mut Cx<'_>) {
    protocol.http2 = super::http2::http2(options, protocol.http2.settings, false, cx);
}

/// `HttpProtocolOptions.max_headers_count`.
pub(crate) fn max_headers_count(count: Option<u32>, cx: &mut Cx<'_>) -> Option<u32> {
    if count == Some(0) {
        cx.error_at("max_headers_count", "a message has at least one header: 1 or more is required");
    }
    count
}

/// What `Http1ProtocolOptions` says about requests to a cluster and the responses to them.
fn http1(options: &core::Http1ProtocolOptions, settings: &mut h1::ClientSettings, cx: &mut Cx<'_>) {
    settings.enable_trailers = options.enable_trailers;
    settings.allow_chunked_length = options.allow_chunked_length;
    settings.send_fully_qualified_url = options.send_fully_qualified_url;
    settings.header_case = header_case(options, cx);
    let downstream_only = [
        ("allow_absolute_url", options.allow_absolute_url.is_some()),
        ("accept_http_10", options.accept_http_10),
        ("default_host_for_http_10", !options.default_host_for_http_10.is_empty()),
        ("ignore_http_11_upgrade", !options.ignore_http_11_upgrade.is_empty()),
    ];
    for (field, given) in downstream_only {
        if given {
            cx.error_at(field, "is about requests from clients: it belongs into the connection manager");
        }
    }
}

/// `Http1ProtocolOptions.header_key_format`.
pub(crate) fn header_case(options: &core::Http1ProtocolOptions, cx: &mut Cx<'_>) -> HeaderCase {
    let Some(format) = &options.header_key_format else { return HeaderCase::Lower };
    cx.field("header_key_format", |cx| match &format.header_format {
        None => {
            cx.one_of(&["proper_case_words", "stateful_formatter"]);
            HeaderCase::Lower
        }
        Some(HeaderFormat::ProperCaseWords(_)) => HeaderCase::Proper,
        Some(HeaderFormat::StatefulFormatter(extension)) => cx.field("stateful_formatter", |cx| {
            let Some(any) = cx.required("typed_config", &extension.typed_config) else {
                return HeaderCase::Preserve;
            };
            cx.field("typed_config", |cx| {
                if !is::<PreserveCaseFormatterConfig>(any) {
                    cx.wrong_extension(any, "header formatter", &[&PreserveCaseFormatterConfig::full_name()]);
                }
                let config = cx.unpack::<PreserveCaseFormatterConfig>(any).unwrap_or_default();
                match config.formatter_type_on_envoy_headers() {
                    FormatterTypeOnEnvoyHeaders::Default => HeaderCase::Preserve,
                    FormatterTypeOnEnvoyHeaders::ProperCase => HeaderCase::PreserveElseProper,
                }
            })
        }),
    })
}

fn hosts(proto: &ClusterLoadAssignment, cx: &mut Cx<'_>) -> Vec<HostConfig> {
    cx.text("cluster_name", &proto.cluster_name);
    let mut total = 0u64;
    let hosts = cx.each("endpoints", &proto.endpoints, |cx, locality| {
        let place = locality.locality.clone().unwrap_or_default();
        let place = Locality { region: place.region, zone: place.zone, sub_zone: place.sub_zone };
        Some(cx.each("lb_endpoints", &locality.lb_endpoints, |cx, endpoint| {
            let host = host(endpoint, &place, cx)?;
            total += u64::from(host.weight);
            Some(host)
        }))
    });
    if total > u64::from(u32::MAX) {
        cx.error_at("endpoints", format!("the sum of all weights is {total}, more than 4294967295"));
    }
    hosts.into_iter().flatten().collect()
}

fn host(proto: &LbEndpoint, locality: &Locality, cx: &mut Cx<'_>) -> Option<HostConfig> {
    let weight = proto.load_balancing_weight.unwrap_or(1);
    if weight == 0 {
        cx.error_at("load_balancing_weight", "a weight must be at least 1");
    }
    let Some(HostIdentifier::Endpoint(endpoint)) = &proto.host_identifier else {
        cx.missing(&["endpoint"], "`endpoint` is required");
        return None;
    };
    cx.field("endpoint", |cx| {
        let address = cx.required("address", &endpoint.address)?;
        let address = cx.field("address", |cx| {
            // An endpoint may say UDP, which decides nothing, as in Envoy: what is spoken depends on who uses it.
            let mut address = address.clone();
            if let Some(address::Address::SocketAddress(socket)) = &mut address.address {
                socket.set_protocol(Protocol::Tcp);
            }
            let (address, _) = self::address(&address, cx)?;
            if matches!(address, Address::Inet(address) if address.port() == 0) {
                cx.field("socket_address", |cx| {
                    cx.error_at("port_value", "a port from 1 to 65535 is required")
                });
            }
            Some(address)
        })?;
        Some(HostConfig {
            address,
            weight,
            hostname: endpoint.hostname.clone(),
            locality: locality.clone(),
            stats: HostStats::register(cx.registry),
        })
    })
}

/// Compiles an address, and the mode of its file if it is a unix socket.
pub(crate) fn address(proto: &core::Address, cx: &mut Cx<'_>) -> Option<(Address, Option<u32>)> {
    let (address, mode, dual) = address_and_more(proto, cx)?;
    if dual {
        cx.field("socket_address", |cx| {
            cx.error_at("ipv4_compat", "is about addresses of listeners");
        });
    }
    Some((address, mode))
}

/// The same, and whether it is for both versions of IP.
pub(crate) fn address_and_more(
    proto: &core::Address,
    cx: &mut Cx<'_>,
) -> Option<(Address, Option<u32>, bool)> {
    match &proto.address {
        None => {
            cx.one_of(&["socket_address", "pipe"]);
            None
        }
        Some(address::Address::SocketAddress(socket)) => cx.field("socket_address", |cx| {
            if socket.protocol() != Protocol::Tcp {
                cx.error_at("protocol", "`UDP` is not supported here");
            }
            let text = cx.text("address", &socket.address)?;
            let ip = text.parse::<IpAddr>();
            if ip.is_err() {
                cx.error_at(
                    "address",
                    format!(
                        "`{text}` is not an IP address; host names need a DNS cluster, which is not supported"
                    ),
                );
            }
            if socket.port_specifier.is_none() {
                cx.missing(&["port_value"], "`port_value` is required");
            }
            let PortSpecifier::PortValue(port) = socket.port_specifier?;
            let port = u16::try_from(port).map_err(|_| {
                cx.error_at("port_value", format!("{port} is not a port: 0 to 65535"));
            });
            Some((Address::Inet(SocketAddr::new(ip.ok()?, port.ok()?)), None, socket.ipv4_compat))
        }),
        Some(address::Address::Pipe(pipe)) => cx.field("pipe", |cx| {
            let path = cx.text("path", &pipe.path)?;
            // sockaddr_un has room for 108 bytes with the terminating zero.
            if path.len() > 107 {
                cx.error_at("path", format!("the path has {} bytes; the system allows 107", path.len()));
            }
            if path.contains('\0') {
                cx.error_at("path", "a path has no NUL in it");
            }
            if pipe.mode > 0o777 {
                cx.error_at("mode", format!("{} is more than 511 (octal 0777)", pipe.mode));
            }
            if pipe.mode != 0 && path.starts_with('@') {
                cx.error_at("mode", "a name in the abstract namespace has no file, and no mode");
            }
            Some((Address::unix(path), (pipe.mode != 0).then_some(pipe.mode), false))
        }),
    }
}
