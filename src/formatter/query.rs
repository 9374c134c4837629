//! The parts of a `:path`: what stands before its query, and the parameters in it.

/// The path without its query.
pub(crate) fn without_query(path: &[u8]) -> &[u8] {
    memchr::memchr(b'?', path).map_or(path, |at| &path[..at])
}

/// What follows the path's question mark, if it has one.
pub(super) fn query(path: &[u8]) -> Option<&[u8]> {
    path.get(without_query(path).len() + 1..)
}

/// A query with the visible characters of ASCII decoded and nothing else. As in Envoy, the percent sign of what is no
/// percent encoding goes, unless fewer than two characters follow it.
pub(super) fn visible(query: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(query.len());
    let mut rest = query;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        match *more {
            [high, low, ..] if byte == b'%' => {
                let Some((high, low)) = digit(high).zip(digit(low)) else { continue };
                let code = (high * 16 + low) as u8;
                if code.is_ascii_graphic() {
                    out.push(code);
                    rest = &more[2..];
                } else {
                    out.push(byte);
                }
            }
            _ => out.push(byte),
        }
    }
    out
}

/// The first value of a query parameter, not decoded; empty if it stands without `=`.
pub(crate) fn query_parameter<'a>(path: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let query = path.get(without_query(path).len() + 1..)?;
    let query = memchr::memchr(b'#', query).map_or(query, |at| &query[..at]);
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        (key == name).then_some(value)
    })
}

/// The first value of a query parameter whose decoded name is this, decoded. A control character stays as it is
/// written, so that it cannot break a line of a log.
pub(crate) fn decoded_parameter(path: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let query = path.get(without_query(path).len() + 1..)?;
    let query = memchr::memchr(b'#', query).map_or(query, |at| &query[..at]);
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let at = memchr::memchr(b'=', pair);
        let key = at.map_or(pair, |at| &pair[..at]);
        let value = at.map_or(&b""[..], |at| &pair[at + 1..]);
        (decoded(key) == name).then(|| decoded(value))
    })
}

/// Bytes without percent encoding (RFC 3986 section 2.1), but for that of control characters.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, more)) = rest.split_first() {
        let code = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(code) if byte == b'%' && !code.is_ascii_control() => {
                out.push(code);
                rest = &more[2..];
            }
            _ => {
                out.push(byte);
                rest = more;
            }
        }
    }
    out
}
