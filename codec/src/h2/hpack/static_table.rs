//! The static table of RFC 7541 appendix A.

use crate::HeaderId;

/// A field of the static table.
#[derive(Copy, Clone)]
pub(super) struct Entry {
    pub(super) id: HeaderId,
    pub(super) name: &'static str,
    pub(super) value: &'static str,
}

const fn known(id: HeaderId, value: &'static str) -> Entry {
    Entry { id, name: id.name(), value }
}

const fn other(name: &'static str) -> Entry {
    Entry { id: HeaderId::OTHER, name, value: "" }
}

/// How many fields it has.
pub(super) const LENGTH: usize = 61;

/// The table; its first index on the wire is 1.
pub(super) static ENTRIES: [Entry; LENGTH] = [
    known(HeaderId::AUTHORITY, ""),
    known(HeaderId::METHOD, "GET"),
    known(HeaderId::METHOD, "POST"),
    known(HeaderId::PATH, "/"),
    known(HeaderId::PATH, "/index.html"),
    known(HeaderId::SCHEME, "http"),
    known(HeaderId::SCHEME, "https"),
    known(HeaderId::STATUS, "200"),
    known(HeaderId::STATUS, "204"),
    known(HeaderId::STATUS, "206"),
    known(HeaderId::STATUS, "304"),
    known(HeaderId::STATUS, "400"),
    known(HeaderId::STATUS, "404"),
    known(HeaderId::STATUS, "500"),
    known(HeaderId::ACCEPT_CHARSET, ""),
    known(HeaderId::ACCEPT_ENCODING, "gzip, deflate"),
    known(HeaderId::ACCEPT_LANGUAGE, ""),
    known(HeaderId::ACCEPT_RANGES, ""),
    known(HeaderId::ACCEPT, ""),
    known(HeaderId::ACCESS_CONTROL_ALLOW_ORIGIN, ""),
    known(HeaderId::AGE, ""),
    known(HeaderId::ALLOW, ""),
    known(HeaderId::AUTHORIZATION, ""),
    known(HeaderId::CACHE_CONTROL, ""),
    other("content-disposition"),
    known(HeaderId::CONTENT_ENCODING, ""),
    known(HeaderId::CONTENT_LANGUAGE, ""),
    known(HeaderId::CONTENT_LENGTH, ""),
    known(HeaderId::CONTENT_LOCATION, ""),
    known(HeaderId::CONTENT_RANGE, ""),
    known(HeaderId::CONTENT_TYPE, ""),
    known(HeaderId::COOKIE, ""),
    known(HeaderId::DATE, ""),
    known(HeaderId::ETAG, ""),
    known(HeaderId::EXPECT, ""),
    known(HeaderId::EXPIRES, ""),
    known(HeaderId::FROM, ""),
    known(HeaderId::HOST, ""),
    known(HeaderId::IF_MATCH, ""),
    known(HeaderId::IF_MODIFIED_SINCE, ""),
    known(HeaderId::IF_NONE_MATCH, ""),
    known(HeaderId::IF_RANGE, ""),
    known(HeaderId::IF_UNMODIFIED_SINCE, ""),
    known(HeaderId::LAST_MODIFIED, ""),
    known(HeaderId::LINK, ""),
    known(HeaderId::LOCATION, ""),
    known(HeaderId::MAX_FORWARDS, ""),
    known(HeaderId::PROXY_AUTHENTICATE, ""),
    known(HeaderId::PROXY_AUTHORIZATION, ""),
    known(HeaderId::RANGE, ""),
    known(HeaderId::REFERER, ""),
    other("refresh"),
    known(HeaderId::RETRY_AFTER, ""),
    known(HeaderId::SERVER, ""),
    known(HeaderId::SET_COOKIE, ""),
    known(HeaderId::STRICT_TRANSPORT_SECURITY, ""),
    known(HeaderId::TRANSFER_ENCODING, ""),
    known(HeaderId::USER_AGENT, ""),
    known(HeaderId::VARY, ""),
    known(HeaderId::VIA, ""),
    known(HeaderId::WWW_AUTHENTICATE, ""),
];

/// For each known name, the first index on the wire; 0 for those that the table has not.
static FIRST: [u8; HeaderId::COUNT] = {
    let mut first = [0; HeaderId::COUNT];
    let mut at = LENGTH;
    while at > 0 {
        if let Some(number) = ENTRIES[at - 1].id.number() {
            first[number] = at as u8;
        }
        at -= 1;
    }
    first
};

/// The index of a field with this name, and whether it has this value too.
#[inline]
pub(super) fn find(id: HeaderId, name: &[u8], value: &[u8]) -> Option<(u32, bool)> {
    let first = match id.number() {
        Some(number) => usize::from(FIRST[number]),
        None => match name {
            b"content-disposition" => 25,
            b"refresh" => 52,
            _ => 0,
        },
    };
    if first == 0 {
        return None;
    }
    let mut at = first;
    // Fields with the same name stand together, and only the first fifteen names have values.
    while at <= 16 && ENTRIES[at - 1].id == id {
        if ENTRIES[at - 1].value.as_bytes() == value && !value.is_empty() {
            return Some((at as u32, true));
        }
        at += 1;
    }
    Some((first as u32, value.is_empty() && ENTRIES[first - 1].value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found() {
        for (at, entry) in ENTRIES.iter().enumerate() {
            let index = at as u32 + 1;
            assert_eq!(HeaderId::of(entry.name.as_bytes()), entry.id, "{}", entry.name);
            let found = find(entry.id, entry.name.as_bytes(), entry.value.as_bytes());
            assert_eq!(found, Some((index, true)), "{}", entry.name);
            let (first, whole) = find(entry.id, entry.name.as_bytes(), b"some").expect("the name is there");
            assert!(!whole && ENTRIES[first as usize - 1].name == entry.name);
        }
        assert_eq!(find(HeaderId::OTHER, b"x", b""), None);
        assert_eq!(find(HeaderId::TE, b"te", b""), None);
    }
}
