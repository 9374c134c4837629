//! Our client against our server, through a link that delivers what it likes, when it likes.
//!
//! Seeded random exchanges; the model is simply what was put in: it has to come out on the other
//! side, and both sides have to agree on whether the connection goes on. A failure names its seed.

mod h1_support;

use h1_support::{Random, fields, headers, response};
use nuncio_codec::{
    Buffer, HeaderMap, Method, RequestHead, Version,
    h1::{Client, ClientSettings, RequestEvent, ResponseEvent, Server, ServerSettings, strip_hop_by_hop},
};

/// A message as the sender meant it and as the receiver saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    /// Method and path, or status.
    start: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
    complete: bool,
}

/// A message to send, and how.
#[derive(Clone, Debug)]
struct Plan {
    message: Message,
    /// Sizes of the pieces in which the body is written.
    pieces: Vec<usize>,
    /// Informational responses before it.
    informational: usize,
    close: bool,
}

const NAMES: &[&str] = &["accept", "x-a", "x-b", "cookie", "user-agent", "x-request-id", "server", "via"];

fn random_fields(random: &mut Random) -> Vec<(String, String)> {
    (0..random.below(12))
        .map(|_| {
            let value: String =
                (0..random.below(60)).map(|_| char::from(b' ' + random.below(95) as u8)).collect();
            (NAMES[random.below(NAMES.len())].to_owned(), value.trim().to_owned())
        })
        .collect()
}

fn random_body(random: &mut Random) -> Vec<u8> {
    let size = match random.below(6) {
        0 => 0,
        1 => 1,
        2 => random.below(100),
        3 => random.below(5_000),
        4 => random.below(20_000),
        // Looks like framing.
        _ => return b"0\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n".repeat(1 + random.below(3)),
    };
    (0..size).map(|_| random.next() as u8).collect()
}

fn plan(random: &mut Random, start: String, may_have_body: bool) -> Plan {
    let mut fields = random_fields(random);
    let body = if may_have_body { random_body(random) } else { Vec::new() };
    let sized = random.chance(2);
    if sized && may_have_body {
        fields.insert(random.below(fields.len() + 1), ("content-length".into(), body.len().to_string()));
    }
    let mut pieces = Vec::new();
    let mut left = body.len();
    while left > 0 {
        let piece = 1 + random.below(left.min(3000));
        pieces.push(piece);
        left -= piece;
    }
    let trailers = if may_have_body && !sized && random.chance(3) {
        vec![("x-trailer".into(), random.next().to_string()), ("grpc-status".into(), "0".into())]
    } else {
        Vec::new()
    };
    Plan {
        message: Message { start, fields, body, trailers, complete: true },
        pieces,
        informational: if random.chance(4) { random.below(4) } else { 0 },
        close: random.chance(6),
    }
}

fn request_plan(random: &mut Random) -> Plan {
    let method = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"][random.below(7)];
    let with_body = matches!(method, "POST" | "PUT" | "PATCH") || random.chance(8);
    let target = format!("/{}?{}", random.next(), random.below(9));
    plan(random, format!("{method} {target}"), with_body)
}

fn response_plan(random: &mut Random, request: &Plan) -> Plan {
    let status = [200, 200, 200, 201, 204, 304, 404, 503][random.below(8)];
    let bodiless = matches!(status, 204 | 304) || request.message.start.starts_with("HEAD");
    plan(random, status.to_string(), !bodiless)
}

fn map(list: &[(String, String)]) -> HeaderMap {
    let list: Vec<_> = list.iter().map(|(name, value)| (&**name, &**value)).collect();
    headers(&list)
}

/// The fields of a received head, less what the codecs put there for framing.
fn list(map: &HeaderMap, sent: &[(String, String)]) -> Vec<(String, String)> {
    let sized = sent.iter().any(|(name, _)| name == "content-length");
    map.iter()
        .filter(|header| !header.name.starts_with(b":") && (sized || header.name != b"content-length"))
        .map(|header| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(header.name), text(header.value))
        })
        .collect()
}

/// One side's progress through its plan.
struct Writing {
    plan: Plan,
    started: bool,
    piece: usize,
    offset: usize,
    done: bool,
}

impl Writing {
    fn new(plan: Plan) -> Writing {
        Writing { plan, started: false, piece: 0, offset: 0, done: false }
    }

    /// The next piece of the body, and whether the message ends with it.
    fn next_piece(&mut self, random: &mut Random) -> (Buffer, bool) {
        let mut data = Buffer::new();
        if let Some(&size) = self.plan.pieces.get(self.piece) {
            data.append(&self.plan.message.body[self.offset..self.offset + size]);
            self.offset += size;
            self.piece += 1;
        }
        let last = self.piece == self.plan.pieces.len() && self.plan.message.trailers.is_empty();
        // Sometimes the end comes on its own.
        let end = last && (data.is_empty() || random.chance(2));
        (data, end)
    }
}

