//! The validated form of a route configuration: compiled matchers, resolved cluster handles.
//!
//! Built on the main thread from `envoy.config.route.v3.RouteConfiguration`; shared by all workers; frozen for
//! the life of a request. How it is searched is in `router::table`.

use super::hash_policy::HashPolicy;
use super::header_ops::HeaderOps;
use crate::upstream::config::{ClusterId, Priority};
use nuncio_codec::HeaderKey;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A route configuration.
#[derive(Debug)]
pub struct RouteConfig {
    /// `RouteConfiguration.name`; may be empty.
    pub name: String,
    /// In configuration order.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Domain patterns, arranged for look-up.
    pub domains: super::table::DomainTable,
    /// `internal_only_headers`: taken out of external requests.
    pub internal_only_headers: Vec<HeaderKey>,
    /// Domains are compared without the port of `:authority`.
    pub ignore_port: bool,
    /// Header changes for every route.
    pub mutations: Mutations,
    /// Changes are made from the route configuration to the route instead of the other way round.
    pub most_specific_wins: bool,
    /// There is a change of headers anywhere.
    pub mutates: bool,
}

/// Header changes at one level of a route configuration.
#[derive(Debug, Default)]
pub struct Mutations {
    /// Of requests.
    pub request: HeaderOps,
    /// Of responses.
    pub response: HeaderOps,
}

impl Mutations {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

/// A set of routes for some domains.
#[derive(Debug)]
pub struct VirtualHost {
    /// Any name.
    pub name: String,
    /// Tried in order; the first that matches is taken.
    pub routes: Vec<Route>,
    /// Which requests must come over TLS.
    pub require_tls: RequireTls,
    /// Header changes for its routes.
    pub mutations: Mutations,
}

/// `VirtualHost.TlsRequirementType`: others are redirected to https.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum RequireTls {
    /// None.
    #[default]
    No,
    /// Those of external clients.
    External,
    /// All.
    All,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// `Route.name`; may be empty.
    pub name: String,
    /// When it applies.
    pub matcher: RouteMatch,
    /// What then happens.
    pub action: Action,
    /// Header changes.
    pub mutations: Mutations,
}

/// All conditions must hold.
#[derive(Debug)]
pub struct RouteMatch {
    /// Condition on the path.
    pub path: PathMatch,
    /// Whether literals of `path` compare with case. Default true.
    pub case_sensitive: bool,
    /// Conditions on headers.
    pub headers: Vec<HeaderMatch>,
    /// Conditions on query parameters.
    pub query: Vec<QueryMatch>,
}

/// Condition on the first value of a query parameter, as it stands in the path.
#[derive(Debug)]
pub struct QueryMatch {
    /// Which parameter.
    pub name: Box<[u8]>,
    /// The condition.
    pub test: QueryTest,
}

/// `QueryParameterMatcher.query_parameter_match_specifier`.
#[derive(Debug)]
pub enum QueryTest {
    /// `present_match`; also when no specifier is set.
    Present(bool),
    /// `string_match`.
    String(StringMatch),
}

/// Condition on `:path`. All but `Prefix` look at the part before `?`; `Prefix` at the raw path.
#[derive(Debug)]
pub enum PathMatch {
    /// `prefix`.
    Prefix(Box<[u8]>),
    /// `path`.
    Exact(Box<[u8]>),
    /// `safe_regex`; anchored at both ends when compiled.
    Regex(regex::bytes::Regex),
    /// `connect_matcher`: CONNECT requests, which no other condition matches.
    Connect,
    /// `path_separated_prefix`, without a trailing slash: the path is equal or goes on with `/`.
    SeparatedPrefix(Box<[u8]>),
}

/// Condition on one header (`envoy.config.route.v3.HeaderMatcher`).
#[derive(Debug)]
pub struct HeaderMatch {
    /// Which header; several values are joined by `,`.
    pub name: HeaderKey,
    /// The condition.
    pub test: HeaderTest,
    /// The result is turned round.
    pub invert: bool,
    /// An absent header is matched as if it were empty, instead of failing.
    pub treat_missing_as_empty: bool,
}

/// `HeaderMatcher.header_match_specifier`.
#[derive(Debug)]
pub enum HeaderTest {
    /// `present_match`; also when no specifier is set.
    Present(bool),
    /// `range_match`: a decimal number with `start <= n < end`.
    Range {
        /// Inclusive.
        start: i64,
        /// Exclusive.
        end: i64,
    },
    /// `string_match` and its deprecated forms.
    String(StringMatch),
}

/// `envoy.type.matcher.v3.StringMatcher`.
#[derive(Debug)]
pub struct StringMatch {
    /// What to compare with.
    pub pattern: StringPattern,
    /// ASCII case is ignored (not for regular expressions).
    pub ignore_case: bool,
}

/// The pattern of a [`StringMatch`]; literals are lower-case when case is ignored.
#[derive(Debug)]
pub enum StringPattern {
    /// The whole value.
    Exact(Box<[u8]>),
    /// Its start.
    Prefix(Box<[u8]>),
    /// Its end.
    Suffix(Box<[u8]>),
    /// Anywhere in it.
    Contains(Box<[u8]>),
    /// The whole value; anchored when compiled.
    Regex(regex::bytes::Regex),
}

