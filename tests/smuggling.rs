//! Malformed and smuggling messages over a real socket: what is refused reaches no upstream, what is taken reaches
//! it in one reading only.
//!
//! Every request is sent whole and once more byte by byte. The upstream records every head that it gets.

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use support::{Client, Proxy, Upstream, simple};

/// What must happen.
#[derive(Copy, Clone, Debug)]
enum Expect {
    /// The codec refuses it with this status and closes.
    Refused(u16),
    /// It is HTTP, but the connection manager refuses it; with true it closes too.
    Rejected(u16, bool),
    /// So many requests go upstream, each answered with 200.
    Taken(usize),
}

use Expect::{Refused, Rejected, Taken};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\n";
/// What an attacker would like to be taken for a request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

fn requests() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let mut rows: Vec<(&str, Vec<u8>, Expect)> = Vec::new();
    // Rows whose text follows POST and its host.
    for (name, rest, expect) in [
        (
            "length and chunks",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Refused(400),
        ),
        (
            "chunks and length",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            Refused(400),
        ),
        ("two lengths that differ", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", Refused(400)),
        ("two lengths that agree", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", Refused(400)),
        ("a list of lengths", "Content-Length: 5, 5\r\n\r\nhello", Refused(400)),
        ("a length with plus", "Content-Length: +5\r\n\r\nhello", Refused(400)),
        ("a length with minus", "Content-Length: -5\r\n\r\nhello", Refused(400)),
        ("a hexadecimal length", "Content-Length: 0x5\r\n\r\nhello", Refused(400)),
        ("an empty length", "Content-Length:\r\n\r\nhello", Refused(400)),
        ("a length with a space in it", "Content-Length: 5 5\r\n\r\nhello", Refused(400)),
        ("a length with a fraction", "Content-Length: 5.0\r\n\r\nhello", Refused(400)),
        ("a length of 2^63", "Content-Length: 9223372036854775808\r\n\r\nhello", Refused(400)),
        ("a length of 2^64 + 5", "Content-Length: 18446744073709551621\r\n\r\nhello", Refused(400)),
        ("chunked in capitals", "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", Taken(1)),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
        (
            "chunked on two lines",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Refused(400),
        ),
        (
            "chunked and identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            Refused(400),
        ),
        ("another coding after chunked", "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Refused(400)),
        ("another coding before chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Refused(400)),
        ("a parameter of chunked", "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Refused(400)),
        ("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Refused(400)),
        ("an empty coding", "Transfer-Encoding:\r\n\r\n0\r\n\r\n", Refused(400)),
        ("a vertical tab before chunked", "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused(400)),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Refused(400)),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
        ("a folded line", "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refused(400)),
        ("a folded line of another header", "X: a\r\n b\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("a bare LF in the head", "X: a\nContent-Length: 5\r\n\r\nhello", Refused(400)),
        ("a head that ends with bare LF", "Content-Length: 0\n\n", Refused(400)),
        ("a bare CR in a value", "X: a\rb\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("a bare CR before a header", "X: a\r\n\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
        ("NUL in a value", "X: a\0b\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("NUL in a name", "X\0Y: a\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("DEL in a value", "X: a\x7fb\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("a control byte in a name", "X\x01: a\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("a name in quotes", "\"X\": a\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("no name", ": a\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("no colon", "Content-Length 5\r\n\r\nhello", Refused(400)),
        ("a space within a name", "Content Length: 5\r\n\r\nhello", Refused(400)),
        ("two hosts that agree", "Host: a\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("two hosts that differ", "Host: b\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("a negative chunk", "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", Refused(400)),
        ("a chunk size with 0x", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Refused(400)),
        (
            "a chunk size beyond 64 bits",
            "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        ("an empty chunk size", "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", Refused(400)),
        (
            "a chunk size with a space in it",
            "Transfer-Encoding: chunked\r\n\r\n5 5\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        (
            "a space before a chunk size",
            "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        (
            "a chunk line that ends with LF",
            "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        ("chunk data too long", "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", Refused(400)),
        (
            "chunk data that ends with LF",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
            Refused(400),
        ),
        (
            "CR in a chunk extension",
            "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
            Refused(400),
        ),
        ("NUL in a trailer", "Transfer-Encoding: chunked\r\n\r\n0\r\nX: \0\r\n\r\n", Refused(400)),
        ("a trailer without colon", "Transfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n", Refused(400)),
        ("Connection names Host", "Connection: host\r\nContent-Length: 0\r\n\r\n", Refused(400)),
        ("a plain body", "Content-Length: 5\r\n\r\nhello", Taken(1)),
        ("leading zeros", "Content-Length: 0005\r\n\r\nhello", Taken(1)),
        (
            "chunks with extensions and trailers",
            "Transfer-Encoding: chunked\r\n\r\n5;a=\"b;c\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
            Taken(1),
        ),
        (
            "Connection names Content-Length",
            "Connection: content-length\r\nContent-Length: 5\r\n\r\nhello",
            Taken(1),
        ),
    ] {
        rows.push((name, format!("{POST}{rest}").into_bytes(), expect));
    }
    for (name, text, expect) in [
        ("HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", Refused(426)),
        ("HTTP/0.9", "GET /\r\n\r\n", Refused(426)),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", Refused(426)),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refused(426)),
        ("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refused(400)),
        ("the version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refused(400)),
        ("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("a control byte in the target", "GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("a method that nobody registered", "FROB / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("white space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refused(400)),
        ("three empty lines first", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("one empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Taken(1)),
        ("user information in the host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", Refused(400)),
        ("a port that is no number", "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", Refused(400)),
        ("a space in the host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Refused(400)),
        ("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        ("no host", "GET / HTTP/1.1\r\n\r\n", Rejected(400, true)),
        ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Taken(1)),
        ("a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Rejected(400, false)),
        ("CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", Rejected(404, true)),
        ("the asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Rejected(404, false)),
        ("a whole URL with another host", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", Taken(1)),
        ("bytes beyond ASCII in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n", Taken(1)),
        ("text that is no request", "hello\r\n\r\n", Refused(400)),
    ] {
        rows.push((name, text.as_bytes().to_vec(), expect));
    }
    // A second request where the first one's body should be, in the readings of different parsers.
    for (name, head, expect) in [
        ("a request as counted body", format!("Content-Length: {}\r\n\r\n", HIDDEN.len()), Taken(1)),
        ("a request behind a body of 0", "Content-Length: 0\r\n\r\n".to_owned(), Taken(2)),
        (
            "a request as body of a refused length",
            format!("Content-Length: 0, {}\r\n\r\n", HIDDEN.len()),
            Refused(400),
        ),
        (
            "a request behind the last chunk of a refused coding",
            "Transfer-Encoding: x\r\n\r\n0\r\n\r\n".to_owned(),
            Refused(400),
        ),
        (
            "a request behind the last chunk",
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            Taken(2),
        ),
        (
            "CL.TE",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            Refused(400),
        ),
        ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n".to_owned(), Refused(400)),
        (
            "TE.TE",
            "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n".to_owned(),
            Refused(400),
        ),
    ] {
        rows.push((name, format!("{POST}{head}{HIDDEN}").into_bytes(), expect));
    }
    let header = |n: usize| format!("X-{n}: y\r\n");
    let many: String = (0..101).map(header).collect();
    rows.push(("101 headers", format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n").into_bytes(), Refused(431)));
    let some: String = (0..99).map(header).collect();
    rows.push(("100 headers", format!("GET / HTTP/1.1\r\nHost: a\r\n{some}\r\n").into_bytes(), Taken(1)));
    let long = "x".repeat(61 << 10);
    rows.push((
        "a long header",
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n").into_bytes(),
        Refused(431),
    ));
    rows.push((
        "a long target",
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        Refused(431),
    ));
    rows.push(("a long method", long.clone().into_bytes(), Refused(431)));
    let extension = "x".repeat(5000);
    rows.push((
        "a long chunk extension",
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n5;{extension}\r\nhello\r\n0\r\n\r\n").into_bytes(),
        Refused(400),
    ));
    rows.push(("a ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), Refused(400)));
    rows.push(("binary garbage", (128..=255u8).collect(), Refused(400)));
    rows
}

/// Sends what the proxy will take: it may close before the end.
fn send(client: &mut Client, bytes: &[u8], one_by_one: bool) {
    let step = if one_by_one { 1 } else { bytes.len() };
    for piece in bytes.chunks(step) {
        if client.stream.write_all(piece).is_err() {
            return;
        }
    }
}

#[test]
fn no_bad_request_gets_through() {
    let heads = Arc::new(Mutex::new(Vec::<String>::new()));
    let record = Arc::clone(&heads);
    let upstream = Upstream::start(move |mut client, _| {
        while let Some(request) = client.request() {
            record.lock().expect("heads").push(request.head);
            client.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let rows = requests();
    assert!(rows.len() >= 100, "{}", rows.len());
    let (mut refused, mut wrong) = (0, Vec::new());
    for one_by_one in [false, true] {
        for (name, bytes, expect) in &rows {
            let context = format!("{name}, {}", if one_by_one { "byte by byte" } else { "whole" });
            heads.lock().expect("heads").clear();
            let mut client = proxy.connect();
            send(&mut client, bytes, one_by_one);
            match *expect {
                Taken(count) => {
                    for _ in 0..count {
                        assert_eq!(client.response().status, 200, "{context}");
                    }
                    let heads = heads.lock().expect("heads");
                    assert_eq!(heads.len(), count, "{context}: {heads:?}");
                    for head in heads.iter() {
                        let both = head.contains("content-length:") && head.contains("transfer-encoding:");
                        assert!(!both, "{context}: {head}");
                    }
                }
                Rejected(status, false) => assert_eq!(client.response().status, status, "{context}"),
                Refused(status) | Rejected(status, true) => {
                    let all = String::from_utf8_lossy(&client.until_closed()).into_owned();
                    let right = all.starts_with(&format!("HTTP/1.1 {status} "))
                        && all.contains("connection: close\r\n")
                        && all.matches("HTTP/1.1 ").count() == 1;
                    if !right {
                        wrong.push(format!("{context}: not {status} but {all:?}"));
                    }
                    refused += u64::from(matches!(expect, Refused(_)));
                }
            }
            let chunked = bytes.windows(11).any(|window| window == b": chunked\r\n");
            if !matches!(expect, Taken(_)) {
                // A request whose head was good may have gone before its body turned out to be bad, but nothing
                // that was hidden in it.
                let heads = heads.lock().expect("heads");
                if heads.iter().any(|head| head.contains("/hidden")) || heads.len() > usize::from(chunked) {
                    wrong.push(format!("{context}: forwarded {heads:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(proxy.stat("http.test.downstream_cx_protocol_error"), refused);
    proxy.await_stat("http.test.downstream_rq_active", 0);
    assert_eq!(proxy.connect().get("/").status, 200, "the proxy goes on");
}

#[test]
fn no_bad_response_gets_through_or_poisons_the_pool() {
    let responses: Vec<(&str, Vec<u8>)> = [
        (
            "length and chunks",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "two lengths that differ",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        ),
        ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello"),
        ("a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
        ("a length of 2^64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello"),
        ("an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nhello"),
        ("chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
        ("NUL in a value", "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n"),
        ("a bare CR in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"),
        ("a control byte in a name", "HTTP/1.1 200 OK\r\nX\x01: a\r\nContent-Length: 0\r\n\r\n"),
        ("no colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
        ("no version", "200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
        ("a status in letters", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "101 that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        ("a bare LF in the head", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
        ("text that is no response", "hello\r\n\r\n"),
    ]
    .map(|(name, text)| (name, text.as_bytes().to_vec()))
    .into_iter()
    .chain([
        (
            "a head that is too large",
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(81 << 10)).into_bytes(),
        ),
        ("too many headers", format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101)).into_bytes()),
        ("binary garbage", (128..=255u8).collect()),
        ("interim responses without end", b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200)),
    ])
    .collect();
    assert!(responses.len() >= 25);
    let table = responses.clone();
    let upstream = Upstream::start(move |mut client, _| {
        while let Some(request) = client.request() {
            let number =
                request.head.split(['/', ' ']).nth(2).and_then(|number| number.parse::<usize>().ok());
            match number {
                Some(number) => {
                    let _ = client.stream.write_all(&table[number].1);
                }
                None => client.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"),
            }
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    for (number, (name, _)) in responses.iter().enumerate() {
        assert_eq!(client.get(&format!("/{number}")).status, 502, "{name}");
        assert_eq!(client.get("/").text(), "good", "after: {name}");
    }
    assert_eq!(proxy.stat("cluster.up.upstream_cx_protocol_error"), responses.len() as u64);
}

#[test]
fn what_follows_a_response_is_never_taken_for_the_next_one() {
    // The first answer brings a second one along, for whoever comes next on the connection.
    let upstream = Upstream::start(|mut client, _| {
        while let Some(request) = client.request() {
            let good = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
            let evil = if request.head.starts_with("GET /evil") {
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
            } else {
                ""
            };
            client.send(format!("{good}{evil}"));
        }
    });
    let proxy = Proxy::start(&simple(upstream.address));
    let mut client = proxy.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/evil").text(), "good");
        assert_eq!(client.get("/next").text(), "good");
    }
}

#[test]
fn broken_bodies_of_responses_are_seen_to_be_broken() {
    let upstream = Upstream::start(|mut client, _| {
        let Some(request) = client.request() else { return };
        let body = match request.head.split(' ').nth(1) {
            Some("/size") => "zz\r\n",
            Some("/end") => "5\r\nhelloX\r\n0\r\n\r\n",
            Some("/negative") => "-5\r\nhello\r\n0\r\n\r\n",
            _ => "ffffffffffffffffff\r\nhello\r\n",
        };
        client.send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}"));
        client.until_closed();
    });
    let proxy = Proxy::start(&simple(upstream.address));
    for path in ["/size", "/end", "/negative", "/overflow"] {
        let mut client = proxy.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let all = String::from_utf8_lossy(&client.until_closed()).into_owned();
        // Either nothing of the response had left yet, or it visibly lacks its end.
        let refused = all.starts_with("HTTP/1.1 502 ");
        assert!(refused || !all.ends_with("0\r\n\r\n"), "{path}: {all:?}");
    }
}
