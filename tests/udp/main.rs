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

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;
use support::{PATIENCE, Proxy};

/// A statistic of the proxy `test`.
fn stat(proxy: &Proxy, name: &str) -> u64 {
    proxy.stat(&format!("udp.test.{name}"))
}

/// Descriptors that the process has open, of which sockets only those for datagrams: a connection of what was asked of the
/// admin interface just before may still be there, and now and then the process reads what it has of memory.
fn descriptors(proxy: &Proxy) -> usize {
    let of = |what: &str| PathBuf::from(format!("/proc/{}/{what}", proxy.pid()));
    let open = std::fs::read_dir(of("fd")).expect("our child");
    // What is closed meanwhile cannot be read any more.
    let open = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let open: Vec<_> = open.map(|link| link.display().to_string()).collect();
    let udp = ["net/udp", "net/udp6"].map(|table| std::fs::read_to_string(of(table)).unwrap_or_default());
    let inode = |line: &str| line.split_whitespace().nth(9).map(|inode| format!("socket:[{inode}]"));
    let udp: HashSet<_> = udp.iter().flat_map(|table| table.lines().skip(1).filter_map(inode)).collect();
    let lasts = |name: &&String| {
        if name.starts_with("socket:") { udp.contains(*name) } else { !name.starts_with("/proc/") }
    };
    open.iter().filter(lasts).count()
}

/// Waits until the process has so many descriptors open.
fn await_descriptors(proxy: &Proxy, wanted: usize) {
    let end = Instant::now() + PATIENCE;
    while descriptors(proxy) != wanted {
        assert!(Instant::now() < end, "{} descriptors, not {wanted}", descriptors(proxy));
        std::thread::yield_now();
    }
}
