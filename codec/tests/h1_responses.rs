//! Responses on the wire, valid and hostile, against what the client codec must make of them.
//!
//! Every case runs whole, byte by byte and cut at random, and must give the same lines each time.

mod h1_support;

use h1_support::{CUTS, Cut, receive, request};
use nuncio_codec::{
    Buffer, RequestHead,
    h1::{Client, ClientSettings, Error, ResponseEvent},
};

/// What arrives, does the upstream close then, what is reported.
type Case<'a> = (&'a [u8], bool, &'a [&'a str]);

fn check(settings: ClientSettings, request: &RequestHead, cases: &[Case<'_>]) {
    for (wire, eof, expected) in cases {
        for cut in CUTS {
            let lines = receive(Client::new(settings), request, wire, *eof, cut);
            assert_eq!(lines, *expected, "{} cut {cut:?}", wire[..wire.len().min(300)].escape_ascii());
        }
    }
}

const MALFORMED: &[&str] = &["! 400 http1.codec_error", "close"];
const CHARACTERS: &[&str] = &["! 400 http1.invalid_characters", "close"];
const CODING: &[&str] = &["! 400 http1.invalid_transfer_encoding", "close"];
const BOTH: &[&str] = &["! 400 http1.content_length_and_chunked_not_allowed", "close"];
const BODY: &[&str] = &["! 400 http1.body_disallowed", "close"];
const VERSION: &[&str] = &["! 505 http1.codec_error", "close"];
const OK2: &[&str] = &["200 1.1 [content-length=2]", "data ok", "end", "open"];

#[test]
fn status_lines() {
    let cases: &[Case<'_>] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, OK2),
        (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", false, OK2),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", false, OK2),
        (b"HTTP/1.1 200 O\x80K \t!\r\nContent-Length: 2\r\n\r\nok", false, OK2),
        (b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", false, OK2),
        (b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n", false, &["999 1.1 [content-length=0] end", "open"]),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, VERSION),
        (b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok", false, VERSION),
        (b"HTTP/1.1  200 OK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1 20 OK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1 2000 OK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1 099 OK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1 +20 OK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1 200\tOK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1 200 O\x01K\r\n\r\n", false, CHARACTERS),
        (b"HTTP/1.1 200 O\x00K\r\n\r\n", false, CHARACTERS),
        (b"HTTP/1.1 200 O\x7fK\r\n\r\n", false, CHARACTERS),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false, MALFORMED),
        (b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nok", false, MALFORMED),
        (b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, MALFORMED),
        (b"http/1.1 200 OK\r\n\r\n", false, MALFORMED),
        (b"HTTP/1.1200 OK\r\n\r\n", false, MALFORMED),
        (b"<html>", false, MALFORMED),
        (b"\x15\x03\x01", false, MALFORMED),
        (b"", true, MALFORMED),
        (b"HTTP/1.1 200 OK\r\n", true, MALFORMED),
    ];
    check(ClientSettings::default(), &request("GET", "/", &[]), cases);
}

#[test]
fn fields() {
    let head = |field: &str| format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 2\r\n\r\nok");
    let cases: &[(&str, &[&str])] = &[
        ("Foo : x", MALFORMED),
        (" Foo: x", MALFORMED),
        ("Foo: x\r\n y", MALFORMED),
        ("Foo", MALFORMED),
        (": x", MALFORMED),
        ("Fo\u{e9}: x", MALFORMED),
        ("Foo: x\ny: z", MALFORMED),
        ("Foo: x\u{0}", CHARACTERS),
        ("Foo: x\ry", CHARACTERS),
        ("Foo: \u{1b}[0m", CHARACTERS),
        ("Foo: \t x \t", &["200 1.1 [foo=x] [content-length=2]", "data ok", "end", "open"]),
    ];
    for (field, expected) in cases {
        check(
            ClientSettings::default(),
            &request("GET", "/", &[]),
            &[(head(field).as_bytes(), false, expected)],
        );
    }
    let limit = ClientSettings::default().max_headers_bytes as usize;
    let fill = |size: usize| {
        let (start, end) = ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx: ", "\r\n\r\n");
        format!("{start}{}{end}", "v".repeat(size - start.len() - end.len()))
    };
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    check(
        ClientSettings::default(),
        &request("GET", "/", &[]),
        &[
            (fill(limit + 1).as_bytes(), false, &["! 431 http1.headers_too_large", "close"]),
            (many.as_bytes(), false, &["! 431 http1.too_many_headers", "close"]),
        ],
    );
    let fits = receive(
        Client::new(ClientSettings::default()),
        &request("GET", "/", &[]),
        fill(limit).as_bytes(),
        false,
        Cut::Whole,
    );
    assert_eq!(fits[1], "open");
}

#[test]
fn framing() {
    let cases: &[Case<'_>] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, &["200 1.1 [content-length=0] end", "open"]),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
            true,
            &["200 1.1 [content-length=5]", "data ok", "! 400 http1.codec_error", "close"],
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil close", true, &["200 1.1", "data until close", "end", "close"]),
        (b"HTTP/1.1 200 OK\r\n\r\n", true, &["200 1.1", "end", "close"]),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            false,
            &["200 1.1 [transfer-encoding=chunked]", "data ok", "end", "open"],
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n",
            false,
            &["200 1.1 [transfer-encoding=chunked]", "data ok", "end", "open"],
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            true,
            &["200 1.1 [transfer-encoding=chunked]", "data ok", "! 400 http1.codec_error", "close"],
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokk\r\n",
            false,
            &["200 1.1 [transfer-encoding=chunked]", "data ok", "! 400 http1.codec_error", "close"],
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", false, BOTH),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, CODING),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", false, CODING),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
            CODING,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", false, CODING),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", false, MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", false, MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", false, MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", false, MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", false, MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok", false, MALFORMED),
        // No body, whatever the head says about one.
        (b"HTTP/1.1 204 No Content\r\n\r\n", false, &["204 1.1 end", "open"]),
        (
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            false,
            &["204 1.1 [content-length=0] end", "open"],
        ),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", false, BODY),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, BODY),
        (
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            false,
            &["304 1.1 [content-length=5] end", "open"],
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
            &["304 1.1 [transfer-encoding=chunked] end", "open"],
        ),
        (b"HTTP/1.1 205 Reset Content\r\n\r\n", true, &["205 1.1", "end", "close"]),
    ];
    check(ClientSettings::default(), &request("GET", "/", &[]), cases);
    let settings =
        ClientSettings { enable_trailers: true, allow_chunked_length: true, ..ClientSettings::default() };
    check(settings, &request("GET", "/", &[]), &[
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: v\r\nHost: x\r\n\r\n",
            false,
            &["200 1.1 [transfer-encoding=chunked]", "data ok", "trailers [t=v]", "open"],
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            false,
            &["200 1.1 [transfer-encoding=chunked]", "data ok", "end", "close"],
        ),
    ]);
    let cases: &[Case<'_>] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, &["200 1.1 [content-length=5] end", "open"]),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
            &["200 1.1 [transfer-encoding=chunked] end", "open"],
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n", false, &["200 1.1 end", "open"]),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: x\r\n\r\n", false, MALFORMED),
    ];
    check(ClientSettings::default(), &request("HEAD", "/", &[]), cases);
}

#[test]
fn informational() {
    let cases: &[Case<'_>] = &[
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            false,
            &["100 ...", "103 ... [link=x]", "200 1.1 [content-length=2]", "data ok", "end", "open"],
        ),
        (b"HTTP/1.1 199 X\r\nContent-Length: 0\r\n\r\n", true, &["199 ... [content-length=0]", "! 400 http1.codec_error", "close"]),
        (b"HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\n", false, BODY),
        (b"HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\n", false, BODY),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false, &["! 502 http1.codec_error", "close"]),
    ];
    check(ClientSettings::default(), &request("GET", "/", &[]), cases);
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(101);
    let lines = receive(
        Client::new(ClientSettings::default()),
        &request("GET", "/", &[]),
        flood.as_bytes(),
        false,
        Cut::Whole,
    );
    assert_eq!((lines.len(), lines[100].as_str()), (102, "! 502 http1.codec_error"));
}

