//! `envoy.config.route.v3.RouteConfiguration` to [`RouteConfig`].

use super::config::{
    Action, ClusterChoice, DirectResponse, Forward, HeaderMatch, HeaderTest, HostRewrite, MaxStreamDuration,
    Mutations, Part, PathMatch, PathRewrite, QueryMatch, QueryTest, Redirect, RedirectPath, RequireTls,
    Route, RouteConfig, RouteMatch, StringMatch, StringPattern, Substitution, VirtualHost, WeightedEntry,
};
use super::hash_policy::HashPolicy;
use super::header_ops::HeaderOps;
use super::re2;
use super::table::DomainTable;
use crate::api::envoy::config::route::v3 as proto;
use crate::api::envoy::r#type::matcher::v3::{
    RegexMatchAndSubstitute, RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use crate::config::{Cx, data};
use crate::upstream::config::ClusterId;
use nuncio_codec::{HeaderKey, is_field_value};
use proto::header_matcher::HeaderMatchSpecifier;
use proto::query_parameter_matcher::QueryParameterMatchSpecifier;
use proto::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use proto::route_action::{ClusterNotFoundResponseCode, ClusterSpecifier, HostRewriteSpecifier};
use proto::route_match::PathSpecifier;
use proto::virtual_host::TlsRequirementType;
use proto::weighted_cluster::cluster_weight;
use std::time::Duration;

/// Largest compiled regular expression, in bytes.
pub(crate) const REGEX_LIMIT: usize = 1 << 20;

/// The header changes of a message that has the four fields for them.
macro_rules! mutations {
    ($proto:expr, $cx:expr) => {
        Mutations {
            request: HeaderOps::compile(
                (&$proto.request_headers_to_add, &$proto.request_headers_to_remove),
                ("request_headers_to_add", "request_headers_to_remove"),
                $cx,
            ),
            response: HeaderOps::compile(
                (&$proto.response_headers_to_add, &$proto.response_headers_to_remove),
                ("response_headers_to_add", "response_headers_to_remove"),
                $cx,
            ),
        }
    };
}

/// Compiles a route configuration.
pub fn route_config(config: &proto::RouteConfiguration, cx: &mut Cx<'_>) -> Option<RouteConfig> {
    // As in Envoy, 0 is no limit.
    let body_limit = match config.max_direct_response_body_size_bytes.unwrap_or(4096) {
        0 => usize::MAX,
        bytes => bytes as usize,
    };
    let virtual_hosts: Vec<_> = cx.each("virtual_hosts", &config.virtual_hosts, |cx, host| {
        // Names may occur twice, as in Envoy: only domains tell virtual hosts apart.
        cx.text("name", &host.name);
        if host.domains.is_empty() {
            cx.missing(&["domains"], "`domains` is required: at least one domain, or \"*\" for all");
        }
        let routes = cx.each("routes", &host.routes, |cx, route| self::route(route, body_limit, cx));
        let require_tls = match host.require_tls() {
            TlsRequirementType::None => RequireTls::No,
            TlsRequirementType::ExternalOnly => RequireTls::External,
            TlsRequirementType::All => RequireTls::All,
        };
        Some(VirtualHost { name: host.name.clone(), routes, require_tls, mutations: mutations!(host, cx) })
    });
    let internal_only_headers =
        cx.each("internal_only_headers", &config.internal_only_headers, |cx, name| {
            HeaderKey::new(name).map_err(|error| cx.error(format!("`{name}` is {error}"))).ok()
        });
    let mutations = mutations!(config, cx);
    let domains = config
        .virtual_hosts
        .iter()
        .enumerate()
        .flat_map(|(at, host)| host.domains.iter().map(move |domain| (at, domain.as_str())));
    let domains = match DomainTable::build(domains) {
        Ok(domains) => domains,
        Err(errors) => {
            for error in errors {
                let domains = &config.virtual_hosts[error.vhost].domains;
                // The last one: it is the repeated one.
                let at = domains.iter().rposition(|domain| *domain == error.domain).unwrap_or_default();
                let field = format!("virtual_hosts[{}].domains[{at}]", error.vhost);
                cx.error_at(&field, format!("`{}`: {}", error.domain, error.reason));
            }
            return None;
        }
    };
    let of_route = |route: &Route| {
        let weighted = match &route.action {
            Action::Forward(forward) => match &forward.cluster {
                ClusterChoice::Weighted { entries, .. } => &entries[..],
                _ => &[],
            },
            _ => &[],
        };
        !route.mutations.is_empty() || weighted.iter().any(|entry| !entry.mutations.is_empty())
    };
    let mutates = !mutations.is_empty()
        || virtual_hosts
            .iter()
            .any(|host: &VirtualHost| !host.mutations.is_empty() || host.routes.iter().any(of_route));
    Some(RouteConfig {
        mutates,
        name: config.name.clone(),
        virtual_hosts,
        domains,
        internal_only_headers,
        ignore_port: config.ignore_port_in_host_matching,
        mutations,
        most_specific_wins: config.most_specific_header_mutations_wins,
    })
}

