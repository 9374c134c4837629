//! What a configuration says about statistics to [`StatsConfig`].

use super::config::{SinkConfig, StatsConfig, StatsMatcher};
use super::tags::{BuiltIn, Extractor, Tags};
use crate::api::envoy::config::bootstrap::v3::Bootstrap;
use crate::api::envoy::config::core::v3::{Address, address, socket_address::Protocol};
use crate::api::envoy::config::metrics::v3 as proto;
use crate::config::{Cx, is};
use crate::router::compile::{REGEX_LIMIT, string_match};
use crate::router::config::StringMatch;
use prost::Name;
use proto::{dog_statsd_sink, stats_matcher, stats_sink, statsd_sink, tag_specifier::TagValue};
use std::time::Duration;

/// What begins the names that sinks send, unless the configuration says otherwise.
const PREFIX: &str = "envoy";

/// Compiles `stats_config`, `stats_sinks` and `stats_flush_interval`.
pub fn stats(bootstrap: &Bootstrap, cx: &mut Cx<'_>) -> StatsConfig {
    let config = bootstrap.stats_config.clone().unwrap_or_default();
    let (tags, matcher, buckets) = cx.field("stats_config", |cx| {
        let tags = tags(&config, cx);
        let matcher = match &config.stats_matcher {
            Some(matcher) => cx.field("stats_matcher", |cx| self::matcher(matcher, cx)),
            None => StatsMatcher::All,
        };
        let buckets =
            cx.each("histogram_bucket_settings", &config.histogram_bucket_settings, |cx, settings| {
                buckets(settings, cx)
            });
        (tags, matcher, buckets)
    });
    StatsConfig {
        flush_interval: flush_interval(bootstrap, cx),
        tags,
        matcher,
        buckets,
        sinks: cx.each("stats_sinks", &bootstrap.stats_sinks, |cx, proto| sink(proto, cx)),
    }
}

/// 1 ms to 5 min, as Envoy has it.
fn flush_interval(bootstrap: &Bootstrap, cx: &mut Cx<'_>) -> Duration {
    let default = Duration::from_secs(5);
    let interval = cx.duration("stats_flush_interval", bootstrap.stats_flush_interval.as_ref(), default);
    if interval < Duration::from_millis(1) || interval > Duration::from_secs(300) {
        cx.error_at("stats_flush_interval", "must be between 1ms and 5min");
        return default;
    }
    interval
}

fn tags(config: &proto::StatsConfig, cx: &mut Cx<'_>) -> Tags {
    let all = config.use_all_default_tags.unwrap_or(true);
    let mut extractors: Vec<_> = BuiltIn::ALL.into_iter().filter(|_| all).map(Extractor::BuiltIn).collect();
    let own = cx.each("stats_tags", &config.stats_tags, |cx, specifier| {
        let tag = cx.text("tag_name", &specifier.tag_name)?;
        let built_in = BuiltIn::ALL.into_iter().find(|built_in| built_in.name() == tag);
        match &specifier.tag_value {
            Some(TagValue::FixedValue(value)) => {
                Some(Extractor::Fixed { tag: tag.to_owned(), value: value.clone() })
            }
            Some(TagValue::Regex(text)) if !text.is_empty() => {
                let built = regex::RegexBuilder::new(text).size_limit(REGEX_LIMIT).build();
                match built {
                    Ok(regex) if regex.captures_len() > 1 => Some(Extractor::regex(tag, regex)),
                    Ok(_) => {
                        cx.error_at(
                            "regex",
                            format!("`{text}` has no group: a group is what becomes the tag"),
                        );
                        None
                    }
                    Err(error) => {
                        let text = error.to_string();
                        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                        cx.error_at("regex", format!("not a valid regular expression: {last}"));
                        None
                    }
                }
            }
            // The name of a default tag stands for it.
            _ => {
                if built_in.is_none() {
                    let message =
                        format!("`{tag}` is no default tag, so a `regex` or a `fixed_value` is required");
                    cx.missing(&["regex", "fixed_value"], message);
                }
                built_in.map(Extractor::BuiltIn)
            }
        }
    });
    for (index, extractor) in own.into_iter().enumerate() {
        if extractors.iter().any(|other| other.tag() == extractor.tag()) {
            let message = format!("there is another tag called `{}`", extractor.tag());
            cx.error_at(&format!("stats_tags[{index}]"), message);
        }
        extractors.push(extractor);
    }
    Tags::new(extractors)
}

