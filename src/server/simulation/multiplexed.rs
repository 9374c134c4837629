//! The peers of the simulation that speak HTTP/2: many exchanges at a time, bodies in pieces, slow readers, resets,
//! GOAWAY.

use super::{Exchange, body, check, number};
use crate::io::Rng;
use nuncio_codec::h2::{self, Code, RequestEvent, ResponseEvent, StreamId};
use nuncio_codec::{Buffer, HeaderId, HeaderMap, Method, RequestHead, ResponseHead, Version};
use std::collections::BTreeMap;

/// Windows, the number of streams, and what else the two ends may agree on.
fn settings(rng: &mut Rng) -> h2::Settings {
    let window = [65_535, 65_535, 200_000][rng.below(3) as usize];
    h2::Settings {
        initial_stream_window_size: window,
        initial_connection_window_size: window,
        max_concurrent_streams: [1, 3, 100][rng.below(3) as usize],
        hpack_table_size: [0, 100, 4096][rng.below(3) as usize],
        // Cancelling is what this client does.
        premature_reset_total_stream_count: 0,
        ..h2::Settings::default()
    }
}

/// A body that is sent piece by piece.
#[derive(Debug)]
struct Sending {
    bytes: Vec<u8>,
    at: usize,
    trailers: bool,
    paused: bool,
}

impl Sending {
    fn new(bytes: Vec<u8>, trailers: bool) -> Self {
        Self { bytes, at: 0, trailers, paused: false }
    }

    /// The next piece, and whether it is the last.
    fn piece(&mut self, rng: &mut Rng) -> (Buffer, bool) {
        let n = (1 + rng.below(9000) as usize).min(self.bytes.len() - self.at);
        let mut data = Buffer::new();
        data.append(&self.bytes[self.at..self.at + n]);
        self.at += n;
        (data, self.at == self.bytes.len())
    }

    fn trailers() -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.append(b"x-end", b"yes");
        trailers
    }
}

/// An exchange of a client.
#[derive(Debug)]
struct Open {
    exchange: Exchange,
    id: StreamId,
    sending: Option<Sending>,
    status: u16,
    got: usize,
    held: usize,
    /// The client will change its mind.
    fickle: bool,
}

/// How an exchange ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Status(u16),
    /// The response broke off, having begun with this status.
    Broken(u16),
    Cancelled,
}

/// What a client of HTTP/2 knows beyond its connection.
#[derive(Debug)]
pub(super) struct Client {
    codec: h2::Client,
    out: Buffer,
    open: BTreeMap<u64, Open>,
    parallel: usize,
}

impl Client {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut out = Buffer::new();
        let codec = h2::Client::new(settings(rng), &mut out);
        Self { codec, out, open: BTreeMap::new(), parallel: 1 + rng.below(8) as usize }
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Opens streams, goes on with bodies, changes its mind, takes what it has been holding.
    pub(super) fn act(
        &mut self,
        todo: &mut Vec<Exchange>,
        outcomes: &mut Vec<(Exchange, Outcome)>,
        rng: &mut Rng,
    ) {
        while self.open.len() < self.parallel && self.codec.capacity() > 0 {
            let Some(exchange) = todo.pop() else { break };
            self.begin(exchange, rng);
        }
        let Self { codec, out, open, .. } = self;
        open.retain(|_, open| {
            if rng.below(3) == 0 {
                codec.consume(open.id, std::mem::take(&mut open.held), out);
            }
            if open.fickle && rng.below(60) == 0 {
                codec.reset(open.id, Code::CANCEL, out);
                outcomes.push((open.exchange, Outcome::Cancelled));
                return false;
            }
            if let Some(sending) = &mut open.sending
                && !sending.paused
                && rng.below(2) == 0
            {
                let (mut data, last) = sending.piece(rng);
                let end = last && !sending.trailers;
                sending.paused = codec.send_data(open.id, &mut data, end, out).pause;
                if last {
                    if sending.trailers {
                        codec.send_trailers(open.id, &Sending::trailers(), out);
                    }
                    open.sending = None;
                }
            }
            true
        });
        if rng.below(50) == 0 {
            self.codec.ping(rng.below(1000), &mut self.out);
        }
    }

