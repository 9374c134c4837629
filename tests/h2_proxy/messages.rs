//! What messages carry in every mix of versions, and what large ones and slow readers do.

use super::*;
use std::time::Duration;

#[test]
fn every_mix_carries_every_kind_of_message() {
    for (down, up) in MIXES {
        let (upstream, asked) = answering(up);
        let proxy = proxy(H1_TRAILERS, upstream.address, up);
        let case = format!("h{} to h{}", 1 + u8::from(down), 1 + u8::from(up));

        let got = ask(&proxy, down, "GET", "/0", &[("cookie", "a=1"), ("cookie", "b=2")], b"", &[]);
        let sent = asked.recv().expect("a request");
        assert_eq!((got.status(), got.body.len(), got.ended, got.reset), (200, 0, true, None), "{case}");
        assert_eq!((sent.method.as_str(), sent.path.as_str(), sent.body.len()), ("GET", "/0", 0), "{case}");
        let cookies: Vec<_> =
            sent.fields.iter().filter(|field| field.0 == "cookie").map(|field| &*field.1).collect();
        if down {
            assert_eq!(cookies, ["a=1; b=2"], "{case}: crumbs are one cookie again");
        }
        assert_eq!(sent.header(if up { ":authority" } else { "host" }), Some("test"), "{case}");
        assert_eq!(sent.header("x-forwarded-proto"), Some("http"), "{case}");

        let got = ask(&proxy, down, "HEAD", "/1000", &[], b"", &[]);
        assert_eq!(
            (got.status(), got.header("content-length"), got.body.len()),
            (200, Some("1000"), 0),
            "{case}"
        );
        assert_eq!(asked.recv().expect("a request").method, "HEAD", "{case}");

        for size in [1, 16_384, 65_536, 3 << 20] {
            let got = ask(&proxy, down, "POST", &format!("/{size}"), &[], &pattern(size), &[]);
            assert_eq!((got.status(), got.ended, got.reset), (200, true, None), "{case}: {size}");
            same(&case, &got.body, &pattern(size));
            same(&case, &asked.recv().expect("a request").body, &pattern(size));
        }

        let got = ask(
            &proxy,
            down,
            "POST",
            "/70000",
            &[("x-want", "trailers")],
            &pattern(70_000),
            &[("x-end", "yes")],
        );
        same(&case, &got.body, &pattern(70_000));
        assert_eq!(got.trailer("x-sum"), Some("all"), "{case}: {got:?}");
        let sent = asked.recv().expect("a request");
        same(&case, &sent.body, &pattern(70_000));
        if up {
            assert_eq!(sent.trailers, [("x-end".to_owned(), "yes".to_owned())], "{case}");
        }
        proxy.await_stat("http.test.downstream_rq_active", 0);
        proxy.await_stat("cluster.up.upstream_rq_active", 0);
    }
}

#[test]
fn large_bodies_go_both_ways_at_once() {
    for (down, up) in [(true, false), (false, true), (true, true)] {
        let (upstream, asked) = answering(up);
        let proxy = proxy("", upstream.address, up);
        let size = 32 << 20;
        let got = ask(&proxy, down, "POST", &format!("/{size}"), &[], &pattern(size), &[]);
        same("response", &got.body, &pattern(size));
        same("request", &asked.recv().expect("a request").body, &pattern(size));
        // An unoptimised build; what counts is that it is not the size of the bodies.
        assert!(proxy.resident() < 120 << 20, "{} MiB resident", proxy.resident() >> 20);
    }
}