fn route(route: &proto::Route, body_limit: usize, cx: &mut Cx<'_>) -> Option<Route> {
    let matcher = match cx.required("match", &route.r#match) {
        Some(matcher) => cx.field("match", |cx| route_match(matcher, cx)),
        None => None,
    };
    let action = match &route.action {
        None => {
            cx.one_of(&["route", "redirect", "direct_response"]);
            None
        }
        Some(proto::route::Action::Route(action)) => {
            cx.field("route", |cx| forward(action, cx)).map(|forward| Action::Forward(Box::new(forward)))
        }
        Some(proto::route::Action::Redirect(action)) => {
            cx.field("redirect", |cx| redirect(action, cx)).map(Action::Redirect)
        }
        Some(proto::route::Action::DirectResponse(action)) => {
            cx.field("direct_response", |cx| direct(action, body_limit, cx)).map(Action::Direct)
        }
    };
    let mutations = mutations!(route, cx);
    Some(Route { name: route.name.clone(), matcher: matcher?, action: action?, mutations })
}

fn route_match(matcher: &proto::RouteMatch, cx: &mut Cx<'_>) -> Option<RouteMatch> {
    let headers = cx.each("headers", &matcher.headers, |cx, header| header_match(header, cx));
    let query = cx.each("query_parameters", &matcher.query_parameters, |cx, query| query_match(query, cx));
    let path = match &matcher.path_specifier {
        None => {
            cx.one_of(&["prefix", "path", "safe_regex", "path_separated_prefix", "connect_matcher"]);
            None
        }
        Some(PathSpecifier::ConnectMatcher(_)) => Some(PathMatch::Connect),
        Some(PathSpecifier::Prefix(prefix)) => Some(PathMatch::Prefix(prefix.as_bytes().into())),
        Some(PathSpecifier::Path(path)) => Some(PathMatch::Exact(path.as_bytes().into())),
        Some(PathSpecifier::SafeRegex(matcher)) => {
            cx.field("safe_regex", |cx| regex(matcher, cx)).map(PathMatch::Regex)
        }
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            let valid = prefix.len() > 1
                && prefix.starts_with('/')
                && !prefix.ends_with('/')
                && !prefix.contains(['?', '#']);
            if !valid {
                cx.error_at(
                    "path_separated_prefix",
                    format!("`{prefix}` must begin with `/`, not end with `/`, and have no `?` or `#` in it"),
                );
            }
            Some(PathMatch::SeparatedPrefix(prefix.as_bytes().into()))
        }
    };
    Some(RouteMatch { path: path?, case_sensitive: matcher.case_sensitive.unwrap_or(true), headers, query })
}

fn query_match(matcher: &proto::QueryParameterMatcher, cx: &mut Cx<'_>) -> Option<QueryMatch> {
    let name = cx.text("name", &matcher.name);
    let test = match &matcher.query_parameter_match_specifier {
        None => Some(QueryTest::Present(true)),
        Some(QueryParameterMatchSpecifier::PresentMatch(present)) => Some(QueryTest::Present(*present)),
        Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
            cx.field("string_match", |cx| string_match(matcher, cx)).map(QueryTest::String)
        }
    };
    Some(QueryMatch { name: name?.as_bytes().into(), test: test? })
}

