//! `envoy.config.listener.v3.ListenerFilter` to [`ListenerFilter`].

use super::{Kind, ListenerFilter, Predicate, ProxyRules, Rate, Store, TlsRules};
use crate::api::envoy::config::core::v3::RuntimeFeatureFlag;
use crate::api::envoy::config::core::v3::proxy_protocol_config::Version;
use crate::api::envoy::config::listener::v3::listener_filter_chain_match_predicate::{MatchSet, Rule};
use crate::api::envoy::config::listener::v3::{
    ListenerFilter as Proto, ListenerFilterChainMatchPredicate, listener_filter::ConfigType,
};
use crate::api::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use crate::api::envoy::extensions::filters::listener::local_ratelimit::v3::LocalRateLimit;
use crate::api::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use crate::api::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
use crate::api::envoy::extensions::filters::listener::proxy_protocol::v3::proxy_protocol::key_value_pair::ValueStringEncoding;
use crate::api::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use crate::config::{Cx, is};
use crate::network::{BucketSettings, TokenBucket};
use crate::stats::{HttpInspectorStats, ProxyProtocolStats, ProxyVersionStats, TlsInspectorStats};
use crate::upstream::Tlvs;
use crate::upstream::introduction::tlv_type;
use nuncio_codec::proxy_protocol::Versions;
use nuncio_codec::tls_hello::MAX_HELLO;
use prost::Name;

/// Compiles the listener filter of a stream listener.
pub(in crate::listener) fn filter(
    proto: &Proto,
    transparent: bool,
    cx: &mut Cx<'_>,
) -> Option<ListenerFilter> {
    let disabled =
        proto.filter_disabled.as_ref().map(|rule| cx.field("filter_disabled", |cx| predicate(rule, cx)));
    let Some(ConfigType::TypedConfig(any)) = &proto.config_type else {
        cx.missing(&["typed_config"], "`typed_config` is required");
        return None;
    };
    let kind = cx.field("typed_config", |cx| {
        if is::<TlsInspector>(any) {
            Some(Kind::Tls(tls(&cx.unpack(any)?, cx)))
        } else if is::<HttpInspector>(any) {
            cx.unpack::<HttpInspector>(any)?;
            Some(Kind::Http(HttpInspectorStats::register(cx.registry, "http_inspector.")))
        } else if is::<ProxyProtocol>(any) {
            Some(Kind::Proxy(Box::new(proxy(&cx.unpack(any)?, cx))))
        } else if is::<OriginalDst>(any) {
            cx.unpack::<OriginalDst>(any)?;
            Some(Kind::OriginalDst { transparent })
        } else if is::<LocalRateLimit>(any) {
            rate(&cx.unpack(any)?, cx).map(Kind::Rate)
        } else {
            let allowed = [
                TlsInspector::full_name(),
                HttpInspector::full_name(),
                ProxyProtocol::full_name(),
                OriginalDst::full_name(),
                LocalRateLimit::full_name(),
            ];
            cx.wrong_extension(any, "listener filter", &allowed.each_ref().map(String::as_str));
            None
        }
    })?;
    // A condition that could not be read has been complained about.
    Some(ListenerFilter { kind, disabled: disabled.flatten() })
}

/// The filter that `use_original_dst` stands for.
pub(in crate::listener) fn original_dst(transparent: bool) -> ListenerFilter {
    ListenerFilter { kind: Kind::OriginalDst { transparent }, disabled: None }
}

/// The filter that `use_proxy_proto` stands for.
pub(in crate::listener) fn proxy_protocol(cx: &mut Cx<'_>) -> ListenerFilter {
    let kind = Kind::Proxy(Box::new(proxy(&ProxyProtocol::default(), cx)));
    ListenerFilter { kind, disabled: None }
}

fn tls(proto: &TlsInspector, cx: &mut Cx<'_>) -> TlsRules {
    let mut size = |field: &str, size: Option<u32>, most: usize| {
        if size.is_some_and(|size| !(256..=most).contains(&(size as usize))) {
            cx.error_at(field, format!("the size is out of range: 256 to {most}"));
        }
    };
    size("initial_read_buffer_size", proto.initial_read_buffer_size, 65_536);
    size("max_client_hello_size", proto.max_client_hello_size, MAX_HELLO);
    TlsRules {
        limit: proto.max_client_hello_size.map_or(MAX_HELLO, |size| size as usize),
        ja3: proto.enable_ja3_fingerprinting.unwrap_or(false),
        ja4: proto.enable_ja4_fingerprinting.unwrap_or(false),
        strict: proto.close_connection_on_client_hello_parsing_errors,
        stats: TlsInspectorStats::register(cx.registry, "tls_inspector."),
    }
}

