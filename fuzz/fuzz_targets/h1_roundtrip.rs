//! What the proxy accepts and passes on is read by the next hop as exactly what was accepted.
//!
//! Each request on the wire is decoded, stripped of hop-by-hop fields as the HTTP layer does,
//! encoded, and decoded again: one request, the same one, and nothing behind it; and encoding that
//! gives the same bytes. The same for a response. A message that this breaks for is a smuggled one.
//!
//! Input: a byte that chooses the direction, then the wire.
#![no_main]

#[path = "../../codec/tests/h1_support/mod.rs"]
mod h1_support;

use h1_support::{fields, request, response};
use libfuzzer_sys::fuzz_target;
use nuncio_codec::{
    Buffer, HeaderMap, RequestHead, ResponseHead,
    h1::{Client, ClientSettings, RequestEvent, ResponseEvent, Server, ServerSettings, strip_hop_by_hop},
};

/// A decoded message, its body in one piece.
struct Message<Head> {
    head: Head,
    body: Buffer,
    trailers: Option<HeaderMap>,
    complete: bool,
}

impl<Head> Message<Head> {
    fn new(head: Head, complete: bool) -> Message<Head> {
        Message { head, body: Buffer::new(), trailers: None, complete }
    }

    fn data(&mut self, mut data: Buffer, end: bool) {
        assert!(!self.complete);
        self.body.move_all(&mut data);
        self.complete = end;
    }

    fn trailers(&mut self, trailers: HeaderMap) {
        assert!(!self.complete);
        self.trailers = Some(trailers);
        self.complete = true;
    }

    /// What the next hop has to see. A length is left out: it is the body's.
    fn text(&self, start: String, headers: &HeaderMap) -> String {
        let mut headers = headers.clone();
        headers.remove_name(b"content-length");
        let trailers = self.trailers.as_ref().map(fields);
        format!("{start}{}\n{}\n{trailers:?}", fields(&headers), self.body.to_vec().escape_ascii())
    }
}

/// The second hop sees a few fields more than were received: `host`, and framing.
const BYTES: u32 = 60 * 1024;
const FIELDS: u32 = 100;

fn requests(wire: &[u8], room: u32) -> Vec<Message<RequestHead>> {
    let mut server = Server::new(ServerSettings {
        max_headers_bytes: BYTES * room,
        max_headers_count: FIELDS * room,
        enable_trailers: true,
        accept_http_10: true,
        allow_chunked_length: room == 1,
        ..ServerSettings::default()
    });
    let (mut input, mut out, mut messages) =
        (Buffer::new(), Buffer::new(), Vec::<Message<RequestHead>>::new());
    input.append(wire);
    while let Ok(Some(event)) = server.poll(&mut input) {
        match event {
            RequestEvent::Headers { mut head, end } => {
                let upgrade = head.headers.get_name(b"upgrade").is_some();
                strip_hop_by_hop(&mut head.headers, upgrade);
                messages.push(Message::new(head, end));
            }
            RequestEvent::Data { data, end } => messages.last_mut().unwrap().data(data, end),
            RequestEvent::Trailers { trailers } => messages.last_mut().unwrap().trailers(trailers),
        }
        if server.request_complete() {
            server.send_headers(&response(200, &[]), true, &mut out);
        }
    }
    if room > 1 {
        assert!(input.is_empty(), "left over: {input:?}");
    }
    messages
}

fn request_text(message: &Message<RequestHead>) -> String {
    let mut headers = message.head.headers.clone();
    let part = |name: &[u8]| headers.get_name(name).unwrap_or_default().escape_ascii().to_string();
    let upgrade = part(b"upgrade");
    let start = format!("{} {} {} {upgrade}", part(b":method"), part(b":path"), part(b":authority"));
    // What the encoder puts in a place of its own, and what HTTP/1 does not carry.
    for name in [&b":authority"[..], b"upgrade", b":scheme"] {
        headers.remove_name(name);
    }
    message.text(start, &headers)
}

/// As the HTTP layer does before it routes.
fn is_routable(head: &RequestHead) -> bool {
    match head.headers.get_name(b":path") {
        None => true,
        Some(path) => path.starts_with(b"/") || path == b"*",
    }
}

