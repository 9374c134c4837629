//! Streams end: cancelled by clients, or with the listener.

use super::*;
use std::time::{Duration, Instant};

#[test]
fn a_client_may_cancel_at_any_time() {
    for up in [false, true] {
        let (upstream, _asked) = answering(up);
        let options = if up { h2_cluster("initial_stream_window_size: 65535") } else { String::new() };
        let proxy = Proxy::start(&config("", TO_UP, &[("up", &[upstream.address], &options)]));
        let mut peer = Peer::connect(proxy.first(), &[(4, 10_000)]);
        peer.settle();
        peer.polite = false;
        peer.window(0, 10 << 20);
        for n in 0..20 {
            let stream = 1 + 4 * n;
            // In the middle of a response, in the middle of a request.
            peer.headers(stream, &get("/1000000"), true);
            peer.until(|frame| frame.kind == DATA && frame.stream == stream).expect("some of it");
            peer.reset(stream, CANCEL);
            peer.headers(stream + 2, &POST, false);
            peer.data(stream + 2, b"some", false);
            peer.reset(stream + 2, CANCEL);
        }
        assert_eq!(peer.ask(101, &get("/100")).body.len(), 100);
        proxy.await_stat("http.test.downstream_rq_active", 0);
        proxy.await_stat("cluster.up.upstream_rq_active", 0);
        proxy.await_stat("http2.streams_active", 0);
        assert_eq!(proxy.stat("http.test.downstream_rq_rx_reset"), 40);
        assert_eq!(proxy.stat("http2.rx_reset"), 40);
        // The upstream's connection is not the client's to break.
        if up {
            assert_eq!(upstream.connections(), 1);
            proxy.await_stat("cluster.up.http2.streams_active", 0);
        }
    }
}

#[test]
fn the_urgent_response_is_sent_first() {
    let (upstream, _asked) = answering(false);
    let proxy = Proxy::start(&config("", TO_UP, &[("up", &[upstream.address], "")]));
    let mut peer = Peer::connect(proxy.first(), &[(4, 8 << 20)]);
    peer.settle();
    peer.polite = false;
    peer.headers(1, &get("/4000000"), true);
    let taken = |peer: &mut Peer, mut left: usize| {
        let mut streams = Vec::new();
        while left > 0 {
            let frame = peer.until(|frame| frame.kind == DATA).expect("more");
            left -= frame.payload.len();
            streams.push(frame.stream);
        }
        streams.dedup();
        streams
    };
    // The connection's window is used up.
    assert_eq!(taken(&mut peer, 65_535), [1]);
    peer.headers(3, &[&get("/4000000")[..], &[("priority", "u=0, i")]].concat(), true);
    peer.until(|frame| frame.kind == HEADERS && frame.stream == 3).expect("its head");
    // Both wait with all that the proxy takes.
    proxy.await_stat_that("cluster.up.upstream_flow_control_paused_reading_total", |count| count >= 2);
    peer.window(0, 100_000);
    assert_eq!(taken(&mut peer, 100_000), [3]);
    // The client changes its mind.
    peer.frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x03u=6");
    peer.ping();
    peer.window(0, 100_000);
    assert_eq!(taken(&mut peer, 100_000), [1]);
}

#[test]
fn draining_lets_streams_end() {
    for by_signal in [true, false] {
        let (hold, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let upstream = scripted(move |mut peer, _| {
            while let Some((stream, fields, _)) = peer.request() {
                if fields.contains(&(":path".to_owned(), "/hold".to_owned())) {
                    peer.headers(stream, &[(":status", "200")], false);
                    held.lock().expect("one").recv().expect("released");
                    peer.data(stream, b"held", true);
                } else {
                    ok(&mut peer, stream);
                }
            }
        });
        let mut proxy = proxy("drain_timeout: 0.3s", upstream.address, true);
        let mut idle = Peer::ready(proxy.first());
        let mut peer = Peer::ready(proxy.first());
        peer.headers(1, &get("/hold"), true);
        peer.until(|frame| frame.kind == HEADERS).expect("it begins");
        let begun = Instant::now();
        if by_signal {
            proxy.signal("TERM");
        } else {
            assert_eq!(Client::connect(proxy.admin()).post("/drain_listeners?graceful").status, 200);
        }
        if by_signal {
            let first = peer.until(|frame| frame.kind == GOAWAY).expect("an announcement");
            assert_eq!((first.last(), first.code()), (0x7fff_ffff, NO_ERROR));
            // What the client sent before it heard of that is served.
            peer.headers(3, &GET, true);
            let second = peer.until(|frame| frame.kind == GOAWAY).expect("the last word");
            assert_eq!((second.last(), second.code()), (3, NO_ERROR));
            assert!(begun.elapsed() < Duration::from_secs(3));
            peer.headers(5, &GET, true);
            let frames = idle.rest();
            let last: Vec<_> = frames.iter().filter(|frame| frame.kind == GOAWAY).map(Frame::last).collect();
            assert_eq!(last, [0x7fff_ffff, 0], "an idle connection");
        }
        hold.send(()).expect("it waits");
        let frame = peer.until(|frame| frame.kind == DATA && frame.stream == 1).expect("the rest");
        assert_eq!((frame.payload.as_slice(), frame.has(END_STREAM)), (&b"held"[..], true));
        if by_signal {
            let rest = peer.rest();
            assert!(rest.iter().any(|frame| frame.kind == DATA && frame.stream == 3), "{rest:?}");
            assert!(rest.iter().all(|frame| frame.stream != 5), "{rest:?}");
            assert!(proxy.wait().success());
        }
    }
}
