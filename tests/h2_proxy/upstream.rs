//! Connections to hosts: when there are more, when they end, and what may go wrong on them.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[test]
fn what_was_not_processed_is_sent_again() {
    for fault in ["refused", "goaway", "goaway twice"] {
        let upstream = scripted(move |mut peer, number| {
            while let Some((stream, ..)) = peer.request() {
                match (fault, number, stream) {
                    ("refused", 0, 1) => peer.reset(stream, REFUSED),
                    ("goaway", 0, 3) => {
                        peer.goaway(1, NO_ERROR);
                        ok(&mut peer, 1);
                    }
                    ("goaway twice", 0, 3) => {
                        peer.goaway(0x7fff_ffff, NO_ERROR);
                        peer.goaway(1, NO_ERROR);
                        ok(&mut peer, 1);
                    }
                    ("goaway" | "goaway twice", 0, 1) => {}
                    _ => ok(&mut peer, stream),
                }
            }
        });
        let proxy = proxy("", upstream.address, true);
        let mut peer = Peer::ready(proxy.first());
        peer.headers(1, &GET, true);
        proxy.await_stat_that("cluster.up.upstream_rq_total", |n| n >= 1);
        peer.headers(3, &POST, true);
        for message in peer.messages(&[1, 3]) {
            assert_eq!((message.status(), message.text().as_str()), (200, "ok"), "{fault}");
        }
        assert_eq!(proxy.stat("cluster.up.upstream_rq_retry"), 1, "{fault}");
        if fault != "refused" {
            assert_eq!(proxy.stat("cluster.up.upstream_cx_close_notify"), 1);
            proxy.await_stat("cluster.up.upstream_cx_active", 1);
        }
        drop(peer);
        proxy.await_stat("cluster.up.upstream_rq_active", 0);
    }
}

#[test]
fn an_upstream_that_fails_is_told_of() {
    let upstream = scripted(|mut peer, _| {
        while let Some((stream, fields, _)) = peer.request() {
            let path = fields.iter().find(|field| field.0 == ":path").map(|field| field.1.clone());
            match path.as_deref() {
                Some("/reset") => peer.reset(stream, 2),
                Some("/reset-later") => {
                    peer.headers(stream, &[(":status", "200")], false);
                    peer.data(stream, b"begin", false);
                    peer.reset(stream, 2);
                }
                Some("/close") => return,
                Some("/close-later") => {
                    peer.headers(stream, &[(":status", "200"), ("content-length", "10")], false);
                    peer.data(stream, b"begin", false);
                    return;
                }
                Some("/short") => {
                    peer.headers(stream, &[(":status", "200"), ("content-length", "10")], false);
                    peer.data(stream, b"short", true);
                }
                Some("/bad-header") => peer.headers(stream, &[(":status", "200"), ("Upper", "x")], true),
                Some("/no-status") => peer.headers(stream, &[("x", "y")], true),
                Some("/push") => {
                    peer.frame(PUSH_PROMISE, END_HEADERS, stream, &[&[0, 0, 0, 2][..], &block(&GET)].concat())
                }
                Some("/garbage") => peer.frame(HEADERS, WHOLE, stream, &[0xff; 10]),
                Some("/connection-header") => {
                    peer.headers(stream, &[(":status", "200"), ("connection", "close")], true)
                }
                _ => ok(&mut peer, stream),
            }
        }
    });
    let proxy = proxy("", upstream.address, true);
    for (path, status) in [
        ("/reset", 503),
        ("/close", 503),
        ("/bad-header", 502),
        ("/no-status", 502),
        ("/push", 502),
        ("/garbage", 502),
        ("/connection-header", 502),
    ] {
        let mut peer = Peer::ready(proxy.first());
        let message = peer.ask(1, &[&request("POST", path)[..], &[("content-length", "0")]].concat());
        assert_eq!((message.status(), message.ended, message.reset), (status, true, None), "{path}");
        assert_eq!(peer.ask(3, &GET).status(), 200, "after {path}");
        let mut client = proxy.connect();
        assert_eq!(client.post(path).status, status, "{path}");
        assert_eq!(client.get("/").status, 200, "after {path}");
    }
    for path in ["/reset-later", "/close-later", "/short"] {
        let mut peer = Peer::ready(proxy.first());
        let message = peer.ask(1, &get(path));
        assert_eq!(message.status(), 200, "{path}");
        assert!(message.reset.is_some_and(|code| code != NO_ERROR), "{path}: {message:?}");
        assert_eq!(peer.ask(3, &GET).status(), 200, "after {path}");
    }
    proxy.await_stat("cluster.up.upstream_rq_active", 0);
    proxy.await_stat("http.test.downstream_rq_active", 0);
}

