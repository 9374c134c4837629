//! The validated form of a route configuration: compiled matchers, resolved cluster handles.
//!
//! Built on the main thread from `envoy.config.route.v3.RouteConfiguration`; shared by all workers; frozen for
//! the life of a request. How it is searched is in `router::table`.

use crate::upstream::config::ClusterId;
use nuncio_codec::HeaderKey;
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
}

/// A set of routes for some domains.
#[derive(Debug)]
pub struct VirtualHost {
    /// Any name.
    pub name: String,
    /// Tried in order; the first that matches is taken.
    pub routes: Vec<Route>,
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
    Forward(Forward),
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
    /// Replaces the matched prefix (or the whole matched path).
    pub prefix_rewrite: Option<Box<[u8]>>,
    /// Replaces `:authority`.
    pub host_rewrite: Option<Box<[u8]>>,
}

/// `RouteAction.cluster_specifier`.
#[derive(Debug)]
pub enum ClusterChoice {
    /// `cluster`.
    One(ClusterId),
    /// `weighted_clusters`.
    Weighted {
        /// Sum of all weights; at least 1.
        total: u64,
        /// Weight and cluster; zero weights are left out.
        entries: Vec<(u32, ClusterId)>,
    },
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
}

/// `DirectResponseAction`.
#[derive(Debug)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// At most `max_direct_response_body_size_bytes` (default 4096) bytes.
    pub body: Arc<[u8]>,
}
