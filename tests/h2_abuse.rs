//! HTTP/2 peers that mean harm: the proxy survives at bounded memory, counts it, ends the connection where that is due,
//! and goes on serving others meanwhile.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::time::Duration;
use support::h2::*;
use support::{Proxy, Upstream, config};

const CALM: u32 = 11;
const CANCEL: u32 = 8;
/// More than an unoptimised build needs for what is done here.
const MEMORY: u64 = 96 << 20;

const ROUTES: &str = "- {match: {prefix: /evil}, route: {cluster: evil, timeout: 3s}}\n              \
    - {match: {prefix: /big}, route: {cluster: big}}\n              \
    - {match: {prefix: \"/\"}, route: {cluster: up}}";

struct Stage {
    proxy: Proxy,
    calm: Peer,
    next: u32,
    _upstreams: [Upstream; 2],
}

impl Stage {
    fn new(hcm: &str, evil: Option<&Upstream>) -> Self {
        let up = Upstream::echo();
        let big = Upstream::start(|mut client, _| {
            while client.request().is_some() {
                client.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
                let block = vec![0; 1 << 20];
                for _ in 0..100 {
                    if client.stream.write_all(&block).is_err() {
                        return;
                    }
                }
            }
        });
        let h2 = "    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": \
            type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: \
            {http2_protocol_options: {}}}}\n";
        let evil = evil.map_or(up.address, |evil| evil.address);
        let clusters: [(&str, &[_], &str); 3] =
            [("up", &[up.address], ""), ("evil", &[evil], h2), ("big", &[big.address], "")];
        let proxy = Proxy::start(&config(hcm, ROUTES, &clusters));
        let calm = Peer::ready(proxy.first());
        let mut stage = Self { proxy, calm, next: 1, _upstreams: [up, big] };
        stage.well();
        stage
    }

    /// Somebody who behaves is served, on the connection that was there before and on a new one.
    fn well(&mut self) {
        let message = self.calm.ask(self.next, &GET);
        assert_eq!((message.status(), message.ended), (200, true));
        self.next += 2;
        assert_eq!(Peer::ready(self.proxy.first()).ask(1, &GET).status(), 200);
    }

    /// The connection ends with GOAWAY and this code (or was already reset), memory is bounded, the counter rises.
    fn ended(&mut self, peer: &mut Peer, code: u32, counter: &str) {
        let frames = peer.rest();
        if let Some(goaway) = frames.iter().rev().find(|frame| frame.kind == GOAWAY) {
            assert_eq!(goaway.code(), code, "{goaway:?}");
        }
        self.proxy.await_stat_that(counter, |n| n >= 1);
        self.bounded();
    }

    fn bounded(&mut self) {
        assert!(self.proxy.resident() < MEMORY, "{} MiB resident", self.proxy.resident() >> 20);
        self.well();
        self.proxy.await_stat("http.test.downstream_cx_active", 1);
        self.proxy.await_stat("http.test.downstream_rq_active", 0);
        self.proxy.await_stat("http2.streams_active", 0);
    }
}

/// Sends the same over and over until the proxy has had enough, or for so many times.
fn flood(peer: &mut Peer, times: usize, mut what: impl FnMut(u32) -> Vec<u8>) {
    let mut n = 0;
    while n < times {
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.extend(what(n as u32));
            n += 1;
        }
        if !peer.try_send(bytes) {
            return;
        }
    }
}

