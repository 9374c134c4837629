//! What the HTTP/2 tests share: frames as bytes and back as lines, and a rig that feeds a codec and writes down what
//! it reports and what it sends, so that a test case is frames in and lines out.
#![allow(dead_code, unreachable_pub, unused_imports)] // each test file uses a part of it

#[path = "../h1_support/mod.rs"]
mod h1_support;

pub mod script;
mod wire;

pub use h1_support::{CUTS, Cut, Random, headers, pieces, request, response};
use nuncio_codec::{
    Buffer, HeaderMap, RequestHead, ResponseHead,
    h2::{
        Client, Code, Connection, Error, Event, Server, Settings, Side, StreamId,
        hpack::{Decoder, Encoder, field_bound},
    },
};
pub use wire::*;

pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
pub const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
pub const OK: [(&str, &str); 1] = [(":status", "200")];

pub fn with<'a>(fields: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [fields, more].concat()
}

pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &block(&GET))
}

pub fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&POST))
}

pub fn data(stream: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    frame(DATA, u8::from(end), stream, bytes)
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub fn priority_update(stream: u32, value: &str) -> Vec<u8> {
    frame(PRIORITY_UPDATE, 0, 0, &[&stream.to_be_bytes(), value.as_bytes()].concat())
}

pub fn rst(stream: u32, code: Code) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

pub fn settings(list: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in list {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

pub fn goaway(last: u32, code: Code) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.0.to_be_bytes()].concat())
}

/// The frames of a stream of bytes: type, flags, stream, payload.
pub fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut list = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        let (payload, rest) = rest.split_at(length);
        list.push((header[3], header[4], stream, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "whole frames are written");
    list
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().expect("four bytes"))
}

pub fn text(map: &HeaderMap) -> String {
    let mut text = String::new();
    for header in map.iter() {
        text += &format!(" [{}={}]", header.name.escape_ascii(), header.value.escape_ascii());
    }
    text
}

/// One codec, what it is fed, and what it has written.
pub struct Rig<S> {
    pub codec: Connection<S>,
    pub input: Buffer,
    pub out: Buffer,
    /// Decodes the blocks that the codec writes.
    decoder: Decoder,
    pub failed: bool,
}

pub trait Describe: Side {
    fn describe(head: &Self::Head) -> String;
}

impl Describe for nuncio_codec::h2::ServerSide {
    fn describe(head: &RequestHead) -> String {
        text(&head.headers)
    }
}

impl Describe for nuncio_codec::h2::ClientSide {
    fn describe(head: &ResponseHead) -> String {
        format!(" {}{}", head.status, text(&head.headers))
    }
}

impl<S: Describe> Rig<S> {
    /// A codec that has not received anything; what it writes first is thrown away.
    pub fn fresh(settings: Settings) -> Self {
        let mut out = Buffer::new();
        let codec = Connection::new(settings, &mut out);
        out.clear();
        Self { codec, input: Buffer::new(), out, decoder: Decoder::new(), failed: false }
    }

    /// Feeds bytes; what is reported, one line each.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        self.input.append(bytes);
        self.poll()
    }

    pub fn poll(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while !self.failed {
            match self.codec.poll(&mut self.input, &mut self.out) {
                Ok(None) => break,
                Ok(Some(event)) => lines.push(line::<S>(&event)),
                Err(error) => {
                    lines.push(failure(error));
                    self.failed = true;
                    let again = self.codec.poll(&mut self.input, &mut self.out).expect_err("an error stays");
                    assert_eq!(again, error);
                }
            }
        }
        lines
    }

    /// The frames that were written since the last call, one line each.
    pub fn written(&mut self) -> Vec<String> {
        let bytes = self.out.to_vec();
        self.out.clear();
        frames(&bytes).into_iter().map(|frame| self.describe(frame)).collect()
    }

    fn describe(&mut self, (kind, flags, stream, payload): (u8, u8, u32, Vec<u8>)) -> String {
        let end = if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 { " end" } else { "" };
        match kind {
            DATA => format!("DATA {stream} {}{end}", payload.escape_ascii()),
            HEADERS => {
                assert!(flags & END_HEADERS != 0, "tests of large blocks look at the frames");
                let mut fields = String::new();
                let (mut block, mut scratch) = (&payload[..], Vec::new());
                self.decoder.start();
                while let Some(field) = self.decoder.next(&mut block, &mut scratch).expect("a block") {
                    fields += &format!(" [{}={}]", field.name.escape_ascii(), field.value.escape_ascii());
                }
                format!("HEADERS {stream}{fields}{end}")
            }
            RST_STREAM => format!("RST_STREAM {stream} {}", Code(number(&payload)).name()),
            SETTINGS if flags & ACK != 0 => "SETTINGS ack".into(),
            SETTINGS => {
                let list: Vec<_> = payload
                    .chunks(6)
                    .map(|entry| {
                        format!("{}={}", u16::from_be_bytes([entry[0], entry[1]]), number(&entry[2..]))
                    })
                    .collect();
                format!("SETTINGS {}", list.join(" "))
            }
            PING => format!("PING{} {}", if flags & ACK != 0 { " ack" } else { "" }, payload.escape_ascii()),
            GOAWAY => format!("GOAWAY {} {}", number(&payload), Code(number(&payload[4..])).name()),
            WINDOW_UPDATE => format!("WINDOW_UPDATE {stream} {}", number(&payload)),
            _ => format!("? {kind} {stream}"),
        }
    }
}

