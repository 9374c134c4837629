//! Whom TLS asks for, if that depends on the request (`upstream_http_protocol_options`).

use nuncio_codec::{HeaderKey, RequestHead};

/// `envoy.config.core.v3.UpstreamHttpProtocolOptions`: TLS asks for the host that a request is for (`auto_sni`).
#[derive(Clone, Debug)]
pub struct Naming {
    /// `override_auto_sni_header`: where the host is found; in the authority if there is no such header.
    pub header: Option<HeaderKey>,
}

/// No name of a host is longer.
const LONGEST: usize = 255;

impl Naming {
    /// The host that a request is for; empty if it has none.
    pub(super) fn name<'a>(&self, head: &'a RequestHead) -> &'a str {
        let other = self.header.as_ref().and_then(|header| head.headers.get_key(header));
        let authority = other.filter(|value| !value.is_empty()).or_else(|| head.authority());
        let host = authority.and_then(|authority| std::str::from_utf8(authority).ok()).map(host);
        host.filter(|host| host.len() <= LONGEST).unwrap_or_default()
    }
}

/// The host of an authority.
fn host(authority: &str) -> &str {
    if let Some(address) = authority.strip_prefix('[') {
        return address.split(']').next().unwrap_or_default();
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_codec::{HeaderMap, Method, Version};

    #[test]
    fn the_host_of_a_request() {
        let naming = |header: Option<&str>| Naming {
            header: header.map(|name| HeaderKey::new(name).expect("a name")),
        };
        let long = "x".repeat(256);
        for (header, headers, expected) in [
            (None, &[(":authority", "a.test")][..], "a.test"),
            (None, &[(":authority", "A.test:80")], "A.test"),
            (None, &[(":authority", "1.2.3.4:80")], "1.2.3.4"),
            (None, &[(":authority", "[::1]:80")], "::1"),
            (None, &[(":authority", "::1")], "::1"),
            (None, &[(":authority", "a.test:b")], "a.test:b"),
            (None, &[(":authority", "")], ""),
            (None, &[(":authority", &long)], ""),
            (None, &[(":authority", "a.test"), ("x-name", "b.test")], "a.test"),
            (
                Some("x-name"),
                &[(":authority", "a.test"), ("x-name", "b.test:1"), ("x-name", "c.test")],
                "b.test",
            ),
            (Some("x-name"), &[(":authority", "a.test"), ("x-name", "")], "a.test"),
            (Some("x-name"), &[(":authority", "a.test")], "a.test"),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name.as_bytes(), value.as_bytes());
            }
            let head = RequestHead { version: Version::Http11, method: Method::Get, headers: map };
            assert_eq!(naming(header).name(&head), expected, "{headers:?}");
        }
    }
}
