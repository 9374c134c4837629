//! The first line of a connection: nothing may panic, and the answer does not depend on how the bytes were split.
//!
//! Input: a byte that chooses the split, then the wire.
#![no_main]

#[path = "../../codec/tests/h1_support/mod.rs"]
mod h1_support;
#[path = "../../codec/tests/first_bytes/support.rs"]
mod support;

use h1_support::Cut;
use libfuzzer_sys::fuzz_target;
use support::{feed, http};

fuzz_target!(|input: &[u8]| {
    let [seed, wire @ ..] = input else { return };
    let (whole, _) = feed(wire, Cut::Whole, http());
    assert_eq!(feed(wire, Cut::Random(u64::from(*seed)), http()).0, whole);
    if wire.len() < 1000 {
        assert_eq!(feed(wire, Cut::Bytes, http()).0, whole);
    }
});
