//! TLS client hellos: nothing may panic, the answer does not depend on how the bytes were split, and waiting ends at the
//! limit.
//!
//! Input: a byte that chooses limit and split, then the wire.
#![no_main]

#[path = "../../codec/tests/h1_support/mod.rs"]
mod h1_support;
#[path = "../../codec/tests/first_bytes/support.rs"]
mod support;

use h1_support::Cut;
use libfuzzer_sys::fuzz_target;
use nuncio_codec::tls_hello::MAX_HELLO;
use support::{feed, tls_hello};

fuzz_target!(|input: &[u8]| {
    let [seed, wire @ ..] = input else { return };
    let limit = if seed & 1 == 0 { MAX_HELLO } else { 256 };
    let (whole, _) = feed(wire, Cut::Whole, tls_hello(limit));
    assert_eq!(feed(wire, Cut::Random(u64::from(*seed)), tls_hello(limit)).0, whole);
    if wire.len() < 1000 {
        assert_eq!(feed(wire, Cut::Bytes, tls_hello(limit)).0, whole);
    }
    assert!(whole != "more" || wire.len() < limit);
});
