//! What a route does to the request line, and where a redirect leads. Pure functions.

use super::config::{Forward, PathMatch, Redirect, RedirectPath, Route};
use super::table::without_query;
use nuncio_codec::{HeaderId, RequestHead};

/// Applies `prefix_rewrite` and `host_rewrite_literal`.
pub(super) fn rewrite(route: &Route, forward: &Forward, head: &mut RequestHead) {
    if let Some(new) = &forward.prefix_rewrite {
        let mut path = Vec::with_capacity(new.len() + head.path().len());
        path.extend_from_slice(new);
        path.extend_from_slice(&head.path()[matched(route, head.path())..]);
        let original = head.path().to_vec();
        head.headers.set(HeaderId::X_ENVOY_ORIGINAL_PATH, &original);
        head.headers.set(HeaderId::PATH, &path);
    }
    if let Some(host) = &forward.host_rewrite {
        let original = head.authority().unwrap_or_default().to_vec();
        head.headers.set(HeaderId::X_ENVOY_ORIGINAL_HOST, &original);
        head.headers.set(HeaderId::AUTHORITY, host);
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
        RedirectPath::Keep => url.extend_from_slice(without_query(path)),
        RedirectPath::Replace(new) => url.extend_from_slice(new.as_bytes()),
        RedirectPath::Prefix(new) => {
            url.extend_from_slice(new.as_bytes());
            url.extend_from_slice(&without_query(path)[matched(route, path).min(path.len() - query.len())..]);
        }
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
        PathMatch::Exact(_) | PathMatch::Regex(_) => without_query(path).len(),
    }
}

fn drops_port(old: &[u8], new: &[u8], port: Option<&[u8]>) -> bool {
    old != new && matches!((old, port), (b"http", Some(b"80")) | (b"https", Some(b"443")))
}

fn port(authority: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b':', authority)?;
    let port = &authority[at + 1..];
    (!port.is_empty() && port.iter().all(u8::is_ascii_digit)).then_some(port)
}

fn without_port(authority: &[u8]) -> &[u8] {
    port(authority).map_or(authority, |port| &authority[..authority.len() - port.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::super::config::{Action, ClusterChoice, DirectResponse, RouteMatch};
    use super::*;
    use crate::upstream::config::ClusterId;
    use nuncio_codec::{HeaderMap, Method, Version};
    use std::sync::Arc;

    fn route(path: PathMatch) -> Route {
        let action = Action::Direct(DirectResponse { status: 200, body: Arc::from(&b""[..]) });
        Route {
            name: String::new(),
            matcher: RouteMatch { path, case_sensitive: true, headers: vec![] },
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
                cluster: ClusterChoice::One(ClusterId(0)),
                timeout: None,
                prefix_rewrite: Some(new.as_bytes().into()),
                host_rewrite: Some(b"new.example"[..].into()),
            };
            let mut head = head("old.example", from);
            rewrite(&route(path), &forward, &mut head);
            assert_eq!(head.path(), to.as_bytes());
            assert_eq!(head.authority(), Some(&b"new.example"[..]));
            assert_eq!(head.headers.get(HeaderId::X_ENVOY_ORIGINAL_PATH), Some(from.as_bytes()));
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