#[test]
fn small_windows_on_both_sides_only_slow_things_down() {
    let (upstream, asked) = answering(true);
    for window in [65_535, 1 << 20] {
        let window =
            format!("initial_stream_window_size: {window}, initial_connection_window_size: {window}");
        let hcm = format!("http2_protocol_options: {{{window}}}");
        let proxy = Proxy::start(&config(&hcm, TO_UP, &[("up", &[upstream.address], &h2_cluster(&window))]));
        let size = 2 << 20;
        let mut peer = Peer::ready(proxy.first());
        // Several at a time, each larger than the connection's window.
        let streams: Vec<u32> = (0..4).map(|n| 1 + 2 * n).collect();
        for stream in &streams {
            peer.headers(*stream, &request("POST", &format!("/{size}")), false);
        }
        let body = pattern(size);
        for (at, piece) in body.chunks(60_000).enumerate() {
            for stream in &streams {
                assert!(peer.body(*stream, piece, (at + 1) * 60_000 >= size));
            }
        }
        for message in peer.messages(&streams) {
            assert_eq!((message.status(), message.reset), (200, None));
            same("response", &message.body, &body);
            same("request", &asked.recv().expect("a request").body, &body);
        }
    }
}

#[test]
fn a_reader_that_stalls_stalls_only_its_stream() {
    for up in [false, true] {
        let (upstream, _asked) = answering(up);
        let hcm = "http2_protocol_options: {initial_stream_window_size: 65535}";
        let proxy = proxy(hcm, upstream.address, up);
        let mut peer = Peer::connect(proxy.first(), &[(4, 0)]);
        peer.settle();
        peer.polite = false;
        peer.window(0, 100 << 20);
        // A stream with no window at all, and one that is read.
        peer.headers(1, &get("/20000000"), true);
        for stream in (3..103).step_by(2) {
            peer.headers(stream, &get("/30000"), true);
            peer.window(stream, 30_000);
            let message = peer.message(stream);
            assert_eq!((message.status(), message.body.len()), (200, 30_000));
        }
        assert!(proxy.resident() < 100 << 20, "{} MiB resident", proxy.resident() >> 20);
        // It goes on where it stopped.
        peer.window(1, 20_000_000);
        let message = peer.message(1);
        same("the stalled one", &message.body, &pattern(20_000_000));
    }
}

#[test]
fn a_request_that_nobody_reads_stalls_only_its_stream() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |mut client, _| {
        let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
        if head.starts_with("POST") {
            wait.lock().expect("one waits").recv().expect("released");
            let mut sum = 0;
            while sum < 8_000_000 {
                sum += client.exactly(80_000.min(8_000_000 - sum)).len();
            }
        }
        client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    });
    let hcm = "http2_protocol_options: {initial_stream_window_size: 65535}";
    let proxy = proxy(hcm, upstream.address, false);
    let mut peer = Peer::ready(proxy.first());
    peer.headers(1, &[&request("POST", "/slow")[..], &[("content-length", "8000000")]].concat(), false);
    let body = pattern(8_000_000);
    // As much as is taken: the connection's buffers and the system's are in between.
    let mut sent = 0;
    loop {
        let room = peer.room_of(1).min(body.len() - sent);
        if room == 0 {
            if peer.ping().iter().all(|frame| frame.kind != WINDOW_UPDATE || frame.stream != 1) {
                // Nothing comes back, even after the proxy has had time to pass everything on.
                std::thread::sleep(Duration::from_millis(30));
                if peer.ping().iter().all(|frame| frame.kind != WINDOW_UPDATE || frame.stream != 1) {
                    break;
                }
            }
            continue;
        }
        assert!(peer.body(1, &body[sent..sent + room], sent + room == body.len()));
        sent += room;
        if sent == body.len() {
            break;
        }
    }
    assert!(sent < body.len(), "the proxy takes everything");
    for stream in [3, 5, 7] {
        assert_eq!(peer.ask(stream, &GET).status(), 200);
    }
    release.send(()).expect("it waits");
    assert!(peer.body(1, &body[sent..], true));
    assert_eq!(peer.message(1).status(), 200);
}

