//! Responses from the network into the client codec: nothing may panic or hang, an error is final,
//! and what is reported depends on the bytes alone, not on how they were split.
//!
//! Input: a byte of settings, a byte that chooses the split, then the wire.
#![no_main]

#[path = "../../codec/tests/h1_support/mod.rs"]
mod h1_support;

use h1_support::{Cut, receive, request};
use libfuzzer_sys::fuzz_target;
use nuncio_codec::h1::{Client, ClientSettings, HeaderCase};

fuzz_target!(|input: &[u8]| {
    let [flags, seed, wire @ ..] = input else { return };
    let set = |bit: u8| flags & (1 << bit) != 0;
    let settings = ClientSettings {
        max_headers_bytes: if set(0) { 200 } else { 80 * 1024 },
        max_headers_count: if set(0) { 6 } else { 100 },
        enable_trailers: set(1),
        allow_chunked_length: set(2),
        send_fully_qualified_url: false,
        header_case: if set(3) { HeaderCase::Preserve } else { HeaderCase::Lower },
    };
    let request = match flags >> 6 {
        0 => request("GET", "/", &[]),
        1 => request("HEAD", "/", &[]),
        2 => request("CONNECT", "a:80", &[]),
        _ => request("GET", "/", &[("upgrade", "websocket")]),
    };
    let run = |cut| receive(Client::new(settings), &request, wire, set(4), cut);
    let whole = run(Cut::Whole);
    assert_eq!(whole, run(Cut::Random(u64::from(*seed))));
    if wire.len() < 1000 {
        assert_eq!(whole, run(Cut::Bytes));
    }
});
