//! Request targets and authorities: RFC 9112 section 3.2, with Envoy's answers.
//!
//! Takes a target that the scanner has found to be visible ASCII and tells which of the four forms
//! it has. Fragments and odd characters in a path are left to path normalisation in the HTTP
//! layer; what is refused here is what no layer above could make sense of.

use crate::h1::Error;

/// A request target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// `:path`; empty for CONNECT.
    pub(crate) path: &'a [u8],
    /// Authority named by the target itself; it overrides `Host` (RFC 9112 section 3.2.2).
    pub(crate) authority: Option<&'a [u8]>,
    /// Scheme of a target in absolute form.
    pub(crate) scheme: Option<&'static [u8]>,
}

impl<'a> Target<'a> {
    /// `absolute`: take the absolute form apart (otherwise it is handed on as path).
    pub(crate) fn parse(method: &[u8], target: &'a [u8], absolute: bool) -> Result<Target<'a>, Error> {
        if method == b"CONNECT" {
            return if is_connect_target(target) {
                Ok(Target { path: b"", authority: Some(target), scheme: None })
            } else {
                Err(Error::InvalidUrl)
            };
        }
        let path = Target { path: target, authority: None, scheme: None };
        match target {
            [b'/', ..] => Ok(path),
            b"*" if method == b"OPTIONS" || !absolute => Ok(path),
            [b'*', ..] => Err(Error::InvalidUrl),
            _ => match split_scheme(target) {
                None => Err(Error::Malformed),
                Some(_) if !absolute => Ok(path),
                Some((scheme, rest)) => Target::parse_absolute(scheme, rest),
            },
        }
    }

    fn parse_absolute(scheme: &[u8], rest: &'a [u8]) -> Result<Target<'a>, Error> {
        let scheme: &'static [u8] = if scheme.eq_ignore_ascii_case(b"http") {
            b"http"
        } else if scheme.eq_ignore_ascii_case(b"https") {
            b"https"
        } else {
            return Err(Error::InvalidScheme);
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // User information is dropped, as Envoy does: nobody behind the proxy may see it.
        let authority = match authority.iter().rposition(|&byte| byte == b'@') {
            Some(at) => &authority[at + 1..],
            None => authority,
        };
        match split_authority(authority) {
            Some(Authority { host: [_, ..], port }) if port.is_none_or(is_port) => {}
            _ => return Err(Error::InvalidUrl),
        }
        let path = match path {
            [] => b"/",
            [b'#', ..] => return Err(Error::InvalidUrl),
            path => path,
        };
        Ok(Target { path, authority: Some(authority), scheme: Some(scheme) })
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) "://" rest`.
fn split_scheme(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = target.iter().position(|&byte| byte == b':')?;
    let (scheme, rest) = target.split_at(end);
    let valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    if valid { Some((scheme, rest.strip_prefix(b"://")?)) } else { None }
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Authority<'a> {
    /// May be empty, which is right in `Host` only.
    host: &'a [u8],
    /// Digits: none, or more than a port has, is right in `Host` only.
    port: Option<&'a [u8]>,
}

/// Is this a valid value of `Host`? Empty is: a target without authority sends it so (RFC 9112
/// section 3.2).
pub(crate) fn is_host(value: &[u8]) -> bool {
    split_authority(value).is_some()
}

/// Is this what CONNECT may ask for: a host and a port?
pub(crate) fn is_connect_target(target: &[u8]) -> bool {
    let parts = split_authority(target);
    matches!(parts, Some(Authority { host: [_, ..], port: Some(port) }) if is_port(port))
}

fn split_authority(value: &[u8]) -> Option<Authority<'_>> {
    let (host, rest) = match value {
        [b'[', inner @ ..] => {
            // An IP literal: what is in the brackets decides its kind, not whether it is an address.
            let close = inner.iter().position(|&byte| byte == b']')?;
            let valid = close > 0 && inner[..close].iter().all(|&byte| byte == b':' || is_host_byte(byte));
            if !valid {
                return None;
            }
            value.split_at(close + 2)
        }
        _ => {
            let end = value.iter().position(|&byte| !is_host_byte(byte)).unwrap_or(value.len());
            value.split_at(end)
        }
    };
    match rest {
        [] => Some(Authority { host, port: None }),
        [b':', port @ ..] if port.iter().all(u8::is_ascii_digit) => {
            Some(Authority { host, port: Some(port) })
        }
        _ => None,
    }
}

/// Are these digits (there may be none) a port number?
fn is_port(digits: &[u8]) -> bool {
    let fits = |value: u32, digit: &u8| {
        let value = value * 10 + u32::from(digit - b'0');
        (value <= 0xffff).then_some(value)
    };
    !digits.is_empty() && digits.iter().try_fold(0, fits).is_some()
}

/// `unreserved / pct-encoded / sub-delims` of RFC 3986 section 3.2.2.
fn is_host_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut rest: &[u8] = b"-._~%!$&'()*+,;=";
        while let [first, tail @ ..] = rest {
            table[*first as usize] = true;
            rest = tail;
        }
        table
    };
    TABLE[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let valid = [
            "",
            "a",
            "a.b",
            "a:80",
            "a:",
            ":80",
            "a:0",
            "a:65535",
            "a:00080",
            "a:99999",
            "a%20b",
            "a_b~c-d",
            "1.2.3.4",
            "[::1]",
            "[::1]:80",
            "[::1]:",
            "[v1.a:b]",
            "[fe80::1%25eth0]",
            "a,b",
            "!$&'()*+;=",
        ];
        for host in valid {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        let invalid = [
            "a b", " a", "a@b", "u:p@a", "a/b", "a?b", "a#b", "a\\b", "a:b", "a:80:80", "a:-1", "a\"b",
            "<a>", "{a}", "a|b", "a^b", "a`b", "[::1", "::1", "[]", "[::1]a", "[::1]:x", "[[::1]]", "[a/b]",
            "a[", "\u{80}", "é", "a\tb", "a\u{7f}",
        ];
        for host in invalid {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn targets() {
        type Parts = (&'static str, Option<&'static str>, Option<&'static str>);
        let cases: &[(&str, &str, bool, Result<Parts, Error>)] = &[
            ("GET", "/", true, Ok(("/", None, None))),
            ("GET", "//a?b#c", true, Ok(("//a?b#c", None, None))),
            ("GET", "/\"<>\\^`{|}%zz", true, Ok(("/\"<>\\^`{|}%zz", None, None))),
            ("OPTIONS", "*", true, Ok(("*", None, None))),
            ("OPTIONS", "*a", true, Err(Error::InvalidUrl)),
            ("GET", "*", true, Err(Error::InvalidUrl)),
            ("GET", "*", false, Ok(("*", None, None))),
            ("GET", "a", true, Err(Error::Malformed)),
            ("GET", "?a", true, Err(Error::Malformed)),
            ("GET", "a:80", true, Err(Error::Malformed)),
            ("GET", "http:/a", true, Err(Error::Malformed)),
            ("GET", "1http://a/", true, Err(Error::Malformed)),
            ("GET", "://a/", true, Err(Error::Malformed)),
            ("GET", "http://a/b", true, Ok(("/b", Some("a"), Some("http")))),
            ("GET", "HTTPS://A:443/b?c", true, Ok(("/b?c", Some("A:443"), Some("https")))),
            ("GET", "http://a", true, Ok(("/", Some("a"), Some("http")))),
            ("GET", "http://a?b", true, Ok(("?b", Some("a"), Some("http")))),
            ("GET", "http://u:p@a/b", true, Ok(("/b", Some("a"), Some("http")))),
            ("GET", "http://u@v@a/b", true, Ok(("/b", Some("a"), Some("http")))),
            ("GET", "http://a/b@c", true, Ok(("/b@c", Some("a"), Some("http")))),
            ("GET", "http://[::1]:80/b", true, Ok(("/b", Some("[::1]:80"), Some("http")))),
            ("GET", "http://a#b", true, Err(Error::InvalidUrl)),
            ("GET", "http://a/#b", true, Ok(("/#b", Some("a"), Some("http")))),
            ("GET", "http:///b", true, Err(Error::InvalidUrl)),
            ("GET", "http://", true, Err(Error::InvalidUrl)),
            ("GET", "http://u@/b", true, Err(Error::InvalidUrl)),
            ("GET", "http://a:/b", true, Err(Error::InvalidUrl)),
            ("GET", "http://:80/b", true, Err(Error::InvalidUrl)),
            ("GET", "http://a:b/", true, Err(Error::InvalidUrl)),
            ("GET", "http://a:65536/", true, Err(Error::InvalidUrl)),
            ("GET", "http://a\\b/", true, Err(Error::InvalidUrl)),
            ("GET", "ftp://a/", true, Err(Error::InvalidScheme)),
            ("GET", "http://a/b", false, Ok(("http://a/b", None, None))),
            ("GET", "ftp://a/b", false, Ok(("ftp://a/b", None, None))),
            ("GET", "a", false, Err(Error::Malformed)),
            ("CONNECT", "a:80", true, Ok(("", Some("a:80"), None))),
            ("CONNECT", "[::1]:80", false, Ok(("", Some("[::1]:80"), None))),
            ("CONNECT", "a:0", true, Ok(("", Some("a:0"), None))),
            ("CONNECT", "a", true, Err(Error::InvalidUrl)),
            ("CONNECT", "a:", true, Err(Error::InvalidUrl)),
            ("CONNECT", ":80", true, Err(Error::InvalidUrl)),
            ("CONNECT", "a:b", true, Err(Error::InvalidUrl)),
            ("CONNECT", "a:99999", true, Err(Error::InvalidUrl)),
            ("CONNECT", "a:80/", true, Err(Error::InvalidUrl)),
            ("CONNECT", "/a", true, Err(Error::InvalidUrl)),
            ("CONNECT", "http://a:80", true, Err(Error::InvalidUrl)),
            ("CONNECT", "u@a:80", true, Err(Error::InvalidUrl)),
            ("CONNECT", "*", true, Err(Error::InvalidUrl)),
        ];
        for &(method, target, absolute, expected) in cases {
            let expected = expected.map(|(path, authority, scheme)| Target {
                path: path.as_bytes(),
                authority: authority.map(str::as_bytes),
                scheme: scheme.map(str::as_bytes),
            });
            let parsed = Target::parse(method.as_bytes(), target.as_bytes(), absolute);
            assert_eq!(parsed, expected, "{method} {target} {absolute}");
        }
    }
}
