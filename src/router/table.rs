//! Finding the route of a request in a compiled route configuration.
//!
//! Pure functions over the request's headers; nothing here allocates. Order of the search: virtual host by
//! domain (exact, longest `*suffix`, longest `prefix*`, `*`), then the first route whose conditions all hold.

use super::config::{
    HeaderMatch, HeaderTest, Mutations, PathMatch, QueryMatch, QueryTest, RequireTls, Route, RouteConfig,
    RouteMatch, StringMatch, StringPattern, VirtualHost,
};
use crate::formatter::{query_parameter, without_query};
use nuncio_codec::{HeaderId, HeaderMap, Method, RequestHead};
use std::collections::HashMap;

/// The longest `:authority` that is looked up; a domain name has at most 253 characters, a port 6.
const LONGEST_AUTHORITY: usize = 512;

/// Domain patterns of one route configuration. All patterns are lower-case.
#[derive(Debug, Default)]
pub struct DomainTable {
    exact: HashMap<Box<[u8]>, usize>,
    /// Without the star, longest first.
    suffixes: Vec<(Box<[u8]>, usize)>,
    /// Without the star, longest first.
    prefixes: Vec<(Box<[u8]>, usize)>,
    any: Option<usize>,
}

/// A domain pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainError {
    /// Which virtual host.
    pub vhost: usize,
    /// The pattern.
    pub domain: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl DomainTable {
    /// Arranges (virtual host, domain pattern) pairs.
    ///
    /// # Errors
    /// Every pattern that is empty, has a star in the middle, or was given before.
    pub fn build<'a>(domains: impl Iterator<Item = (usize, &'a str)>) -> Result<Self, Vec<DomainError>> {
        let mut table = Self::default();
        let mut errors = Vec::new();
        for (vhost, domain) in domains {
            if let Err(reason) = table.insert(vhost, &domain.to_ascii_lowercase()) {
                errors.push(DomainError { vhost, domain: domain.to_owned(), reason });
            }
        }
        table.suffixes.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        table.prefixes.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        if errors.is_empty() { Ok(table) } else { Err(errors) }
    }

    fn insert(&mut self, vhost: usize, domain: &str) -> Result<(), &'static str> {
        const TWICE: &str = "the domain is used more than once in this route configuration";
        if domain.is_empty() {
            return Err("a domain must not be empty");
        }
        if domain.contains(char::is_control) {
            return Err("a domain has no control characters");
        }
        if domain == "*" {
            return if self.any.replace(vhost).is_some() { Err(TWICE) } else { Ok(()) };
        }
        let list = match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
            (Some(rest), _) if !rest.contains('*') => Some((&mut self.suffixes, rest)),
            (None, Some(rest)) if !rest.contains('*') => Some((&mut self.prefixes, rest)),
            (None, None) if !domain.contains('*') => None,
            _ => return Err("a domain may have one `*`, as its first or its last character"),
        };
        match list {
            Some((list, rest)) => {
                if list.iter().any(|(text, _)| **text == *rest.as_bytes()) {
                    return Err(TWICE);
                }
                list.push((rest.as_bytes().into(), vhost));
            }
            None => {
                if self.exact.insert(domain.as_bytes().into(), vhost).is_some() {
                    return Err(TWICE);
                }
            }
        }
        Ok(())
    }

    /// The virtual host for an `:authority` whose port does not count.
    pub fn find_without_port(&self, authority: &[u8]) -> Option<usize> {
        self.find(without_port(authority))
    }

    /// The virtual host for an `:authority`, compared without case and with its port.
    pub fn find(&self, authority: &[u8]) -> Option<usize> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any;
        }
        let mut lower = [0; LONGEST_AUTHORITY];
        let Some(lower) = lower.get_mut(..authority.len()) else { return self.any };
        lower.copy_from_slice(authority);
        lower.make_ascii_lowercase();
        let lower = &*lower;
        if let Some(&vhost) = self.exact.get(lower) {
            return Some(vhost);
        }
        // A star stands for at least one character.
        let longer = |text: &[u8]| lower.len() > text.len();
        let suffix = self.suffixes.iter().find(|(text, _)| longer(text) && lower.ends_with(text));
        let prefix = || self.prefixes.iter().find(|(text, _)| longer(text) && lower.starts_with(text));
        suffix.or_else(prefix).map(|(_, vhost)| *vhost).or(self.any)
    }
}

