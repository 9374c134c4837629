//! One end of a connection of HTTP/2, frame by frame: what it sends may be anything, what it reads is shown as it came.
//!
//! Fields are sent as literals that leave the table alone, so that a test says bytes; those that come back are decoded.

#[path = "../../codec/tests/h2_support/wire.rs"]
mod wire;

use super::{Client, PATIENCE};
use nuncio_codec::h2::hpack::Decoder;
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
pub use wire::*;

/// A request that has begun: its stream, its header fields, and whether that is all.
pub type Begun = (u32, Vec<(String, String)>, bool);

pub type Fields<'a> = &'a [(&'a str, &'a str)];
/// Fields that came.
pub type Got = Vec<(String, String)>;

pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test")];
pub const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "test")];

/// A GET of this path.
pub fn get(path: &str) -> Vec<(&str, &str)> {
    request("GET", path)
}

/// The pseudo-headers of a request.
pub fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
    /// Of HEADERS, with those of CONTINUATION.
    pub fields: Vec<(String, String)>,
}

impl Frame {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The error code of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("a number"))
    }

    /// The last stream of GOAWAY.
    pub fn last(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().expect("a number"))
    }
}

pub fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|(name, value)| {
            let mut entry = name.to_be_bytes().to_vec();
            entry.extend(value.to_be_bytes());
            entry
        })
        .collect()
}

