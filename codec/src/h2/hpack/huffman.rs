//! The Huffman code of RFC 7541 appendix B.
//!
//! The code is canonical: the lengths determine it. All tables are made from them at compile time. The decoder looks
//! at eleven bits at a time, which hold one or two of the usual characters; the rare long codes are found by their
//! length.

/// Bits of the code of each byte, and of the end of string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

const LONGEST: usize = 30;
/// Bits that the decoder's table looks at.
const LOOK: u32 = 11;
/// The number of the end of string.
const EOS: u16 = 256;

/// The canonical code, by length.
struct Canonical {
    /// All symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length: the first code, and where its symbol stands.
    first: [u32; LONGEST + 1],
    at: [u16; LONGEST + 1],
    /// For each length: the least number that is beyond its codes, aligned to the left of 32 bits.
    end: [u64; LONGEST + 1],
    codes: [u32; 257],
}

const CANONICAL: Canonical = {
    let mut all = Canonical {
        symbols: [0; 257],
        first: [0; LONGEST + 1],
        at: [0; LONGEST + 1],
        end: [0; LONGEST + 1],
        codes: [0; 257],
    };
    let (mut code, mut at, mut length) = (0_u32, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        all.first[length] = code;
        all.at[length] = at as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                all.symbols[at] = symbol as u16;
                all.codes[symbol] = code;
                code += 1;
                at += 1;
            }
            symbol += 1;
        }
        all.end[length] = (code as u64) << (32 - length);
        length += 1;
    }
    assert!(at == 257 && code == 1 << LONGEST, "the code is complete");
    all
};

/// What eleven bits begin with.
#[derive(Copy, Clone)]
struct Look {
    symbols: [u8; 2],
    /// Bits of the first symbol; 0 if its code is longer than eleven.
    first: u8,
    /// Bits of both; the same as `first` if the second does not fit.
    both: u8,
}

static LOOKS: [Look; 1 << LOOK] = {
    let mut looks = [Look { symbols: [0; 2], first: 0, both: 0 }; 1 << LOOK];
    let mut bits = 0;
    while bits < looks.len() {
        if let Some((symbol, length)) = short(bits as u32, LOOK) {
            let mut look = Look { symbols: [symbol, 0], first: length as u8, both: length as u8 };
            let left = LOOK - length;
            if let Some((symbol, length)) = short(bits as u32 & ((1 << left) - 1), left) {
                look.symbols[1] = symbol;
                look.both += length as u8;
            }
            looks[bits] = look;
        }
        bits += 1;
    }
    looks
};

/// The symbol with which `count` bits begin, and its length, if it is within them.
const fn short(bits: u32, count: u32) -> Option<(u8, u32)> {
    let mut length = 5;
    while length <= count {
        let code = bits >> (count - length);
        let aligned = (code as u64) << (32 - length);
        if aligned < CANONICAL.end[length as usize] {
            let at = CANONICAL.at[length as usize] as u32 + code - CANONICAL.first[length as usize];
            return Some((CANONICAL.symbols[at as usize] as u8, length));
        }
        length += 1;
    }
    None
}

/// The same, for use at run time.
static CODE: Canonical = CANONICAL;

/// Not the Huffman code of anything: the end of string occurs, or padding is longer than seven bits or not ones.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// The most bytes that `length` bytes of code decode to.
pub(super) const fn decoded_bound(length: usize) -> usize {
    length * 8 / 5 + 1
}

/// Decodes into `out`, which has to have room for [`decoded_bound`]; says how many bytes it were.
pub(super) fn decode(mut code: &[u8], out: &mut [u8]) -> Result<usize, Invalid> {
    // The next bits stand on the left of `bits`.
    let (mut bits, mut count) = (0_u64, 0_u32);
    let mut done = 0;
    loop {
        if count <= 32 {
            if let Some((four, rest)) = code.split_first_chunk::<4>() {
                bits |= u64::from(u32::from_be_bytes(*four)) << (32 - count);
                count += 32;
                code = rest;
            } else if let Some((byte, rest)) = code.split_first() {
                bits |= u64::from(*byte) << (56 - count);
                count += 8;
                code = rest;
                if count <= 32 {
                    continue;
                }
            } else {
                break;
            }
        }
        // More than 32 bits are there, more than any code has.
        let look = LOOKS[(bits >> (64 - LOOK)) as usize];
        if look.first != 0 {
            out[done..done + 2].copy_from_slice(&look.symbols);
            done += 1 + usize::from(look.both != look.first);
            bits <<= look.both;
            count -= u32::from(look.both);
        } else {
            let (symbol, length) = long(bits)?;
            out[done] = symbol;
            done += 1;
            bits <<= length;
            count -= length;
        }
    }
    while count > 0 {
        let look = LOOKS[(bits >> (64 - LOOK)) as usize];
        let (symbol, length) = match look.first {
            0 => match long(bits | (u64::MAX >> count)) {
                Ok((symbol, length)) => (symbol, length),
                // All ones: the beginning of the end of string, or all of it.
                Err(Invalid) if count < 8 => (0, u32::MAX),
                Err(Invalid) => return Err(Invalid),
            },
            first => (look.symbols[0], u32::from(first)),
        };
        if length > count {
            return if count < 8 && bits >> (64 - count) == (1 << count) - 1 {
                Ok(done)
            } else {
                Err(Invalid)
            };
        }
        out[done] = symbol;
        done += 1;
        bits <<= length;
        count -= length;
    }
    Ok(done)
}