#[test]
fn connections_are_added_when_streams_are_used_up() {
    let (hold, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let upstream = Upstream::start(move |client, _| {
        let Some(mut peer) = Peer::accept(client.stream, &[(3, 2)]) else { return };
        let mut streams = Vec::new();
        while let Some((stream, ..)) = peer.request() {
            streams.push(stream);
            seen.fetch_max(streams.len(), Relaxed);
            if streams.len() == 2 {
                held.lock().expect("one at a time").recv().expect("released");
                for stream in std::mem::take(&mut streams) {
                    ok(&mut peer, stream);
                }
            }
        }
    });
    let proxy = proxy("", upstream.address, true);
    // The first two teach the proxy what the upstream allows.
    let mut peer = Peer::ready(proxy.first());
    for stream in [1, 3] {
        peer.headers(stream, &GET, true);
    }
    hold.send(()).expect("it waits");
    for message in peer.messages(&[1, 3]) {
        assert_eq!(message.status(), 200);
    }
    let streams: Vec<u32> = (0..10).map(|n| 5 + 2 * n).collect();
    for stream in &streams {
        peer.headers(*stream, &GET, true);
    }
    for _ in 0..5 {
        hold.send(()).expect("it waits");
    }
    for message in peer.messages(&streams) {
        assert_eq!(message.status(), 200);
    }
    assert_eq!(most.load(Relaxed), 2);
    assert!((2..=5).contains(&upstream.connections()), "{} connections", upstream.connections());
}

#[test]
fn connections_end_after_so_many_requests() {
    let (upstream, _asked) = answering(true);
    let options = h2_cluster("").replace(
        "explicit_http_config",
        "common_http_protocol_options: {max_requests_per_connection: 3}, explicit_http_config",
    );
    let hcm =
        "common_http_protocol_options: {max_requests_per_connection: 2}\n          drain_timeout: 0.05s";
    let proxy = Proxy::start(&config(hcm, TO_UP, &[("up", &[upstream.address], &options)]));
    for _ in 0..3 {
        let mut peer = Peer::ready(proxy.first());
        for stream in [1, 3, 5] {
            assert_eq!(peer.ask(stream, &GET).status(), 200);
        }
        let frames = peer.rest();
        let last: Vec<_> = frames.iter().filter(|frame| frame.kind == GOAWAY).map(Frame::last).collect();
        assert_eq!(last, [0x7fff_ffff, 5]);
    }
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    assert_eq!(upstream.connections(), 3);
    assert_eq!(proxy.stat("http.test.downstream_cx_max_requests_reached"), 3);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_max_requests"), 3);
}

#[test]
fn idle_connections_end() {
    let (upstream, _asked) = answering(true);
    let options = h2_cluster("").replace(
        "explicit_http_config",
        "common_http_protocol_options: {idle_timeout: 0.1s}, explicit_http_config",
    );
    let hcm = "common_http_protocol_options: {idle_timeout: 0.1s}";
    let proxy = Proxy::start(&config(hcm, TO_UP, &[("up", &[upstream.address], &options)]));
    let mut peer = Peer::ready(proxy.first());
    assert_eq!(peer.ask(1, &GET).status(), 200);
    let frames = peer.rest();
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY && frame.code() == NO_ERROR), "{frames:?}");
    proxy.await_stat("cluster.up.upstream_cx_active", 0);
    assert_eq!(proxy.stat("http.test.downstream_cx_idle_timeout"), 1);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_idle_timeout"), 1);
}