#[test]
fn cve_2023_44487_rapid_reset() {
    let mut stage = Stage::new("", None);
    let mut peer = Peer::ready(stage.proxy.first());
    let head = block(&GET);
    flood(&mut peer, 20_000, |n| {
        let stream = 1 + 2 * n;
        [frame(HEADERS, WHOLE, stream, &head), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    stage.ended(&mut peer, CALM, "http.test.downstream_rq_too_many_premature_resets");
}

#[test]
fn cve_2025_8671_made_you_reset() {
    let mut stage = Stage::new("", None);
    let mut peer = Peer::ready(stage.proxy.first());
    let head = block(&POST);
    // Our own RST_STREAM is provoked.
    flood(&mut peer, 20_000, |n| {
        let stream = 1 + 2 * n;
        [frame(HEADERS, END_HEADERS, stream, &head), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    });
    stage.ended(&mut peer, CALM, "http.test.downstream_rq_too_many_premature_resets");
}

#[test]
fn cve_2024_27316_continuation_flood() {
    let mut stage = Stage::new("", None);
    let mut peer = Peer::ready(stage.proxy.first());
    peer.frame(HEADERS, END_STREAM, 1, &block(&GET));
    let piece = frame(CONTINUATION, 0, 1, &block(&[("x-more", &"y".repeat(1000))]));
    flood(&mut peer, 100_000, |_| piece.clone());
    stage.ended(&mut peer, CALM, "http2.inbound_continuation_flood");
    // The same with nothing in them.
    let mut peer = Peer::ready(stage.proxy.first());
    peer.frame(HEADERS, 0, 1, &block(&POST));
    let piece = frame(CONTINUATION, 0, 1, &[]);
    flood(&mut peer, 100_000, |_| piece.clone());
    stage.ended(&mut peer, CALM, "http2.inbound_empty_frames_flood");
}

#[test]
fn cve_2019_9512_ping_flood_and_cve_2019_9515_settings_flood() {
    let mut stage = Stage::new("", None);
    for frame in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
        // Nobody reads the answers: either we stop reading, or enough of them wait.
        let mut peer = Peer::ready(stage.proxy.first());
        peer.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a time-out");
        flood(&mut peer, 1_000_000, |_| frame.clone());
        stage.well();
        assert!(stage.proxy.resident() < MEMORY, "{} MiB resident", stage.proxy.resident() >> 20);
        stage.proxy.await_stat_that("http2.outbound_control_flood", |n| n >= 1);
        drop(peer);
    }
    stage.bounded();
    assert_eq!(stage.proxy.stat("http2.outbound_control_flood"), 2);
}

#[test]
fn cve_2019_9518_empty_frames() {
    let mut stage = Stage::new("", None);
    let mut peer = Peer::ready(stage.proxy.first());
    peer.headers(1, &POST, false);
    flood(&mut peer, 100_000, |_| frame(DATA, 0, 1, &[]));
    stage.ended(&mut peer, CALM, "http2.inbound_empty_frames_flood");
}

#[test]
fn cve_2019_9513_priority_flood() {
    let mut stage = Stage::new("", None);
    let mut peer = Peer::ready(stage.proxy.first());
    flood(&mut peer, 100_000, |n| frame(PRIORITY, 0, 1 + 2 * (n % 1000), &[0, 0, 0, 0, n as u8]));
    stage.ended(&mut peer, CALM, "http2.inbound_priority_frames_flood");
}

#[test]
fn cve_2019_9511_window_update_flood() {
    let mut stage = Stage::new("", None);
    let mut peer = Peer::ready(stage.proxy.first());
    flood(&mut peer, 100_000, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    stage.ended(&mut peer, CALM, "http2.inbound_window_update_frames_flood");
}

#[test]
fn cve_2016_6581_hpack_bomb() {
    let mut stage = Stage::new("", None);
    let mut peer = Peer::ready(stage.proxy.first());
    // One entry of nearly all of the table, and then names of it by the thousand.
    let entry = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'b'; 4000]].concat();
    peer.frame(HEADERS, WHOLE, 1, &[&block(&GET), &entry[..]].concat());
    assert_eq!(peer.message(1).status(), 200);
    for stream in [3, 5, 7] {
        peer.frame(HEADERS, WHOLE, stream, &[&block(&GET), &[0xbe; 15_000][..]].concat());
        assert_eq!(peer.message(stream).status(), 431);
    }
    stage.proxy.await_stat("http2.header_list_size_too_large", 3);
    drop(peer);
    stage.bounded();
}

#[test]
fn cve_2019_9517_data_that_nobody_takes() {
    let mut stage = Stage::new("stream_idle_timeout: 1s", None);
    // Windows without an end, a socket that is not read: and the same with windows of nothing.
    for window in [0, 0x7fff_ffff] {
        let mut peers = Vec::new();
        for _ in 0..4 {
            let mut peer = Peer::connect(stage.proxy.first(), &[(4, window)]);
            peer.window(0, 0x7fff_ffff - 65_535);
            for n in 0..20 {
                peer.headers(1 + 2 * n, &get("/big"), true);
            }
            peers.push(peer);
        }
        stage.proxy.await_stat_that("cluster.big.upstream_rq_total", |n| n >= 80);
        stage.well();
        assert!(stage.proxy.resident() < 160 << 20, "{} MiB resident", stage.proxy.resident() >> 20);
        // They are given up even if their client stays.
        if window == 0 {
            stage.proxy.await_stat("cluster.big.upstream_rq_active", 0);
        }
        drop(peers);
        stage.proxy.await_stat("cluster.big.upstream_rq_active", 0);
    }
    stage.proxy.await_stat("http.test.downstream_rq_active", 0);
    stage.well();
}

#[test]
fn streams_over_the_limit_are_refused() {
    let mut stage = Stage::new("http2_protocol_options: {max_concurrent_streams: 10}", None);
    let mut peer = Peer::ready(stage.proxy.first());
    for n in 0..200 {
        peer.headers(1 + 2 * n, &POST, false);
    }
    let frames = peer.ping();
    let refused = frames.iter().filter(|frame| frame.kind == RST_STREAM && frame.code() == 7).count();
    assert_eq!(refused, 190);
    assert_eq!(stage.proxy.stat("http2.stream_refused_errors"), 190);
    drop(peer);
    stage.bounded();
}

/// A client that only ever opens connections and says half of something.
#[test]
fn half_a_preface_and_half_a_frame() {
    let mut stage = Stage::new("common_http_protocol_options: {idle_timeout: 0.3s}", None);
    let mut peers: Vec<_> = (0..50)
        .map(|n| {
            let mut peer = Peer::raw(stage.proxy.first());
            let bytes =
                [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, WHOLE, 1, &block(&GET))].concat();
            peer.send(&bytes[..1 + n]);
            peer
        })
        .collect();
    for peer in &mut peers {
        peer.rest();
    }
    drop(peers);
    stage.calm = Peer::ready(stage.proxy.first());
    stage.next = 1;
    stage.well();
}

fn evil(script: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |client, _| {
        let Some(mut peer) = Peer::accept(client.stream, &[]) else { return };
        while let Some((stream, ..)) = peer.request() {
            script(&mut peer, stream);
        }
    })
}