pub(crate) fn header_match(matcher: &proto::HeaderMatcher, cx: &mut Cx<'_>) -> Option<HeaderMatch> {
    let name = header_name(&matcher.name, cx);
    let literal = |pattern| HeaderTest::String(StringMatch { pattern, ignore_case: false });
    let test = match &matcher.header_match_specifier {
        None => Some(HeaderTest::Present(true)),
        Some(HeaderMatchSpecifier::PresentMatch(present)) => Some(HeaderTest::Present(*present)),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => {
            Some(HeaderTest::Range { start: range.start, end: range.end })
        }
        Some(HeaderMatchSpecifier::ExactMatch(text)) => {
            Some(literal(StringPattern::Exact(text.as_bytes().into())))
        }
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => {
            non_empty("prefix_match", text, cx).map(|text| literal(StringPattern::Prefix(text)))
        }
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => {
            non_empty("suffix_match", text, cx).map(|text| literal(StringPattern::Suffix(text)))
        }
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => {
            non_empty("contains_match", text, cx).map(|text| literal(StringPattern::Contains(text)))
        }
        Some(HeaderMatchSpecifier::SafeRegexMatch(matcher)) => cx
            .field("safe_regex_match", |cx| regex(matcher, cx))
            .map(|regex| literal(StringPattern::Regex(regex))),
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => {
            cx.field("string_match", |cx| string_match(matcher, cx)).map(HeaderTest::String)
        }
    };
    Some(HeaderMatch {
        name: name?,
        test: test?,
        invert: matcher.invert_match,
        treat_missing_as_empty: matcher.treat_missing_header_as_empty,
    })
}

fn header_name(name: &str, cx: &mut Cx<'_>) -> Option<HeaderKey> {
    let name = cx.text("name", name)?;
    // HTTP/1's name for what is kept as :authority.
    let name = if name.eq_ignore_ascii_case("host") { ":authority" } else { name };
    HeaderKey::new(name).map_err(|error| cx.error_at("name", format!("`{name}` is {error}"))).ok()
}

fn non_empty(field: &str, text: &str, cx: &mut Cx<'_>) -> Option<Box<[u8]>> {
    cx.text(field, text).map(|text| text.as_bytes().into())
}

/// Compiles a `StringMatcher`.
pub(crate) fn string_match(matcher: &StringMatcher, cx: &mut Cx<'_>) -> Option<StringMatch> {
    let pattern = match &matcher.match_pattern {
        None => {
            cx.one_of(&["exact", "prefix", "suffix", "contains", "safe_regex"]);
            None
        }
        Some(MatchPattern::Exact(text)) => Some(StringPattern::Exact(text.as_bytes().into())),
        Some(MatchPattern::Prefix(text)) => non_empty("prefix", text, cx).map(StringPattern::Prefix),
        Some(MatchPattern::Suffix(text)) => non_empty("suffix", text, cx).map(StringPattern::Suffix),
        Some(MatchPattern::Contains(text)) => non_empty("contains", text, cx).map(StringPattern::Contains),
        Some(MatchPattern::SafeRegex(matcher)) => {
            cx.field("safe_regex", |cx| regex(matcher, cx)).map(StringPattern::Regex)
        }
    };
    if matcher.ignore_case && matches!(pattern, Some(StringPattern::Regex(_))) {
        cx.error_at("ignore_case", "has no effect on `safe_regex`: begin the expression with `(?i)` instead");
    }
    Some(StringMatch { pattern: pattern?, ignore_case: matcher.ignore_case })
}

/// A regular expression that must match the whole.
fn regex(matcher: &RegexMatcher, cx: &mut Cx<'_>) -> Option<regex::bytes::Regex> {
    built(re2::anchored(cx.text("regex", &matcher.regex)?), matcher, cx)
}

