//! Bytes from the network into the client codec, which has three requests open: nothing may panic or hang, an error is
//! final, what is reported and written depends on the bytes alone, and what is written is frames.
//!
//! Input: a byte of settings, a byte that chooses the split, then the wire.
#![no_main]

#[path = "../../codec/tests/h2_support/mod.rs"]
mod h2_support;

use h2_support::{Cut, fuzzed_client};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [flags, seed, wire @ ..] = input else { return };
    let whole = fuzzed_client(*flags, wire, Cut::Whole);
    assert_eq!(whole, fuzzed_client(*flags, wire, Cut::Random(u64::from(*seed))));
    if wire.len() < 1000 {
        assert_eq!(whole, fuzzed_client(*flags, wire, Cut::Bytes));
    }
});
