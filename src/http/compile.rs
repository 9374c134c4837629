//! `HttpConnectionManager` to [`HcmConfig`].

use super::config::{
    Cidr, ClientCert, ClientCertDetail, ClientCertMode, CodecType, EscapedSlashes, Forwarding, HcmConfig,
    HostPort, PathRules, ReplyRules, RequestId, RouterConfig, ServerHeader, Terminal, Underscores, UserAgent,
};
use crate::access_log;
use crate::api::envoy::config::core::v3::HttpProtocolOptions;
use crate::api::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use crate::api::envoy::config::core::v3::scheme_header_transformation::Transformation;
use crate::api::envoy::extensions::filters::http::router::v3::Router;
use crate::api::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_connection_manager, http_filter::ConfigType,
};
use crate::config::Cx;
use crate::router;
use crate::stats::{Http1Stats, Http2Stats, HttpStats, ListenerHttpStats};
use crate::upstream;
use http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
    StripPortMode,
};
use nuncio_codec::h1::ServerSettings;
use nuncio_codec::{h2, is_field_value};
use prost::Name;
use std::sync::Arc;

/// Compiles a connection manager.
pub fn hcm(proto: &HttpConnectionManager, cx: &mut Cx<'_>) -> Option<HcmConfig> {
    let prefix = cx.text("stat_prefix", &proto.stat_prefix).unwrap_or("invalid");
    let prefix = prefix.replace(':', "_");
    let stats = HttpStats::register(cx.registry, &format!("http.{prefix}."));
    let at_listener =
        ListenerHttpStats::register(cx.registry, &format!("{}http.{prefix}.", cx.listener_scope));
    let codec = match proto.codec_type() {
        http_connection_manager::CodecType::Auto => CodecType::Auto,
        http_connection_manager::CodecType::Http1 => CodecType::Http1,
        http_connection_manager::CodecType::Http2 => CodecType::Http2,
    };
    let routes = match &proto.route_specifier {
        None => {
            cx.missing(&["route_config"], "`route_config` is required");
            None
        }
        Some(RouteSpecifier::RouteConfig(config)) => {
            cx.field("route_config", |cx| router::compile::route_config(config, cx))
        }
    };
    let router = filters(&proto.http_filters, cx);
    let http1 = http1(proto, cx);
    let common = proto.common_http_protocol_options.unwrap_or_default();
    let codecs = (Http1Stats::register(cx.registry, "http1."), Http2Stats::register(cx.registry, "http2."));
    let stats = (stats, codecs.0, codecs.1, at_listener);
    let mut config = HcmConfig::new(&proto.stat_prefix, stats, Arc::new(routes?), Terminal::Router(router?));
    config.codec = codec;
    config.http1 = http1;
    config.http2 = cx.field("http2_protocol_options", |cx| {
        let base = h2::Settings {
            max_headers_bytes: http1.max_headers_bytes,
            max_headers_count: http1.max_headers_count,
            ..h2::Settings::default()
        };
        let options = proto.http2_protocol_options.unwrap_or_default();
        upstream::http2::http2(
            &options,
            base,
            proto.stream_error_on_invalid_http_message.unwrap_or(false),
            cx,
        )
    });
    timeouts(&mut config, proto, &common, cx);
    headers(&mut config, proto, &common, cx);
    upgrades(&mut config, proto, cx);
    config.replies = proto
        .local_reply_config
        .as_ref()
        .map(|replies| cx.field("local_reply_config", |cx| ReplyRules::compile(replies, cx)));
    config.access_log =
        cx.each("access_log", &proto.access_log, |cx, log| access_log::compile::access_log(log, cx));
    Some(config)
}

fn timeouts(
    config: &mut HcmConfig,
    proto: &HttpConnectionManager,
    common: &HttpProtocolOptions,
    cx: &mut Cx<'_>,
) {
    config.request_timeout = cx.limit("request_timeout", proto.request_timeout.as_ref(), None);
    config.request_headers_timeout =
        cx.limit("request_headers_timeout", proto.request_headers_timeout.as_ref(), None);
    config.stream_idle_timeout =
        cx.limit("stream_idle_timeout", proto.stream_idle_timeout.as_ref(), config.stream_idle_timeout);
    config.delayed_close_timeout =
        cx.limit("delayed_close_timeout", proto.delayed_close_timeout.as_ref(), config.delayed_close_timeout);
    config.drain_timeout = cx.duration("drain_timeout", proto.drain_timeout.as_ref(), config.drain_timeout);
    cx.field("common_http_protocol_options", |cx| {
        config.idle_timeout = cx.limit("idle_timeout", common.idle_timeout.as_ref(), config.idle_timeout);
        config.max_connection_duration =
            cx.limit("max_connection_duration", common.max_connection_duration.as_ref(), None);
        if let Some(jitter) = &common.max_connection_duration_jitter {
            if !(0.0..=100.0).contains(&jitter.value) {
                cx.error_at("max_connection_duration_jitter", "a percentage is from 0 to 100");
            }
            config.max_connection_duration_jitter = jitter.value.clamp(0.0, 100.0) / 100.0;
        }
        config.max_stream_duration =
            cx.limit("max_stream_duration", common.max_stream_duration.as_ref(), None);
        config.max_requests_per_connection = common.max_requests_per_connection.filter(|limit| *limit > 0);
        if common.max_response_headers_kb.is_some() {
            cx.error_at("max_response_headers_kb", "is about responses: it belongs into a cluster");
        }
    });
}

