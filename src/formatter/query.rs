//! The parts of a `:path`: what stands before its query, and the parameters in it.

/// The path without its query.
pub(crate) fn without_query(path: &[u8]) -> &[u8] {
    memchr::memchr(b'?', path).map_or(path, |at| &path[..at])
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
