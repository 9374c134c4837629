//! Listeners end to end: filter chains, listener filters, addresses, limits. Real sockets, real peers.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../tls/certs.rs"]
mod certs;

mod chains;
mod config;
mod draining;
mod haproxy;
mod limits;
mod logs;
mod network;
mod proxy_protocol;
mod redirection;
mod secure;
mod slow;
mod sockets;
mod tls;
mod upstream;
