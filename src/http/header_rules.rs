//! What the connection manager demands of a request, and what it adds to and takes from heads on their way.
//!
//! The order of the checks is Envoy's (`ConnectionManagerImpl::ActiveStream::decodeHeaders`), since it decides
//! which answer a request with several faults gets.

use super::config::{HcmConfig, HostPort, RequestId, ServerHeader, Underscores};
use super::forwarding::{self, Client, Ends};
use super::path::{Normalized, normalize};
use crate::io::Rng;
use crate::router::Cause;
use crate::router::table::{port, without_port};
use nuncio_codec::{HeaderId, Method, RequestHead, ResponseHead, Version, h1};
use nuncio_reactor::Address;

/// Why a request is refused before it reaches any filter. What can be mended, as the configuration says, is mended.
pub(super) fn check(head: &mut RequestHead, config: &HcmConfig, local: Option<&Address>) -> Option<Cause> {
    if config.underscores != Underscores::Allow
        && head.headers.iter().any(|header| header.name.contains(&b'_'))
    {
        if config.underscores == Underscores::Reject {
            return Some(Cause::Underscore { h2: head.version == Version::H2 });
        }
        head.headers.retain(|header| !header.name.contains(&b'_'));
    }
    let nameless = head.authority().is_none();
    match &config.default_host {
        Some(host) if nameless && head.version == Version::Http10 => {
            head.headers.set(HeaderId::AUTHORITY, host);
        }
        // Without a default, HTTP/1.0 gets by without a host.
        _ if nameless && head.version != Version::Http10 => return Some(Cause::MissingHost),
        _ => {}
    }
    if head.method != Method::Connect {
        if !head.path().starts_with(b"/") {
            return Some(Cause::PathRejected);
        }
        if head.path().contains(&b'#') {
            return Some(Cause::FragmentInPath);
        }
        match normalize(head.path(), &config.path) {
            Normalized::Unchanged => {}
            Normalized::Changed(path) => {
                let path = path.into_owned();
                head.headers.set(HeaderId::PATH, &path);
            }
            Normalized::Redirect(path) => {
                return Some(Cause::NormalizedPath { location: path.into_owned() });
            }
            Normalized::Rejected => return Some(Cause::PathNormalization),
        }
    }
    normalize_host(head, config, local);
    None
}

/// Takes the port, or a dot at the end, out of the host.
fn normalize_host(head: &mut RequestHead, config: &HcmConfig, local: Option<&Address>) {
    let Some(authority) = head.authority() else { return };
    let default_port = if head.headers.get(HeaderId::SCHEME) == Some(b"https") { 443 } else { 80 };
    let mut host = authority;
    let strip = match config.strip_port {
        HostPort::Keep => false,
        HostPort::StripAny => true,
        HostPort::StripMatching => {
            let own = match local {
                Some(Address::Inet(local)) => local.port(),
                _ => default_port,
            };
            port(authority) == Some(own.to_string().as_bytes())
        }
    };
    // The port of CONNECT is where it goes to.
    if strip && head.method != Method::Connect {
        host = without_port(host);
    }
    let mut text;
    if config.strip_trailing_dot && without_port(host).ends_with(b".") {
        let name = without_port(host);
        text = name[..name.len() - 1].to_vec();
        text.extend_from_slice(&host[name.len()..]);
    } else if host.len() != authority.len() {
        text = host.to_vec();
    } else {
        return;
    }
    head.headers.set(HeaderId::AUTHORITY, &text);
}

/// The protocol to which a request wants to upgrade its connection; `connection: upgrade` goes with the header.
pub(super) fn upgrade(head: &RequestHead) -> Option<&[u8]> {
    if head.method == Method::Connect {
        return Some(b"CONNECT");
    }
    let protocol = head.headers.get(HeaderId::UPGRADE)?;
    let asked = head
        .headers
        .get_all(HeaderId::CONNECTION)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    asked.then_some(protocol)
}

/// Whether the client waits for `100 Continue`; the header is taken out unless the upstream is to answer it.
pub(super) fn take_expectation(head: &mut RequestHead, pass_on: bool) -> bool {
    let expects = head
        .headers
        .get(HeaderId::EXPECT)
        .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"));
    if expects && !pass_on {
        head.headers.remove(HeaderId::EXPECT);
    }
    expects && !pass_on
}