fn encode_request(message: &Message<RequestHead>) -> Vec<u8> {
    let settings = ClientSettings { enable_trailers: true, ..ClientSettings::default() };
    let (mut client, mut out, mut body) = (Client::new(settings), Buffer::new(), Buffer::new());
    let end = message.complete && message.body.is_empty() && message.trailers.is_none();
    client.send_headers(&message.head, end, &mut out).expect("what was accepted can be sent");
    if !end && message.complete {
        body.append(&message.body.to_vec());
        client.send_data(&mut body, message.trailers.is_none(), &mut out);
        if let Some(trailers) = &message.trailers {
            client.send_trailers(trailers, &mut out);
        }
    }
    assert!(!client.body_mismatch());
    out.to_vec()
}

fn responses(wire: &[u8], method: &str, room: u32) -> Vec<Message<ResponseHead>> {
    let mut client = Client::new(ClientSettings {
        max_headers_bytes: BYTES * room,
        max_headers_count: FIELDS * room,
        enable_trailers: true,
        allow_chunked_length: room == 1,
        ..ClientSettings::default()
    });
    let (mut input, mut out, mut messages) =
        (Buffer::new(), Buffer::new(), Vec::<Message<ResponseHead>>::new());
    client.send_headers(&request(method, "/", &[]), true, &mut out).unwrap();
    input.append(wire);
    let mut take = |event| match event {
        ResponseEvent::Informational { .. } => {}
        ResponseEvent::Headers { mut head, end } => {
            strip_hop_by_hop(&mut head.headers, false);
            messages.push(Message::new(head, end));
        }
        ResponseEvent::Data { data, end } => messages.last_mut().unwrap().data(data, end),
        ResponseEvent::Trailers { trailers } => messages.last_mut().unwrap().trailers(trailers),
    };
    while let Ok(Some(event)) = client.poll(&mut input) {
        take(event);
    }
    if room > 1 {
        assert!(client.response_complete() && client.is_idle() && input.is_empty());
    } else if let Ok(Some(event)) = client.finish() {
        take(event);
    }
    messages
}

fn response_text(message: &Message<ResponseHead>) -> String {
    message.text(message.head.status.to_string(), &message.head.headers)
}

fn encode_response(message: &Message<ResponseHead>, method: &str) -> Vec<u8> {
    let settings = ServerSettings { enable_trailers: true, ..ServerSettings::default() };
    let (mut server, mut input, mut out, mut body) =
        (Server::new(settings), Buffer::new(), Buffer::new(), Buffer::new());
    input.append(format!("{method} / HTTP/1.1\r\n\r\n").as_bytes());
    assert!(matches!(server.poll(&mut input), Ok(Some(RequestEvent::Headers { end: true, .. }))));
    let end = message.body.is_empty() && message.trailers.is_none();
    server.send_headers(&message.head, end, &mut out);
    if !end {
        body.append(&message.body.to_vec());
        server.send_data(&mut body, message.trailers.is_none(), &mut out);
        if let Some(trailers) = &message.trailers {
            server.send_trailers(trailers, &mut out);
        }
    }
    assert!(server.keep_alive() && !server.body_mismatch());
    out.to_vec()
}

fuzz_target!(|input: &[u8]| {
    let [direction, wire @ ..] = input else { return };
    if direction & 1 == 0 {
        for message in requests(wire, 1) {
            let tunnel = !message.complete
                && (message.head.headers.get_name(b"upgrade").is_some()
                    || message.head.headers.get_name(b":path").is_none());
            if !(message.complete || tunnel) || !is_routable(&message.head) {
                continue;
            }
            let encoded = encode_request(&message);
            let again = requests(&encoded, 2);
            assert_eq!(again.len(), 1, "{}", encoded.escape_ascii());
            assert_eq!(request_text(&again[0]), request_text(&message), "{}", encoded.escape_ascii());
            assert_eq!(again[0].complete, message.complete);
            assert_eq!(encode_request(&again[0]), encoded, "stable");
        }
    } else {
        let method = if direction & 2 == 0 { "GET" } else { "HEAD" };
        for message in responses(wire, method, 1).iter().filter(|message| message.complete) {
            let encoded = encode_response(message, method);
            let again = responses(&encoded, method, 2);
            assert_eq!(again.len(), 1, "{}", encoded.escape_ascii());
            assert_eq!(response_text(&again[0]), response_text(message), "{}", encoded.escape_ascii());
            assert_eq!(encode_response(&again[0], method), encoded, "stable");
        }
    }
});
