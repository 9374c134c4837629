//! What a route does to the request line, and where a redirect leads. Pure functions.

use super::config::{
    Forward, HostRewrite, Part, PathMatch, PathRewrite, Redirect, RedirectPath, Route, Substitution,
};
use super::table::{port, without_port};
use crate::formatter::without_query;
use nuncio_codec::{HeaderId, RequestHead};

/// Rewrites host and path; `noted` says whether the old ones are kept in headers of ours.
pub(super) fn rewrite(route: &Route, forward: &Forward, noted: bool, head: &mut RequestHead) {
    let host = match &forward.host_rewrite {
        HostRewrite::Keep => None,
        HostRewrite::Literal(host) => Some(host.to_vec()),
        HostRewrite::Header(name) => head.headers.get_key(name).map(<[u8]>::to_vec),
        HostRewrite::PathRegex(substitution) => Some(substitution.apply(without_query(head.path()))),
    };
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        set_host(&host, forward.append_x_forwarded_host, noted, head);
    }
    let path = match &forward.path_rewrite {
        PathRewrite::Keep => return,
        PathRewrite::Prefix(new) => {
            let mut path = Vec::with_capacity(new.len() + head.path().len());
            path.extend_from_slice(new);
            path.extend_from_slice(&head.path()[matched(route, head.path())..]);
            path
        }
        PathRewrite::Regex(substitution) => {
            let old = without_query(head.path());
            let mut path = substitution.apply(old);
            path.extend_from_slice(&head.path()[old.len()..]);
            path
        }
    };
    if noted {
        replace_path(head, &path);
    } else {
        head.headers.set(HeaderId::PATH, &path);
    }
}

/// Gives a request another path and notes the old one in `x-envoy-original-path`.
pub(super) fn replace_path(head: &mut RequestHead, path: &[u8]) {
    let original = head.path().to_vec();
    head.headers.set(HeaderId::X_ENVOY_ORIGINAL_PATH, &original);
    head.headers.set(HeaderId::PATH, path);
}

/// The path, with its query, of a URL that [`location`] made.
pub(super) fn path_of(url: &[u8]) -> &[u8] {
    let authority = url.windows(3).position(|bytes| bytes == b"://").map_or(0, |at| at + 3);
    let length = memchr::memchr(b'/', &url[authority..]).unwrap_or(0);
    &url[authority + length..]
}

/// The same URL with https.
pub(super) fn to_tls(head: &RequestHead) -> Vec<u8> {
    [b"https://", head.authority().unwrap_or_default(), head.path()].concat()
}

/// Replaces the host, and keeps the old one where it can be seen.
fn set_host(host: &[u8], append_x_forwarded_host: bool, noted: bool, head: &mut RequestHead) {
    let original = head.authority().unwrap_or_default().to_vec();
    if append_x_forwarded_host && !original.is_empty() {
        let mut value = head.headers.get(HeaderId::X_FORWARDED_HOST).unwrap_or_default().to_vec();
        if !value.is_empty() {
            value.push(b',');
        }
        value.extend_from_slice(&original);
        head.headers.set(HeaderId::X_FORWARDED_HOST, &value);
    }
    if noted {
        head.headers.set(HeaderId::X_ENVOY_ORIGINAL_HOST, &original);
    }
    head.headers.set(HeaderId::AUTHORITY, host);
}

impl Substitution {
    /// Replaces every match in `text`.
    pub(super) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for groups in self.regex.captures_iter(text) {
            let whole = groups.get(0).expect("a match has group 0");
            out.extend_from_slice(&text[at..whole.start()]);
            for part in &self.parts {
                match part {
                    Part::Literal(literal) => out.extend_from_slice(literal),
                    Part::Group(group) => {
                        out.extend_from_slice(groups.get(*group).map_or(b"", |found| found.as_bytes()));
                    }
                }
            }
            at = whole.end();
        }
        out.extend_from_slice(&text[at..]);
        out
    }
}