/// Makes a request fit to be sent upstream, and says who its client is.
pub(super) fn prepare_request(
    head: &mut RequestHead,
    upgrade: bool,
    ends: Ends<'_>,
    config: &HcmConfig,
    rng: &mut Rng,
) -> Client {
    h1::strip_hop_by_hop(&mut head.headers, upgrade);
    let client = forwarding::prepare(head, ends, config);
    let headers = &mut head.headers;
    if let Some(agent) = &config.user_agent {
        headers.set(HeaderId::X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER, &agent.cluster);
        if headers.get(HeaderId::USER_AGENT).is_none_or(<[u8]>::is_empty) {
            headers.set(HeaderId::USER_AGENT, &agent.cluster);
        }
        if !agent.node.is_empty() {
            headers.set(HeaderId::X_ENVOY_DOWNSTREAM_SERVICE_NODE, &agent.node);
        }
    }
    if let Some(via) = &config.via {
        forwarding::append_to_list(headers, HeaderId::VIA, b", ", via);
    }
    let RequestId { generate, preserve_external, .. } = config.request_id;
    if generate && (!headers.contains(HeaderId::X_REQUEST_ID) || (client.edge && !preserve_external)) {
        headers.set(HeaderId::X_REQUEST_ID, &rng.uuid());
    }
    match &config.scheme {
        Some(scheme) => {
            headers.set(HeaderId::SCHEME, scheme);
            headers.set(HeaderId::X_FORWARDED_PROTO, scheme);
        }
        None => match headers.get(HeaderId::SCHEME) {
            Some(b"http" | b"https") => {}
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => headers.set(HeaderId::SCHEME, b"http"),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => headers.set(HeaderId::SCHEME, b"https"),
            // None, or one that says nothing here.
            _ => {
                let https = headers
                    .get(HeaderId::X_FORWARDED_PROTO)
                    .is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"));
                headers.set(HeaderId::SCHEME, if https { b"https" } else { b"http" });
            }
        },
    }
    client
}

