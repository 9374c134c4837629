//! Bytes, ends and resets, in both directions.

use super::support::Proxy;
use super::{Ended, Host, connect, echo, plain, read, reset, rest, tcp_proxy, yaml};
use std::io::{Read, Write};
use std::net::Shutdown;

/// A byte that tells its place.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 9) ^ (at >> 17)) as u8
}

fn block(from: usize, n: usize) -> Vec<u8> {
    (from..from + n).map(byte).collect()
}

#[test]
fn each_side_may_finish_by_itself() {
    let host = Host::start();
    let proxy = plain(host.address);
    // The client first.
    let mut client = connect(&proxy, "main");
    client.write_all(b"question").expect("sent");
    client.shutdown(Shutdown::Write).expect("finished");
    let mut server = host.next();
    assert_eq!(rest(&mut server), (b"question".to_vec(), Ended::InOrder));
    server.write_all(b"a late answer").expect("sent");
    assert_eq!(read(&mut client, 13), b"a late answer");
    drop(server);
    assert_eq!(rest(&mut client), (Vec::new(), Ended::InOrder));
    // The server first, which speaks first too.
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    server.write_all(b"banner").expect("sent");
    server.shutdown(Shutdown::Write).expect("finished");
    assert_eq!(rest(&mut client), (b"banner".to_vec(), Ended::InOrder));
    client.write_all(b"last words").expect("sent");
    assert_eq!(read(&mut server, 10), b"last words");
    drop(client);
    assert_eq!(rest(&mut server), (Vec::new(), Ended::InOrder));
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    proxy.await_stat("listener.main.downstream_cx_active", 0);
    for (name, value) in [
        ("tcp.t.downstream_cx_total", 2),
        ("tcp.t.downstream_cx_rx_bytes_total", 18),
        ("tcp.t.downstream_cx_tx_bytes_total", 19),
        ("cluster.up.upstream_cx_tx_bytes_total", 18),
        ("cluster.up.upstream_cx_rx_bytes_total", 19),
        ("cluster.up.upstream_cx_destroy_remote", 1),
        ("cluster.up.upstream_cx_destroy_local", 1),
        ("tcp.t.upstream_flush_total", 0),
    ] {
        assert_eq!(proxy.stat(name), value, "{name}");
    }
}

#[test]
fn resets_are_resets_on_the_other_side() {
    let host = Host::start();
    let proxy = plain(host.address);
    let mut client = connect(&proxy, "main");
    client.write_all(b"x").expect("sent");
    let mut server = host.next();
    assert_eq!(read(&mut server, 1), b"x");
    reset(client);
    assert_eq!(rest(&mut server), (Vec::new(), Ended::Reset));
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    // A host that breaks off at once could not be connected to.
    server.write_all(b"y").expect("sent");
    assert_eq!(read(&mut client, 1), b"y");
    reset(server);
    assert_eq!(rest(&mut client), (Vec::new(), Ended::Reset));
    // Also when one side has finished.
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    server.write_all(b"half").expect("sent");
    client.shutdown(Shutdown::Write).expect("finished");
    assert_eq!(rest(&mut server), (Vec::new(), Ended::InOrder));
    assert_eq!(read(&mut client, 4), b"half");
    reset(server);
    assert_eq!(rest(&mut client), (Vec::new(), Ended::Reset));
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
}

/// More than any buffer holds, both ways at once: large enough that it goes from socket to socket.
#[test]
fn large_transfers_arrive_byte_for_byte_and_are_counted() {
    const SIZE: usize = 48 << 20;
    let host = Host::start();
    let proxy = plain(host.address);
    let client = connect(&proxy, "main");
    let server = host.next();
    std::thread::scope(|scope| {
        for (mut from, mut to) in [
            (client.try_clone().expect("a copy"), server.try_clone().expect("a copy")),
            (server.try_clone().expect("a copy"), client.try_clone().expect("a copy")),
        ] {
            scope.spawn(move || {
                let mut sent = 0;
                while sent < SIZE {
                    // Pieces of very different sizes, so that the way of carrying them changes.
                    let n = [1, 700, 5000, 300_000, 1 << 20][sent % 5].min(SIZE - sent);
                    from.write_all(&block(sent, n)).expect("sent");
                    sent += n;
                }
                from.shutdown(Shutdown::Write).expect("finished");
            });
            scope.spawn(move || {
                let (mut got, mut room) = (0, vec![0; 1 << 17]);
                loop {
                    let n = to.read(&mut room).expect("it comes");
                    if n == 0 {
                        break;
                    }
                    let wrong = room[..n].iter().enumerate().find(|(at, is)| **is != byte(got + at));
                    assert!(wrong.is_none(), "byte {}", got + wrong.map_or(0, |(at, _)| at));
                    got += n;
                }
                assert_eq!(got, SIZE);
            });
        }
    });
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    for name in [
        "tcp.t.downstream_cx_rx_bytes_total",
        "tcp.t.downstream_cx_tx_bytes_total",
        "cluster.up.upstream_cx_rx_bytes_total",
        "cluster.up.upstream_cx_tx_bytes_total",
    ] {
        assert_eq!(proxy.stat(name), SIZE as u64, "{name}");
    }
}

