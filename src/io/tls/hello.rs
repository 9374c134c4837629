//! The ClientHello, looked at before the handshake begins: what decides with which configuration it begins.
//!
//! rustls parses the message again and refuses what is wrong with it.

use super::record::{self, HEADER};
use nuncio_codec::tls_hello::ClientHello;
use std::borrow::Cow;

/// A message of a handshake is no longer than this (rustls has the same limit).
const MOST: usize = 0xffff;

/// Hands the ClientHello that a client begins with to `look`, as soon as it is there whole; or nothing, if there is none that
/// could be understood. `None` while more must come.
pub(super) fn peek<T>(bytes: &[u8], look: impl FnOnce(Option<ClientHello<'_>>) -> T) -> Option<T> {
    match message(bytes) {
        Ok(Some(message)) => Some(look(ClientHello::parse(&message))),
        Ok(None) => None,
        Err(()) => Some(look(None)),
    }
}

/// Whether a client offers one of some protocols; also if it offers none at all.
pub(super) fn accepts(hello: &ClientHello<'_>, protocols: &[Vec<u8>]) -> bool {
    let mut offered = hello.protocols().peekable();
    offered.peek().is_none() || offered.any(|offered| protocols.iter().any(|protocol| protocol == offered))
}

/// The body of the first message, put together from its records.
fn message(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, ()> {
    let mut whole: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = bytes;
    loop {
        if rest.first().is_some_and(|kind| *kind != 22) {
            return Err(());
        }
        let Some(length) = record::length(rest).map_err(|_| ())? else { return Ok(None) };
        let Some(body) = rest.get(HEADER..HEADER + length) else { return Ok(None) };
        rest = &rest[HEADER + length..];
        if length == 0 {
            return Err(());
        }
        if whole.is_empty() {
            whole = Cow::Borrowed(body);
        } else {
            whole.to_mut().extend_from_slice(body);
        }
        if let [kind, high, middle, low, ..] = *whole {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if kind != 1 || length > MOST {
                return Err(());
            }
            if whole.len() >= 4 + length {
                return Ok(Some(match whole {
                    Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[4..4 + length]),
                    Cow::Owned(bytes) => Cow::Owned(bytes[4..4 + length].to_vec()),
                }));
            }
        }
    }
}

/// The session's number in the ServerHello that a server's first record begins with.
pub(super) fn session_id(record: &[u8]) -> Option<&[u8]> {
    let (header, message) = record.split_at_checked(HEADER)?;
    let (kind, body) = message.split_at_checked(4)?;
    if header[0] != 22 || kind[0] != 2 {
        return None;
    }
    let (id, _) = prefixed(body.get(2 + 32..)?, 1)?;
    (id.len() <= 32).then_some(id)
}

/// What is behind a length of so many bytes, and the rest.
fn prefixed(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(width: usize, bytes: &[u8]) -> Vec<u8> {
        let length = (bytes.len() as u32).to_be_bytes();
        [&length[4 - width..], bytes].concat()
    }

    fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(sized(1, &[9; 32]));
        body.extend(sized(2, &[0x13, 1]));
        body.extend(sized(1, &[0]));
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &sized(2, body)].concat())
            .collect();
        body.extend(sized(2, &extensions));
        [&[1][..], &sized(3, &body)].concat()
    }

    fn records(message: &[u8], most: usize) -> Vec<u8> {
        message.chunks(most).flat_map(|piece| [&[22, 3, 1][..], &sized(2, piece)].concat()).collect()
    }

    fn alpn(names: &[&str]) -> (u16, Vec<u8>) {
        (16, sized(2, &names.iter().flat_map(|name| sized(1, name.as_bytes())).collect::<Vec<_>>()))
    }

    #[test]
    fn what_is_asked_for_is_found_in_one_record_or_many() {
        let name = sized(2, &[&[0][..], &sized(2, b"a.test")].concat());
        let message =
            hello(&[(0, name), (5, vec![1, 0, 0, 0, 0]), alpn(&["h2", "http/1.1"]), (0xaaaa, vec![])]);
        for most in [1, 3, 40, 16_000] {
            let bytes = records(&message, most);
            for end in 0..bytes.len() {
                assert_eq!(peek(&bytes[..end], |_| ()), None, "{end} of {}", bytes.len());
            }
            let found = peek(&bytes, |hello| {
                let hello = hello.expect("a hello");
                assert_eq!((hello.server_name(), hello.wants_status()), (&b"a.test"[..], true));
                assert!(accepts(&hello, &[b"h2".to_vec()]) && !accepts(&hello, &[b"h3".to_vec()]));
            });
            assert!(found.is_some());
        }
        let bare = peek(&records(&hello(&[]), 16_000), |hello| {
            hello.map(|hello| (accepts(&hello, &[]), hello.wants_status(), hello.highest_version()))
        });
        assert_eq!(bare, Some(Some((true, false, Some(0x0303)))));
    }

    #[test]
    fn what_is_no_hello_is_known_early() {
        let is_nonsense = |bytes: &[u8]| peek(bytes, |hello| hello.is_none()) == Some(true);
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[23, 3, 3, 0, 1, 0],
            &[22, 4, 1, 0, 1, 1],
            &[22, 3, 1, 0xff, 0xff],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0, 4, 2, 0, 0, 1],
            &[22, 3, 1, 0, 4, 1, 1, 0, 0],
        ] {
            assert!(is_nonsense(bytes), "{bytes:?}");
        }
        let mut message = hello(&[alpn(&["h2"])]);
        message[4 + 34] = 0xff;
        assert!(is_nonsense(&records(&message, 16_000)));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), at in 0..200usize, with in 0..=255u8) {
            peek(&bytes, |_| ());
            let mut bytes = records(&hello(&[alpn(&["h2"]), (0, sized(2, b"\0\0\x01a"))]), 50);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            peek(&bytes, |hello| hello.map(|hello| accepts(&hello, &[b"h2".to_vec()])));
        }
    }
}