/// A route's place in its route configuration.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RouteId {
    vhost: u32,
    route: u32,
}

/// What there is for a request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A route.
    Route(RouteId),
    /// Its virtual host wants it to come over TLS.
    NeedsTls,
    /// Nothing.
    Nothing,
}

impl RouteConfig {
    /// A configuration without routes.
    pub fn empty() -> Self {
        Self {
            name: String::new(),
            virtual_hosts: Vec::new(),
            domains: DomainTable::default(),
            internal_only_headers: Vec::new(),
            ignore_port: false,
            mutates: false,
            mutations: Mutations::default(),
            most_specific_wins: false,
        }
    }

    /// The route for a request.
    pub fn find(&self, head: &RequestHead) -> Found {
        // As in Envoy: nothing can be said of a request that does not say how it came.
        if head.headers.get(HeaderId::X_FORWARDED_PROTO).is_some_and(<[u8]>::is_empty) {
            return Found::Nothing;
        }
        let authority = head.authority().unwrap_or_default();
        let vhost = if self.ignore_port {
            self.domains.find_without_port(authority)
        } else {
            self.domains.find(authority)
        };
        let Some(vhost) = vhost else { return Found::Nothing };
        let host = &self.virtual_hosts[vhost];
        let insecure = match host.require_tls {
            RequireTls::No => false,
            RequireTls::External => !head.headers.contains(HeaderId::X_ENVOY_INTERNAL),
            RequireTls::All => true,
        };
        if insecure && head.headers.get(HeaderId::X_FORWARDED_PROTO) != Some(b"https") {
            return Found::NeedsTls;
        }
        match host.routes.iter().position(|route| route.matcher.matches(head)) {
            Some(route) => Found::Route(RouteId { vhost: vhost as u32, route: route as u32 }),
            None => Found::Nothing,
        }
    }

    /// The route at a place that [`Self::find`] gave.
    pub fn route(&self, id: RouteId) -> &Route {
        &self.virtual_host(id).routes[id.route as usize]
    }

    /// The virtual host of a route.
    pub fn virtual_host(&self, id: RouteId) -> &VirtualHost {
        &self.virtual_hosts[id.vhost as usize]
    }
}

impl RouteMatch {
    /// Whether all conditions hold.
    pub fn matches(&self, head: &RequestHead) -> bool {
        self.path.accepts(head, self.case_sensitive)
            && (self.query.is_empty() || self.query.iter().all(|query| query.matches(head.path())))
            && self.headers.iter().all(|header| header.matches(&head.headers))
    }
}

impl QueryMatch {
    /// Whether the condition holds for a path.
    pub fn matches(&self, path: &[u8]) -> bool {
        match (&self.test, query_parameter(path, &self.name)) {
            (QueryTest::Present(wanted), found) => found.is_some() == *wanted,
            (QueryTest::String(test), Some(value)) => test.matches(value),
            (QueryTest::String(_), None) => false,
        }
    }
}

impl PathMatch {
    fn accepts(&self, head: &RequestHead, case_sensitive: bool) -> bool {
        // CONNECT has no path: only its own condition is about it.
        if head.method == Method::Connect {
            return matches!(self, Self::Connect);
        }
        self.matches(head.path(), case_sensitive)
    }

