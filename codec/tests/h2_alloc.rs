//! A warm connection carries HTTP/2 without touching the allocator: counted, not timed.
//!
//! Run with `--ignored --nocapture` in a release build this file also prints what the codec costs; those numbers are
//! for people and are not asserted.

mod h2_support;
mod sys;

use h2_support::*;
use nuncio_codec::{
    Buffer, HeaderMap, RequestHead, ResponseHead,
    h2::{Client, Event, Server, Settings, StreamId, hpack},
};
use std::{hint::black_box, time::Instant};

/// What a browser sends.
const BROWSER: [(&str, &str); 12] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("sec-ch-ua", "\"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("upgrade-insecure-requests", "1"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes"),
    ("referer", "https://www.example.com/some/where/else?with=query"),
];

const ANSWER: [(&str, &str); 5] = [
    ("cache-control", "no-cache"),
    ("content-type", "text/plain"),
    ("date", "Mon, 23 Nov 2026 14:50:54 GMT"),
    ("server", "nuncio"),
    ("x-envoy-upstream-service-time", "1"),
];

/// Two proxies' ends: a client codec and a server codec, and what lies between.
struct Link {
    client: Client,
    server: Server,
    to_server: Buffer,
    to_client: Buffer,
    waiting: Vec<StreamId>,
}

impl Link {
    fn new() -> Self {
        let (client, server, to_server, to_client) = pair(Settings::default());
        Self { client, server, to_server, to_client, waiting: Vec::with_capacity(200) }
    }

    /// `streams` exchanges at a time, each with a body either way.
    fn exchange(&mut self, request: &RequestHead, response: &ResponseHead, streams: usize, body: &[u8]) {
        for tag in 0..streams {
            let id = self.client.open(request, false, tag as u64, &mut self.to_server).unwrap();
            self.client.send_data(id, &mut Buffer::from(body), true, &mut self.to_server);
        }
        let mut open = streams;
        let mut turns = 0;
        while open > 0 {
            turns += 1;
            assert!(turns < 10_000, "stuck");
            while let Some(event) = self.server.poll(&mut self.to_server, &mut self.to_client).unwrap() {
                match event {
                    Event::Headers { id, .. } => self.server.set_tag(id, 1),
                    Event::Data { id, data, end, .. } => {
                        self.server.consume(id, data.len(), &mut self.to_client);
                        if end {
                            self.waiting.push(id);
                        }
                    }
                    _ => {}
                }
            }
            for id in self.waiting.drain(..) {
                self.server.send_headers(id, response, false, &mut self.to_client);
                self.server.send_data(id, &mut Buffer::from(body), true, &mut self.to_client);
            }
            while let Some(event) = self.client.poll(&mut self.to_client, &mut self.to_server).unwrap() {
                if let Event::Data { id, data, end, .. } = event {
                    self.client.consume(id, data.len(), &mut self.to_server);
                    open -= usize::from(end);
                }
            }
        }
        assert_eq!((self.client.live(), self.server.live()), (0, 0));
    }
}

#[test]
fn a_warm_connection_allocates_nothing() {
    for (streams, body) in [(1, 13), (100, 13), (5, 100_000)] {
        let mut link = Link::new();
        let (head, answer) = (request("POST", "/form?x=1", &BROWSER), response(200, &ANSWER));
        let body = vec![b'x'; body];
        for _ in 0..80 {
            link.exchange(&head, &answer, streams, &body);
        }
        let before = sys::count();
        for _ in 0..40 {
            link.exchange(&head, &answer, streams, &body);
        }
        assert_eq!(sys::count() - before, 0, "{streams} streams, {} bytes", body.len());
    }
}

/// A connection that does nothing holds little.
#[test]
fn an_idle_connection_is_small() {
    let size = size_of::<Server>().max(size_of::<Client>());
    assert!(size <= 1024, "{size}");
    let (mut client, mut server, mut to_server, mut to_client) = pair(Settings::default());
    while server.poll(&mut to_server, &mut to_client).unwrap().is_some() {}
    let before = sys::count();
    let second = Server::new(Settings::default(), &mut to_client);
    // The frames in the output are accounted for.
    assert!(sys::count() - before <= 1, "{}", sys::count() - before);
    while client.poll(&mut to_client, &mut to_server).unwrap().is_some() {}
    drop(second);
}

fn time(what: &str, rounds: u32, mut run: impl FnMut()) {
    for _ in 0..rounds / 10 {
        run();
    }
    let start = Instant::now();
    for _ in 0..rounds {
        run();
    }
    println!("{what}: {} ns", start.elapsed().as_nanos() / u128::from(rounds));
}

fn blocks(list: &[(&str, &str)], pseudo: &[(&str, &str)]) -> (HeaderMap, Vec<u8>, Vec<u8>) {
    let fields = with(pseudo, list);
    let mut encoder = hpack::Encoder::new(4096);
    let first = encoded(&mut encoder, &fields);
    let again = encoded(&mut encoder, &fields);
    (headers(&fields), first, again)
}

fn decode(decoder: &mut hpack::Decoder, mut block: &[u8], scratch: &mut Vec<u8>) {
    decoder.start();
    let mut count = 0;
    while let Some(field) = decoder.next(&mut block, scratch).unwrap() {
        count += field.value.len();
    }
    black_box(count);
}

#[test]
#[ignore = "prints timings"]
fn timings() {
    for (name, list, pseudo) in [("browser's request", &BROWSER[..], &GET[..]), ("response", &ANSWER, &OK)] {
        let (map, first, again) = blocks(list, pseudo);
        let (mut decoder, mut scratch) = (hpack::Decoder::new(), Vec::new());
        time(&format!("{name}, decode, literals with Huffman code"), 200_000, || {
            decode(&mut decoder, black_box(&first), &mut scratch);
        });
        let mut oracle = ::hpack::Decoder::new();
        time(&format!("{name}, decode, the same by loona-hpack"), 20_000, || {
            black_box(oracle.decode(black_box(&first)).unwrap());
        });
        time(&format!("{name}, decode, from the table"), 200_000, || {
            decode(&mut decoder, black_box(&again), &mut scratch);
        });
        time(&format!("{name}, decode, the same by loona-hpack"), 20_000, || {
            black_box(oracle.decode(black_box(&again)).unwrap());
        });
        let mut encoder = hpack::Encoder::new(4096);
        let mut room = [0; 4096];
        time(&format!("{name}, encode"), 200_000, || {
            let mut at = 0;
            for header in black_box(&map).iter() {
                at += encoder.field(header.id, header.name, header.value, false, &mut room[at..]);
            }
            black_box(at);
        });
        let mut theirs = ::hpack::Encoder::new();
        time(&format!("{name}, encode, by loona-hpack"), 20_000, || {
            black_box(theirs.encode(black_box(&map).iter().map(|header| (header.name, header.value))));
        });
    }
    let answer = response(200, &ANSWER);
    for (name, list) in [("short", &BROWSER[..0]), ("browser's", &BROWSER)] {
        let head = request("POST", "/form?x=1", list);
        let mut link = Link::new();
        time(&format!("50 exchanges, {name} head, 13 bytes"), 5000, || {
            link.exchange(&head, &answer, 50, b"Hello, world!")
        });
        let body = vec![b'x'; 1 << 20];
        let mut link = Link::new();
        time(&format!("1 exchange, {name} head, 1 MiB either way"), 500, || {
            link.exchange(&head, &answer, 1, &body)
        });
    }
}
