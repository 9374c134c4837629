//! Listeners end to end: filter chains, listener filters, addresses, limits. Real sockets, real peers.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod chains;
mod config;
mod draining;
mod haproxy;
mod limits;
mod proxy_protocol;
mod redirection;
mod slow;
mod sockets;
mod tls;
mod upstream;
