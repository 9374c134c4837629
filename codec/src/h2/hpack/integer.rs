//! Integers with a prefix (RFC 7541 section 5.1).

/// Bytes of the longest integer that is written or read: a prefix and five times seven bits.
pub(super) const LONGEST: usize = 6;

/// An integer that does not end, or does not fit in 32 bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Takes an integer off `bytes`; its first byte has `prefix` bits of it.
#[inline]
pub(super) fn take(bytes: &mut &[u8], prefix: u32) -> Result<u32, Invalid> {
    let (first, rest) = bytes.split_first().ok_or(Invalid)?;
    let most = (1 << prefix) - 1;
    let start = u32::from(*first) & most;
    *bytes = rest;
    if start < most { Ok(start) } else { take_rest(bytes, most) }
}

fn take_rest(bytes: &mut &[u8], start: u32) -> Result<u32, Invalid> {
    let mut value = u64::from(start);
    for (at, byte) in bytes.iter().enumerate().take(LONGEST - 1) {
        value += u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return u32::try_from(value).map_err(|_| Invalid);
        }
    }
    Err(Invalid)
}

/// Writes an integer whose first byte has `prefix` bits of it and `flags` beside; says how many bytes it has.
#[inline]
pub(super) fn put(out: &mut [u8], flags: u8, prefix: u32, value: u32) -> usize {
    let most = (1 << prefix) - 1;
    if value < most {
        out[0] = flags | value as u8;
        return 1;
    }
    out[0] = flags | most as u8;
    let (mut value, mut at) = (value - most, 1);
    while value >= 0x80 {
        out[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        for (value, prefix, bytes) in
            [(10, 5, &[0b01010][..]), (1337, 5, &[0b11111, 0b1001_1010, 0b1010]), (42, 8, &[0b10_1010])]
        {
            let mut out = [0; LONGEST];
            let n = put(&mut out, 0, prefix, value);
            assert_eq!(&out[..n], bytes);
            assert_eq!(take(&mut &bytes[..], prefix), Ok(value));
        }
    }

    #[test]
    fn all_around_the_edges() {
        for prefix in 4..=8 {
            let most = (1_u32 << prefix) - 1;
            for value in
                [0, 1, most - 1, most, most + 1, most + 127, most + 128, 1 << 16, u32::MAX - 1, u32::MAX]
            {
                let mut out = [0xff; LONGEST];
                let n = put(&mut out, 0, prefix, value);
                let mut bytes = &out[..];
                assert_eq!(take(&mut bytes, prefix), Ok(value), "{value} {prefix}");
                assert_eq!(bytes.len(), LONGEST - n);
                for cut in 0..n {
                    assert_eq!(take(&mut &out[..cut], prefix), Err(Invalid));
                }
            }
        }
    }

    #[test]
    fn too_large_or_too_long() {
        for bytes in [
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f][..],
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(take(&mut &bytes[..], 7), Err(Invalid), "{bytes:x?}");
        }
        // Zeros at the end are a waste, not an error.
        assert_eq!(take(&mut &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00][..], 7), Ok(127));
    }
}
