//! Frames that are well-formed more often than chance would have it, and an owner that answers, queues, consumes and
//! resets at random, on a server and a client: nothing may panic or hang, and the accounts are right.
//!
//! Input: a script, read byte by byte.
#![no_main]

#[path = "../../codec/tests/h2_support/mod.rs"]
mod h2_support;

use h2_support::script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    script::run_server(input);
    script::run_client(input);
});
