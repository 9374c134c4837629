//! What the connection manager demands of a request, and what it adds to and takes from heads on their way.
//!
//! The order of the checks is Envoy's (`ConnectionManagerImpl::ActiveStream::decodeHeaders`), since it decides
//! which answer a request with several faults gets.

use crate::io::Rng;
use crate::router::Cause;
use nuncio_codec::{HeaderId, HeaderMap, Method, RequestHead, ResponseHead, Version, h1};

/// The value of the `server` header.
const SERVER: &[u8] = b"envoy";

/// Why a request is refused before it reaches any filter.
pub(super) fn refusal(head: &RequestHead) -> Option<Cause> {
    if head.authority().is_none_or(<[u8]>::is_empty) && head.version != Version::Http10 {
        return Some(Cause::MissingHost);
    }
    if head.method == Method::Connect {
        // Only a route with a CONNECT matcher takes it, and there are none.
        return Some(Cause::NoRoute);
    }
    if !head.path().starts_with(b"/") {
        return Some(Cause::PathRejected);
    }
    if head.path().contains(&b'#') {
        return Some(Cause::FragmentInPath);
    }
    None
}

/// Whether `connection: upgrade` goes with an `upgrade` header.
pub(super) fn asks_upgrade(headers: &HeaderMap) -> bool {
    headers.contains(HeaderId::UPGRADE)
        && headers
            .get_all(HeaderId::CONNECTION)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Whether the client waits for `100 Continue`; the header is taken out, since it is answered here.
pub(super) fn take_expectation(head: &mut RequestHead) -> bool {
    let expects = head
        .headers
        .get(HeaderId::EXPECT)
        .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"));
    if expects {
        head.headers.remove(HeaderId::EXPECT);
    }
    expects
}

/// Makes a request fit to be sent upstream.
pub(super) fn prepare_request(head: &mut RequestHead, rng: &mut Rng) {
    h1::strip_hop_by_hop(&mut head.headers, false);
    // No address counts as internal unless configured, so nobody may claim it.
    head.headers.remove(HeaderId::X_ENVOY_INTERNAL);
    if !head.headers.contains(HeaderId::X_FORWARDED_PROTO) {
        head.headers.append_id(HeaderId::X_FORWARDED_PROTO, b"http");
    }
    if !head.headers.contains(HeaderId::SCHEME) {
        let https = head.headers.get(HeaderId::X_FORWARDED_PROTO) == Some(b"https");
        head.headers.append_id(HeaderId::SCHEME, if https { b"https" } else { b"http" });
    }
    if !head.headers.contains(HeaderId::X_REQUEST_ID) {
        head.headers.append_id(HeaderId::X_REQUEST_ID, &uuid4(rng));
    }
}

/// Makes a response fit to be sent downstream.
pub(super) fn prepare_response(head: &mut ResponseHead, date: &[u8]) {
    h1::strip_hop_by_hop(&mut head.headers, false);
    head.headers.set(HeaderId::SERVER, SERVER);
    if !head.headers.contains(HeaderId::DATE) {
        head.headers.append_id(HeaderId::DATE, date);
    }
}

/// A random UUID (RFC 9562 section 5.4) in text.
fn uuid4(rng: &mut Rng) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut bits = (u128::from(rng.bits()) << 64) | u128::from(rng.bits());
    // Version 4, variant 10.
    bits = bits & !(0xf << 76) | (0x4 << 76);
    bits = bits & !(0x3 << 62) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (at, byte) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            shift -= 4;
            *byte = HEX[(bits >> shift) as usize & 0xf];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, headers: &[(&str, &str)]) -> RequestHead {
        let mut map = HeaderMap::new();
        map.append(b":method", method.as_bytes());
        for (name, value) in headers {
            map.append(name.as_bytes(), value.as_bytes());
        }
        RequestHead { version: Version::Http11, method: Method::of(method.as_bytes()), headers: map }
    }

    #[test]
    fn refusals_in_order() {
        let details = |head: &RequestHead| refusal(head).map(|cause| cause.row().details.into_owned());
        for (method, headers, expected) in [
            ("GET", &[(":path", "/"), (":authority", "a")][..], None),
            ("GET", &[(":path", "x")], Some("missing_host_header")),
            ("GET", &[(":path", "/"), (":authority", "")], Some("missing_host_header")),
            ("GET", &[(":path", "x"), (":authority", "a")], Some("absolute_path_rejected")),
            ("GET", &[(":path", "*"), (":authority", "a")], Some("absolute_path_rejected")),
            ("OPTIONS", &[(":path", "*"), (":authority", "a")], Some("absolute_path_rejected")),
            ("GET", &[(":path", "/a#b"), (":authority", "a")], Some("path_normalization_failed")),
            ("CONNECT", &[(":authority", "a:1")], Some("route_not_found")),
            ("GET", &[(":path", "/"), (":authority", "a"), ("upgrade", "websocket")], None),
        ] {
            assert_eq!(details(&head(method, headers)).as_deref(), expected, "{method} {headers:?}");
        }
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
        assert!(take_expectation(&mut head));
        assert!(!take_expectation(&mut head));
        prepare_request(&mut head, &mut Rng::seeded(1));
        let names: Vec<_> =
            head.headers.iter().map(|header| String::from_utf8_lossy(header.name).into_owned()).collect();
        assert_eq!(
            names,
            [":method", ":path", ":authority", "x-stays", "x-forwarded-proto", ":scheme", "x-request-id"]
        );
    }

    #[test]
    fn a_response_is_prepared() {
        let mut headers = HeaderMap::new();
        headers.append(b"server", b"nginx");
        headers.append(b"keep-alive", b"timeout=5");
        let mut head = ResponseHead { version: Version::Http11, status: 200, headers };
        prepare_response(&mut head, b"today");
        assert_eq!(head.headers.get(HeaderId::SERVER), Some(&b"envoy"[..]));
        assert_eq!(head.headers.get(HeaderId::DATE), Some(&b"today"[..]));
        assert!(!head.headers.contains(HeaderId::KEEP_ALIVE));
        prepare_response(&mut head, b"tomorrow");
        assert_eq!(head.headers.get(HeaderId::DATE), Some(&b"today"[..]));
    }

    #[test]
    fn request_ids_are_version_4_uuids() {
        let mut rng = Rng::seeded(9);
        let (a, b) = (uuid4(&mut rng), uuid4(&mut rng));
        assert_ne!(a, b);
        assert_eq!(a[14], b'4');
        assert!(b"89ab".contains(&a[19]));
        assert_eq!(a.iter().filter(|byte| **byte == b'-').count(), 4);
        assert!(a.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-'));
    }
}