#[test]
fn persistence() {
    let cases: &[Case<'_>] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", false, &["200 1.1 [content-length=2] [connection=close]", "data ok", "end", "close"]),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, &["200 1.0 [content-length=2]", "data ok", "end", "close"]),
        (
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
            false,
            &["200 1.0 [content-length=2] [connection=keep-alive]", "data ok", "end", "open"],
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nok", true, &["200 1.0", "data ok", "end", "close"]),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            false,
            &["200 1.0 [connection=keep-alive] [transfer-encoding=chunked]", "data ok", "end", "close"],
        ),
        // Bytes nobody asked for: the response stands, the connection does not.
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
            false,
            &["200 1.1 [content-length=2]", "data ok", "end", "! 502 http1.codec_error", "close"],
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\n\r\nbody",
            false,
            &["304 1.1 end", "! 502 http1.codec_error", "close"],
        ),
    ];
    check(ClientSettings::default(), &request("GET", "/", &[]), cases);
    check(
        ClientSettings::default(),
        &request("HEAD", "/", &[]),
        &[(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            false,
            &["200 1.1 [content-length=2] end", "! 502 http1.codec_error", "close"],
        )],
    );
}

#[test]
fn tunnels() {
    let upgrade = request("GET", "/", &[("upgrade", "websocket")]);
    check(ClientSettings::default(), &upgrade, &[
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 raw",
            true,
            &["101 1.1 [connection=Upgrade] [upgrade=websocket]", "data HTTP/1.1 raw", "end", "close"],
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, OK2),
        (b"HTTP/1.1 101 S\r\nContent-Length: 2\r\n\r\nok", false, BODY),
    ]);
    let connect = request("CONNECT", "a:80", &[]);
    check(
        ClientSettings::default(),
        &connect,
        &[
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok then",
                true,
                &["200 1.1 [transfer-encoding=chunked]", "data ok then", "end", "close"],
            ),
            (
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
                false,
                &["403 1.1 [content-length=2]", "data no", "end", "open"],
            ),
        ],
    );
}