#[test]
fn a_response_that_nobody_takes_is_given_up() {
    for size in [100, 10_000_000] {
        let (upstream, _asked) = answering(true);
        let hcm = "stream_idle_timeout: 0.15s\n          common_http_protocol_options: {idle_timeout: 0.05s}";
        let proxy = proxy(hcm, upstream.address, true);
        let mut peer = Peer::connect(proxy.first(), &[(4, 0)]);
        peer.settle();
        let message = peer.ask(1, &get(&format!("/{size}")));
        assert_eq!((message.status(), message.body.len()), (200, 0));
        assert!(message.reset.is_some_and(|code| code != NO_ERROR), "{message:?}");
        proxy.await_stat("http2.streams_active", 0);
        proxy.await_stat("cluster.up.upstream_rq_active", 0);
        if size == 100 {
            assert_eq!(proxy.stat("http2.tx_flush_timeout"), 1);
        }
        // Now it is idle.
        peer.rest();
    }
}

#[test]
fn pings_find_out_who_is_dead() {
    let (upstream, _asked) = answering(true);
    let deaf = Upstream::start(|client, _| {
        let Some(mut peer) = Peer::accept(client.stream, &[]) else { return };
        peer.polite = false;
        while peer.read().is_some() {}
    });
    let keepalive = "connection_keepalive: {interval: 0.05s, timeout: 0.2s, interval_jitter: {value: 0}}";
    let routes = "- {match: {prefix: /deaf}, route: {cluster: deaf}}\n              - {match: {prefix: \"/\"}, route: {cluster: up}}";
    let proxy = Proxy::start(&config(
        &format!("http2_protocol_options: {{{keepalive}}}"),
        routes,
        &[
            ("up", &[upstream.address], &h2_cluster(keepalive)),
            ("deaf", &[deaf.address], &h2_cluster(keepalive)),
        ],
    ));
    let mut peer = Peer::ready(proxy.first());
    assert_eq!(peer.ask(1, &GET).status(), 200);
    // The answers keep it alive.
    for _ in 0..6 {
        peer.until(|frame| frame.kind == PING && !frame.has(ACK)).expect("a PING");
    }
    let message = peer.ask(3, &get("/deaf"));
    assert_eq!(message.status(), 503);
    assert_eq!(proxy.stat("cluster.deaf.http2.keepalive_timeout"), 1);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_destroy"), 0);
    peer.polite = false;
    peer.rest();
    assert_eq!(proxy.stat("http2.keepalive_timeout"), 1);
}

#[test]
fn the_downstream_version_may_decide() {
    let h1 = Upstream::start(|client, _| {
        // Whatever comes: both versions tell themselves apart by their first bytes.
        let mut first = [0; 3];
        while client.stream.peek(&mut first).is_ok_and(|n| n < 3 && n > 0) {}
        if &first == b"PRI" {
            let Some(mut peer) = Peer::accept(client.stream, &[]) else { return };
            while let Some((stream, ..)) = peer.request() {
                peer.headers(stream, &[(":status", "200"), ("x-spoken", "h2")], true);
            }
        } else {
            let mut client = client;
            while client.request().is_some() {
                client.send("HTTP/1.1 200 OK\r\nx-spoken: h1\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    let options = h2_cluster("").replace(
        "explicit_http_config: {http2_protocol_options: {}}",
        "use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}",
    );
    let proxy = Proxy::start(&config("", TO_UP, &[("up", &[h1.address], &options)]));
    for _ in 0..2 {
        assert_eq!(ask(&proxy, true, "GET", "/", &[], b"", &[]).header("x-spoken"), Some("h2"));
        assert_eq!(ask(&proxy, false, "GET", "/", &[], b"", &[]).header("x-spoken"), Some("h1"));
    }
    assert_eq!(h1.connections(), 2);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_http2_total"), 1);
    assert_eq!(proxy.stat("cluster.up.upstream_cx_http1_total"), 1);
}