/// A regular expression that may match anywhere.
fn unanchored(matcher: &RegexMatcher, cx: &mut Cx<'_>) -> Option<regex::bytes::Regex> {
    built(re2::unanchored(cx.text("regex", &matcher.regex)?), matcher, cx)
}

fn built(
    built: Result<regex::bytes::Regex, regex::Error>,
    matcher: &RegexMatcher,
    cx: &mut Cx<'_>,
) -> Option<regex::bytes::Regex> {
    match built {
        Ok(regex) => Some(regex),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            cx.error_at("regex", format!("`{}` is not a valid regular expression: {last}", matcher.regex));
            None
        }
    }
}

fn forward(action: &proto::RouteAction, cx: &mut Cx<'_>) -> Option<Forward> {
    let cluster = match &action.cluster_specifier {
        None => {
            cx.one_of(&["cluster", "weighted_clusters", "cluster_header"]);
            None
        }
        Some(ClusterSpecifier::Cluster(name)) => {
            cx.field("cluster", |cx| cluster(name, cx)).map(ClusterChoice::One)
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            cx.field("weighted_clusters", |cx| self::weighted(weighted, cx))
        }
        Some(ClusterSpecifier::ClusterHeader(name)) => cx.field("cluster_header", |cx| {
            let name =
                match HeaderKey::new(if name.eq_ignore_ascii_case("host") { ":authority" } else { name }) {
                    Ok(name) => name,
                    Err(error) => {
                        cx.error(format!("`{name}` is {error}"));
                        return None;
                    }
                };
            let known = cx.clusters.clusters.iter().enumerate();
            let known = known.map(|(at, cluster)| (cluster.name.as_bytes().into(), ClusterId(at as u32)));
            let not_found = match action.cluster_not_found_response_code() {
                ClusterNotFoundResponseCode::ServiceUnavailable => 503,
                ClusterNotFoundResponseCode::NotFound => 404,
                ClusterNotFoundResponseCode::InternalServerError => 500,
            };
            Some(ClusterChoice::Header { name, known: known.collect(), not_found })
        }),
    };
    let host_rewrite = match &action.host_rewrite_specifier {
        None => HostRewrite::Keep,
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => {
            header_text("host_rewrite_literal", host, cx).map_or(HostRewrite::Keep, HostRewrite::Literal)
        }
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) => match HeaderKey::new(name) {
            Ok(name) => HostRewrite::Header(name),
            Err(error) => {
                cx.error_at("host_rewrite_header", format!("`{name}` is {error}"));
                HostRewrite::Keep
            }
        },
        Some(HostRewriteSpecifier::HostRewritePathRegex(rewrite)) => cx
            .field("host_rewrite_path_regex", |cx| substitution(rewrite, cx))
            .map_or(HostRewrite::Keep, HostRewrite::PathRegex),
    };
    let prefix_rewrite = header_text("prefix_rewrite", &action.prefix_rewrite, cx);
    let path_rewrite = match (prefix_rewrite, &action.regex_rewrite) {
        (Some(_), Some(_)) => {
            cx.error("only one of `prefix_rewrite` and `regex_rewrite` may be given");
            PathRewrite::Keep
        }
        (Some(prefix), None) => PathRewrite::Prefix(prefix),
        (None, Some(rewrite)) => cx
            .field("regex_rewrite", |cx| substitution(rewrite, cx))
            .map_or(PathRewrite::Keep, PathRewrite::Regex),
        (None, None) => PathRewrite::Keep,
    };
    let upgrades = cx.each("upgrade_configs", &action.upgrade_configs, |cx, upgrade| {
        let kind = cx.text("upgrade_type", &upgrade.upgrade_type)?;
        if !is_field_value(kind.as_bytes()) {
            cx.error_at("upgrade_type", "there must be no control characters in the value of a header");
        }
        let before = action.upgrade_configs.iter().take_while(|other| !std::ptr::eq(*other, upgrade));
        if before.into_iter().any(|other| other.upgrade_type.eq_ignore_ascii_case(kind)) {
            cx.error_at("upgrade_type", format!("`{kind}` is given twice"));
        }
        Some((kind.to_ascii_lowercase().into_bytes().into(), upgrade.enabled.unwrap_or(true)))
    });
    let max_stream_duration = match &action.max_stream_duration {
        None => MaxStreamDuration::default(),
        Some(limits) => cx.field("max_stream_duration", |cx| {
            let mut optional = |field: &str, value: &Option<prost_types::Duration>| {
                value.as_ref().map(|value| cx.limit(field, Some(value), None))
            };
            MaxStreamDuration {
                max: optional("max_stream_duration", &limits.max_stream_duration),
                grpc_max: optional("grpc_timeout_header_max", &limits.grpc_timeout_header_max),
                grpc_offset: optional("grpc_timeout_header_offset", &limits.grpc_timeout_header_offset)
                    .flatten()
                    .unwrap_or_default(),
            }
        }),
    };
    Some(Forward {
        cluster: cluster?,
        timeout: cx
            .limit("timeout", action.timeout.as_ref(), Some(Duration::from_secs(15)))
            // As in Envoy, the newer limit replaces the older one.
            .filter(|_| action.max_stream_duration.is_none()),
        path_rewrite,
        host_rewrite,
        append_x_forwarded_host: action.append_x_forwarded_host,
        idle_timeout: action.idle_timeout.as_ref().map(|limit| cx.limit("idle_timeout", Some(limit), None)),
        max_stream_duration,
        priority: crate::upstream::compile::priority(action.priority()),
        upgrades,
        hash_policy: cx
            .each("hash_policy", &action.hash_policy, |cx, policy| HashPolicy::compile(policy, cx)),
    })
}