pub fn failure(error: Error) -> String {
    format!("! {} {}", error.code().name(), error.description())
}

pub fn line<S: Describe>(event: &Event<S::Head>) -> String {
    let end = |end: bool| if end { " end" } else { "" };
    match event {
        Event::Headers { id, head, end: last, .. } => {
            format!("{}{}{}", id.get(), S::describe(head), end(*last))
        }
        Event::TooLarge { id, cause, .. } => format!("{} too large: {}", id.get(), cause.details()),
        Event::Refused { id, cause } => format!("{} refused: {cause:?}", id.get()),
        Event::Informational { id, head, .. } => {
            format!("{} ... {}{}", id.get(), head.status, text(&head.headers))
        }
        Event::Data { id, data, end: last, .. } => {
            // The end is a word of its own.
            let bytes = data.to_vec().escape_ascii().to_string().replace(' ', "\\x20");
            format!("{} data {bytes}{}", id.get(), end(*last))
        }
        Event::Trailers { id, trailers, .. } => format!("{} trailers{}", id.get(), text(trailers)),
        Event::Reset { id, code, cause, .. } => format!("{} reset: {} {cause:?}", id.get(), code.name()),
        Event::Writable { id, .. } => format!("{} writable", id.get()),
        Event::Flushed { id, .. } => format!("{} flushed", id.get()),
        Event::GoAway { last, code } => format!("goaway {} {}", last.get(), code.name()),
        Event::Settings => "settings".into(),
        Event::SettingsAck => "acknowledged".into(),
        Event::Pong { payload } => format!("pong {payload}"),
    }
}

impl Rig<nuncio_codec::h2::ServerSide> {
    /// A server whose client has sent its preface and empty SETTINGS.
    pub fn server(settings: Settings) -> Self {
        let mut rig = Self::fresh(settings);
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat();
        assert_eq!(rig.feed(&hello), ["settings", "acknowledged"]);
        assert_eq!(rig.written(), ["SETTINGS ack"]);
        rig
    }
}

impl Rig<nuncio_codec::h2::ClientSide> {
    /// A client whose server has sent empty SETTINGS.
    pub fn client(settings: Settings) -> Self {
        let mut rig = Self::fresh(settings);
        let hello = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
        assert_eq!(rig.feed(&hello), ["settings", "acknowledged"]);
        assert_eq!(rig.written(), ["SETTINGS ack"]);
        rig
    }
}

pub type ServerRig = Rig<nuncio_codec::h2::ServerSide>;
pub type ClientRig = Rig<nuncio_codec::h2::ClientSide>;

/// Fields as the codec's own encoder writes them.
pub fn encoded(encoder: &mut Encoder, fields: &[(&str, &str)]) -> Vec<u8> {
    let map = headers(fields);
    let bound: usize = map.iter().map(|header| field_bound(header.name.len(), header.value.len())).sum();
    let mut room = vec![0; encoder.start_bound() + bound];
    let mut at = encoder.start(&mut room);
    for header in map.iter() {
        at += encoder.field(header.id, header.name, header.value, header.sensitive, &mut room[at..]);
    }
    room.truncate(at);
    room
}

