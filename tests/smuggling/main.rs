//! Malformed and smuggling messages over a real socket: what is refused reaches no upstream, what is taken reaches
//! it in one reading only.
//!
//! Every request is sent whole and once more byte by byte. The upstream records every head that it gets.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]

#[path = "../support/mod.rs"]
mod support;

mod corpus;
mod parsers;

use corpus::{Expect, requests};
use std::io::Write;
use std::sync::{Arc, Mutex};
use support::{Client, Proxy, Upstream, config, simple};

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
    // By itself it would take the preface of HTTP/2 for what it is.
    let routes = "- {match: {prefix: \"/\"}, route: {cluster: up}}";
    let proxy = Proxy::start(&config("codec_type: HTTP1", routes, &[("up", &[upstream.address], "")]));
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
                Expect::Taken(count) => {
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
                Expect::Rejected(status, false) => assert_eq!(client.response().status, status, "{context}"),
                Expect::Refused(status) | Expect::Rejected(status, true) => {
                    let all = String::from_utf8_lossy(&client.until_closed()).into_owned();
                    let right = all.starts_with(&format!("HTTP/1.1 {status} "))
                        && all.contains("connection: close\r\n")
                        && all.matches("HTTP/1.1 ").count() == 1;
                    if !right {
                        wrong.push(format!("{context}: not {status} but {all:?}"));
                    }
                    refused += u64::from(matches!(expect, Expect::Refused(_)));
                }
            }
            let chunked = bytes.windows(11).any(|window| window == b": chunked\r\n");
            if !matches!(expect, Expect::Taken(_)) {
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