/// A substitution by regular expression: `\1` to `\9` are groups, `\0` is the whole match.
fn substitution(proto: &RegexMatchAndSubstitute, cx: &mut Cx<'_>) -> Option<Substitution> {
    let pattern = cx.required("pattern", &proto.pattern)?;
    let regex = cx.field("pattern", |cx| unanchored(pattern, cx))?;
    let groups = regex.captures_len();
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut bytes = proto.substitution.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            literal.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'\\') => literal.push(b'\\'),
            Some(digit) if digit.is_ascii_digit() && usize::from(digit - b'0') < groups => {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Group(usize::from(digit - b'0')));
            }
            Some(digit) if digit.is_ascii_digit() => {
                let highest = groups - 1;
                let digit = char::from(digit);
                cx.error_at(
                    "substitution",
                    format!("there is no group \\{digit}: the expression has {highest} groups"),
                );
                return None;
            }
            _ => {
                cx.error_at("substitution", "after `\\` a digit or another `\\` must follow");
                return None;
            }
        }
    }
    if !is_field_value(proto.substitution.as_bytes()) || proto.substitution.contains([' ', '\t']) {
        cx.error_at("substitution", "there must be no spaces or control characters in it");
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Some(Substitution { regex, parts })
}

/// A text that goes into a request line or header: `None` if it is empty.
fn header_text(field: &str, text: &str, cx: &mut Cx<'_>) -> Option<Box<[u8]>> {
    if !is_field_value(text.as_bytes()) || text.contains([' ', '\t']) {
        cx.error_at(field, "there must be no spaces or control characters in it");
    }
    (!text.is_empty()).then(|| text.as_bytes().into())
}

/// A cluster by its name.
pub(crate) fn cluster(name: &str, cx: &mut Cx<'_>) -> Option<ClusterId> {
    if name.is_empty() {
        cx.error("the name of a cluster is required");
        return None;
    }
    let found = cx.clusters.find(name);
    if found.is_none() && !cx.broken_clusters.iter().any(|broken| broken.is_empty() || broken == name) {
        let known: Vec<_> = cx.clusters.clusters.iter().map(|cluster| cluster.name.clone()).collect();
        let hint = crate::config::hint(name, &known);
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        cx.error(format!("there is no cluster `{name}`.{hint} Clusters: {known}"));
    }
    found
}