/// Both sides, for tests that need no script.
pub fn pair(settings: Settings) -> (Client, Server, Buffer, Buffer) {
    let (mut to_server, mut to_client) = (Buffer::new(), Buffer::new());
    let client = Client::new(settings, &mut to_server);
    let server = Server::new(settings, &mut to_client);
    (client, server, to_server, to_client)
}

/// The identifier with this number, which only a codec can make.
pub fn id(rig: &ServerRig, number: u32) -> StreamId {
    let found = rig.codec.streams().find(|(id, _)| id.get() == number);
    found.expect("the stream is open").0
}

/// Appends, and makes consecutive pieces of a body one.
pub fn join(lines: &mut Vec<String>, more: Vec<String>) {
    for line in more {
        // What a body begins with may be "end" too.
        if let (Some(last), Some((id, rest))) = (lines.last_mut(), line.split_once(" data "))
            && let Some(so_far) = last.strip_prefix(&format!("{id} data "))
            && !so_far.ends_with(" end")
        {
            last.push_str(rest);
        } else {
            lines.push(line);
        }
    }
}

/// Feeds a server, which answers if a flag says so; what it reports and writes.
pub fn fuzzed_server(flags: u8, wire: &[u8], cut: Cut) -> (Vec<String>, Vec<String>) {
    let set = |bit: u8| flags & (1 << bit) != 0;
    let settings = Settings {
        stream_error_on_invalid_http_messaging: set(0),
        max_headers_bytes: if set(1) { 200 } else { 60 << 10 },
        max_headers_count: if set(1) { 6 } else { 100 },
        max_concurrent_streams: if set(1) { 2 } else { 1024 },
        allow_connect: set(2),
        hpack_table_size: if set(3) { 100 } else { 4096 },
        initial_stream_window_size: 65_535,
        initial_connection_window_size: 65_535,
        ..Settings::default()
    };
    let mut rig = ServerRig::fresh(settings);
    let mut lines = Vec::new();
    for piece in pieces(wire, cut) {
        rig.input.append(piece);
        while !rig.failed {
            match rig.codec.poll(&mut rig.input, &mut rig.out) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    join(&mut lines, vec![line::<nuncio_codec::h2::ServerSide>(&event)]);
                    if let (Event::Headers { id, .. } | Event::TooLarge { id, .. }, true) = (&event, set(4)) {
                        rig.codec.send_headers(*id, &response(200, &[("x", "y")]), true, &mut rig.out);
                        if set(5) {
                            rig.codec.goaway(Code::NO_ERROR, &mut rig.out);
                        }
                    }
                }
                Err(error) => {
                    lines.push(failure(error));
                    rig.failed = true;
                    assert_eq!(
                        rig.codec.poll(&mut rig.input, &mut rig.out).expect_err("an error stays"),
                        error
                    );
                }
            }
        }
    }
    (lines, rig.written())
}

/// Feeds a client that has asked for a few things; what it reports and writes.
pub fn fuzzed_client(flags: u8, wire: &[u8], cut: Cut) -> (Vec<String>, Vec<String>) {
    let set = |bit: u8| flags & (1 << bit) != 0;
    let settings = Settings {
        stream_error_on_invalid_http_messaging: set(0),
        max_headers_bytes: if set(1) { 200 } else { 60 << 10 },
        max_headers_count: if set(1) { 6 } else { 100 },
        hpack_table_size: if set(2) { 100 } else { 4096 },
        initial_stream_window_size: 65_535,
        initial_connection_window_size: 65_535,
        ..Settings::default()
    };
    let mut rig = ClientRig::fresh(settings);
    for (head, end) in [
        (request("GET", "/", &[]), true),
        (request(if set(3) { "HEAD" } else { "POST" }, "/", &[]), set(3)),
        (request(if set(4) { "CONNECT" } else { "PUT" }, if set(4) { "a:80" } else { "/" }, &[]), false),
    ] {
        rig.codec.open(&head, end, 0, &mut rig.out).expect("capacity");
    }
    let mut lines = Vec::new();
    for piece in pieces(wire, cut) {
        join(&mut lines, rig.feed(piece));
    }
    (lines, rig.written())
}