/// The URL that a redirect answers with.
pub(super) fn location(route: &Route, redirect: &Redirect, head: &RequestHead) -> Vec<u8> {
    let old_scheme = head.headers.get(HeaderId::SCHEME).unwrap_or(b"http");
    let scheme = redirect.scheme.as_deref().map_or(old_scheme, str::as_bytes);
    let authority = head.authority().unwrap_or_default();
    let mut url = Vec::with_capacity(64 + head.path().len());
    url.extend_from_slice(scheme);
    url.extend_from_slice(b"://");
    let host = match &redirect.host {
        Some(host) => host.as_bytes(),
        // A port that says what the old scheme implied must not survive a change of scheme or port.
        None if redirect.port.is_some() || drops_port(old_scheme, scheme, port(authority)) => {
            without_port(authority)
        }
        None => authority,
    };
    url.extend_from_slice(host);
    if let Some(port) = redirect.port {
        url.extend_from_slice(format!(":{port}").as_bytes());
    }
    let path = head.path();
    let query = &path[without_query(path).len()..];
    match &redirect.path {
        RedirectPath::Regex(_) => {}
        RedirectPath::Keep => url.extend_from_slice(without_query(path)),
        RedirectPath::Replace(new) => url.extend_from_slice(new.as_bytes()),
        RedirectPath::Prefix(new) => {
            url.extend_from_slice(new.as_bytes());
            url.extend_from_slice(&without_query(path)[matched(route, path).min(path.len() - query.len())..]);
        }
    }
    if let RedirectPath::Regex(substitution) = &redirect.path {
        url.extend_from_slice(&substitution.apply(without_query(path)));
    }
    // A replacement that brings its own query replaces the old one.
    let own_query = matches!(&redirect.path, RedirectPath::Replace(new) if new.contains('?'));
    if !redirect.strip_query && !own_query {
        url.extend_from_slice(query);
    }
    url
}

/// How many bytes of the path the route's matcher stands for.
fn matched(route: &Route, path: &[u8]) -> usize {
    match &route.matcher.path {
        PathMatch::Prefix(prefix) | PathMatch::SeparatedPrefix(prefix) => prefix.len(),
        PathMatch::Connect => 0,
        PathMatch::Exact(_) | PathMatch::Regex(_) => without_query(path).len(),
    }
}

fn drops_port(old: &[u8], new: &[u8], port: Option<&[u8]>) -> bool {
    old != new && matches!((old, port), (b"http", Some(b"80")) | (b"https", Some(b"443")))
}

#[cfg(test)]
mod tests {
    use super::super::config::{
        Action, ClusterChoice, DirectResponse, MaxStreamDuration, Mutations, RouteMatch,
    };
    use super::*;
    use crate::upstream::config::{ClusterId, Priority};
    use nuncio_codec::{HeaderMap, Method, Version};
    use std::sync::Arc;

    fn route(path: PathMatch) -> Route {
        let action = Action::Direct(DirectResponse { status: 200, body: Arc::from(&b""[..]) });
        Route {
            name: String::new(),
            matcher: RouteMatch { path, case_sensitive: true, headers: vec![], query: vec![] },
            mutations: Mutations::default(),
            action,
        }
    }

    fn head(authority: &str, path: &str) -> RequestHead {
        let mut headers = HeaderMap::new();
        headers.append_id(HeaderId::AUTHORITY, authority.as_bytes());
        headers.append_id(HeaderId::PATH, path.as_bytes());
        headers.append_id(HeaderId::SCHEME, b"http");
        RequestHead { version: Version::Http11, method: Method::Get, headers }
    }

    fn forward() -> Forward {
        Forward {
            cluster: ClusterChoice::One(ClusterId(0)),
            timeout: None,
            path_rewrite: PathRewrite::Keep,
            host_rewrite: HostRewrite::Keep,
            append_x_forwarded_host: false,
            idle_timeout: None,
            max_stream_duration: MaxStreamDuration::default(),
            priority: Priority::Default,
            upgrades: Vec::new(),
            hash_policy: Vec::new(),
        }
    }

    fn substitution(regex: &str, parts: &[Part]) -> Substitution {
        Substitution { regex: regex::bytes::Regex::new(regex).expect("valid"), parts: parts.to_vec() }
    }

