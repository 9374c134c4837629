//! Sessions and the end of the process.

use super::support::Proxy;
use super::{Ended, Host, connect, plain, read, rest, tcp_proxy, yaml};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn open_sessions_go_on_while_the_process_drains() {
    let host = Host::start();
    let mut proxy = plain(host.address);
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    let address = proxy.address("main");
    proxy.signal("TERM");
    // Accepting ends.
    let end = Instant::now() + super::PATIENCE;
    while let Ok(mut late) = TcpStream::connect(address) {
        // Accepted by the kernel before the socket was closed: served, or reset with it.
        let _ = late.write_all(b"late");
        assert!(Instant::now() < end, "it still listens");
        std::thread::yield_now();
    }
    for _ in 0..3 {
        client.write_all(b"still here").expect("sent");
        assert_eq!(read(&mut server, 10), b"still here");
        server.write_all(b"so am I").expect("sent");
        assert_eq!(read(&mut client, 7), b"so am I");
    }
    drop(client);
    assert_eq!(rest(&mut server), (Vec::new(), Ended::InOrder));
    drop(server);
    // A late one that was accepted may come to the host at any time from now on.
    std::thread::spawn(move || {
        while let Ok(mut other) = host.arrived.recv() {
            rest(&mut other);
        }
    });
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn sessions_end_with_the_drain_time() {
    let host = Host::start();
    let mut proxy = Proxy::start_with(
        &yaml(&[("main", &[tcp_proxy("cluster: up")], "")], &[("up", &[host.address], "")]),
        &["--concurrency", "1", "--drain-time-s", "1"],
    );
    let mut client = connect(&proxy, "main");
    let mut server = host.next();
    client.write_all(b"x").expect("sent");
    read(&mut server, 1);
    let started = Instant::now();
    proxy.signal("TERM");
    rest(&mut client);
    rest(&mut server);
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!(proxy.wait().code(), Some(0));
}

/// Many sessions that come and go, half of them abruptly: nothing is left of them.
#[test]
fn nothing_is_left_of_many_sessions() {
    let proxy = Proxy::start_with(
        &yaml(&[("main", &[tcp_proxy("cluster: up")], "")], &[("up", &[super::echo()], "")]),
        &["--concurrency", "2"],
    );
    let round = || {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let proxy = &proxy;
                scope.spawn(move || {
                    for n in 0..250 {
                        let mut client = connect(proxy, "main");
                        client.write_all(b"hello").expect("sent");
                        if n % 3 != 0 {
                            read(&mut client, 5);
                        }
                        if (n + thread) % 2 == 0 {
                            super::reset(client);
                        }
                    }
                });
            }
        });
        proxy.await_stat("cluster.up.upstream_cx_active", 0);
        proxy.await_stat("listener.main.downstream_cx_active", 0);
    };
    let files = || std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("our child").count();
    round();
    let (open, memory) = (files(), proxy.resident());
    round();
    round();
    assert!(files() <= open + 2, "{open} open files, then {}", files());
    assert!(proxy.resident() < memory + (4 << 20), "{memory} bytes, then {}", proxy.resident());
    assert_eq!(proxy.stat("tcp.t.downstream_cx_total"), 3000);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_total"), proxy.stat("cluster.up.upstream_cx_destroy"));
}
