//! What the HTTP/1 tests share: a seeded random source, ways to cut input into pieces, and drivers
//! that feed a codec and write down what it reports, so that a test case is bytes in and lines out.
//! The lines do not depend on how a body was cut into pieces; nothing else is normalised.
#![allow(dead_code, unreachable_pub)] // each test file uses a part of it

use nuncio_codec::{
    Buffer, HeaderMap, Method, RequestHead, ResponseHead, Version,
    h1::{Client, Error, RequestEvent, ResponseEvent, Server},
};

/// SplitMix64: small, seeded, good enough to choose test data.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// How the wire is cut into pieces.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    Whole,
    Bytes,
    Random(u64),
    /// In two pieces at this place; both are there before the codec is asked.
    Blocks(usize),
}

pub const CUTS: [Cut; 8] = [
    Cut::Whole,
    Cut::Bytes,
    Cut::Random(1),
    Cut::Random(2),
    Cut::Random(3),
    Cut::Random(4),
    Cut::Random(5),
    Cut::Random(6),
];

pub fn pieces(wire: &[u8], cut: Cut) -> Vec<&[u8]> {
    match cut {
        Cut::Whole => vec![wire],
        Cut::Bytes => wire.chunks(1).collect(),
        Cut::Blocks(at) => wire.split_at_checked(at).map_or(vec![wire], |(start, rest)| vec![start, rest]),
        Cut::Random(seed) => {
            let (mut random, mut rest, mut pieces) = (Random(seed), wire, Vec::new());
            while !rest.is_empty() {
                let most = if random.chance(3) { 3 } else { 40 };
                let (piece, tail) = rest.split_at(rest.len().min(1 + random.below(most)));
                pieces.push(piece);
                rest = tail;
            }
            pieces
        }
    }
}

/// Lines of a trace, with consecutive pieces of a body joined.
#[derive(Default)]
pub struct Trace {
    pub lines: Vec<String>,
    body: Vec<u8>,
}

impl Trace {
    pub fn line(&mut self, line: String) {
        self.flush();
        self.lines.push(line);
    }

    fn data(&mut self, data: &Buffer, end: bool) {
        self.body.extend(data.to_vec());
        if end {
            self.line("end".into());
        }
    }

    fn flush(&mut self) {
        if !self.body.is_empty() {
            self.lines.push(format!("data {}", self.body.escape_ascii()));
            self.body.clear();
        }
    }

    fn error(&mut self, error: Error) {
        self.line(format!("! {} {}", error.status(), error.details()));
    }

    pub fn finish(mut self) -> Vec<String> {
        self.flush();
        self.lines
    }
}

pub fn fields(headers: &HeaderMap) -> String {
    let mut text = String::new();
    for header in headers.iter().filter(|header| !matches!(header.name, b":method" | b":path")) {
        text += &format!(" [{}={}]", header.name.escape_ascii(), header.value.escape_ascii());
    }
    text
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        _ => "?",
    }
}

/// The status with which most cases are answered.
pub const OK: u16 = 200;