/// Moves a random part of `from` to `to`.
fn deliver(random: &mut Random, from: &mut Buffer, to: &mut Buffer) {
    let size = match random.below(4) {
        0 => 1,
        1 => random.below(20),
        2 => random.below(2000),
        _ => from.len(),
    };
    to.move_from(from, size);
}

struct Link {
    client: Client,
    server: Server,
    to_server: Buffer,
    server_input: Buffer,
    to_client: Buffer,
    client_input: Buffer,
}

impl Link {
    fn new() -> Link {
        let server = ServerSettings { enable_trailers: true, ..ServerSettings::default() };
        let client = ClientSettings { enable_trailers: true, ..ClientSettings::default() };
        Link {
            client: Client::new(client),
            server: Server::new(server),
            to_server: Buffer::new(),
            server_input: Buffer::new(),
            to_client: Buffer::new(),
            client_input: Buffer::new(),
        }
    }

    /// One exchange; returns whether the connection goes on.
    fn exchange(&mut self, random: &mut Random, request: Plan, response_plan: Plan) -> bool {
        let sent = (request.message.clone(), response_plan.message.clone());
        let mut seen = (Message::default(), Message::default());
        let mut informational = 0;
        let expected_informational = response_plan.informational;
        let (mut request, mut answer) = (Writing::new(request), Writing::new(response_plan));
        let early = random.chance(8);
        let mut steps = 0;
        while !(seen.1.complete && seen.0.complete && request.done && answer.done) {
            steps += 1;
            assert!(steps < 200_000, "stuck: {seen:?}");
            match random.below(6) {
                0 if !request.done => self.write_request(random, &mut request),
                1 if (seen.0.complete || early && !seen.0.start.is_empty()) && !answer.done => {
                    self.write_response(random, &mut answer)
                }
                2 => deliver(random, &mut self.to_server, &mut self.server_input),
                3 => deliver(random, &mut self.to_client, &mut self.client_input),
                4 => match self.server.poll(&mut self.server_input).expect("a valid request") {
                    None => {}
                    Some(RequestEvent::Headers { mut head, end }) => {
                        strip_hop_by_hop(&mut head.headers, false);
                        let text = |name: &[u8]| {
                            String::from_utf8(head.headers.get_name(name).unwrap().to_vec()).unwrap()
                        };
                        seen.0.start = format!("{} {}", text(b":method"), text(b":path"));
                        seen.0.fields = list(&head.headers, &sent.0.fields);
                        seen.0.complete = end;
                    }
                    Some(RequestEvent::Data { data, end }) => {
                        assert!(end || !data.is_empty());
                        seen.0.body.extend(data.to_vec());
                        seen.0.complete = end;
                    }
                    Some(RequestEvent::Trailers { trailers }) => {
                        seen.0.trailers = list(&trailers, &[]);
                        seen.0.complete = true;
                    }
                },
                5 => match self.client.poll(&mut self.client_input).expect("a valid response") {
                    None => {}
                    Some(ResponseEvent::Informational { head }) => {
                        assert_eq!(head.status, 103);
                        informational += 1;
                    }
                    Some(ResponseEvent::Headers { mut head, end }) => {
                        strip_hop_by_hop(&mut head.headers, false);
                        seen.1.start = head.status.to_string();
                        seen.1.fields = list(&head.headers, &sent.1.fields);
                        seen.1.complete = end;
                    }
                    Some(ResponseEvent::Data { data, end }) => {
                        assert!(end || !data.is_empty());
                        seen.1.body.extend(data.to_vec());
                        seen.1.complete = end;
                    }
                    Some(ResponseEvent::Trailers { trailers }) => {
                        seen.1.trailers = list(&trailers, &[]);
                        seen.1.complete = true;
                    }
                },
                _ => {}
            }
        }
        assert_eq!(seen.0, sent.0, "request");
        assert_eq!(seen.1, sent.1, "response");
        assert_eq!(informational, expected_informational);
        assert_eq!(self.client.keep_alive(), self.server.keep_alive(), "both sides agree");
        assert_eq!(self.client.is_idle(), self.client.keep_alive());
        assert_eq!(self.server.is_idle(), self.server.keep_alive());
        assert!(self.to_server.is_empty() && self.to_client.is_empty());
        assert!(self.server_input.is_empty() && self.client_input.is_empty());
        assert!(!self.client.body_mismatch() && !self.server.body_mismatch());
        self.client.keep_alive()
    }

