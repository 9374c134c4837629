//! Requests from the network into the server codec: nothing may panic or hang, an error is final,
//! and what is reported depends on the bytes alone, not on how they were split.
//!
//! Input: a byte of settings, a byte that chooses the split, then the wire.
#![no_main]

#[path = "../../codec/tests/h1_support/mod.rs"]
mod h1_support;

use h1_support::{Cut, serve};
use libfuzzer_sys::fuzz_target;
use nuncio_codec::h1::{HeaderCase, Server, ServerSettings};

fuzz_target!(|input: &[u8]| {
    let [flags, seed, wire @ ..] = input else { return };
    let set = |bit: u8| flags & (1 << bit) != 0;
    let settings = ServerSettings {
        max_headers_bytes: if set(0) { 200 } else { 60 * 1024 },
        max_headers_count: if set(0) { 6 } else { 100 },
        allow_absolute_url: !set(1),
        refuse_https: set(2),
        accept_http_10: set(2),
        enable_trailers: set(3),
        allow_chunked_length: set(4),
        allow_custom_methods: set(5),
        header_case: if set(6) { HeaderCase::Preserve } else { HeaderCase::Lower },
    };
    let status = if set(7) { 101 } else { 200 };
    let whole = serve(Server::new(settings), wire, Cut::Whole, status);
    let split = serve(Server::new(settings), wire, Cut::Random(u64::from(*seed)), status);
    assert_eq!(whole, split);
    if wire.len() < 1000 {
        assert_eq!(whole, serve(Server::new(settings), wire, Cut::Bytes, status));
    }
});
