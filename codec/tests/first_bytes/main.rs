//! What a connection says first: PROXY headers, TLS client hellos, request lines. Each row is given whole, byte by byte
//! and in random pieces; the answer must be the same, and must not come later than it can.
#![allow(missing_docs, reason = "a test binary")]

#[path = "../h1_support/mod.rs"]
mod h1_support;

mod http_sniff;
mod proxy_protocol;
mod support;
mod tls_hello;
