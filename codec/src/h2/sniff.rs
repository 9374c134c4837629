//! HTTP/1 or HTTP/2: told by the first bytes (`codec_type: AUTO` without ALPN).

use crate::Buffer;

/// What a client that knows HTTP/2 says first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As much of it as tells: no request of HTTP/1 starts like that, and what is wrong behind it is the codec's to say.
const TELLING: usize = b"PRI * HTTP/2".len();

/// What the first bytes are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// The preface of HTTP/2.
    H2,
    /// Something else.
    H1,
    /// The beginning of the preface; more bytes will tell.
    More,
}

/// Looks at the first bytes of a connection, and takes none.
pub fn sniff(input: &Buffer) -> Sniff {
    let mut first = [0; TELLING];
    let n = input.copy_to(0, &mut first);
    if first[..n] != PREFACE[..n] {
        Sniff::H1
    } else if n == TELLING {
        Sniff::H2
    } else {
        Sniff::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_told_from_anything_else_at_the_first_byte_that_differs() {
        for n in 0..TELLING {
            assert_eq!(sniff(&Buffer::from(&PREFACE[..n])), Sniff::More);
            let mut other = PREFACE[..=n].to_vec();
            other[n] ^= 1;
            assert_eq!(sniff(&Buffer::from(&other[..])), Sniff::H1);
        }
        assert_eq!(sniff(&Buffer::from(&PREFACE[..])), Sniff::H2);
        assert_eq!(sniff(&Buffer::from(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"[..])), Sniff::H2);
        assert_eq!(sniff(&Buffer::from(&b"PROPFIND / HTTP/1.1\r\n"[..])), Sniff::H1);
    }
}
