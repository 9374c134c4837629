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

/// Whether this may be a header's value: no control bytes but tab.
pub fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| VALUE[usize::from(*byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

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
