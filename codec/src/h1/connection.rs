//! `Connection` and the other hop-by-hop fields: RFC 9110 section 7.6.1.
//!
//! Reads what a peer says about its connection, refuses a `Connection` field that would take away
//! headers which later hops rely on, and strips the hop-by-hop fields from a head on its way
//! through. What the next hop is told is written by the encoder from its own state.

use crate::{HeaderId, HeaderMap, h1::Error};

/// Connection options of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Options {
    pub(crate) fn of(headers: &HeaderMap) -> Options {
        let mut options = Options::default();
        if says_keep_alive(headers) {
            options.keep_alive = true;
        } else if headers.contains(HeaderId::CONNECTION) {
            for token in tokens(headers, HeaderId::CONNECTION) {
                options.close |= token.eq_ignore_ascii_case(b"close");
                options.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                options.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
            }
        }
        // Never standard, but clients of old send it; Envoy honours only the closing sense.
        if headers.contains(HeaderId::PROXY_CONNECTION) {
            options.close |=
                tokens(headers, HeaderId::PROXY_CONNECTION).any(|token| token.eq_ignore_ascii_case(b"close"));
        }
        options
    }

    /// Does the connection stay open after the message, as far as its sender is concerned?
    /// (RFC 9112 section 9.3)
    pub(crate) fn persistent(self, http_10: bool) -> bool {
        !self.close && (!http_10 || self.keep_alive)
    }
}

/// The usual `connection`, which needs no taking apart.
fn says_keep_alive(headers: &HeaderMap) -> bool {
    headers.only(HeaderId::CONNECTION).is_some_and(|value| value.eq_ignore_ascii_case(b"keep-alive"))
}

/// From this many connection options on, a request is refused, as Envoy does.
const TOO_MANY_OPTIONS: usize = 10;

/// Refuses a request whose `Connection` names pseudo-headers, `Host` or the forwarding headers: a
/// hop that obeyed would lose what the next one decides by.
pub(crate) fn check_nominations(headers: &HeaderMap) -> Result<(), Error> {
    if !headers.contains(HeaderId::CONNECTION) || says_keep_alive(headers) {
        return Ok(());
    }
    for (index, token) in tokens(headers, HeaderId::CONNECTION).enumerate() {
        let forbidden = token.starts_with(b":")
            || [&b"host"[..], b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"]
                .iter()
                .any(|name| token.eq_ignore_ascii_case(name));
        if forbidden || index + 1 >= TOO_MANY_OPTIONS {
            return Err(Error::ConnectionHeaderRejected);
        }
    }
    Ok(())
}

/// Removes the hop-by-hop fields of a received head: those that `connection` names, then
/// `connection`, `keep-alive`, `proxy-connection`, `transfer-encoding`, `upgrade` (unless
/// `keep_upgrade`), and `te` down to `trailers`, the only value that may travel on.
///
/// Call it on a head as it comes out of `poll`, before the proxy adds headers of its own: a peer
/// could name those too. Fields that say where a message ends or goes are never removed on a
/// peer's word.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, keep_upgrade: bool) {
    if headers.contains(HeaderId::CONNECTION) {
        if !says_keep_alive(headers) {
            strip_nominated(headers);
        }
        headers.remove(HeaderId::CONNECTION);
    }
    for id in [HeaderId::KEEP_ALIVE, HeaderId::PROXY_CONNECTION, HeaderId::TRANSFER_ENCODING] {
        if headers.contains(id) {
            headers.remove(id);
        }
    }
    if !keep_upgrade && headers.contains(HeaderId::UPGRADE) {
        headers.remove(HeaderId::UPGRADE);
    }
    if headers.contains(HeaderId::TE) {
        if tokens(headers, HeaderId::TE).any(|token| token.eq_ignore_ascii_case(b"trailers")) {
            headers.set(HeaderId::TE, b"trailers");
        } else {
            headers.remove(HeaderId::TE);
        }
    }
}

fn strip_nominated(headers: &mut HeaderMap) {
    // The map cannot be changed while its own value is read, so the names are copied: to the
    // stack, except when somebody sends a very long list.
    let plain = |token: &[u8]| {
        [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|name| token.eq_ignore_ascii_case(name))
    };
    if tokens(headers, HeaderId::CONNECTION).all(plain) {
        return;
    }
    let size: usize = headers.get_all(HeaderId::CONNECTION).map(|value| value.len() + 1).sum();
    let (mut small, mut large);
    let names: &mut [u8] = if size <= 256 {
        small = [0; 256];
        &mut small[..size]
    } else {
        large = vec![0; size];
        &mut large
    };
    let mut at = 0;
    for value in headers.get_all(HeaderId::CONNECTION) {
        names[at..at + value.len()].copy_from_slice(value);
        names[at + value.len()] = b',';
        at += value.len() + 1;
    }
    names.make_ascii_lowercase();
    for name in names.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        let kept = name.is_empty()
            || name.starts_with(b":")
            || matches!(name, b"host" | b"content-length" | b"transfer-encoding" | b"te" | b"upgrade");
        if !kept {
            headers.remove_name(name);
        }
    }
}

/// Does the client wait for a 100 before it sends the body? (RFC 9110 section 10.1.1)
pub fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(HeaderId::EXPECT).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// The members of a comma-separated field, without the empty ones.
pub(crate) fn tokens(headers: &HeaderMap, id: HeaderId) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(id)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}
