//! HTTP/2 through the proxy, both ways: every mix of versions, and what may go wrong on either side.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use support::h2::*;
use support::{Client, Proxy, Upstream, config};

const TO_UP: &str = "- {match: {prefix: \"/\"}, route: {cluster: up, timeout: 20s}}";
const NO_ERROR: u32 = 0;
const REFUSED: u32 = 7;
const CANCEL: u32 = 8;

/// The options of a cluster that speaks HTTP/2, with these of its own.
fn h2_cluster(options: &str) -> String {
    format!(
        "    typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\"@type\": \
         type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: \
         {{http2_protocol_options: {{{options}}}}}}}}}\n"
    )
}

fn proxy(hcm: &str, address: SocketAddr, h2_upstream: bool) -> Proxy {
    let options = if h2_upstream { h2_cluster("") } else { trailers() };
    Proxy::start(&config(hcm, TO_UP, &[("up", &[address], &options)]))
}

fn trailers() -> String {
    h2_cluster("").replace("http2_protocol_options: {}", "http_protocol_options: {enable_trailers: true}")
}

/// A request as an upstream got it, in either version.
#[derive(Debug, Default)]
struct Asked {
    method: String,
    path: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn same(what: &str, got: &[u8], wanted: &[u8]) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    assert!(got == wanted, "{what}: other bytes");
}

/// An upstream that answers a path `/N` with N bytes, and says in headers what it was asked; trailers if asked for.
fn answering(h2: bool) -> (Upstream, mpsc::Receiver<Asked>) {
    let (sender, asked) = mpsc::channel();
    let upstream = Upstream::start(
        move |client, _| {
            if h2 { answer_h2(client, &sender) } else { answer_h1(client, &sender) }
        },
    );
    (upstream, asked)
}

fn answer_h1(mut client: Client, sender: &mpsc::Sender<Asked>) {
    while let Some(request) = client.request() {
        let mut lines = request.head.lines();
        let first: Vec<_> = lines.next().unwrap_or_default().split(' ').map(str::to_owned).collect();
        let fields = lines.filter_map(|line| line.split_once(": "));
        let asked = Asked {
            method: first[0].clone(),
            path: first[1].clone(),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: request.body,
            trailers: Vec::new(),
        };
        let length: usize = asked.path[1..].parse().unwrap_or(0);
        let body = pattern(if asked.method == "HEAD" { 0 } else { length });
        let trailers = asked.header("x-want") == Some("trailers");
        if trailers {
            client.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            for piece in body.chunks(10_000) {
                client.send(format!("{:x}\r\n", piece.len()));
                client.send(piece);
                client.send("\r\n");
            }
            client.send("0\r\nx-sum: all\r\n\r\n");
        } else {
            client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
            client.send(body);
        }
        let _ = sender.send(asked);
    }
}

fn answer_h2(client: Client, sender: &mpsc::Sender<Asked>) {
    let Some(mut peer) = Peer::accept(client.stream, &[(4, 1 << 20)]) else { return };
    peer.window(0, 1 << 20);
    let mut open: Vec<(u32, Asked)> = Vec::new();
    // What is left of each response; all have their turns, so that none stops another.
    let mut sending: Vec<(u32, Vec<u8>, usize, bool)> = Vec::new();
    loop {
        let mut moved = false;
        sending.retain_mut(|(stream, body, at, trailers)| {
            let n = peer.room_of(*stream).min(16_384).min(body.len() - *at);
            moved |= n > 0;
            let last = *at + n == body.len();
            if n > 0 {
                peer.body(*stream, &body[*at..*at + n], last && !*trailers);
            }
            *at += n;
            if last && *trailers {
                peer.headers(*stream, &[("x-sum", "all")], true);
            }
            !last
        });
        if moved && !peer.has_input() {
            continue;
        }
        let Some(frame) = peer.kept.pop_front().or_else(|| peer.read()) else { return };
        let at = open.iter().position(|(stream, _)| *stream == frame.stream);
        match (frame.kind, at) {
            (HEADERS, None) => {
                let fields = frame.fields.clone();
                let mut asked = Asked { fields, ..Asked::default() };
                asked.method = asked.header(":method").unwrap_or_default().to_owned();
                asked.path = asked.header(":path").unwrap_or_default().to_owned();
                open.push((frame.stream, asked));
            }
            (HEADERS, Some(at)) => open[at].1.trailers = frame.fields.clone(),
            (DATA, Some(at)) => open[at].1.body.extend(&frame.payload),
            (RST_STREAM, Some(at)) => drop(open.swap_remove(at)),
            (RST_STREAM, None) => sending.retain(|(stream, ..)| *stream != frame.stream),
            _ => {}
        }
        if !matches!(frame.kind, HEADERS | DATA) || !frame.has(END_STREAM) {
            continue;
        }
        let Some(at) = open.iter().position(|(stream, _)| *stream == frame.stream) else { continue };
        let (stream, asked) = open.swap_remove(at);
        let length: usize = asked.path[1..].parse().unwrap_or(0);
        let size = length.to_string();
        let trailers = asked.header("x-want") == Some("trailers");
        if asked.method == "HEAD" || length == 0 {
            peer.headers(stream, &[(":status", "200"), ("content-length", &size)], true);
        } else {
            let fields = [(":status", "200"), ("content-length", &size)];
            peer.headers(stream, &fields[..if trailers { 1 } else { 2 }], false);
            sending.push((stream, pattern(length), 0, trailers));
        }
        let _ = sender.send(asked);
    }
}