/// Makes a response fit to be sent downstream. `request` is what it answers; `switched` says that it opens a tunnel.
pub(super) fn prepare_response(
    head: &mut ResponseHead,
    request: &RequestHead,
    switched: bool,
    config: &HcmConfig,
    date: &[u8],
) {
    h1::strip_hop_by_hop(&mut head.headers, switched);
    if config.request_id.always_in_response
        && let Some(id) = request.headers.get(HeaderId::X_REQUEST_ID)
    {
        head.headers.set(HeaderId::X_REQUEST_ID, id);
    }
    if let Some(via) = &config.via {
        forwarding::append_to_list(&mut head.headers, HeaderId::VIA, b", ", via);
    }
    if !head.headers.contains(HeaderId::DATE) {
        head.headers.append_id(HeaderId::DATE, date);
    }
    let absent = !head.headers.contains(HeaderId::SERVER);
    match config.server_header {
        ServerHeader::Overwrite => head.headers.set(HeaderId::SERVER, &config.server_name),
        ServerHeader::AppendIfAbsent if absent => {
            head.headers.append_id(HeaderId::SERVER, &config.server_name);
        }
        ServerHeader::AppendIfAbsent | ServerHeader::PassThrough => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{Cidr, HcmConfig, RouterConfig, Terminal};
    use super::*;
    use crate::router::config::RouteConfig;
    use crate::stats::{Http1Stats, Http2Stats, HttpStats, ListenerHttpStats, Registry};
    use nuncio_codec::HeaderMap;
    use std::sync::Arc;

    fn config() -> HcmConfig {
        let mut registry = Registry::new();
        let stats = (
            HttpStats::register(&mut registry, "http.t."),
            Http1Stats::register(&mut registry, "http1."),
            Http2Stats::register(&mut registry, "http2."),
            ListenerHttpStats::register(&mut registry, "listener.t.http.t."),
        );
        let router = Terminal::Router(RouterConfig::default());
        let mut config = HcmConfig::new("t", stats, Arc::new(RouteConfig::empty()), router);
        config.request_id.generate = false;
        config
    }

    fn head(method: &str, headers: &[(&str, &str)]) -> RequestHead {
        let mut map = HeaderMap::new();
        map.append(b":method", method.as_bytes());
        for (name, value) in headers {
            map.append(name.as_bytes(), value.as_bytes());
        }
        RequestHead { version: Version::Http11, method: Method::of(method.as_bytes()), headers: map }
    }

    fn address(text: &str) -> Address {
        text.parse().expect("an address")
    }

    fn text(headers: &HeaderMap, name: &str) -> String {
        let values: Vec<_> = headers
            .iter()
            .filter(|header| header.name == name.as_bytes())
            .map(|header| header.value)
            .collect();
        String::from_utf8(values.join(&b'|')).expect("ASCII")
    }

    #[test]
    fn refusals_in_order() {
        let details = |head: &mut RequestHead| {
            check(head, &config(), None).map(|cause| cause.row().details.into_owned())
        };
        for (method, headers, expected) in [
            ("GET", &[(":path", "/"), (":authority", "a")][..], None),
            ("GET", &[(":path", "x")], Some("missing_host_header")),
            ("GET", &[(":path", "/"), (":authority", "")], None),
            ("GET", &[(":path", "x"), (":authority", "a")], Some("absolute_path_rejected")),
            ("GET", &[(":path", "*"), (":authority", "a")], Some("absolute_path_rejected")),
            ("OPTIONS", &[(":path", "*"), (":authority", "a")], Some("absolute_path_rejected")),
            ("GET", &[(":path", "/a#b"), (":authority", "a")], Some("path_normalization_failed")),
            ("CONNECT", &[(":authority", "a:1")], None),
            ("GET", &[(":path", "/"), (":authority", "a"), ("upgrade", "websocket")], None),
        ] {
            assert_eq!(details(&mut head(method, headers)).as_deref(), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn hosts_lose_ports_and_dots() {
        for (mode, dot, authority, local, expected) in [
            (HostPort::Keep, false, "a:80", 80, "a:80"),
            (HostPort::StripMatching, false, "a:80", 80, "a"),
            (HostPort::StripMatching, false, "a:81", 80, "a:81"),
            (HostPort::StripMatching, false, "[::1]:80", 80, "[::1]"),
            (HostPort::StripMatching, false, "[::1]", 1, "[::1]"),
            (HostPort::StripAny, false, "a:81", 80, "a"),
            (HostPort::StripAny, false, "a", 80, "a"),
            (HostPort::Keep, true, "a.", 80, "a"),
            (HostPort::Keep, true, "a.:81", 80, "a:81"),
            (HostPort::StripAny, true, "a.:81", 80, "a"),
        ] {
            let mut config = config();
            (config.strip_port, config.strip_trailing_dot) = (mode, dot);
            let mut head = head("GET", &[(":path", "/"), (":authority", authority)]);
            let local = address(&format!("127.0.0.1:{local}"));
            assert!(check(&mut head, &config, Some(&local)).is_none());
            assert_eq!(text(&head.headers, ":authority"), expected, "{mode:?} {authority}");
        }
    }

    #[test]
    fn underscores() {
        for (action, left, refused) in [
            (Underscores::Allow, "1", false),
            (Underscores::Drop, "", false),
            (Underscores::Reject, "1", true),
        ] {
            let mut config = config();
            config.underscores = action;
            let mut head = head("GET", &[(":path", "/"), (":authority", "a"), ("x_y", "1")]);
            assert_eq!(check(&mut head, &config, None).is_some(), refused);
            assert_eq!(text(&head.headers, "x_y"), left);
        }
    }

    #[test]
    fn old_clients_get_a_host() {
        let mut config = config();
        config.default_host = Some(b"old.example"[..].into());
        let mut old = head("GET", &[(":path", "/")]);
        old.version = Version::Http10;
        assert!(check(&mut old, &config, None).is_none());
        assert_eq!(text(&old.headers, ":authority"), "old.example");
        assert!(check(&mut head("GET", &[(":path", "/")]), &config, None).is_some());
    }

    #[test]
    fn a_request_is_prepared() {
        let mut head = head(
            "GET",
            &[
                (":path", "/"),
                (":authority", "a"),
                ("connection", "keep-alive, x-hop"),
                ("x-hop", "1"),
                ("te", "gzip"),
                ("expect", "100-Continue"),
                ("x-stays", "1"),
            ],
        );
        assert!(take_expectation(&mut head, false));
        assert!(!take_expectation(&mut head, false));
        let peer = address("10.0.0.1:1");
        let ends = Ends { local: None, peer: &peer, secure: false, tls: None };
        let mut config = config();
        config.request_id.generate = true;
        prepare_request(&mut head, false, ends, &config, &mut Rng::seeded(1));
        let names: Vec<_> =
            head.headers.iter().map(|header| String::from_utf8_lossy(header.name).into_owned()).collect();
        assert_eq!(
            names,
            [":method", ":path", ":authority", "x-stays", "x-forwarded-proto", "x-request-id", ":scheme"]
        );
    }

    /// Remote address used, hops, forwarded for, peer: what is forwarded, internal, external address, client.
    #[test]
    fn who_the_client_is() {
        for (remote, hops, given, peer, forwarded, internal, external, client) in [
            (false, 0, "", "10.0.0.1:1", "", "", "", None),
            (false, 0, "10.1.2.3", "9.9.9.9:1", "10.1.2.3", "true", "", Some("10.1.2.3")),
            (false, 0, "1.2.3.4, 10.1.2.3", "9.9.9.9:1", "1.2.3.4, 10.1.2.3", "", "", Some("10.1.2.3")),
            (false, 1, "1.2.3.4,10.1.2.3", "9.9.9.9:1", "1.2.3.4,10.1.2.3", "", "", Some("1.2.3.4")),
            (false, 0, "nonsense", "9.9.9.9:1", "nonsense", "", "", None),
            (true, 0, "", "9.9.9.9:1", "9.9.9.9", "", "9.9.9.9", None),
            (true, 0, "", "10.0.0.1:1", "10.0.0.1", "true", "", None),
            (true, 0, "1.2.3.4", "10.0.0.1:1", "1.2.3.4,10.0.0.1", "", "10.0.0.1", None),
            (true, 1, "1.2.3.4", "10.0.0.1:1", "1.2.3.4,10.0.0.1", "", "1.2.3.4", Some("1.2.3.4")),
            (true, 2, "1.2.3.4", "10.0.0.1:1", "1.2.3.4,10.0.0.1", "", "10.0.0.1", None),
            (true, 0, "", "[2001:db8::1]:1", "2001:db8::1", "", "2001:db8::1", None),
        ] {
            let mut config = config();
            config.forwarding.use_remote_address = remote;
            config.forwarding.trusted_hops = hops;
            config.forwarding.internal = vec![Cidr::new("10.0.0.0".parse().expect("an address"), 8)];
            let mut head = head("GET", &[(":path", "/"), ("x-envoy-internal", "true")]);
            if !given.is_empty() {
                head.headers.append(b"x-forwarded-for", given.as_bytes());
            }
            let peer = address(peer);
            let ends = Ends { local: None, peer: &peer, secure: false, tls: None };
            let found = prepare_request(&mut head, false, ends, &config, &mut Rng::seeded(1));
            let case = format!("{remote} {hops} {given} {peer}");
            assert_eq!(text(&head.headers, "x-forwarded-for"), forwarded, "{case}");
            assert_eq!(text(&head.headers, "x-envoy-internal"), internal, "{case}");
            assert_eq!(text(&head.headers, "x-envoy-external-address"), external, "{case}");
            assert_eq!(found.address.map(|address| address.to_string()).as_deref(), client, "{case}");
        }
    }

    #[test]
    fn claims_of_outsiders_do_not_count() {
        let claims = [
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-upstream-rq-timeout-ms", "1"),
            ("x-forwarded-client-cert", "By=me"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "mine"),
        ];
        for (remote, left) in [(false, ["", "", "", "https", "mine"]), (true, ["", "", "", "http", "-"])] {
            let mut config = config();
            config.request_id.generate = true;
            config.forwarding.use_remote_address = remote;
            let mut head = head("GET", &claims);
            let peer = address("9.9.9.9:1");
            let ends = Ends { local: None, peer: &peer, secure: false, tls: None };
            prepare_request(&mut head, false, ends, &config, &mut Rng::seeded(1));
            for ((name, _), left) in claims.iter().zip(left) {
                let got = text(&head.headers, name);
                if left == "-" {
                    assert!(got.len() == 36 && got != "mine", "{name}");
                } else {
                    assert_eq!(got, left, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_response_is_prepared() {
        for (server, given, expected) in [
            (ServerHeader::Overwrite, Some("nginx"), "us"),
            (ServerHeader::AppendIfAbsent, Some("nginx"), "nginx"),
            (ServerHeader::AppendIfAbsent, None, "us"),
            (ServerHeader::PassThrough, Some("nginx"), "nginx"),
            (ServerHeader::PassThrough, None, ""),
        ] {
            let mut config = config();
            config.server_name = b"us"[..].into();
            config.server_header = server;
            config.via = Some(b"1.1 us"[..].into());
            config.request_id.always_in_response = true;
            let request = head("GET", &[("x-request-id", "7")]);
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.append(b"server", given.as_bytes());
            }
            headers.append(b"via", b"1.0 other");
            headers.append(b"keep-alive", b"timeout=5");
            let mut head = ResponseHead { version: Version::Http11, status: 200, headers };
            prepare_response(&mut head, &request, false, &config, b"today");
            for (name, value) in [
                ("server", expected),
                ("date", "today"),
                ("via", "1.0 other, 1.1 us"),
                ("keep-alive", ""),
                ("x-request-id", "7"),
            ] {
                assert_eq!(text(&head.headers, name), value, "{name} {server:?}");
            }
        }
    }
}