/// What happens to a request that matched.
#[derive(Debug)]
pub enum Action {
    /// `route`.
    Forward(Box<Forward>),
    /// `redirect`.
    Redirect(Redirect),
    /// `direct_response`.
    Direct(DirectResponse),
}

/// `RouteAction`.
#[derive(Debug)]
pub struct Forward {
    /// Where to.
    pub cluster: ClusterChoice,
    /// From the end of the request to the end of the response. Default 15 s; `None` (0s) is without limit.
    pub timeout: Option<Duration>,
    /// What becomes of the path.
    pub path_rewrite: PathRewrite,
    /// What becomes of `:authority`.
    pub host_rewrite: HostRewrite,
    /// The replaced host is told in `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
    /// Overrides `stream_idle_timeout`; `Some(None)` (0s) is without limit.
    pub idle_timeout: Option<Option<Duration>>,
    /// Limits of the whole stream.
    pub max_stream_duration: MaxStreamDuration,
    /// Which circuit breakers count.
    pub priority: Priority,
    /// `upgrade_configs`: lower-case protocol, and whether it is allowed.
    pub upgrades: Vec<(Box<[u8]>, bool)>,
    /// What consistent balancing goes by.
    pub hash_policy: Vec<HashPolicy>,
}

/// `RouteAction.MaxStreamDuration`. All `Some(None)` (0s) are without limit.
#[derive(Clone, Debug, Default)]
pub struct MaxStreamDuration {
    /// Overrides that of the connection manager.
    pub max: Option<Option<Duration>>,
    /// The `grpc-timeout` header counts, up to this.
    pub grpc_max: Option<Option<Duration>>,
    /// Subtracted from it.
    pub grpc_offset: Duration,
}

/// What becomes of the path.
#[derive(Debug, Default)]
pub enum PathRewrite {
    /// Nothing.
    #[default]
    Keep,
    /// `prefix_rewrite`: replaces the matched prefix (or the whole matched path).
    Prefix(Box<[u8]>),
    /// `regex_rewrite`, on the path without its query.
    Regex(Substitution),
}

/// What becomes of `:authority`.
#[derive(Debug, Default)]
pub enum HostRewrite {
    /// Nothing.
    #[default]
    Keep,
    /// `host_rewrite_literal`.
    Literal(Box<[u8]>),
    /// `host_rewrite_header`: its value, if it has one.
    Header(HeaderKey),
    /// `host_rewrite_path_regex`: what it makes of the path without its query.
    PathRegex(Substitution),
}

/// `RegexMatchAndSubstitute`: replaces every match.
#[derive(Debug)]
pub struct Substitution {
    /// What is replaced.
    pub regex: regex::bytes::Regex,
    /// By what.
    pub parts: Vec<Part>,
}

/// A piece of a substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Literal(Box<[u8]>),
    /// A group of the match; 0 is all of it.
    Group(usize),
}

/// `RouteAction.cluster_specifier`.
#[derive(Debug)]
pub enum ClusterChoice {
    /// `cluster`.
    One(ClusterId),
    /// `cluster_header`.
    Header {
        /// The header that names the cluster.
        name: HeaderKey,
        /// Every cluster there is.
        known: HashMap<Box<[u8]>, ClusterId>,
        /// `cluster_not_found_response_code`: 503, 404 or 500.
        not_found: u16,
    },
    /// `weighted_clusters`.
    Weighted {
        /// Sum of all weights; at least 1.
        total: u64,
        /// Those with a weight above zero.
        entries: Vec<WeightedEntry>,
    },
}

/// One of several clusters.
#[derive(Debug)]
pub struct WeightedEntry {
    /// Its share of the total.
    pub weight: u32,
    /// Which.
    pub cluster: ClusterId,
    /// Header changes, before those of the route.
    pub mutations: Mutations,
    /// Replaces `:authority`, before the route has its turn.
    pub host_rewrite: Option<Box<[u8]>>,
}

/// `RedirectAction`.
#[derive(Debug, Default)]
pub struct Redirect {
    /// `https_redirect` / `scheme_redirect`.
    pub scheme: Option<Box<str>>,
    /// `host_redirect`.
    pub host: Option<Box<str>>,
    /// `port_redirect`.
    pub port: Option<u16>,
    /// `path_redirect` / `prefix_rewrite`.
    pub path: RedirectPath,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The query is dropped.
    pub strip_query: bool,
}

/// `RedirectAction.path_rewrite_specifier`.
#[derive(Debug, Default)]
pub enum RedirectPath {
    /// As requested.
    #[default]
    Keep,
    /// The whole path.
    Replace(Box<str>),
    /// The matched prefix.
    Prefix(Box<str>),
    /// `regex_rewrite`, on the path without its query.
    Regex(Substitution),
}

/// `DirectResponseAction`.
#[derive(Debug)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// At most `max_direct_response_body_size_bytes` (default 4096) bytes.
    pub body: Arc<[u8]>,
}
