//! `HttpConnectionManager` to [`HcmConfig`].

use super::config::{CodecType, HcmConfig, RouterConfig, Terminal};
use crate::access_log;
use crate::api::envoy::config::core::v3::{
    Http1ProtocolOptions, http1_protocol_options::header_key_format::HeaderFormat,
};
use crate::api::envoy::extensions::filters::http::router::v3::Router;
use crate::api::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_connection_manager, http_filter::ConfigType,
};
use crate::api::envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;
use crate::config::Cx;
use crate::router;
use crate::stats::HttpStats;
use http_connection_manager::RouteSpecifier;
use nuncio_codec::h1::{HeaderCase, ServerSettings};
use prost::Name;
use std::sync::Arc;
use std::time::Duration;

/// Compiles a connection manager.
pub fn hcm(proto: &HttpConnectionManager, cx: &mut Cx<'_>) -> Option<HcmConfig> {
    let prefix = cx.text("stat_prefix", &proto.stat_prefix).unwrap_or("invalid");
    let stats = HttpStats::register(cx.registry, &format!("http.{}.", prefix.replace(':', "_")));
    let codec = match proto.codec_type() {
        http_connection_manager::CodecType::Auto => CodecType::Auto,
        http_connection_manager::CodecType::Http1 => CodecType::Http1,
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
    let idle_timeout = cx.field("common_http_protocol_options", |cx| {
        cx.limit("idle_timeout", common.idle_timeout.as_ref(), Some(Duration::from_secs(3600)))
    });
    Some(HcmConfig {
        stat_prefix: proto.stat_prefix.clone(),
        codec,
        http1,
        request_timeout: cx.limit("request_timeout", proto.request_timeout.as_ref(), None),
        request_headers_timeout: cx.limit(
            "request_headers_timeout",
            proto.request_headers_timeout.as_ref(),
            None,
        ),
        stream_idle_timeout: cx.limit(
            "stream_idle_timeout",
            proto.stream_idle_timeout.as_ref(),
            Some(Duration::from_secs(300)),
        ),
        idle_timeout,
        delayed_close_timeout: cx.limit(
            "delayed_close_timeout",
            proto.delayed_close_timeout.as_ref(),
            Some(Duration::from_secs(1)),
        ),
        access_log: cx
            .each("access_log", &proto.access_log, |cx, log| access_log::compile::access_log(log, cx)),
        stats,
        routes: Arc::new(routes?),
        terminal: Terminal::Router(router?),
    })
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
    let count = proto.common_http_protocol_options.as_ref().and_then(|common| common.max_headers_count);
    if count == Some(0) {
        cx.field("common_http_protocol_options", |cx| {
            cx.error_at("max_headers_count", "a message has at least one header: 1 or more is required");
        });
    }
    let options = proto.http_protocol_options.clone().unwrap_or_default();
    ServerSettings {
        max_headers_bytes: kib.min(8192) * 1024,
        max_headers_count: count.unwrap_or(default.max_headers_count),
        allow_absolute_url: options.allow_absolute_url.unwrap_or(default.allow_absolute_url),
        accept_http_10: options.accept_http_10,
        enable_trailers: options.enable_trailers,
        allow_chunked_length: options.allow_chunked_length,
        allow_custom_methods: options.allow_custom_methods,
        header_case: cx.field("http_protocol_options", |cx| header_case(&options, cx)),
    }
}

fn header_case(options: &Http1ProtocolOptions, cx: &mut Cx<'_>) -> HeaderCase {
    let Some(format) = &options.header_key_format else { return HeaderCase::Lower };
    cx.field("header_key_format", |cx| match &format.header_format {
        None => {
            cx.one_of(&["proper_case_words", "stateful_formatter"]);
            HeaderCase::Lower
        }
        Some(HeaderFormat::ProperCaseWords(_)) => HeaderCase::Proper,
        Some(HeaderFormat::StatefulFormatter(extension)) => cx.field("stateful_formatter", |cx| {
            if let Some(any) = cx.required("typed_config", &extension.typed_config)
                && !crate::config::is::<PreserveCaseFormatterConfig>(any)
            {
                cx.field("typed_config", |cx| {
                    cx.wrong_extension(any, "header formatter", &[&PreserveCaseFormatterConfig::full_name()]);
                });
            }
            HeaderCase::Preserve
        }),
    })
}