/// What a client of either version asks: method, path, more fields, body, trailers; and what it gets.
fn ask(
    proxy: &Proxy,
    h2: bool,
    method: &str,
    path: &str,
    more: Fields<'_>,
    body: &[u8],
    trailers: Fields<'_>,
) -> Message {
    if h2 {
        let mut peer = Peer::connect(proxy.first(), &[]);
        peer.settle();
        let fields = [&request(method, path)[..], more].concat();
        peer.headers(1, &fields, body.is_empty() && trailers.is_empty());
        if !body.is_empty() {
            assert!(peer.body(1, body, trailers.is_empty()), "the body is taken");
        }
        if !trailers.is_empty() {
            peer.headers(1, trailers, true);
        }
        return peer.message(1);
    }
    let mut client = proxy.connect();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in more {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if trailers.is_empty() {
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        client.send(head + "\r\n");
        client.send(body);
    } else {
        client.send(head + "transfer-encoding: chunked\r\n\r\n");
        for piece in body.chunks(5000) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\n");
        for (name, value) in trailers {
            client.send(format!("{name}: {value}\r\n"));
        }
        client.send("\r\n");
    }
    let response = client.response_to(method);
    let fields = |text: &str| {
        let split = text.lines().filter_map(|line| line.trim_end().split_once(": "));
        split.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let mut head = vec![(":status".to_owned(), response.status.to_string())];
    head.extend(fields(&response.head));
    let trailers = fields(&response.trailers);
    Message { head, body: response.body, trailers, ended: true, ..Message::default() }
}

const MIXES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];
const H1_TRAILERS: &str = "http_protocol_options: {enable_trailers: true}";

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

/// An upstream of HTTP/2 with a script for each connection.
fn scripted(script: impl Fn(Peer, usize) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |client, number| {
        if let Some(peer) = Peer::accept(client.stream, &[]) {
            script(peer, number);
        }
    })
}

fn ok(peer: &mut Peer, stream: u32) {
    peer.headers(stream, &[(":status", "200")], false);
    peer.data(stream, b"ok", true);
}

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

/// A tunnel's upstream end in either version: agrees, echoes in capitals, ends after `bye`.
fn echo_tunnel(h2: bool) -> Upstream {
    Upstream::start(move |mut client, _| {
        if !h2 {
            let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
            if head.starts_with("CONNECT") {
                client.send("HTTP/1.1 200 OK\r\n\r\n");
            } else {
                assert!(head.contains("upgrade: websocket\r\n"), "{head}");
                client.send(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
                );
            }
            loop {
                let mut block = client.exactly(1);
                block.make_ascii_uppercase();
                client.send(&block);
                if block == b"." {
                    return;
                }
            }
        }
        let Some(mut peer) = Peer::accept(client.stream, &[(8, 1)]) else { return };
        let Some((stream, fields, end)) = peer.request() else { return };
        assert!(!end);
        assert!(fields.contains(&(":method".to_owned(), "CONNECT".to_owned())), "{fields:?}");
        peer.headers(stream, &[(":status", "200")], false);
        while let Some(frame) = peer.until(|frame| frame.kind == DATA && frame.stream == stream) {
            let text = frame.payload.to_ascii_uppercase();
            let end = text.ends_with(b".");
            peer.data(stream, &text, end);
            if end {
                while peer.read().is_some() {}
                return;
            }
        }
    })
}

