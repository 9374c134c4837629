//! Which bytes may stand where (RFC 9110 section 5.6.2 and 5.5).

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z');
        byte += 1;
    }
    table
};

const VALUE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte == 9 || (byte >= 32 && byte != 127);
        byte += 1;
    }
    table
};

/// Whether this is a token: a method or a header name. An empty one is none.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// Visible ASCII: what a request's target may be made of. Wider than RFC 3986, as Envoy is: `"<>\^{|}` and the like pass to
/// the upstream.
pub(crate) fn is_target(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e)
}

/// Whether [`is_target`] is true of all bytes.
#[inline]
pub(crate) fn is_visible(bytes: &[u8]) -> bool {
    // What is too low borrows into the highest bit, what is too high has it or carries into it.
    let word =
        |word: u64| (word.wrapping_sub(0x21 * EACH) | word | word.wrapping_add(EACH)) & (0x80 * EACH) == 0;
    all(bytes, word, is_target)
}

/// Whether there is no CR, LF or NUL.
#[inline]
pub(crate) fn is_one_line(bytes: &[u8]) -> bool {
    // What is seldom in them, all control characters, is looked for first.
    let word = |word: u64| word.wrapping_sub(0x20 * EACH) & !word & (0x80 * EACH) == 0;
    let byte = |byte| !matches!(byte, b'\r' | b'\n' | 0);
    all(bytes, word, byte) || bytes.iter().all(|&one| byte(one))
}

/// A byte times this is eight of them.
pub(super) const EACH: u64 = 0x0101_0101_0101_0101;

/// Whether all bytes are of a kind, which `word` tells of eight at a time, and `byte` of one.
#[inline]
fn all(bytes: &[u8], word: impl Fn(u64) -> bool, byte: impl Fn(u8) -> bool) -> bool {
    let Some(last) = bytes.last_chunk() else { return bytes.iter().all(|&one| byte(one)) };
    // Those at the end are looked at twice.
    bytes.as_chunks().0.iter().all(|group| word(u64::from_le_bytes(*group)))
        && word(u64::from_le_bytes(*last))
}

/// Whether this may be a header's value: no control bytes but tab.
pub fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| VALUE[usize::from(*byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_looked_at_as_bytes_are() {
        for length in 0..40 {
            let mut bytes = vec![b'a'; length];
            for at in 0..length {
                for byte in 0..=255 {
                    bytes[at] = byte;
                    assert_eq!(is_visible(&bytes), (0x21..=0x7e).contains(&byte), "{length} {at} {byte}");
                    assert_eq!(is_one_line(&bytes), !b"\0\r\n".contains(&byte), "{length} {at} {byte}");
                }
                bytes[at] = b'a';
            }
            assert!(is_visible(&bytes) && is_one_line(&bytes), "{length}");
        }
        assert!(is_one_line(b"a\ttab and more\t") && !is_one_line(b"a\ttab\n and more"));
    }

    #[test]
    fn tokens_and_values() {
        for (text, token, value) in [
            (&b"content-length"[..], true, true),
            (b"X_y!#$%&'*+.^`|~09", true, true),
            (b"", false, true),
            (b"a b", false, true),
            (b"a:b", false, true),
            (b"a\tb", false, true),
            (b"a\rb", false, false),
            (b"a\nb", false, false),
            (b"a\0b", false, false),
            (b"a\x7fb", false, false),
            (b"caf\xc3\xa9", false, true),
            (b"(x)", false, true),
        ] {
            assert_eq!((is_token(text), is_field_value(text)), (token, value), "{}", text.escape_ascii());
        }
    }
}
