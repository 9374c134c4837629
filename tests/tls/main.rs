//! TLS end to end: the binary with real clients and servers on real sockets.

#![allow(missing_docs, unreachable_pub, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod certs;
mod client;
mod config;
mod downstream;
mod hostile;
mod negotiated;
mod peers;
mod refused;
mod reload;
mod secrets;
mod tcp;
mod upstream;
