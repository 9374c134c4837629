//! HTTP/2 through the proxy, both ways: every mix of versions, and what may go wrong on either side.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod messages;
mod streams;
mod tunnels;
mod upstream;

use std::net::SocketAddr;
use std::sync::mpsc;
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