fn headers(
    config: &mut HcmConfig,
    proto: &HttpConnectionManager,
    common: &HttpProtocolOptions,
    cx: &mut Cx<'_>,
) {
    if let Some(name) = header_value("server_name", &proto.server_name, cx) {
        config.server_name = name;
    }
    config.server_header = match proto.server_header_transformation() {
        ServerHeaderTransformation::Overwrite => ServerHeader::Overwrite,
        ServerHeaderTransformation::AppendIfAbsent => ServerHeader::AppendIfAbsent,
        ServerHeaderTransformation::PassThrough => ServerHeader::PassThrough,
    };
    if let Some(transformation) = &proto.scheme_header_transformation {
        config.scheme = cx.field("scheme_header_transformation", |cx| match &transformation.transformation {
            Some(Transformation::SchemeToOverwrite(scheme)) => match scheme.as_str() {
                "http" => Some(&b"http"[..]),
                "https" => Some(&b"https"[..]),
                other => {
                    cx.error_at("scheme_to_overwrite", format!("`{other}` is neither http nor https"));
                    None
                }
            },
            None => None,
        });
    }
    let internal = proto.internal_address_config.clone().unwrap_or_default();
    config.forwarding = Forwarding {
        use_remote_address: proto.use_remote_address.unwrap_or(false),
        trusted_hops: proto.xff_num_trusted_hops,
        skip_append: proto.skip_xff_append,
        append_port: proto.append_x_forwarded_port,
        ipv4_as_mapped_ipv6: proto.represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        internal_unix: internal.unix_sockets,
        internal: cx.field("internal_address_config", |cx| {
            cx.each("cidr_ranges", &internal.cidr_ranges, |cx, range| Cidr::compile(range, cx))
        }),
        own_address: nuncio_reactor::own_address(),
    };
    config.via = header_value("via", &proto.via, cx);
    config.client_cert = client_cert(proto);
    config.request_id = RequestId {
        generate: proto.generate_request_id.unwrap_or(true),
        preserve_external: proto.preserve_external_request_id,
        always_in_response: proto.always_set_request_id_in_response,
    };
    config.user_agent = proto
        .add_user_agent
        .unwrap_or(false)
        .then(|| UserAgent { cluster: cx.node.1.as_bytes().into(), node: cx.node.0.as_bytes().into() });
    config.path = PathRules {
        normalize: proto.normalize_path.unwrap_or(false),
        merge_slashes: proto.merge_slashes,
        escaped_slashes: match proto.path_with_escaped_slashes_action() {
            PathWithEscapedSlashesAction::ImplementationSpecificDefault
            | PathWithEscapedSlashesAction::KeepUnchanged => EscapedSlashes::Keep,
            PathWithEscapedSlashesAction::RejectRequest => EscapedSlashes::Reject,
            PathWithEscapedSlashesAction::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
            PathWithEscapedSlashesAction::UnescapeAndForward => EscapedSlashes::Unescape,
        },
    };
    config.strip_port = match (&proto.strip_port_mode, proto.strip_matching_host_port) {
        (Some(StripPortMode::StripAnyHostPort(true)), true) => {
            cx.error_at(
                "strip_any_host_port",
                "only one of `strip_matching_host_port` and `strip_any_host_port` may be given",
            );
            HostPort::StripAny
        }
        (Some(StripPortMode::StripAnyHostPort(true)), false) => HostPort::StripAny,
        (_, true) => HostPort::StripMatching,
        (_, false) => HostPort::Keep,
    };
    config.strip_trailing_dot = proto.strip_trailing_host_dot;
    config.underscores = match common.headers_with_underscores_action() {
        HeadersWithUnderscoresAction::Allow => Underscores::Allow,
        HeadersWithUnderscoresAction::RejectRequest => Underscores::Reject,
        HeadersWithUnderscoresAction::DropHeader => Underscores::Drop,
    };
    config.proxy_100_continue = proto.proxy_100_continue;
}