    fn matches(&self, path: &[u8], case_sensitive: bool) -> bool {
        let starts = |text: &[u8], start: &[u8]| {
            text.get(..start.len()).is_some_and(|head| same(head, start, case_sensitive))
        };
        match self {
            Self::Prefix(prefix) => starts(path, prefix),
            Self::Connect => false,
            Self::Exact(exact) => same(without_query(path), exact, case_sensitive),
            Self::Regex(regex) => regex.is_match(without_query(path)),
            Self::SeparatedPrefix(prefix) => {
                let path = without_query(path);
                starts(path, prefix) && matches!(path.get(prefix.len()), None | Some(b'/'))
            }
        }
    }
}

impl HeaderMatch {
    /// Whether the condition holds for these headers.
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all_key(&self.name);
        let first = values.next();
        let present = match &self.test {
            HeaderTest::Present(wanted) => {
                return ((first.is_some() || self.treat_missing_as_empty) == *wanted) != self.invert;
            }
            test => test,
        };
        let Some(first) = first.or(self.treat_missing_as_empty.then_some(&b""[..])) else {
            // An absent header does not match, inverted or not (as Envoy decides).
            return false;
        };
        // Of several values one is enough (as Envoy decides).
        let found = std::iter::once(first).chain(values).any(|value| present.accepts(value));
        found != self.invert
    }
}

impl HeaderTest {
    fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::Range { start, end } => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .is_some_and(|number| (*start..*end).contains(&number)),
            Self::String(test) => test.matches(value),
        }
    }
}

impl StringMatch {
    /// Whether the whole of `value` fits the pattern.
    pub fn matches(&self, value: &[u8]) -> bool {
        let case = !self.ignore_case;
        match &self.pattern {
            StringPattern::Exact(text) => same(value, text, case),
            StringPattern::Prefix(text) => {
                value.get(..text.len()).is_some_and(|start| same(start, text, case))
            }
            StringPattern::Suffix(text) => {
                value.len().checked_sub(text.len()).is_some_and(|from| same(&value[from..], text, case))
            }
            StringPattern::Contains(text) if text.is_empty() => true,
            StringPattern::Contains(text) => value.windows(text.len()).any(|window| same(window, text, case)),
            StringPattern::Regex(regex) => regex.is_match(value),
        }
    }
}

/// The port of an authority, if it has one.
pub fn port(authority: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b':', authority)?;
    let port = &authority[at + 1..];
    (!port.is_empty() && port.iter().all(u8::is_ascii_digit)).then_some(port)
}

/// An authority without its port.
pub fn without_port(authority: &[u8]) -> &[u8] {
    port(authority).map_or(authority, |port| &authority[..authority.len() - port.len() - 1])
}