/// A message that came on one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The final head, in the order in which it came.
    pub head: Vec<(String, String)>,
    /// Statuses of interim responses.
    pub interim: Vec<String>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// RST_STREAM's code, if the message ended with that.
    pub reset: Option<u32>,
    pub ended: bool,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.head, name)
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        find(&self.trailers, name)
    }

    pub fn status(&self) -> u16 {
        self.header(":status").map_or(0, |status| status.parse().expect("a status"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn find<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
}

/// One end.
pub struct Peer {
    pub stream: TcpStream,
    rest: Vec<u8>,
    at: usize,
    decoder: Decoder,
    /// Frames that were read while something else was waited for.
    pub kept: VecDeque<Frame>,
    /// PING and SETTINGS are answered, and what DATA takes from windows is given back.
    pub polite: bool,
    /// That nothing more comes is taken for the end.
    pub resigned: bool,
    pub settings: Vec<(u16, u32)>,
    /// What may be sent: on the connection, on a stream at first, what each has had beside that.
    room: i64,
    initial: i64,
    moved: HashMap<u32, i64>,
}

impl Peer {
    /// A client that has not said anything.
    pub fn raw(address: SocketAddr) -> Self {
        Self::of(Client::connect(address).stream)
    }

    pub fn of(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        Self {
            stream,
            rest: Vec::new(),
            at: 0,
            decoder: Decoder::new(),
            kept: VecDeque::new(),
            polite: true,
            resigned: false,
            settings: Vec::new(),
            room: 65_535,
            initial: 65_535,
            moved: HashMap::new(),
        }
    }

    /// A client that has sent its preface with these settings.
    pub fn connect(address: SocketAddr, entries: &[(u16, u32)]) -> Self {
        let mut peer = Self::raw(address);
        peer.send([PREFACE, &frame(SETTINGS, 0, 0, &settings(entries))].concat());
        peer
    }

    /// A client whose preface was answered: SETTINGS both ways, acknowledged both ways.
    pub fn ready(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address, &[]);
        peer.settle();
        peer
    }

    /// A server on an accepted connection, which has read the client's preface.
    pub fn accept(stream: TcpStream, entries: &[(u16, u32)]) -> Option<Self> {
        let mut peer = Self::of(stream);
        while peer.rest.len() < PREFACE.len() {
            if !peer.fill() {
                return None;
            }
        }
        assert_eq!(&peer.rest[..PREFACE.len()], PREFACE);
        peer.at = PREFACE.len();
        peer.send(frame(SETTINGS, 0, 0, &settings(entries)));
        Some(peer)
    }

    /// Reads until SETTINGS and its acknowledgement have come.
    pub fn settle(&mut self) {
        let (mut settings, mut ack) = (false, false);
        while !(settings && ack) {
            let frame = self.read().expect("SETTINGS");
            if frame.kind == SETTINGS {
                if frame.has(ACK) {
                    ack = true;
                } else {
                    settings = true;
                }
            } else if frame.kind != WINDOW_UPDATE {
                self.kept.push_back(frame);
            }
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the other end reads");
    }

    /// What is sent to a closed connection is lost, and the reading shows it.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.try_send(frame(kind, flags, stream, payload));
    }

    /// HEADERS in one frame.
    pub fn headers(&mut self, stream: u32, fields: Fields<'_>, end: bool) {
        self.frame(HEADERS, if end { WHOLE } else { END_HEADERS }, stream, &block(fields));
    }

    pub fn data(&mut self, stream: u32, data: &[u8], end: bool) {
        self.frame(DATA, u8::from(end), stream, data);
    }

    /// DATA within the windows. False if the stream was reset or the connection has ended before all was sent.
    pub fn body(&mut self, stream: u32, mut data: &[u8], end: bool) -> bool {
        while !data.is_empty() {
            let n = self.room_of(stream).min(16_384).min(data.len());
            if n > 0 {
                let (now, later) = data.split_at(n);
                if !self.try_send(frame(DATA, u8::from(end && later.is_empty()), stream, now)) {
                    return false;
                }
                self.room -= n as i64;
                *self.moved.entry(stream).or_default() -= n as i64;
                data = later;
                continue;
            }
            let Some(frame) = self.read() else { return false };
            let over = frame.kind == RST_STREAM && frame.stream == stream;
            self.kept.push_back(frame);
            if over {
                return false;
            }
        }
        true
    }

    /// How much DATA a stream may have now.
    pub fn room_of(&self, stream: u32) -> usize {
        self.room.min(self.initial + self.moved.get(&stream).copied().unwrap_or(0)).max(0) as usize
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub fn window(&mut self, stream: u32, increment: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
    }

    pub fn goaway(&mut self, last: u32, code: u32) {
        self.frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    }

    /// A PING, and the frames up to its answer.
    pub fn ping(&mut self) -> Vec<Frame> {
        self.frame(PING, 0, 0, b"pingpong");
        let mut before = Vec::new();
        loop {
            let frame = self.read().unwrap_or_else(|| panic!("a PING is answered, after {before:?}"));
            if frame.kind == PING && frame.has(ACK) && frame.payload == b"pingpong" {
                return before;
            }
            before.push(frame);
        }
    }

    fn fill(&mut self) -> bool {
        let mut block = [0; 65536];
        if self.at > 0 {
            self.rest.drain(..self.at);
            self.at = 0;
        }
        match self.stream.read(&mut block) {
            Ok(n) => {
                self.rest.extend_from_slice(&block[..n]);
                n > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(_) if self.resigned => false,
            Err(error) => panic!("nothing more comes: {error}"),
        }
    }

    /// Whether something can be read without waiting.
    pub fn has_input(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("a flag");
        let some = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_nonblocking(false).expect("a flag");
        some || self.rest.len() > self.at || !self.kept.is_empty()
    }

    /// The next frame off the wire; `None` when the connection has ended.
    pub fn read(&mut self) -> Option<Frame> {
        loop {
            let bytes = &self.rest[self.at..];
            if bytes.len() >= 9 {
                let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
                if bytes.len() >= 9 + length {
                    let mut frame = Frame {
                        kind: bytes[3],
                        flags: bytes[4],
                        stream: u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]),
                        payload: bytes[9..9 + length].to_vec(),
                        fields: Vec::new(),
                    };
                    self.at += 9 + length;
                    if frame.kind == HEADERS {
                        // Blocks have to be decoded in the order in which they come.
                        frame.fields = self.fields(&frame);
                    }
                    self.answer(&frame);
                    return Some(frame);
                }
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn answer(&mut self, frame: &Frame) {
        if frame.kind == SETTINGS && !frame.has(ACK) {
            self.settings = frame
                .payload
                .chunks_exact(6)
                .map(|entry| {
                    let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
                    (u16::from_be_bytes([entry[0], entry[1]]), value)
                })
                .collect();
        }
        if let (WINDOW_UPDATE, Ok(increment)) = (frame.kind, frame.payload.as_slice().try_into()) {
            let increment = i64::from(u32::from_be_bytes(increment));
            match frame.stream {
                0 => self.room += increment,
                stream => *self.moved.entry(stream).or_default() += increment,
            }
        }
        if let Some((_, size)) = self.settings.iter().rev().find(|entry| entry.0 == 4) {
            self.initial = i64::from(*size);
        }
        if !self.polite {
            return;
        }
        match frame.kind {
            SETTINGS if !frame.has(ACK) => self.frame(SETTINGS, ACK, 0, &[]),
            PING if !frame.has(ACK) => self.frame(PING, ACK, 0, &frame.payload),
            DATA if !frame.payload.is_empty() => {
                let n = frame.payload.len() as u32;
                self.window(0, n);
                if !frame.has(END_STREAM) {
                    self.window(frame.stream, n);
                }
            }
            _ => {}
        }
    }

    /// The next frame that is wanted; those before it are kept.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        loop {
            let frame = self.read()?;
            if wanted(&frame) {
                return Some(frame);
            }
            self.kept.push_back(frame);
        }
    }

    fn decode(&mut self, mut block: &[u8]) -> Vec<(String, String)> {
        let mut scratch = Vec::new();
        let mut fields = Vec::new();
        self.decoder.start();
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        while let Some(field) = self.decoder.next(&mut block, &mut scratch).expect("HPACK") {
            fields.push((text(field.name), text(field.value)));
        }
        fields
    }

    fn fields(&mut self, frame: &Frame) -> Vec<(String, String)> {
        let mut block = frame.payload.clone();
        let mut end = frame.has(END_HEADERS);
        while !end {
            let more = self.read().expect("CONTINUATION");
            assert_eq!((more.kind, more.stream), (CONTINUATION, frame.stream));
            block.extend(&more.payload);
            end = more.has(END_HEADERS);
        }
        self.decode(&block)
    }

    /// Puts a frame of a stream to its message.
    fn add(frame: &Frame, message: &mut Message) {
        match frame.kind {
            HEADERS => {
                let fields = frame.fields.clone();
                if find(&fields, ":status").is_some_and(|status| status.starts_with('1')) {
                    message.interim.push(find(&fields, ":status").unwrap_or_default().to_owned());
                } else if message.head.is_empty() {
                    message.head = fields;
                } else {
                    message.trailers = fields;
                }
            }
            DATA => message.body.extend(&frame.payload),
            RST_STREAM => message.reset = Some(frame.code()),
            _ => return,
        }
        message.ended |= frame.kind == RST_STREAM || frame.has(END_STREAM);
    }

    /// The message on a stream, whole.
    pub fn message(&mut self, stream: u32) -> Message {
        self.messages(&[stream]).remove(0)
    }

    /// The messages on some streams, whole.
    pub fn messages(&mut self, streams: &[u32]) -> Vec<Message> {
        let mut messages = vec![Message::default(); streams.len()];
        let mut kept = std::mem::take(&mut self.kept);
        while messages.iter().any(|message| !message.ended) {
            let Some(frame) = kept.pop_front().or_else(|| self.read()) else { break };
            match streams.iter().position(|stream| *stream == frame.stream) {
                Some(at) => Self::add(&frame, &mut messages[at]),
                None => self.kept.push_back(frame),
            }
        }
        self.kept.extend(kept);
        messages
    }

    /// A request without a body, and its response.
    pub fn ask(&mut self, stream: u32, fields: Fields<'_>) -> Message {
        self.headers(stream, fields, true);
        self.message(stream)
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<Frame> {
        let mut frames: Vec<_> = std::mem::take(&mut self.kept).into();
        while let Some(frame) = self.read() {
            frames.push(frame);
        }
        frames
    }

    /// Does not wait longer than this for anything.
    pub fn patience(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a time-out");
    }

    /// The next request (server): its stream and the fields of its head.
    pub fn request(&mut self) -> Option<Begun> {
        let frame = self.until(|frame| frame.kind == HEADERS)?;
        let end = frame.has(END_STREAM);
        Some((frame.stream, frame.fields, end))
    }
}