/// A code of more than eleven bits.
#[cold]
fn long(bits: u64) -> Result<(u8, u32), Invalid> {
    let aligned = bits >> 32;
    let length = (LOOK as usize + 1..=LONGEST).find(|length| aligned < CODE.end[*length]).ok_or(Invalid)?;
    let code = (aligned >> (32 - length)) as u32;
    let symbol = CODE.symbols[usize::from(CODE.at[length]) + (code - CODE.first[length]) as usize];
    if symbol == EOS { Err(Invalid) } else { Ok((symbol as u8, length as u32)) }
}

/// Bytes that the code of `bytes` has.
#[inline]
pub(super) fn encoded_len(bytes: &[u8]) -> usize {
    let bits: usize = bytes.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Encodes into `out`, which has to have room for [`encoded_len`]; says how many bytes it were.
pub(super) fn encode(bytes: &[u8], out: &mut [u8]) -> usize {
    // The pending bits stand on the right of `bits`.
    let (mut bits, mut count, mut done) = (0_u64, 0_u32, 0);
    for byte in bytes {
        let length = u32::from(LENGTHS[usize::from(*byte)]);
        bits = bits << length | u64::from(CODE.codes[usize::from(*byte)]);
        count += length;
        if count >= 32 {
            count -= 32;
            out[done..done + 4].copy_from_slice(&((bits >> count) as u32).to_be_bytes());
            done += 4;
        }
    }
    if count % 8 != 0 {
        let pad = 8 - count % 8;
        bits = bits << pad | ((1 << pad) - 1);
        count += pad;
    }
    while count > 0 {
        count -= 8;
        out[done] = (bits >> count) as u8;
        done += 1;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coded(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0; encoded_len(bytes)];
        assert_eq!(encode(bytes, &mut out), out.len());
        out
    }

    fn decoded(code: &[u8]) -> Result<Vec<u8>, Invalid> {
        let mut out = vec![0; decoded_bound(code.len())];
        let n = decode(code, &mut out)?;
        out.truncate(n);
        Ok(out)
    }

    #[test]
    fn examples_of_the_rfc() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"www.example.com", &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]),
            (b"no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
            (b"custom-key", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]),
            (b"custom-value", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf]),
            (b"302", &[0x64, 0x02]),
            (b"private", &[0xae, 0xc3, 0x77, 0x1a, 0x4b]),
            (b"", &[]),
        ];
        for (text, code) in cases {
            assert_eq!(coded(text), *code);
            assert_eq!(decoded(code).as_deref(), Ok(*text));
        }
    }

    #[test]
    fn every_byte_alone_and_in_threes() {
        for byte in 0..=255 {
            for text in [&[byte][..], &[byte; 3], &[b'a', byte, b'0', byte], &[byte, 0, byte, 255, byte]] {
                assert_eq!(decoded(&coded(text)).as_deref(), Ok(text), "{text:?}");
            }
        }
    }

    #[test]
    fn wrong_endings() {
        let wrong: &[&[u8]] = &[
            // Padding of eight bits and more.
            &[0xff],
            &[0xff, 0xff],
            &[0x07, 0xff],
            &[0xff, 0xff, 0xff],
            // The end of string, alone, behind a character, and before one.
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xfc],
            &[0xff, 0xff, 0xff, 0xfc, 0x07],
            &[0x1f, 0xff, 0xff, 0xff, 0xff],
            // Padding with zeros, or one.
            &[0x00],
            &[0x18],
            &[0x1e],
            // A character cut off.
            &[0xfe],
        ];
        for code in wrong {
            assert_eq!(decoded(code), Err(Invalid), "{code:x?}");
        }
        assert_eq!(decoded(&[0x1f]).as_deref(), Ok(&b"a"[..]));
        assert_eq!(decoded(&[0x07]).as_deref(), Ok(&b"0"[..]));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&coded(&text)), Ok(text));
        }

        #[test]
        fn a_code_has_one_meaning_and_a_meaning_one_code(code in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(text) = decoded(&code) {
                prop_assert_eq!(coded(&text), code);
            }
        }
    }
}
