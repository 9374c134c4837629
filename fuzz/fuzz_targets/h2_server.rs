//! Bytes from the network into the server codec: nothing may panic or hang, an error is final, what is reported and
//! written depends on the bytes alone, and what is written is frames.
//!
//! Input: a byte of settings, a byte that chooses the split, then the wire behind the preface.
#![no_main]

#[path = "../../codec/tests/h2_support/mod.rs"]
mod h2_support;

use h2_support::{Cut, PREFACE, fuzzed_server};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [flags, seed, rest @ ..] = input else { return };
    let wire = if flags & 0x80 == 0 { [PREFACE, rest].concat() } else { rest.to_vec() };
    let whole = fuzzed_server(*flags, &wire, Cut::Whole);
    assert_eq!(whole, fuzzed_server(*flags, &wire, Cut::Random(u64::from(*seed))));
    if wire.len() < 1000 {
        assert_eq!(whole, fuzzed_server(*flags, &wire, Cut::Bytes));
    }
});
