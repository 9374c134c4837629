//! Our client against our server, through a link that delivers what it likes, when it likes.
//!
//! Seeded random connections of many streams, with random windows, splits, slow consumers and resets. The model is
//! what was put in: it has to come out on the other side, each stream ends once, nothing is left, and the windows are
//! what they were. A failure names its seed.

mod h2_support;

use h2_support::*;
use nuncio_codec::{
    Buffer,
    h2::{Cause, Client, Code, Event, Server, Settings, StreamId, is_unprocessed},
};
use std::collections::HashMap;

type Fields = Vec<(String, String)>;

/// A message as it is sent, and as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    fields: Fields,
    body: Vec<u8>,
    trailers: Option<Fields>,
    complete: bool,
}

/// How a message gets out.
#[derive(Debug)]
struct Writing {
    message: Message,
    started: bool,
    sent: usize,
    /// Told to pause.
    paused: bool,
    done: bool,
    flushing: bool,
}

/// One exchange, both ends of it.
#[derive(Debug)]
struct Exchange {
    request: Writing,
    response: Writing,
    got_request: Message,
    got_response: Message,
    informational: (usize, usize),
    /// The ids that the two ends know it by, as long as they do.
    client: Option<StreamId>,
    server: Option<StreamId>,
    /// Bytes that were reported and not consumed.
    client_holds: usize,
    server_holds: usize,
    /// It may end in any way.
    reset: bool,
    /// How it ended: for the client, for the server.
    ends: (u8, u8),
    replayed: bool,
}

const NAMES: &[&str] = &[
    "accept",
    "x-a",
    "x-b",
    "cookie",
    "user-agent",
    "x-request-id",
    "server",
    "via",
    "authorization",
    "date",
];

fn random_fields(random: &mut Random) -> Fields {
    (0..random.below(8))
        .map(|_| {
            let length = if random.chance(20) { random.below(3000) } else { random.below(40) };
            let value: String = (0..length).map(|_| char::from(b' ' + random.below(95) as u8)).collect();
            (NAMES[random.below(NAMES.len())].to_owned(), value.trim().to_owned())
        })
        .collect()
}

fn random_message(random: &mut Random, start: Fields, bodiless: bool) -> Writing {
    let mut fields = start;
    fields.extend(random_fields(random));
    let size = match random.below(6) {
        _ if bodiless => 0,
        0 => 0,
        1 => 1,
        2 => random.below(100),
        3 => random.below(5000),
        4 => random.below(40_000),
        _ => random.below(200_000),
    };
    let first = random.next() as u8;
    let body: Vec<u8> = (0..size).map(|at| (at as u8).wrapping_mul(7).wrapping_add(first)).collect();
    if !bodiless && random.chance(3) {
        fields.push(("content-length".into(), size.to_string()));
    }
    let trailers = (!bodiless && random.chance(4))
        .then(|| vec![("grpc-status".into(), "0".into()), ("x-t".into(), random.next().to_string())]);
    let message = Message { fields, body, trailers, complete: true };
    Writing { message, started: false, sent: 0, paused: false, done: false, flushing: false }
}

fn exchange(random: &mut Random) -> Exchange {
    let method = ["GET", "HEAD", "POST", "PUT"][random.below(4)];
    let start = vec![
        (":method".into(), method.to_owned()),
        (":scheme".into(), "http".to_owned()),
        (":authority".into(), "a.example".to_owned()),
        (":path".into(), format!("/{}", random.below(100))),
    ];
    let request = random_message(random, start, matches!(method, "GET" | "HEAD"));
    let status = [200, 200, 200, 204, 304, 404][random.below(6)];
    let bodiless = method == "HEAD" || matches!(status, 204 | 304);
    let mut response = random_message(random, vec![(":status".into(), status.to_string())], bodiless);
    if bodiless {
        response.message.trailers = None;
    }
    Exchange {
        request,
        response,
        got_request: Message::default(),
        got_response: Message::default(),
        informational: (if random.chance(5) { random.below(4) } else { 0 }, 0),
        client: None,
        server: None,
        client_holds: 0,
        server_holds: 0,
        reset: false,
        ends: (0, 0),
        replayed: false,
    }
}