fn matcher(proto: &proto::StatsMatcher, cx: &mut Cx<'_>) -> StatsMatcher {
    let list = |cx: &mut Cx<'_>, field, list: &crate::api::envoy::r#type::matcher::v3::ListStringMatcher| {
        cx.field(field, |cx| {
            if list.patterns.is_empty() {
                cx.missing(&["patterns"], "`patterns` is required and must not be empty");
            }
            cx.each("patterns", &list.patterns, |cx, pattern| string_match(pattern, cx))
        })
    };
    use stats_matcher::StatsMatcher as Matcher;
    match &proto.stats_matcher {
        Some(Matcher::RejectAll(true)) => StatsMatcher::Nothing,
        Some(Matcher::RejectAll(false)) => StatsMatcher::All,
        Some(Matcher::ExclusionList(patterns)) => StatsMatcher::Except(list(cx, "exclusion_list", patterns)),
        Some(Matcher::InclusionList(patterns)) => StatsMatcher::Only(list(cx, "inclusion_list", patterns)),
        None => {
            cx.one_of(&["reject_all", "exclusion_list", "inclusion_list"]);
            StatsMatcher::All
        }
    }
}

fn buckets(proto: &proto::HistogramBucketSettings, cx: &mut Cx<'_>) -> Option<(StringMatch, Vec<f64>)> {
    let matcher = cx.required("match", &proto.r#match);
    let matcher = matcher.and_then(|matcher| cx.field("match", |cx| string_match(matcher, cx)));
    if proto.buckets.is_empty() {
        cx.missing(&["buckets"], "`buckets` is required and must not be empty");
    }
    if cx.field("buckets", |cx| cx.is_wrong()) {
        return None;
    }
    if proto.buckets.iter().any(|bound| !(*bound > 0.0 && bound.is_finite())) {
        cx.error_at("buckets", "every bound must be greater than 0");
    } else if proto.buckets.windows(2).any(|pair| pair[0] >= pair[1]) {
        cx.error_at("buckets", "the bounds must be ascending");
    }
    Some((matcher?, proto.buckets.clone()))
}

fn sink(proto: &proto::StatsSink, cx: &mut Cx<'_>) -> Option<SinkConfig> {
    let Some(stats_sink::ConfigType::TypedConfig(any)) = &proto.config_type else {
        cx.missing(&["typed_config"], "`typed_config` is required");
        return None;
    };
    cx.field("typed_config", |cx| {
        if is::<proto::StatsdSink>(any) {
            let sink = cx.unpack::<proto::StatsdSink>(any)?;
            let address = sink.statsd_specifier.map(|statsd_sink::StatsdSpecifier::Address(address)| address);
            return Some(SinkConfig {
                address: receiver(address, cx)?,
                prefix: prefix(sink.prefix),
                tags: false,
                datagram: 0,
            });
        }
        if is::<proto::DogStatsdSink>(any) {
            let sink = cx.unpack::<proto::DogStatsdSink>(any)?;
            let address = sink
                .dog_statsd_specifier
                .map(|dog_statsd_sink::DogStatsdSpecifier::Address(address)| address);
            if sink.max_bytes_per_datagram == Some(0) {
                cx.error_at("max_bytes_per_datagram", "must be greater than 0");
            }
            return Some(SinkConfig {
                address: receiver(address, cx)?,
                prefix: prefix(sink.prefix),
                tags: true,
                // No datagram is longer than 64 KiB anyway.
                datagram: sink.max_bytes_per_datagram.unwrap_or(0).min(65_507) as usize,
            });
        }
        let allowed = [proto::StatsdSink::full_name(), proto::DogStatsdSink::full_name()];
        cx.wrong_extension(any, "statistics sink", &[&allowed[0], &allowed[1]]);
        None
    })
}

fn prefix(text: String) -> String {
    if text.is_empty() { PREFIX.to_owned() } else { text }
}

/// The address of a sink: UDP, whether it says so or not, as in Envoy.
fn receiver(address: Option<Address>, cx: &mut Cx<'_>) -> Option<std::net::SocketAddr> {
    let Some(mut address) = address else {
        cx.one_of(&["address"]);
        return None;
    };
    cx.field("address", |cx| {
        if let Some(address::Address::SocketAddress(socket)) = &mut address.address {
            socket.set_protocol(Protocol::Tcp);
        }
        match crate::upstream::compile::address(&address, cx)?.0 {
            nuncio_reactor::Address::Inet(address) if address.port() == 0 => {
                cx.error("a port is required to send to");
                None
            }
            nuncio_reactor::Address::Inet(address) => Some(address),
            nuncio_reactor::Address::Unix(_) => {
                cx.error_at("pipe", "statistics can be sent over UDP only");
                None
            }
        }
    })
}