#[test]
fn tunnels_go_through_every_mix() {
    for (down, up) in MIXES {
        for connect in [false, true] {
            let upstream = echo_tunnel(up);
            let hcm = "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}]\n          \
                 http2_protocol_options: {allow_connect: true}";
            let routes = "- {match: {connect_matcher: {}}, route: {cluster: up}}\n              \
                 - {match: {prefix: \"/\"}, route: {cluster: up}}";
            let options = if up { h2_cluster("allow_connect: true") } else { String::new() };
            let proxy = Proxy::start(&config(hcm, routes, &[("up", &[upstream.address], &options)]));
            let case = format!("h{} to h{}, connect {connect}", 1 + u8::from(down), 1 + u8::from(up));
            if down {
                let mut peer = Peer::ready(proxy.first());
                assert!(peer.settings.contains(&(8, 1)), "{case}: {:?}", peer.settings);
                let mut fields = vec![(":method", "CONNECT"), (":authority", "test:80")];
                if !connect {
                    fields.extend([(":protocol", "websocket"), (":scheme", "http"), (":path", "/chat")]);
                    fields.push(("sec-websocket-version", "13"));
                }
                peer.headers(1, &fields, false);
                let head = peer.until(|frame| frame.kind == HEADERS).expect("an answer");
                assert!(!head.has(END_STREAM), "{case}");
                let fields = &head.fields;
                assert_eq!(fields[0], (":status".to_owned(), "200".to_owned()), "{case}: {fields:?}");
                assert!(
                    fields.iter().all(|field| field.0 != "upgrade" && field.0 != "connection"),
                    "{fields:?}"
                );
                let (mut got, mut ended) = (Vec::new(), false);
                for text in ["hello ", "tunnel", "."] {
                    peer.data(1, text.as_bytes(), false);
                    let until = got.len() + text.len();
                    while got.len() < until || (text == "." && !ended) {
                        let echo = peer.until(|frame| frame.kind == DATA).expect("an echo");
                        ended = echo.has(END_STREAM);
                        got.extend(echo.payload);
                    }
                }
                assert_eq!(got, b"HELLO TUNNEL.", "{case}");
                // The other half.
                peer.data(1, b"", true);
                peer.ping();
            } else {
                let mut client = proxy.connect();
                client.send(if connect {
                    "CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n"
                } else {
                    "GET /chat HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                });
                let head = String::from_utf8(client.until(b"\r\n\r\n")).expect("a head");
                let status = if connect { "HTTP/1.1 200" } else { "HTTP/1.1 101" };
                assert!(head.starts_with(status), "{case}: {head}");
                assert_eq!(head.contains("upgrade: websocket\r\n"), !connect, "{case}: {head}");
                client.send("hello tunnel");
                assert_eq!(client.exactly(12), b"HELLO TUNNEL", "{case}");
                client.send(".");
                assert_eq!(client.exactly(1), b".", "{case}");
                client.stream.shutdown(std::net::Shutdown::Write).expect("a half");
                client.assert_closed();
            }
            proxy.await_stat("http.test.downstream_cx_upgrades_active", 0);
            proxy.await_stat("cluster.up.upstream_rq_active", 0);
        }
    }
}

/// RFC 8441 section 5: what RFC 6455 has the client check is not sent in HTTP/2.
#[test]
fn a_websocket_of_http1_is_accepted_for_an_upstream_of_http2() {
    let upstream = Upstream::start(|client, _| {
        let Some(mut peer) = Peer::accept(client.stream, &[(8, 1)]) else { return };
        while let Some((stream, fields, _)) = peer.request() {
            let mut head = vec![(":status", "200")];
            if fields.iter().any(|field| field == &(":path".to_owned(), "/own".to_owned())) {
                head.push(("sec-websocket-accept", "mine"));
            }
            peer.headers(stream, &head, false);
        }
    });
    let proxy = proxy("upgrade_configs: [{upgrade_type: websocket}]", upstream.address, true);
    // The key is the RFC's example.
    for (path, accept) in [("/", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ("/own", "mine")] {
        let mut client = proxy.connect();
        client.send(format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!((response.status, response.header("sec-websocket-accept")), (101, Some(accept)));
    }
}

#[test]
fn an_upstream_without_extended_connect_is_not_asked_for_it() {
    let upstream = scripted(|mut peer, _| while peer.read().is_some() {});
    let proxy = proxy("upgrade_configs: [{upgrade_type: websocket}]", upstream.address, true);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(client.response().status, 503);
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