fn list(map: &nuncio_codec::HeaderMap) -> Fields {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
    map.iter().map(|header| (text(header.name), text(header.value))).collect()
}

/// Crumbs are joined on the way.
fn joined(fields: &Fields) -> Fields {
    let mut joined = Fields::new();
    for (name, value) in fields {
        match joined.iter_mut().find(|(other, _)| other == "cookie" && name == "cookie") {
            Some((_, first)) => *first = format!("{first}; {value}"),
            None => joined.push((name.clone(), value.clone())),
        }
    }
    joined
}

fn map(fields: &Fields) -> nuncio_codec::HeaderMap {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    headers(&fields)
}

struct Link {
    random: Random,
    client: Client,
    server: Server,
    to_server: Buffer,
    server_input: Buffer,
    to_client: Buffer,
    client_input: Buffer,
    exchanges: Vec<Exchange>,
    /// No resets: everything has to come through.
    gentle: bool,
    draining: bool,
}

fn deliver(random: &mut Random, from: &mut Buffer, to: &mut Buffer) {
    let size = match random.below(5) {
        0 => 1,
        1 => random.below(20),
        2 => random.below(2000),
        3 => random.below(50_000),
        _ => from.len(),
    };
    to.move_from(from, size);
}

impl Link {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let window = |random: &mut Random| 65_535 + random.below(3) as u32 * 100_000;
        let side = |random: &mut Random| Settings {
            hpack_table_size: [4096, 0, 200, 10_000][random.below(4)],
            max_concurrent_streams: 1 + random.below(20) as u32,
            initial_stream_window_size: window(random),
            initial_connection_window_size: window(random),
            output_limit: 1 + random.below(100_000),
            stream_queue_limit: 1 + random.below(50_000),
            max_consecutive_inbound_frames_with_empty_payload: 1,
            premature_reset_total_stream_count: 0,
            ..Settings::default()
        };
        let (to_server, to_client) = (&mut Buffer::new(), &mut Buffer::new());
        let client = Client::new(side(&mut random), to_server);
        let server = Server::new(side(&mut random), to_client);
        let count = 1 + random.below(30);
        let exchanges = (0..count).map(|_| exchange(&mut random)).collect();
        let gentle = random.chance(2);
        Self {
            random,
            client,
            server,
            to_server: std::mem::take(to_server),
            server_input: Buffer::new(),
            to_client: std::mem::take(to_client),
            client_input: Buffer::new(),
            exchanges,
            gentle,
            draining: false,
        }
    }

    fn finished(&self) -> bool {
        self.exchanges.iter().all(|exchange| {
            exchange.ends == (1, 1)
                || exchange.reset && exchange.client.is_none() && exchange.server.is_none()
        })
    }

    fn run(&mut self) {
        let mut steps = 0;
        while !self.finished() {
            steps += 1;
            assert!(steps < 2_000_000, "stuck: {:#?}", self.exchanges.iter().find(|e| e.ends != (1, 1)));
            match self.random.below(10) {
                0 => self.open(),
                1 | 2 => self.write_request(),
                3 | 4 => self.write_response(),
                5 => deliver(&mut self.random, &mut self.to_server, &mut self.server_input),
                6 => deliver(&mut self.random, &mut self.to_client, &mut self.client_input),
                7 => self.poll_server(),
                8 => self.poll_client(),
                _ => self.consume(),
            }
            if !self.gentle && self.random.chance(300) {
                self.reset();
            }
            if !self.gentle && self.random.chance(2000) && !self.draining {
                self.draining = true;
                if self.random.chance(2) {
                    self.server.drain(&mut self.to_client);
                }
            }
            if self.draining && self.random.chance(500) {
                self.server.goaway(Code::NO_ERROR, &mut self.to_client);
            }
            if self.random.chance(1000) {
                self.client.ping(self.random.next(), &mut self.to_server);
            }
        }
        // What is on its way arrives, and then nothing is left.
        for _ in 0..4 {
            self.server_input.move_all(&mut self.to_server);
            self.client_input.move_all(&mut self.to_client);
            self.poll_server();
            self.poll_client();
            for exchange in &mut self.exchanges {
                if let Some(id) = exchange.client {
                    self.client.consume(id, std::mem::take(&mut exchange.client_holds), &mut self.to_server);
                }
            }
        }
        assert!(self.server_input.is_empty() && self.client_input.is_empty());
        assert_eq!((self.client.live(), self.server.live()), (0, 0));
        assert_eq!((self.client.streams().count(), self.server.streams().count()), (0, 0));
        assert_eq!((self.client.queued(), self.server.queued()), (0, 0));
        let counters = [self.client.take_counters(), self.server.take_counters()];
        for counters in counters {
            assert_eq!(counters.rx_messaging_error, 0);
        }
    }

    fn open(&mut self) {
        let Some(at) = self.exchanges.iter().position(|exchange| !exchange.request.started) else { return };
        let exchange = &mut self.exchanges[at];
        if self.client.is_draining() {
            // It will never be sent.
            (exchange.request.started, exchange.reset) = (true, true);
            return;
        }
        if self.client.capacity() == 0 {
            return;
        }
        let message = &exchange.request.message;
        let method = message.fields[0].1.as_bytes();
        let head = nuncio_codec::RequestHead {
            version: nuncio_codec::Version::Http11,
            method: nuncio_codec::Method::of(method),
            headers: map(&message.fields),
        };
        let end = message.body.is_empty() && message.trailers.is_none();
        let id = self.client.open(&head, end, at as u64, &mut self.to_server).expect("there is capacity");
        exchange.request.started = true;
        exchange.request.done = end;
        exchange.client = Some(id);
    }

    fn pick(&mut self, which: impl Fn(&Exchange) -> bool) -> Option<usize> {
        let start = self.random.below(self.exchanges.len());
        let count = self.exchanges.len();
        (0..count).map(|at| (start + at) % count).find(|at| which(&self.exchanges[*at]))
    }

    fn write_request(&mut self) {
        let Some(at) =
            self.pick(|e| e.client.is_some() && e.request.started && !e.request.done && !e.request.paused)
        else {
            return;
        };
        let exchange = &mut self.exchanges[at];
        let id = exchange.client.expect("picked");
        let writing = &mut exchange.request;
        let (mut data, end) = next_piece(&mut self.random, writing);
        let sent = match end {
            Ending::Trailers => {
                let trailers = map(writing.message.trailers.as_ref().expect("there are some"));
                self.client.send_trailers(id, &trailers, &mut self.to_server)
            }
            end => self.client.send_data(id, &mut data, end == Ending::Data, &mut self.to_server),
        };
        assert!(data.is_empty());
        (writing.paused, writing.done) = (sent.pause, end != Ending::No);
    }

    fn write_response(&mut self) {
        let early = self.random.chance(10);
        let Some(at) = self.pick(|e| {
            let ready = e.got_request.complete || (early && !e.got_request.fields.is_empty());
            e.server.is_some() && ready && !e.response.done && !e.response.paused
        }) else {
            return;
        };
        let exchange = &mut self.exchanges[at];
        let id = exchange.server.expect("picked");
        let writing = &mut exchange.response;
        let status: u16 = writing.message.fields[0].1.parse().expect("a status");
        if exchange.informational.1 < exchange.informational.0 {
            exchange.informational.1 += 1;
            return self.server.send_informational(id, &response(103, &[("x-i", "1")]), &mut self.to_client);
        }
        let bodiless = exchange.request.message.fields[0].1 == "HEAD" || matches!(status, 204 | 304);
        if !writing.started {
            writing.started = true;
            let end = bodiless || (writing.message.body.is_empty() && writing.message.trailers.is_none());
            let head = nuncio_codec::ResponseHead {
                version: nuncio_codec::Version::Http11,
                status,
                headers: map(&writing.message.fields[1..].to_vec()),
            };
            writing.done = end;
            self.server.send_headers(id, &head, end && self.random.chance(2), &mut self.to_client);
            if end {
                // What has no body ends anyhow; the other has to be told.
                self.server.send_data(id, &mut Buffer::new(), true, &mut self.to_client);
                self.server_done(at);
            }
            return;
        }
        let (mut data, end) = next_piece(&mut self.random, writing);
        let sent = match end {
            Ending::Trailers => {
                let trailers = map(writing.message.trailers.as_ref().expect("there are some"));
                self.server.send_trailers(id, &trailers, &mut self.to_client)
            }
            end => self.server.send_data(id, &mut data, end == Ending::Data, &mut self.to_client),
        };
        assert!(data.is_empty());
        (writing.paused, writing.done) = (sent.pause, end != Ending::No);
        if writing.done {
            writing.flushing = sent.queued > 0;
            if !writing.flushing {
                self.server_done(at);
            }
        }
    }

    /// The response is in the output.
    fn server_done(&mut self, at: usize) {
        let exchange = &mut self.exchanges[at];
        exchange.ends.1 += 1;
        assert_eq!(exchange.ends.1, 1, "a stream ends once");
        if !exchange.got_request.complete {
            // Answered early: the rest of the request may be lost.
            exchange.reset = true;
        }
        exchange.server = None;
    }

    fn poll_server(&mut self) {
        loop {
            let event = self.server.poll(&mut self.server_input, &mut self.to_client).expect("no error");
            let Some(event) = event else { return };
            match event {
                Event::Headers { id, head, end, .. } => {
                    let fields = list(&head.headers);
                    let known: HashMap<_, _> = self
                        .exchanges
                        .iter()
                        .enumerate()
                        .filter_map(|(at, e)| Some((e.client?.get(), at)))
                        .collect();
                    let Some(&at) = known.get(&id.get()) else {
                        // The client has given it up already.
                        self.server.set_tag(id, u64::MAX);
                        continue;
                    };
                    let exchange = &mut self.exchanges[at];
                    self.server.set_tag(id, at as u64);
                    assert_eq!(fields, joined(&exchange.request.message.fields));
                    exchange.server = Some(id);
                    exchange.got_request = Message { fields, complete: end, ..Message::default() };
                }
                Event::Data { id, tag, data, end } => {
                    if tag == u64::MAX {
                        self.server.consume(id, data.len(), &mut self.to_client);
                        continue;
                    }
                    let exchange = &mut self.exchanges[tag as usize];
                    exchange.server_holds += data.len();
                    exchange.got_request.body.extend(data.to_vec());
                    exchange.got_request.complete |= end;
                }
                Event::Trailers { tag, trailers, .. } if tag != u64::MAX => {
                    let got = &mut self.exchanges[tag as usize].got_request;
                    (got.trailers, got.complete) = (Some(list(&trailers)), true);
                }
                Event::Reset { tag, cause, .. } => {
                    assert_eq!(cause, Cause::Peer);
                    if tag != u64::MAX {
                        let exchange = &mut self.exchanges[tag as usize];
                        assert!(exchange.reset, "nobody else resets");
                        exchange.server = None;
                    }
                }
                Event::Writable { tag, .. } => self.exchanges[tag as usize].response.paused = false,
                Event::Flushed { tag, .. } => {
                    assert!(self.exchanges[tag as usize].response.flushing);
                    self.server_done(tag as usize);
                }
                Event::Settings | Event::SettingsAck | Event::Trailers { .. } => {}
                Event::Refused { cause: Cause::TooManyStreams, .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn poll_client(&mut self) {
        loop {
            let event = self.client.poll(&mut self.client_input, &mut self.to_server).expect("no error");
            let Some(event) = event else { return };
            match event {
                Event::Informational { tag, head, .. } => {
                    assert_eq!(
                        (head.status, self.exchanges[tag as usize].got_response.fields.len()),
                        (103, 0)
                    );
                }
                Event::Headers { id, tag, head, end } => {
                    let mut fields = vec![(":status".to_owned(), head.status.to_string())];
                    fields.extend(list(&head.headers));
                    let exchange = &mut self.exchanges[tag as usize];
                    assert_eq!(fields, joined(&exchange.response.message.fields));
                    exchange.got_response = Message { fields, complete: end, ..Message::default() };
                    self.client_end(id, tag, end);
                }
                Event::Data { id, tag, data, end } => {
                    let exchange = &mut self.exchanges[tag as usize];
                    exchange.client_holds += data.len();
                    exchange.got_response.body.extend(data.to_vec());
                    exchange.got_response.complete |= end;
                    self.client_end(id, tag, end);
                }
                Event::Trailers { id, tag, trailers } => {
                    let got = &mut self.exchanges[tag as usize].got_response;
                    (got.trailers, got.complete) = (Some(list(&trailers)), true);
                    self.client_end(id, tag, true);
                }
                Event::Reset { tag, code, cause, .. } => {
                    let exchange = &mut self.exchanges[tag as usize];
                    if is_unprocessed(code, cause) {
                        assert!(exchange.server.is_none() && exchange.got_request == Message::default());
                        exchange.replayed = true;
                    } else {
                        assert!(exchange.reset, "{code:?} {cause:?} {exchange:?}");
                    }
                    exchange.reset = true;
                    exchange.client = None;
                }
                Event::Writable { tag, .. } => self.exchanges[tag as usize].request.paused = false,
                Event::Settings
                | Event::SettingsAck
                | Event::Flushed { .. }
                | Event::GoAway { .. }
                | Event::Pong { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn client_end(&mut self, id: StreamId, tag: u64, end: bool) {
        if !end {
            return;
        }
        let exchange = &mut self.exchanges[tag as usize];
        assert_eq!(exchange.got_response.body, exchange.response.message.body);
        assert_eq!(exchange.got_response.trailers, exchange.response.message.trailers);
        if !exchange.reset {
            assert_eq!(
                exchange.got_request,
                Message {
                    fields: joined(&exchange.request.message.fields),
                    ..exchange.request.message.clone()
                }
            );
        }
        exchange.ends.0 += 1;
        assert_eq!(exchange.ends.0, 1, "a stream ends once");
        if !exchange.request.done {
            self.client.reset(id, Code::CANCEL, &mut self.to_server);
            exchange.client = None;
        }
    }

    fn consume(&mut self) {
        let Some(at) = self.pick(|e| e.client_holds + e.server_holds > 0) else { return };
        let exchange = &mut self.exchanges[at];
        let n = self.random.below(exchange.client_holds + 1);
        let n = if self.random.chance(2) { exchange.client_holds } else { n };
        if let Some(id) = exchange.client {
            self.client.consume(id, n, &mut self.to_server);
        }
        exchange.client_holds -= n;
        let n = exchange.server_holds;
        if let Some(id) = exchange.server {
            self.server.consume(id, n, &mut self.to_client);
        }
        exchange.server_holds = 0;
    }

    fn reset(&mut self) {
        let at = self.random.below(self.exchanges.len());
        let exchange = &mut self.exchanges[at];
        if exchange.ends.0 > 0 || exchange.ends.1 > 0 {
            return;
        }
        match (exchange.client, exchange.server) {
            (Some(id), _) if self.random.chance(2) => {
                self.client.reset(id, Code::CANCEL, &mut self.to_server);
                (exchange.client, exchange.reset) = (None, true);
            }
            (_, Some(id)) => {
                self.server.reset(id, Code::INTERNAL_ERROR, &mut self.to_client);
                (exchange.server, exchange.reset) = (None, true);
            }
            _ => {}
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Ending {
    No,
    Data,
    Trailers,
}

/// The next piece of a body, and whether the message ends with it.
fn next_piece(random: &mut Random, writing: &mut Writing) -> (Buffer, Ending) {
    let left = writing.message.body.len() - writing.sent;
    if left == 0 {
        let trailers = writing.message.trailers.is_some();
        return (Buffer::new(), if trailers { Ending::Trailers } else { Ending::Data });
    }
    let most = if random.chance(3) { 100_000 } else { 1000 };
    let n = 1 + random.below(left.min(most));
    let data = Buffer::from(&writing.message.body[writing.sent..writing.sent + n]);
    writing.sent += n;
    let last = n == left && writing.message.trailers.is_none() && random.chance(2);
    (data, if last { Ending::Data } else { Ending::No })
}

#[test]
fn what_is_put_in_comes_out() {
    let seeds = std::env::var("H2_PAIR_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    let first = std::env::var("H2_PAIR_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        let run = std::panic::AssertUnwindSafe(|| Link::new(seed).run());
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