    #[test]
    fn rewrites_by_regular_expressions() {
        let literal = |text: &str| Part::Literal(text.as_bytes().into());
        let service =
            || substitution("^/service/([^/]+)(/.*)$", &[Part::Group(2), literal("/x/"), Part::Group(1)]);
        let prefix = || PathMatch::Prefix(b"/"[..].into());
        let forwards = Forward {
            path_rewrite: PathRewrite::Regex(service()),
            host_rewrite: HostRewrite::PathRegex(substitution("^/service/([^/]+)/.*$", &[Part::Group(1)])),
            append_x_forwarded_host: true,
            ..forward()
        };
        let mut head = head("old.example", "/service/foo/v1/api?q=/service/");
        rewrite(&route(prefix()), &forwards, true, &mut head);
        assert_eq!(String::from_utf8_lossy(head.path()), "/v1/api/x/foo?q=/service/");
        assert_eq!(head.authority(), Some(&b"foo"[..]));
        assert_eq!(head.headers.get(HeaderId::X_FORWARDED_HOST), Some(&b"old.example"[..]));
        let all =
            Forward { path_rewrite: PathRewrite::Regex(substitution("one", &[literal("two")])), ..forward() };
        let mut head = self::head("a", "/xone/yone");
        rewrite(&route(prefix()), &all, true, &mut head);
        assert_eq!(head.path(), b"/xtwo/ytwo");
        let redirect = Redirect { path: RedirectPath::Regex(service()), ..Redirect::default() };
        let url = location(&route(prefix()), &redirect, &self::head("h", "/service/a/b?q"));
        assert_eq!(String::from_utf8_lossy(&url), "http://h/b/x/a?q");
    }

    #[test]
    fn rewrites() {
        let prefix = || PathMatch::Prefix(b"/api"[..].into());
        for (path, new, from, to) in [
            (prefix(), "/", "/api/x?q", "//x?q"),
            (prefix(), "/v2", "/api", "/v2"),
            (prefix(), "/v2", "/apix?q", "/v2x?q"),
            (PathMatch::SeparatedPrefix(b"/api"[..].into()), "/v2", "/api/x?q", "/v2/x?q"),
            (PathMatch::Exact(b"/api"[..].into()), "/v2", "/api?q=1", "/v2?q=1"),
        ] {
            let forward = Forward {
                path_rewrite: PathRewrite::Prefix(new.as_bytes().into()),
                host_rewrite: HostRewrite::Literal(b"new.example"[..].into()),
                ..forward()
            };
            let mut head = head("old.example", from);
            let route = route(path);
            rewrite(&route, &forward, true, &mut head);
            assert_eq!(head.path(), to.as_bytes());
            assert_eq!(head.authority(), Some(&b"new.example"[..]));
            assert_eq!(head.headers.get(HeaderId::X_ENVOY_ORIGINAL_PATH), Some(from.as_bytes()));
            let mut head = self::head("old.example", from);
            rewrite(&route, &forward, false, &mut head);
            assert_eq!(head.path(), to.as_bytes());
            assert!(!head.headers.contains(HeaderId::X_ENVOY_ORIGINAL_PATH));
            assert!(!head.headers.contains(HeaderId::X_ENVOY_ORIGINAL_HOST));
        }
    }

    #[test]
    fn redirects() {
        let text = |text: &str| Some(text.into());
        let prefix = || PathMatch::Prefix(b"/a"[..].into());
        for (redirect, authority, path, url) in [
            (Redirect::default(), "h:80", "/a?q", "http://h:80/a?q"),
            (Redirect { scheme: text("https"), ..Redirect::default() }, "h:80", "/a", "https://h/a"),
            (Redirect { scheme: text("https"), ..Redirect::default() }, "h:8080", "/a", "https://h:8080/a"),
            (
                Redirect { scheme: text("https"), port: Some(8443), ..Redirect::default() },
                "h:8080",
                "/a",
                "https://h:8443/a",
            ),
            (Redirect { scheme: text("https"), ..Redirect::default() }, "[::1]", "/a", "https://[::1]/a"),
            (Redirect { port: Some(1), ..Redirect::default() }, "[::1]:80", "/a", "http://[::1]:1/a"),
            (
                Redirect { host: text("n"), strip_query: true, ..Redirect::default() },
                "h:1",
                "/a?q",
                "http://n/a",
            ),
            (
                Redirect { path: RedirectPath::Replace("/n".into()), ..Redirect::default() },
                "h",
                "/a/b?q",
                "http://h/n?q",
            ),
            (
                Redirect { path: RedirectPath::Replace("/n?z".into()), ..Redirect::default() },
                "h",
                "/a/b?q",
                "http://h/n?z",
            ),
            (
                Redirect { path: RedirectPath::Prefix("/n".into()), ..Redirect::default() },
                "h",
                "/a/b?q",
                "http://h/n/b?q",
            ),
        ] {
            let got = location(&route(prefix()), &redirect, &head(authority, path));
            assert_eq!(String::from_utf8_lossy(&got), url);
        }
    }
}