/// Small questions after a large transfer on the same connection: the way back to copying loses nothing.
#[test]
fn small_messages_follow_large_ones() {
    let proxy = plain(echo());
    let mut client = connect(&proxy, "main");
    for _ in 0..3 {
        let mut writer = client.try_clone().expect("a copy");
        let sender = std::thread::spawn(move || writer.write_all(&block(0, 8 << 20)).expect("sent"));
        assert!(read(&mut client, 8 << 20) == block(0, 8 << 20));
        sender.join().expect("sent");
        for n in 1..50 {
            client.write_all(&block(n, n)).expect("sent");
            assert_eq!(read(&mut client, n), block(n, n));
        }
    }
}

/// A reader that takes nothing holds its sender back; memory stays bounded.
#[test]
fn a_slow_reader_holds_the_sender_back() {
    const SESSIONS: usize = 8;
    let host = Host::start();
    let proxy = plain(host.address);
    let before = proxy.resident();
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let client = connect(&proxy, "main");
        let mut server = host.next();
        server.set_nonblocking(true).expect("non-blocking");
        sessions.push((client, server.try_clone().expect("a copy"), 0usize));
        // As much as the proxy and the kernel take.
        let (_, _, sent) = sessions.last_mut().expect("just pushed");
        let mut stuck = 0;
        while stuck < 200 {
            match server.write(&block(*sent, 1 << 16)) {
                Ok(n) => (*sent, stuck) = (*sent + n, 0),
                Err(_) => {
                    stuck += 1;
                    std::thread::yield_now();
                }
            }
        }
    }
    proxy.await_stat_that("cluster.up.upstream_flow_control_paused_reading_total", |n| n >= SESSIONS as u64);
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < (SESSIONS as u64) * (3 << 20), "{grown} bytes for {SESSIONS} stuck sessions");
    for (client, server, sent) in &mut sessions {
        server.shutdown(Shutdown::Write).expect("finished");
        let (bytes, ended) = rest(client);
        assert_eq!((bytes.len(), ended), (*sent, Ended::InOrder));
        assert!(bytes == block(0, *sent));
    }
    drop(sessions);
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
}

/// The client is gone, and what it has sent still gets to a host that is slow.
#[test]
fn what_a_client_has_sent_is_delivered_after_it_has_gone() {
    let host = Host::start();
    let listener = ("main", &[tcp_proxy("cluster: up")][..], "per_connection_buffer_limit_bytes: 10000");
    let proxy = Proxy::start(&yaml(&[listener], &[("up", &[host.address], "")]));
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    // The host finishes first, so that the end of the client is the end of its connection.
    server.shutdown(Shutdown::Write).expect("finished");
    assert_eq!(rest(&mut client), (Vec::new(), Ended::InOrder));
    client.set_nonblocking(true).expect("non-blocking");
    let (mut sent, mut stuck) = (0, 0);
    while stuck < 200 {
        match client.write(&block(sent, 1 << 16)) {
            Ok(n) => (sent, stuck) = (sent + n, 0),
            Err(_) => {
                stuck += 1;
                std::thread::yield_now();
            }
        }
    }
    // Takes some, so that the rest fits into the proxy and the kernel.
    let taken = read(&mut server, sent / 2);
    client.shutdown(Shutdown::Write).expect("finished");
    drop(client);
    let (bytes, ended) = rest(&mut server);
    assert_eq!((taken.len() + bytes.len(), ended), (sent, Ended::InOrder));
    assert!([taken, bytes].concat() == block(0, sent));
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    assert_eq!(proxy.stat("tcp.t.upstream_flush_active"), 0);
}