/// Feeds requests to a server and answers each as soon as it is complete (or, if it asks for a
/// tunnel, has arrived) with `status`. The last line tells whether the connection persists.
pub fn serve(mut server: Server, wire: &[u8], cut: Cut, status: u16) -> Vec<String> {
    let (mut input, mut out, mut trace) = (Buffer::new(), Buffer::new(), Trace::default());
    let mut failed = false;
    let mut left = wire.len();
    for piece in pieces(wire, cut) {
        input.append(piece);
        left -= piece.len();
        if left > 0 && matches!(cut, Cut::Blocks(_)) {
            continue;
        }
        while !failed {
            match server.poll(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    let tunnel = match event {
                        RequestEvent::Headers { head, end } => {
                            let method = String::from_utf8_lossy(head.headers.get_name(b":method").unwrap());
                            let path =
                                String::from_utf8_lossy(head.headers.get_name(b":path").unwrap_or(b"-"));
                            trace.line(format!(
                                "{method} {path} {}{}{}",
                                version(head.version),
                                fields(&head.headers),
                                if end { " end" } else { "" }
                            ));
                            head.method == Method::Connect || head.headers.get_name(b"upgrade").is_some()
                        }
                        RequestEvent::Data { data, end } => {
                            trace.data(&data, end);
                            false
                        }
                        RequestEvent::Trailers { trailers } => {
                            trace.line(format!("trailers{}", fields(&trailers)));
                            false
                        }
                    };
                    if (server.request_complete() || tunnel) && !server.response_started() {
                        let head = response(status, &[]);
                        server.send_headers(&head, server.request_complete(), &mut out);
                    }
                }
                Err(error) => {
                    trace.error(error);
                    assert_eq!(server.poll(&mut input).unwrap_err(), error, "an error stays");
                    assert!(!server.keep_alive());
                    failed = true;
                }
            }
        }
    }
    trace.line(if server.keep_alive() { "open".into() } else { "close".into() });
    trace.finish()
}

/// Feeds responses to a client that has sent `request`; `eof` ends the input. The last line tells
/// whether the connection persists.
pub fn receive(mut client: Client, request: &RequestHead, wire: &[u8], eof: bool, cut: Cut) -> Vec<String> {
    let (mut input, mut out, mut trace) = (Buffer::new(), Buffer::new(), Trace::default());
    client.send_headers(request, true, &mut out).expect("the request is valid");
    let mut failed = false;
    let note = |trace: &mut Trace, event: ResponseEvent| match event {
        ResponseEvent::Informational { head } => {
            trace.line(format!("{} ...{}", head.status, fields(&head.headers)))
        }
        ResponseEvent::Headers { head, end } => trace.line(format!(
            "{} {}{}{}",
            head.status,
            version(head.version),
            fields(&head.headers),
            if end { " end" } else { "" }
        )),
        ResponseEvent::Data { data, end } => trace.data(&data, end),
        ResponseEvent::Trailers { trailers } => trace.line(format!("trailers{}", fields(&trailers))),
    };
    let mut left = wire.len();
    for piece in pieces(wire, cut) {
        input.append(piece);
        left -= piece.len();
        if left > 0 && matches!(cut, Cut::Blocks(_)) {
            continue;
        }
        while !failed {
            match client.poll(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => note(&mut trace, event),
                Err(error) => {
                    trace.error(error);
                    assert_eq!(client.poll(&mut input).unwrap_err(), error, "an error stays");
                    assert!(!client.keep_alive() && !client.is_idle());
                    failed = true;
                }
            }
        }
    }
    if eof && !failed {
        match client.finish() {
            Ok(Some(event)) => note(&mut trace, event),
            Ok(None) => {}
            Err(error) => trace.error(error),
        }
        assert!(!client.keep_alive() && !client.is_idle());
    }
    trace.line(if client.keep_alive() { "open".into() } else { "close".into() });
    trace.finish()
}

pub fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(name.as_bytes(), value.as_bytes());
    }
    headers
}

pub fn response(status: u16, list: &[(&str, &str)]) -> ResponseHead {
    ResponseHead { version: Version::Http11, status, headers: headers(list) }
}

/// A request; `target` is `:path`, or for CONNECT `:authority`.
pub fn request(method: &str, target: &str, list: &[(&str, &str)]) -> RequestHead {
    let mut map = HeaderMap::new();
    map.append(b":method", method.as_bytes());
    if method == "CONNECT" {
        map.append(b":authority", target.as_bytes());
    } else {
        map.append(b":path", target.as_bytes());
        map.append(b":authority", b"a");
    }
    for (name, value) in list {
        map.append(name.as_bytes(), value.as_bytes());
    }
    RequestHead { version: Version::Http11, method: Method::of(method.as_bytes()), headers: map }
}

pub fn text(buffer: &Buffer) -> String {
    buffer.to_vec().escape_ascii().to_string()
}
