//! What consistent balancing hashes with. The numbers are Envoy's, so that both send the same client to the same host.

use twox_hash::XxHash64;

/// `RingHashLbConfig.HashFunction`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// xxHash64.
    XxHash,
    /// MurmurHash2 for 64 bits, as `std::hash` of GNU's C++ library.
    MurmurHash2,
}

impl HashFunction {
    /// Of some bytes.
    pub(super) fn of(self, bytes: &[u8]) -> u64 {
        match self {
            Self::XxHash => XxHash64::oneshot(0, bytes),
            Self::MurmurHash2 => murmur2(bytes),
        }
    }
}

/// A number for a client, by which consistent balancing finds its host.
pub fn hash_of(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// A number for several pieces, in their order.
pub fn hash_of_all(pieces: &[&[u8]]) -> u64 {
    pieces.iter().fold(0, |seed, piece| XxHash64::oneshot(seed, piece))
}

/// A second number for the same bytes.
pub(super) fn other_hash_of(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(1, bytes)
}

/// MurmurHash64A (Appleby), with the seed that GNU's library uses.
fn murmur2(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xc70f_6907;
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        hash = (hash ^ (word ^ word >> 47).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(FACTOR);
    hash ^ hash >> 47
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        // The first is in xxHash's own documentation; of MurmurHash, Envoy's tests know these.
        assert_eq!(hash_of(b""), 0xef46_db37_51d8_e999);
        for (text, hash) in [("hello", 2_762_169_579_135_187_400), ("world", 8_751_027_807_033_337_960)] {
            assert_eq!(HashFunction::MurmurHash2.of(text.as_bytes()), hash, "{text}");
        }
    }
}