    fn write_request(&mut self, random: &mut Random, writing: &mut Writing) {
        let message = &writing.plan.message;
        if writing.started {
            let (mut data, end) = writing.next_piece(random);
            if data.is_empty() && !end {
                self.client.send_trailers(&map(&writing.plan.message.trailers), &mut self.to_server);
                writing.done = true;
            } else {
                self.client.send_data(&mut data, end, &mut self.to_server);
                assert!(data.is_empty());
                writing.done = end;
            }
            return;
        }
        let (method, path) = message.start.split_once(' ').unwrap();
        let mut headers = headers(&[(":method", method), (":path", path), (":authority", "a")]);
        for (name, value) in &message.fields {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        let head = RequestHead { version: Version::Http11, method: Method::of(method.as_bytes()), headers };
        let end = message.body.is_empty() && message.trailers.is_empty() && random.chance(2);
        if writing.plan.close {
            self.client.set_close();
        }
        self.client.send_headers(&head, end, &mut self.to_server).expect("a valid request");
        writing.started = true;
        writing.done = end;
    }

    fn write_response(&mut self, random: &mut Random, writing: &mut Writing) {
        if writing.started {
            let (mut data, end) = writing.next_piece(random);
            if data.is_empty() && !end {
                self.server.send_trailers(&map(&writing.plan.message.trailers), &mut self.to_client);
                writing.done = true;
            } else {
                self.server.send_data(&mut data, end, &mut self.to_client);
                assert!(data.is_empty());
                writing.done = end;
            }
            return;
        }
        if writing.plan.informational > 0 {
            writing.plan.informational -= 1;
            return self.server.send_informational(&response(103, &[("link", "x")]), &mut self.to_client);
        }
        let message = &writing.plan.message;
        let mut head = response(message.start.parse().unwrap(), &[]);
        head.headers = map(&message.fields);
        let end = message.body.is_empty() && message.trailers.is_empty() && random.chance(2);
        if writing.plan.close {
            self.server.set_close();
        }
        self.server.send_headers(&head, end, &mut self.to_client);
        writing.started = true;
        writing.done = end;
    }
}

#[test]
fn what_goes_in_comes_out() {
    let mut exchanges = 0;
    let mut reused = 0;
    for seed in 0..1000 {
        let run = std::panic::catch_unwind(|| {
            let mut random = Random(seed);
            let mut link = Link::new();
            let mut on_this_link = 0;
            loop {
                let request = request_plan(&mut random);
                let response = response_plan(&mut random, &request);
                on_this_link += 1;
                if !link.exchange(&mut random, request, response) || on_this_link == 10 {
                    break on_this_link;
                }
            }
        });
        let count = run.unwrap_or_else(|_| panic!("seed {seed}"));
        exchanges += count;
        reused += count - 1;
    }
    assert!(exchanges > 1000 && reused > 500, "the test tests too little: {exchanges} {reused}");
}

#[test]
fn pipelined_requests_come_out_one_by_one() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let plans: Vec<_> = (0..1 + random.below(8))
            .map(|_| {
                let mut plan = request_plan(&mut random);
                plan.close = false;
                plan
            })
            .collect();
        let mut link = Link::new();
        let mut wire = Buffer::new();
        for plan in &plans {
            // A fresh client each time: ours does not pipeline.
            link.client = Client::new(ClientSettings { enable_trailers: true, ..ClientSettings::default() });
            let mut writing = Writing::new(plan.clone());
            while !writing.done {
                link.write_request(&mut random, &mut writing);
            }
            wire.move_all(&mut link.to_server);
        }
        let mut seen = Vec::new();
        while !(wire.is_empty() && link.server_input.is_empty() && seen.len() == plans.len()) {
            deliver(&mut random, &mut wire, &mut link.server_input);
            while let Some(event) = link.server.poll(&mut link.server_input).expect("a valid request") {
                match event {
                    RequestEvent::Headers { head, .. } => seen.push(Message {
                        start: String::from_utf8(head.headers.get_name(b":path").unwrap().to_vec()).unwrap(),
                        ..Message::default()
                    }),
                    RequestEvent::Data { data, .. } => seen.last_mut().unwrap().body.extend(data.to_vec()),
                    RequestEvent::Trailers { trailers } => {
                        assert_eq!(fields(&trailers).matches('[').count(), 2)
                    }
                }
                if link.server.request_complete() {
                    assert!(!link.server.is_idle());
                    link.server.send_headers(&response(200, &[]), true, &mut link.to_client);
                }
            }
        }
        for (seen, plan) in seen.iter().zip(&plans) {
            assert!(plan.message.start.ends_with(&seen.start), "seed {seed}");
            assert_eq!(seen.body, plan.message.body, "seed {seed}");
        }
        assert!(link.server.keep_alive() && link.server.is_idle());
    }
}