fn proxy(proto: &ProxyProtocol, cx: &mut Cx<'_>) -> ProxyRules {
    let store = cx.each("rules", &proto.rules, |cx, rule| {
        let kind = cx.field("tlv_type", |cx| tlv_type(rule.tlv_type, cx));
        let place = cx.required("on_tlv_present", &rule.on_tlv_present)?;
        cx.field("on_tlv_present", |cx| {
            let key = cx.text("key", &place.key)?;
            let namespace = match &place.metadata_namespace[..] {
                "" => "envoy.filters.listener.proxy_protocol",
                namespace => namespace,
            };
            let base64 = place.value_string_encoding() == ValueStringEncoding::Base64;
            Some(Store { kind: kind?, namespace: namespace.into(), key: key.into(), base64 })
        })
    });
    let pass = match &proto.pass_through_tlvs {
        None => Tlvs::None,
        Some(tlvs) => cx.field("pass_through_tlvs", |cx| Tlvs::compile(tlvs, cx)),
    };
    let scope = match &proto.stat_prefix[..] {
        "" => "proxy_proto.".to_owned(),
        prefix => format!("proxy_proto.{}.", prefix.trim_end_matches('.')),
    };
    let refuses = |version| proto.disallowed_versions().any(|refused| refused == version);
    let allowed = Versions { v1: !refuses(Version::V1), v2: !refuses(Version::V2) };
    if !allowed.v1 && !allowed.v2 {
        cx.error_at("disallowed_versions", "both versions are refused: no connection could have a header");
    }
    let mut version =
        |name: &str| ProxyVersionStats::register(cx.registry, &format!("{scope}versions.{name}."));
    ProxyRules {
        optional: proto.allow_requests_without_proxy_protocol,
        allowed,
        store,
        pass,
        v1: version("v1"),
        v2: version("v2"),
        stats: ProxyProtocolStats::register(cx.registry, &scope),
        refused: cx.registry.counter("downstream_cx_proxy_proto_error"),
    }
}

fn rate(proto: &LocalRateLimit, cx: &mut Cx<'_>) -> Option<Rate> {
    let prefix = cx.text("stat_prefix", &proto.stat_prefix);
    let bucket = cx.required("token_bucket", &proto.token_bucket)?;
    let bucket = cx.field("token_bucket", |cx| BucketSettings::compile(bucket, cx));
    let enabled = match &proto.runtime_enabled {
        Some(flag) => cx.field("runtime_enabled", |cx| feature_flag(flag, cx)),
        None => true,
    };
    let name = format!("listener_local_ratelimit.{}.rate_limited", prefix?.trim_end_matches('.'));
    Some(Rate { bucket: TokenBucket::new(bucket?), enabled, rate_limited: cx.registry.counter(&name) })
}

fn feature_flag(proto: &RuntimeFeatureFlag, cx: &mut Cx<'_>) -> bool {
    let default = cx.required("default_value", &proto.default_value).copied().unwrap_or_default();
    // Without a key there is nothing to look up.
    cx.runtime.boolean(&proto.runtime_key).unwrap_or(default)
}

fn predicate(proto: &ListenerFilterChainMatchPredicate, cx: &mut Cx<'_>) -> Option<Predicate> {
    match &proto.rule {
        None => {
            cx.one_of(&["or_match", "and_match", "not_match", "any_match", "destination_port_range"]);
            None
        }
        Some(Rule::OrMatch(set)) => cx.field("or_match", |cx| several(set, cx)).map(Predicate::Or),
        Some(Rule::AndMatch(set)) => cx.field("and_match", |cx| several(set, cx)).map(Predicate::And),
        Some(Rule::NotMatch(rule)) => {
            let inner = cx.field("not_match", |cx| predicate(rule, cx))?;
            Some(Predicate::Not(Box::new(inner)))
        }
        Some(Rule::AnyMatch(any)) => {
            if !any {
                cx.error_at("any_match", "can only be true");
            }
            Some(Predicate::Any)
        }
        Some(Rule::DestinationPortRange(range)) => {
            if range.start >= range.end {
                cx.error_at(
                    "destination_port_range",
                    "the range is empty: `end` is the first port beyond it",
                );
            }
            Some(Predicate::Port(range.start..range.end))
        }
    }
}

fn several(set: &MatchSet, cx: &mut Cx<'_>) -> Option<Vec<Predicate>> {
    if set.rules.len() < 2 {
        cx.missing(&["rules"], "`rules` must have at least 2 entries");
    }
    let rules = cx.each("rules", &set.rules, predicate_of);
    (rules.len() == set.rules.len()).then_some(rules)
}

fn predicate_of(cx: &mut Cx<'_>, proto: &ListenerFilterChainMatchPredicate) -> Option<Predicate> {
    predicate(proto, cx)
}