#[test]
fn an_idle_connection_owes_nothing() {
    let (mut client, mut input, mut out) =
        (Client::new(ClientSettings::default()), Buffer::new(), Buffer::new());
    assert!(client.is_idle() && client.keep_alive() && !client.response_started());
    assert!(matches!(client.poll(&mut input), Ok(None)));
    input.append(b"H");
    assert!(matches!(client.poll(&mut input), Err(Error::UnexpectedData)));
    assert!(!client.is_idle() && !client.keep_alive());
    let refused = client.send_headers(&request("GET", "/", &[]), true, &mut out);
    assert_eq!(refused, Err(Error::InvalidRequest));
    assert!(out.is_empty());

    let mut client = Client::new(ClientSettings::default());
    assert!(matches!(client.finish(), Ok(None)));
    assert!(!client.is_idle() && !client.keep_alive());
}

#[test]
fn bytes_behind_a_response_are_never_taken_for_the_next_one() {
    let (mut client, mut input, mut out) =
        (Client::new(ClientSettings::default()), Buffer::new(), Buffer::new());
    client.send_headers(&request("GET", "/", &[]), true, &mut out).unwrap();
    input.append(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    assert!(matches!(client.poll(&mut input), Ok(Some(ResponseEvent::Headers { end: true, .. }))));
    // Even a caller that does not ask again cannot send the next request.
    assert!(client.response_complete() && !client.is_idle() && !client.keep_alive());
    assert_eq!(client.send_headers(&request("GET", "/", &[]), true, &mut out), Err(Error::InvalidRequest));
}

#[test]
fn a_response_before_the_request_is_complete_uses_the_connection_up() {
    let (mut client, mut input, mut out) =
        (Client::new(ClientSettings::default()), Buffer::new(), Buffer::new());
    client.send_headers(&request("POST", "/", &[]), false, &mut out).unwrap();
    assert!(!client.response_started());
    input.append(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(client.poll(&mut input), Ok(Some(ResponseEvent::Headers { end: true, .. }))));
    assert!(client.response_started() && client.response_complete() && !client.request_complete());
    assert!(!client.keep_alive() && !client.is_idle());
    // The request may still be finished, but that does not bring the connection back.
    client.send_data(&mut Buffer::new(), true, &mut out);
    assert!(client.request_complete() && !client.keep_alive() && !client.is_idle());
}