#[test]
fn interim_responses_and_early_ones() {
    for up in [false, true] {
        let upstream = Upstream::start(move |mut client, _| {
            if !up {
                client.until(b"\r\n\r\n");
                client.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
                client.send("HTTP/1.1 413 Too Large\r\ncontent-length: 200000\r\n\r\n");
                client.send(pattern(200_000));
                client.until_closed();
                return;
            }
            let Some(mut peer) = Peer::accept(client.stream, &[]) else { return };
            while let Some((stream, ..)) = peer.request() {
                peer.headers(stream, &[(":status", "100")], false);
                peer.headers(stream, &[(":status", "103"), ("link", "x")], false);
                peer.headers(stream, &[(":status", "413"), ("content-length", "200000")], false);
                assert!(peer.body(stream, &pattern(200_000), true));
                peer.reset(stream, NO_ERROR);
            }
        });
        let proxy = proxy("proxy_100_continue: true", upstream.address, up);
        // The request never ends, and the response is longer than the window.
        let mut peer = Peer::ready(proxy.first());
        peer.headers(1, &[&request("POST", "/")[..], &[("expect", "100-continue")]].concat(), false);
        let message = peer.message(1);
        assert_eq!((message.status(), message.ended), (413, true), "{:?} {:?}", message.head, message.reset);
        assert_eq!(message.interim, ["100", "103"]);
        same("the early response", &message.body, &pattern(200_000));
        let reset = peer.until(|frame| frame.kind == RST_STREAM).expect("nobody reads the request");
        assert_eq!((reset.stream, reset.code()), (1, NO_ERROR));
        // What was on its way is no error.
        peer.data(1, b"late", true);
        peer.ping();
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n");
        assert_eq!(client.response().status, 100);
        assert_eq!(client.response().status, 103);
        let response = client.response();
        assert_eq!(response.status, 413);
        same("the early response", &response.body, &pattern(200_000));
        proxy.await_stat("cluster.up.upstream_rq_active", 0);
    }
}

#[test]
fn continue_is_ours_to_send_by_default() {
    for up in [false, true] {
        let (upstream, asked) = answering(up);
        let proxy = proxy("", upstream.address, up);
        let mut peer = Peer::ready(proxy.first());
        peer.headers(1, &[&request("POST", "/5")[..], &[("expect", "100-continue")]].concat(), false);
        let frame = peer.until(|frame| frame.kind == HEADERS).expect("100");
        assert_eq!(frame.fields, [(":status".to_owned(), "100".to_owned())]);
        assert!(!frame.has(END_STREAM));
        peer.data(1, b"12345", true);
        assert_eq!(peer.message(1).status(), 200);
        let sent = asked.recv().expect("a request");
        assert_eq!((sent.body.as_slice(), sent.header("expect")), (&b"12345"[..], None));
    }
}

#[test]
fn many_streams_on_one_connection() {
    for up in [false, true] {
        let (upstream, _asked) = answering(up);
        let proxy = proxy("", upstream.address, up);
        let mut peer = Peer::ready(proxy.first());
        for round in 0..3 {
            let streams: Vec<u32> = (0..200).map(|n| 1 + 2 * (round * 200 + n)).collect();
            for stream in &streams {
                peer.headers(*stream, &get(&format!("/{}", stream % 977)), true);
            }
            for (stream, message) in streams.iter().zip(peer.messages(&streams)) {
                assert_eq!((message.status(), message.body.len()), (200, *stream as usize % 977));
            }
        }
        assert_eq!(proxy.stat("http.test.downstream_cx_total"), 1);
        assert_eq!(proxy.stat("http.test.downstream_rq_http2_total"), 600);
    }
}

#[test]
fn a_head_over_the_limit_is_answered() {
    let (upstream, _asked) = answering(false);
    let proxy = proxy("max_request_headers_kb: 2", upstream.address, false);
    let mut peer = Peer::ready(proxy.first());
    let long = "x".repeat(3000);
    let message = peer.ask(1, &[&GET[..], &[("x-long", &long)]].concat());
    assert_eq!((message.status(), message.ended), (431, true), "{message:?}");
    assert_eq!(peer.ask(3, &GET).status(), 200);
    peer.headers(5, &[&POST[..], &[("x-long", &long)]].concat(), false);
    peer.data(5, b"body", false);
    assert_eq!(peer.message(5).status(), 431);
    assert_eq!(peer.ask(7, &GET).status(), 200);
    assert_eq!(proxy.stat("http2.header_list_size_too_large"), 2);
}
