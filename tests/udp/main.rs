//! UDP end to end: the binary between clients and hosts on real sockets.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/udp.rs"]
mod udp_support;

mod logs;
mod many;
mod real;
mod routes;
mod sessions;

use std::path::PathBuf;
use std::time::Instant;
use support::{PATIENCE, Proxy};

/// A statistic of the proxy `test`.
fn stat(proxy: &Proxy, name: &str) -> u64 {
    proxy.stat(&format!("udp.test.{name}"))
}

/// Descriptors that the process has open.
fn descriptors(proxy: &Proxy) -> usize {
    let folder = PathBuf::from(format!("/proc/{}/fd", proxy.pid()));
    std::fs::read_dir(folder).expect("our child").count()
}

/// Waits until the process has so many descriptors open: what was asked of the admin interface just before may still
/// have one.
fn await_descriptors(proxy: &Proxy, wanted: usize) {
    let end = Instant::now() + PATIENCE;
    while descriptors(proxy) != wanted {
        assert!(Instant::now() < end, "{} descriptors, not {wanted}", descriptors(proxy));
        std::thread::yield_now();
    }
}
