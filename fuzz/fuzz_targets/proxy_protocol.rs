//! PROXY headers: nothing may panic, the answer does not depend on how the bytes were split, and a header that was
//! read is read again after it was written.
//!
//! Input: a byte that chooses versions and split, then the wire.
#![no_main]

#[path = "../../codec/tests/h1_support/mod.rs"]
mod h1_support;
#[path = "../../codec/tests/first_bytes/support.rs"]
mod support;

use h1_support::Cut;
use libfuzzer_sys::fuzz_target;
use nuncio_codec::Buffer;
use nuncio_codec::proxy_protocol::{Version, Versions, parse, write_v1, write_v2};
use support::{feed, proxy_protocol};

fuzz_target!(|input: &[u8]| {
    let [seed, wire @ ..] = input else { return };
    let versions = Versions { v1: seed & 3 != 1, v2: seed & 3 != 2 };
    let (whole, _) = feed(wire, Cut::Whole, proxy_protocol(versions));
    assert_eq!(feed(wire, Cut::Random(u64::from(*seed)), proxy_protocol(versions)).0, whole);
    if wire.len() < 1000 {
        assert_eq!(feed(wire, Cut::Bytes, proxy_protocol(versions)).0, whole);
    }
    for version in [Version::V1, Version::V2] {
        let mut buffer = Buffer::from(wire);
        let Ok(Some(header)) = parse(&mut buffer, version) else { continue };
        assert!(header.length <= wire.len());
        let Some(ends) = header.ends else { continue };
        let mut again = Buffer::new();
        match version {
            Version::V1 => write_v1(Some(ends), &mut again),
            Version::V2 => assert!(write_v2(ends, header.extensions, &mut again)),
        }
        let read = parse(&mut again, version).expect("well-formed").expect("whole");
        assert_eq!((read.ends, read.extensions), (header.ends, header.extensions));
    }
});