    fn begin(&mut self, exchange: Exchange, rng: &mut Rng) {
        let mut headers = HeaderMap::new();
        let bodied = exchange.request_bytes > 0;
        let name = match (bodied, exchange.put) {
            (false, _) => "GET",
            (true, false) => "POST",
            (true, true) => "PUT",
        };
        headers.append(b":method", name.as_bytes());
        headers.append(b":path", exchange.path().as_bytes());
        headers.append(b":authority", b"sim");
        if bodied && !exchange.request_chunked {
            number(&mut headers, HeaderId::CONTENT_LENGTH, exchange.request_bytes);
        }
        let head = RequestHead { version: Version::H2, method: Method::of(name.as_bytes()), headers };
        let tag = u64::from(exchange.id) + 1;
        let id = self.codec.open(&head, !bodied, tag, &mut self.out).expect("there is capacity");
        let sending =
            bodied.then(|| Sending::new(body(exchange.id, false, exchange.request_bytes), rng.below(4) == 0));
        let fickle = rng.below(8) == 0;
        self.open.insert(tag, Open { exchange, id, sending, status: 0, got: 0, held: 0, fickle });
    }

    /// Takes what has arrived.
    pub(super) fn poll(&mut self, input: &mut Buffer, outcomes: &mut Vec<(Exchange, Outcome)>) {
        while let Some(event) = self.codec.poll(input, &mut self.out).expect("the proxy speaks HTTP/2") {
            let (tag, end) = match event {
                ResponseEvent::Headers { tag, head, end, .. } => {
                    let open = self.open.get_mut(&tag).expect("a response to a request");
                    assert_eq!(open.status, 0, "two responses");
                    open.status = head.status;
                    (tag, end)
                }
                ResponseEvent::Data { tag, data, end, .. } => {
                    let open = self.open.get_mut(&tag).expect("a response to a request");
                    if open.status == 200 {
                        check(open.exchange.id, true, open.got, &data);
                    }
                    open.got += data.len();
                    open.held += data.len();
                    (tag, end)
                }
                ResponseEvent::Trailers { tag, .. } => (tag, true),
                ResponseEvent::Reset { tag, .. } => {
                    // A codec reports no stream after it was reset by its owner.
                    let open = self.open.remove(&tag).expect("a stream that is known");
                    outcomes.push((open.exchange, Outcome::Broken(open.status)));
                    continue;
                }
                ResponseEvent::Writable { tag, .. } => {
                    if let Some(sending) = self.open.get_mut(&tag).and_then(|open| open.sending.as_mut()) {
                        sending.paused = false;
                    }
                    continue;
                }
                ResponseEvent::GoAway { code, .. } => {
                    assert_eq!(code, Code::NO_ERROR);
                    continue;
                }
                _ => continue,
            };
            if end {
                let open = self.open.remove(&tag).expect("just seen");
                self.codec.consume(open.id, open.held, &mut self.out);
                if open.status == 200 {
                    assert_eq!(open.got, open.exchange.response_bytes, "{:?}", open.exchange);
                }
                outcomes.push((open.exchange, Outcome::Status(open.status)));
                if open.sending.is_some() {
                    // The answer came before its time.
                    self.codec.reset(open.id, Code::CANCEL, &mut self.out);
                }
            }
        }
    }

    pub(super) fn take_output(&mut self, outgoing: &mut Vec<u8>) {
        outgoing.extend(self.out.to_vec());
        self.out.clear();
    }
}

/// A request that an upstream has got, and its answer.
#[derive(Debug)]
struct Asked {
    exchange: Exchange,
    id: StreamId,
    got: usize,
    held: usize,
    sending: Option<Sending>,
    /// Where the answer breaks off.
    cut: Option<usize>,
    answered: bool,
}

/// What an upstream of HTTP/2 knows beyond its connection.
#[derive(Debug)]
pub(super) struct Server {
    codec: h2::Server,
    out: Buffer,
    asked: BTreeMap<u64, Asked>,
    /// It will close the connection at a random moment.
    dies: bool,
    /// It will send GOAWAY at a random moment.
    leaves: bool,
}