fn upgrades(config: &mut HcmConfig, proto: &HttpConnectionManager, cx: &mut Cx<'_>) {
    config.upgrades = cx.each("upgrade_configs", &proto.upgrade_configs, |cx, upgrade| {
        let kind = cx.text("upgrade_type", &upgrade.upgrade_type)?;
        header_value("upgrade_type", kind, cx)?;
        Some((kind.to_ascii_lowercase().into_bytes().into(), upgrade.enabled.unwrap_or(true)))
    });
    let mut seen = Vec::new();
    for (at, (name, _)) in config.upgrades.iter().enumerate() {
        if seen.contains(&name) {
            let name = &proto.upgrade_configs[at].upgrade_type;
            cx.error_at(&format!("upgrade_configs[{at}]"), format!("`{name}` is given twice"));
        }
        seen.push(name);
    }
    let options = proto.http_protocol_options.clone().unwrap_or_default();
    let stream_error = proto.stream_error_on_invalid_http_message.unwrap_or(false);
    config.keep_after_error = options.override_stream_error_on_invalid_http_message.unwrap_or(stream_error);
    cx.field("http_protocol_options", |cx| {
        config.default_host = header_value("default_host_for_http_10", &options.default_host_for_http_10, cx);
        config.ignored_upgrades =
            cx.each("ignore_http_11_upgrade", &options.ignore_http_11_upgrade, |cx, matcher| {
                router::compile::string_match(matcher, cx)
            });
        if options.send_fully_qualified_url {
            cx.error_at("send_fully_qualified_url", "is about requests to a cluster: it belongs there");
        }
    });
}

fn client_cert(proto: &HttpConnectionManager) -> ClientCert {
    let details = proto.set_current_client_cert_details.unwrap_or_default();
    let wanted = [
        (ClientCertDetail::Cert, details.cert),
        (ClientCertDetail::Chain, details.chain),
        (ClientCertDetail::Subject, details.subject.unwrap_or(false)),
        (ClientCertDetail::Uri, details.uri),
        (ClientCertDetail::Dns, details.dns),
    ];
    ClientCert {
        mode: match proto.forward_client_cert_details() {
            ForwardClientCertDetails::Sanitize => ClientCertMode::Sanitize,
            ForwardClientCertDetails::ForwardOnly => ClientCertMode::ForwardOnly,
            ForwardClientCertDetails::AppendForward => ClientCertMode::AppendForward,
            ForwardClientCertDetails::SanitizeSet => ClientCertMode::SanitizeSet,
            ForwardClientCertDetails::AlwaysForwardOnly => ClientCertMode::AlwaysForwardOnly,
        },
        details: wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(detail, _)| detail).collect(),
    }
}

/// A text that becomes the value of a header: `None` if it is empty.
fn header_value(field: &str, text: &str, cx: &mut Cx<'_>) -> Option<Box<[u8]>> {
    if !is_field_value(text.as_bytes()) {
        cx.error_at(field, "there must be no control characters in the value of a header");
    }
    (!text.is_empty()).then(|| text.as_bytes().into())
}

/// The router must be there, and last; no other filter is supported.
fn filters(filters: &[HttpFilter], cx: &mut Cx<'_>) -> Option<RouterConfig> {
    let Some(last) = filters.len().checked_sub(1) else {
        cx.missing(
            &["http_filters"],
            format!("`http_filters` is required: its last entry must be {}", Router::full_name()),
        );
        return None;
    };
    let mut index = 0;
    let routers = cx.each("http_filters", filters, |cx, filter| {
        let at = index;
        index += 1;
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
            cx.missing(&["typed_config"], "`typed_config` is required");
            return None;
        };
        cx.field("typed_config", |cx| {
            if !crate::config::is::<Router>(any) {
                cx.wrong_extension(any, "HTTP filter", &[&Router::full_name()]);
                return None;
            }
            if at != last {
                cx.error("the router ends the chain: it must be the last filter, and the only router");
                return None;
            }
            let router = cx.unpack::<Router>(any)?;
            Some(RouterConfig { suppress_envoy_headers: router.suppress_envoy_headers })
        })
    });
    routers.into_iter().next_back()
}

fn http1(proto: &HttpConnectionManager, cx: &mut Cx<'_>) -> ServerSettings {
    let default = ServerSettings::default();
    let kib = proto.max_request_headers_kb.unwrap_or(60);
    if kib == 0 || kib > 8192 {
        cx.error_at("max_request_headers_kb", format!("{kib} is out of range: 1 to 8192"));
    }
    let count = cx.field("common_http_protocol_options", |cx| {
        let common = proto.common_http_protocol_options.unwrap_or_default();
        upstream::compile::max_headers_count(common.max_headers_count, cx)
    });
    let options = proto.http_protocol_options.clone().unwrap_or_default();
    ServerSettings {
        max_headers_bytes: kib.min(8192) * 1024,
        max_headers_count: count.unwrap_or(default.max_headers_count),
        allow_absolute_url: options.allow_absolute_url.unwrap_or(default.allow_absolute_url),
        // As in Envoy: who says so must be trusted to have seen it.
        refuse_https: proto.use_remote_address.unwrap_or_default() && proto.xff_num_trusted_hops == 0,
        accept_http_10: options.accept_http_10,
        enable_trailers: options.enable_trailers,
        allow_chunked_length: options.allow_chunked_length,
        allow_custom_methods: options.allow_custom_methods,
        header_case: cx.field("http_protocol_options", |cx| upstream::compile::header_case(&options, cx)),
    }
}