fn same(a: &[u8], b: &[u8], case_sensitive: bool) -> bool {
    if case_sensitive { a == b } else { a.eq_ignore_ascii_case(b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_codec::{HeaderId, HeaderKey, Method, Version};

    fn table(domains: &[&str]) -> DomainTable {
        DomainTable::build(domains.iter().copied().enumerate()).expect("valid domains")
    }

    #[test]
    fn domains_go_from_exact_over_suffix_and_prefix_to_any() {
        let table = table(&["*", "a.example", "*.example", "*.b.example", "a.*", "a.exam*", "c.example:80"]);
        for (authority, vhost) in [
            ("a.example", 1),
            ("A.EXAMPLE", 1),
            ("x.example", 2),
            ("x.b.example", 3),
            (".example", 0),
            ("a.org", 4),
            ("a.examine", 5),
            ("a.", 0),
            ("c.example:80", 6),
            ("c.example", 2),
            ("c.example:81", 0),
            ("", 0),
        ] {
            assert_eq!(table.find(authority.as_bytes()), Some(vhost), "{authority}");
        }
        assert_eq!(table.find(&[b'a'; 4000]), Some(0));
    }

    #[test]
    fn bad_domains_are_all_reported() {
        let errors = DomainTable::build(
            ["a", "A", "*", "*", "", "a*b", "**", "*.x", "*.X", "x*", "x*"].into_iter().enumerate(),
        )
        .expect_err("bad domains");
        assert_eq!(errors.iter().map(|error| error.vhost).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 8, 10]);
    }

    #[test]
    fn no_domain_no_host() {
        assert_eq!(table(&["a"]).find(b"b"), None);
        assert_eq!(table(&[]).find(b"b"), None);
    }

    #[test]
    fn paths() {
        let regex = |text| PathMatch::Regex(regex::bytes::Regex::new(text).expect("regex"));
        let bytes = |text: &str| text.as_bytes().into();
        for (matcher, case, path, expected) in [
            (PathMatch::Prefix(bytes("/a")), true, "/ab?x", true),
            (PathMatch::Prefix(bytes("/a?x")), true, "/a?xy", true),
            (PathMatch::Prefix(bytes("/a")), true, "/A", false),
            (PathMatch::Prefix(bytes("/a")), false, "/A", true),
            (PathMatch::Prefix(bytes("/long")), true, "/l", false),
            (PathMatch::Exact(bytes("/a")), true, "/a?q=1", true),
            (PathMatch::Exact(bytes("/a")), true, "/a/", false),
            (PathMatch::Exact(bytes("/a")), false, "/A", true),
            (regex("^(?:/[0-9]+)$"), true, "/12?x", true),
            (regex("^(?:/[0-9]+)$"), true, "/12/x", false),
            (PathMatch::SeparatedPrefix(bytes("/a")), true, "/a", true),
            (PathMatch::SeparatedPrefix(bytes("/a")), true, "/a/b", true),
            (PathMatch::SeparatedPrefix(bytes("/a")), true, "/a?b", true),
            (PathMatch::SeparatedPrefix(bytes("/a")), true, "/ab", false),
            (PathMatch::SeparatedPrefix(bytes("/a")), true, "/", false),
        ] {
            assert_eq!(matcher.matches(path.as_bytes(), case), expected, "{matcher:?} {path}");
        }
    }

    #[test]
    fn query_parameters() {
        let exact = |text: &str| {
            QueryTest::String(StringMatch {
                pattern: StringPattern::Exact(text.as_bytes().into()),
                ignore_case: false,
            })
        };
        for (path, name, test, expected) in [
            ("/a?x=1&y=2", "y", exact("2"), true),
            ("/a?x=1&x=2", "x", exact("2"), false),
            ("/a?x", "x", exact(""), true),
            ("/a?x", "x", QueryTest::Present(true), true),
            ("/a?xy=1", "x", QueryTest::Present(true), false),
            ("/a", "x", QueryTest::Present(true), false),
            ("/a", "x", QueryTest::Present(false), true),
            ("/a?", "", QueryTest::Present(true), true),
        ] {
            let matcher = QueryMatch { name: name.as_bytes().into(), test };
            assert_eq!(matcher.matches(path.as_bytes()), expected, "{path} {matcher:?}");
        }
    }

    #[test]
    fn tls_can_be_required() {
        let mut config = RouteConfig { domains: table(&["*"]), ..RouteConfig::empty() };
        config.virtual_hosts.push(VirtualHost {
            name: "v".to_owned(),
            routes: Vec::new(),
            require_tls: RequireTls::All,
            mutations: Mutations::default(),
        });
        for (require, headers, expected) in [
            (RequireTls::All, &[("x-forwarded-proto", "http")][..], Found::NeedsTls),
            (RequireTls::All, &[("x-forwarded-proto", "https")], Found::Nothing),
            (RequireTls::External, &[("x-forwarded-proto", "http")], Found::NeedsTls),
            (
                RequireTls::External,
                &[("x-forwarded-proto", "http"), ("x-envoy-internal", "true")],
                Found::Nothing,
            ),
        ] {
            config.virtual_hosts[0].require_tls = require;
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name.as_bytes(), value.as_bytes());
            }
            let head = RequestHead { version: Version::Http11, method: Method::Get, headers: map };
            assert_eq!(config.find(&head), expected, "{require:?} {headers:?}");
        }
    }

    #[test]
    fn headers() {
        let mut map = HeaderMap::new();
        map.append(b"x-one", b"alpha");
        map.append(b"x-two", b"1");
        map.append(b"x-two", b"2");
        map.append(b"x-num", b"-5");
        let string = |pattern, ignore_case| HeaderTest::String(StringMatch { pattern, ignore_case });
        let b = |text: &str| text.as_bytes().into();
        for (name, test, invert, empty, expected) in [
            ("x-one", HeaderTest::Present(true), false, false, true),
            ("x-one", HeaderTest::Present(false), false, false, false),
            ("x-none", HeaderTest::Present(true), false, false, false),
            ("x-none", HeaderTest::Present(true), false, true, true),
            ("x-none", HeaderTest::Present(true), true, false, true),
            ("x-none", HeaderTest::Present(false), false, false, true),
            ("x-one", string(StringPattern::Exact(b("alpha")), false), false, false, true),
            ("x-one", string(StringPattern::Exact(b("alpha")), false), true, false, false),
            ("x-one", string(StringPattern::Prefix(b("al")), false), false, false, true),
            ("x-one", string(StringPattern::Suffix(b("ha")), false), false, false, true),
            ("x-one", string(StringPattern::Contains(b("PH")), true), false, false, true),
            ("x-one", string(StringPattern::Contains(b("PH")), false), false, false, false),
            ("x-two", string(StringPattern::Exact(b("2")), false), false, false, true),
            ("x-two", string(StringPattern::Exact(b("2")), false), true, false, false),
            ("x-two", string(StringPattern::Exact(b("1,2")), false), false, false, false),
            ("x-none", string(StringPattern::Exact(b("")), false), false, true, true),
            ("x-none", string(StringPattern::Exact(b("a")), false), true, false, false),
            ("x-none", string(StringPattern::Exact(b("a")), false), true, true, true),
            ("x-num", HeaderTest::Range { start: -5, end: 0 }, false, false, true),
            ("x-num", HeaderTest::Range { start: -4, end: 0 }, false, false, false),
            ("x-one", HeaderTest::Range { start: -4, end: 0 }, false, false, false),
        ] {
            let matcher = HeaderMatch {
                name: HeaderKey::new(name).expect("name"),
                test,
                invert,
                treat_missing_as_empty: empty,
            };
            assert_eq!(matcher.matches(&map), expected, "{matcher:?}");
        }
    }

    #[test]
    fn the_first_route_that_matches_is_taken() {
        let route = |prefix: &str, name: &str| Route {
            name: name.to_owned(),
            matcher: RouteMatch {
                path: PathMatch::Prefix(prefix.as_bytes().into()),
                case_sensitive: true,
                headers: Vec::new(),
                query: Vec::new(),
            },
            mutations: Mutations::default(),
            action: super::super::config::Action::Direct(super::super::config::DirectResponse {
                status: 200,
                body: std::sync::Arc::from(&b""[..]),
            }),
        };
        let config = RouteConfig {
            name: String::new(),
            virtual_hosts: vec![VirtualHost {
                name: "v".to_owned(),
                routes: vec![route("/a", "first"), route("/ab", "never"), route("/b", "second")],
                require_tls: RequireTls::No,
                mutations: Mutations::default(),
            }],
            domains: table(&["*"]),
            ..RouteConfig::empty()
        };
        let mut head =
            RequestHead { version: Version::Http11, method: Method::Get, headers: HeaderMap::new() };
        for (path, name) in [("/ab", Some("first")), ("/b", Some("second")), ("/c", None)] {
            head.headers.set(HeaderId::PATH, path.as_bytes());
            let found = match config.find(&head) {
                Found::Route(id) => Some(config.route(id).name.as_str()),
                _ => None,
            };
            assert_eq!(found, name);
        }
    }
}