fn weighted(weighted: &proto::WeightedCluster, cx: &mut Cx<'_>) -> Option<ClusterChoice> {
    if weighted.clusters.is_empty() {
        cx.missing(&["clusters"], "`clusters` is required: at least one cluster");
    }
    let entries = cx.each("clusters", &weighted.clusters, |cx, entry| {
        let weight = cx.required("weight", &entry.weight).copied();
        let mutations = mutations!(entry, cx);
        let host_rewrite = entry.host_rewrite_specifier.as_ref().and_then(|rewrite| match rewrite {
            cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(host) => {
                header_text("host_rewrite_literal", host, cx)
            }
        });
        let cluster = cx.field("name", |cx| cluster(&entry.name, cx))?;
        Some(WeightedEntry { weight: weight?, cluster, mutations, host_rewrite })
    });
    let total: u64 = weighted.clusters.iter().map(|entry| u64::from(entry.weight.unwrap_or(0))).sum();
    let complete = weighted.clusters.iter().all(|entry| entry.weight.is_some());
    if !weighted.clusters.is_empty() && complete && (total == 0 || total > u64::from(u32::MAX)) {
        cx.error_at(
            "clusters",
            format!("the sum of all weights is {total}; it must be from 1 to 4294967295"),
        );
    }
    let entries: Vec<_> = entries.into_iter().filter(|entry| entry.weight > 0).collect();
    (!entries.is_empty()).then_some(ClusterChoice::Weighted { total, entries })
}

fn redirect(action: &proto::RedirectAction, cx: &mut Cx<'_>) -> Option<Redirect> {
    let text = |field: &str, text: &str, cx: &mut Cx<'_>| -> Option<Box<str>> {
        header_text(field, text, cx).map(|_| text.into())
    };
    let scheme = match &action.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
        Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => text("scheme_redirect", scheme, cx),
    };
    let path = match &action.path_rewrite_specifier {
        None => RedirectPath::Keep,
        Some(PathRewriteSpecifier::PathRedirect(path)) => {
            text("path_redirect", path, cx).map_or(RedirectPath::Keep, RedirectPath::Replace)
        }
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
            text("prefix_rewrite", prefix, cx).map_or(RedirectPath::Keep, RedirectPath::Prefix)
        }
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => cx
            .field("regex_rewrite", |cx| substitution(rewrite, cx))
            .map_or(RedirectPath::Keep, RedirectPath::Regex),
    };
    let port = u16::try_from(action.port_redirect).unwrap_or_else(|_| {
        cx.error_at("port_redirect", format!("{} is not a port: 0 to 65535", action.port_redirect));
        0
    });
    let status = match action.response_code() {
        RedirectResponseCode::MovedPermanently => 301,
        RedirectResponseCode::Found => 302,
        RedirectResponseCode::SeeOther => 303,
        RedirectResponseCode::TemporaryRedirect => 307,
        RedirectResponseCode::PermanentRedirect => 308,
    };
    Some(Redirect {
        scheme,
        host: text("host_redirect", &action.host_redirect, cx),
        port: (port != 0).then_some(port),
        path,
        status,
        strip_query: action.strip_query,
    })
}

fn direct(action: &proto::DirectResponseAction, limit: usize, cx: &mut Cx<'_>) -> Option<DirectResponse> {
    let status = u16::try_from(action.status).ok().filter(|status| (200..600).contains(status));
    if status.is_none() && (action.status != 0 || !cx.is_broken(&["status"])) {
        cx.error_at("status", format!("{} is not a status from 200 to 599", action.status));
    }
    let body = match &action.body {
        Some(source) => cx.field("body", |cx| data(source, cx)).unwrap_or_default(),
        None => Vec::new(),
    };
    if body.len() > limit {
        cx.error_at(
            "body",
            format!(
                "the body has {} bytes; `max_direct_response_body_size_bytes` of the route configuration allows {limit}",
                body.len()
            ),
        );
    }
    Some(DirectResponse { status: status?, body: body.into() })
}