#[test]
fn a_hostile_upstream_costs_its_own_requests_only() {
    type Script = fn(&mut Peer, u32);
    let scripts: [(&str, &str, Script); 9] = [
        ("ping flood", "cluster.evil.http2.outbound_control_flood", |p, _| {
            let _ = p.stream.set_write_timeout(Some(Duration::from_secs(1)));
            flood(p, 1_000_000, |_| frame(PING, 0, 0, &[7; 8]));
        }),
        ("continuation flood", "cluster.evil.http2.inbound_continuation_flood", |p, s| {
            p.frame(HEADERS, 0, s, &block(&[(":status", "200")]));
            let piece = frame(CONTINUATION, 0, s, &block(&[("x", &"y".repeat(1000))]));
            flood(p, 100_000, |_| piece.clone());
        }),
        ("interim responses without end", "cluster.evil.http2.rx_messaging_error", |p, s| {
            let piece = frame(HEADERS, END_HEADERS, s, &block(&[(":status", "103")]));
            flood(p, 100_000, |_| piece.clone());
        }),
        ("empty frames", "cluster.evil.http2.inbound_empty_frames_flood", |p, s| {
            p.headers(s, &[(":status", "200")], false);
            flood(p, 100_000, |_| frame(DATA, 0, s, &[]));
        }),
        ("header bomb", "cluster.evil.http2.header_list_size_too_large", |p, s| {
            let entry = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'b'; 4000]].concat();
            p.frame(
                HEADERS,
                WHOLE,
                s,
                &[&block(&[(":status", "200")]), &entry[..], &[0xbe; 11_000]].concat(),
            );
        }),
        ("more than the window", "cluster.evil.upstream_cx_protocol_error", |p, s| {
            p.headers(s, &[(":status", "200")], false);
            p.polite = false;
            // Windows are given back as bytes are read on: all at once is too much in any case.
            let piece = frame(DATA, 0, 0x7fff_fffd, &[0; 16_384]);
            flood(p, 5_000, |_| piece.clone());
        }),
        ("a response that nobody asked for", "cluster.evil.upstream_cx_protocol_error", |p, s| {
            p.headers(s + 2, &[(":status", "200")], true);
        }),
        ("settings that overflow", "cluster.evil.upstream_cx_protocol_error", |p, _| {
            p.frame(SETTINGS, 0, 0, &settings(&[(4, u32::MAX)]));
        }),
        ("windows that overflow", "cluster.evil.upstream_cx_protocol_error", |p, _| {
            p.window(0, 0x7fff_ffff);
        }),
    ];
    for (name, counter, script) in scripts {
        let upstream = evil(script);
        let mut stage = Stage::new("", Some(&upstream));
        let mut peer = Peer::ready(stage.proxy.first());
        let message = peer.ask(1, &get("/evil"));
        let spoiled = message.status() >= 500 || message.reset.is_some();
        assert!(spoiled && message.ended, "{name}: {message:?}");
        assert_eq!(peer.ask(3, &GET).status(), 200, "{name}");
        drop(peer);
        stage.proxy.await_stat_that(counter, |n| n >= 1);
        stage.bounded();
        stage.proxy.await_stat("cluster.evil.upstream_rq_active", 0);
    }
}