impl Server {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut out = Buffer::new();
        let codec = h2::Server::new(settings(rng), &mut out);
        let (dies, leaves) = (rng.below(30) == 0, rng.below(4) == 0);
        Self { codec, out, asked: BTreeMap::new(), dies, leaves }
    }

    /// Takes what has arrived. Exchanges of which the whole request has come are added to `taken`.
    pub(super) fn poll(&mut self, input: &mut Buffer, rng: &mut Rng, taken: &mut Vec<Exchange>) {
        while let Some(event) = self.codec.poll(input, &mut self.out).expect("the proxy speaks HTTP/2") {
            let (tag, end) = match event {
                RequestEvent::Headers { id, head, end, .. } => {
                    let exchange = Exchange::parse(head.path());
                    let tag = u64::from(id.get());
                    self.codec.set_tag(id, tag);
                    if exchange.fault == 6 {
                        self.codec.reset(id, Code::REFUSED_STREAM, &mut self.out);
                        continue;
                    }
                    let asked =
                        Asked { exchange, id, got: 0, held: 0, sending: None, cut: None, answered: false };
                    self.asked.insert(tag, asked);
                    if exchange.fault == 4 {
                        self.answer(tag, rng);
                    }
                    (tag, end)
                }
                RequestEvent::Data { tag, data, end, .. } => {
                    let Some(asked) = self.asked.get_mut(&tag) else { continue };
                    check(asked.exchange.id, false, asked.got, &data);
                    asked.got += data.len();
                    asked.held += data.len();
                    (tag, end)
                }
                RequestEvent::Trailers { tag, .. } => (tag, true),
                RequestEvent::Reset { tag, .. } => {
                    self.asked.remove(&tag);
                    continue;
                }
                RequestEvent::Writable { tag, .. } => {
                    if let Some(sending) = self.asked.get_mut(&tag).and_then(|asked| asked.sending.as_mut()) {
                        sending.paused = false;
                    }
                    continue;
                }
                RequestEvent::TooLarge { .. } => panic!("the proxy makes no heads"),
                _ => continue,
            };
            if !end {
                continue;
            }
            let Some(asked) = self.asked.get(&tag) else { continue };
            assert_eq!(asked.got, asked.exchange.request_bytes, "{:?}", asked.exchange);
            taken.push(asked.exchange);
            if !asked.answered {
                self.answer(tag, rng);
            }
        }
    }

    fn answer(&mut self, tag: u64, rng: &mut Rng) {
        let Some(asked) = self.asked.get_mut(&tag) else { return };
        asked.answered = true;
        let exchange = asked.exchange;
        match exchange.fault {
            1 => {
                self.codec.reset(asked.id, Code::INTERNAL_ERROR, &mut self.out);
                self.asked.remove(&tag);
                return;
            }
            2 | 3 => asked.cut = Some(rng.below(exchange.response_bytes as u64 + 1) as usize),
            5 => return,
            _ => {}
        }
        let mut headers = HeaderMap::new();
        if exchange.response_framing == super::Framing::Length {
            number(&mut headers, HeaderId::CONTENT_LENGTH, exchange.response_bytes);
        }
        let head = ResponseHead { version: Version::H2, status: 200, headers };
        let empty = exchange.response_bytes == 0 && asked.cut.is_none();
        self.codec.send_headers(asked.id, &head, empty, &mut self.out);
        if empty {
            self.asked.remove(&tag);
        } else {
            let bytes = body(exchange.id, true, exchange.response_bytes);
            asked.sending = Some(Sending::new(bytes, rng.below(4) == 0));
        }
    }

    /// Goes on with answers, takes what it has been holding; true if it wants to close the connection.
    pub(super) fn act(&mut self, rng: &mut Rng) -> bool {
        let Self { codec, out, asked, .. } = self;
        asked.retain(|_, asked| {
            if rng.below(3) == 0 {
                codec.consume(asked.id, std::mem::take(&mut asked.held), out);
            }
            let Some(sending) = &mut asked.sending else { return true };
            if asked.cut.is_some_and(|cut| sending.at >= cut) {
                codec.reset(asked.id, Code::INTERNAL_ERROR, out);
                return false;
            }
            if sending.paused || rng.below(2) == 0 {
                return true;
            }
            let (mut data, last) = sending.piece(rng);
            let last = last && asked.cut.is_none();
            sending.paused = codec.send_data(asked.id, &mut data, last && !sending.trailers, out).pause;
            if last && sending.trailers {
                codec.send_trailers(asked.id, &Sending::trailers(), out);
            }
            !last
        });
        if self.leaves && rng.below(200) == 0 {
            self.leaves = false;
            self.codec.goaway(Code::NO_ERROR, &mut self.out);
        }
        self.dies && !self.asked.is_empty() && rng.below(200) == 0
    }

    pub(super) fn take_output(&mut self, outgoing: &mut Vec<u8>) {
        outgoing.extend(self.out.to_vec());
        self.out.clear();
    }
}
