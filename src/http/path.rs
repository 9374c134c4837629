//! Making paths comparable: escaped slashes, dot segments, repeated slashes. Pure functions.
//!
//! The order is Envoy's: what to do with `%2F` and `%5C` first, then RFC 3986 normalisation, then merging slashes.
//! Only the path is changed, never the query.

use super::config::{EscapedSlashes, PathRules};
use std::borrow::Cow;

/// What normalisation makes of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Normalized<'a> {
    /// It stays as it is.
    Unchanged,
    /// It becomes this.
    Changed(Cow<'a, [u8]>),
    /// The client is to ask for this instead.
    Redirect(Cow<'a, [u8]>),
    /// It cannot be accepted.
    Rejected,
}

/// Normalises a path with its query.
pub(super) fn normalize<'a>(target: &'a [u8], rules: &PathRules) -> Normalized<'a> {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (old, query) = target.split_at(end);
    let mut path = Cow::Borrowed(old);
    let mut redirect = false;
    if rules.escaped_slashes != EscapedSlashes::Keep && has_escaped_slash(old) {
        match rules.escaped_slashes {
            EscapedSlashes::Reject => return Normalized::Rejected,
            EscapedSlashes::UnescapeAndRedirect => redirect = true,
            EscapedSlashes::Unescape | EscapedSlashes::Keep => {}
        }
        path = Cow::Owned(unescape_slashes(old));
    }
    if rules.normalize {
        match remove_dots(&path) {
            None => return Normalized::Rejected,
            Some(normal) if normal != *path => path = Cow::Owned(normal),
            Some(_) => {}
        }
    }
    if rules.merge_slashes && path.windows(2).any(|pair| pair == b"//") {
        let mut merged = Vec::with_capacity(path.len());
        for &byte in path.iter() {
            if byte != b'/' || merged.last() != Some(&b'/') {
                merged.push(byte);
            }
        }
        path = Cow::Owned(merged);
    }
    let Cow::Owned(mut path) = path else { return Normalized::Unchanged };
    if path == old {
        return Normalized::Unchanged;
    }
    path.extend_from_slice(query);
    if redirect { Normalized::Redirect(path.into()) } else { Normalized::Changed(path.into()) }
}

fn has_escaped_slash(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).any(|at| escaped_slash(&path[at..]).is_some())
}

/// The slash that an escape at the start of `text` stands for.
fn escaped_slash(text: &[u8]) -> Option<u8> {
    match text.get(..3)? {
        b"%2F" | b"%2f" => Some(b'/'),
        b"%5C" | b"%5c" => Some(b'\\'),
        _ => None,
    }
}

fn unescape_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match escaped_slash(&path[at..]) {
            Some(slash) => {
                out.push(slash);
                at += 3;
            }
            None => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out
}

/// RFC 3986 section 5.2.4 as browsers and Envoy do it: backslashes are slashes, escapes of unreserved characters are
/// undone, so that escaped dots are dots, and characters that have no place in a path are escaped. Broken escapes stay.
/// A segment of dots with parameters (`..;x`) is one of dots: servers that strip parameters would take it so. `None` if
/// an escape stands for NUL.
fn remove_dots(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let byte = path[at];
        at += 1;
        match byte {
            b'\\' => decoded.push(b'/'),
            b'%' => {
                let digits = path.get(at..at + 2).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
                match digits.map(|digits| hex(digits[0]) << 4 | hex(digits[1])) {
                    Some(0) => return None,
                    Some(value) if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => {
                        decoded.push(value);
                        at += 2;
                    }
                    _ => decoded.push(b'%'),
                }
            }
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | ..=b' ' | 0x7f.. => {
                decoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => decoded.push(byte),
        }
    }
    let mut out: Vec<u8> = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let name = memchr::memchr(b';', segment).map_or(segment, |at| &segment[..at]);
        match name {
            b"." | b".." => {
                if name == b".." {
                    out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                }
                if last {
                    out.push(b'/');
                }
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let none = PathRules::default();
        let normal = PathRules { normalize: true, ..none };
        let merge = PathRules { merge_slashes: true, ..none };
        let both = PathRules { normalize: true, merge_slashes: true, ..none };
        let unescape = PathRules { escaped_slashes: EscapedSlashes::Unescape, ..none };
        let redirect = PathRules { escaped_slashes: EscapedSlashes::UnescapeAndRedirect, ..none };
        let reject = PathRules { escaped_slashes: EscapedSlashes::Reject, ..none };
        let all = PathRules { escaped_slashes: EscapedSlashes::Unescape, ..both };
        for (rules, path, expected) in [
            (none, "/a/../b//c%2F", "="),
            (normal, "/a/../b", "/b"),
            (normal, "/a/./b?x=/../y", "/a/b?x=/../y"),
            (normal, "/../a", "/a"),
            (normal, "/..", "/"),
            (normal, "/a/..", "/"),
            (normal, "/a/b/..", "/a/"),
            (normal, "/a/.", "/a/"),
            (normal, "/a/%2e%2E/b", "/b"),
            (normal, "/a%2fb", "="),
            (normal, "/a|b\"c", "/a%7Cb%22c"),
            (normal, "/a/..;x=1/b", "/b"),
            (normal, "/a/.;", "/a/"),
            (normal, "/a/...;/b", "="),
            (normal, "/a;x/../b", "/b"),
            (normal, "/a/%2e%2e;/b", "/b"),
            (normal, "/%7Eu%41", "/~uA"),
            (normal, "/a\\b", "/a/b"),
            (normal, "/a//b", "="),
            (normal, "/a/", "="),
            (normal, "/a%zz", "="),
            (normal, "/a%00", "!"),
            (normal, "/a%", "="),
            (merge, "/a//b///c?d//e", "/a/b/c?d//e"),
            (merge, "/a/b", "="),
            (both, "/a//../b", "/a/b"),
            (unescape, "/a%2Fb%5c?x%2f", "/a/b\\?x%2f"),
            (unescape, "/a?x%2f", "="),
            (redirect, "/a%2Fb?q", ">/a/b?q"),
            (redirect, "/a", "="),
            (reject, "/a%5Cb", "!"),
            (reject, "/a%25b", "="),
            (all, "/a%2F..%2Fb", "/b"),
        ] {
            let text = |path: Cow<'_, [u8]>| String::from_utf8(path.into_owned()).expect("ASCII");
            let got = match normalize(path.as_bytes(), &rules) {
                Normalized::Unchanged => "=".to_owned(),
                Normalized::Changed(path) => text(path),
                Normalized::Redirect(path) => format!(">{}", text(path)),
                Normalized::Rejected => "!".to_owned(),
            };
            assert_eq!(got, expected, "{path} {rules:?}");
        }
    }
}
