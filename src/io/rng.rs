//! Random numbers for load balancing, jitter and request ids: fast, per thread, not for secrets.
//!
//! xoshiro256++ (Blackman and Vigna), seeded from the standard library's per-process random keys.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A generator that belongs to one thread.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Differently seeded at every call.
    pub fn new() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        // SplitMix64 spreads the seed over the state, which must not be all zero.
        let mut x = seed;
        let state = std::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`, which must not be 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: bias below 2^-32 for any bound that is used here.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A random UUID (RFC 9562 section 5.4) in text.
    pub fn uuid(&mut self) -> [u8; 36] {
        let mut bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        // Version 4, variant 10.
        bits = bits & !(0xf << 76) | (0x4 << 76);
        bits = bits & !(0x3 << 62) | (0x2 << 62);
        let digits: [[u8; 2]; 16] = bits.to_be_bytes().map(|byte| HEX[usize::from(byte)]);
        let digits = digits.as_flattened();
        let mut text = [b'-'; 36];
        for (to, from) in [(0, 0..8), (9, 8..12), (14, 12..16), (19, 16..20), (24, 20..32)] {
            text[to..to + from.len()].copy_from_slice(&digits[from]);
        }
        text
    }
}

/// Each byte in hexadecimal.
static HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut all = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = [DIGITS[byte >> 4], DIGITS[byte & 0xf]];
        byte += 1;
    }
    all
};

impl Default for Rng {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_all_values_occur() {
        let mut rng = Rng::seeded(1);
        let mut seen = [0u32; 7];
        for _ in 0..7000 {
            seen[rng.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(Rng::new().bits(), Rng::new().bits());
        assert_eq!(Rng::seeded(5).bits(), Rng::seeded(5).bits());
    }

    #[test]
    fn request_ids_are_version_4_uuids() {
        let mut rng = Rng::seeded(9);
        let (a, b) = (rng.uuid(), rng.uuid());
        assert_ne!(a, b);
        assert_eq!(a[14], b'4');
        assert!(b"89ab".contains(&a[19]));
        assert_eq!(a.iter().filter(|byte| **byte == b'-').count(), 4);
        assert!(a.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-'));
    }
}
