//! HTTP/2, downstream, upstream, and both.

use super::{Answer, Case, Do, reply};
use crate::support::h2::{
    self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WHOLE, WINDOW_UPDATE, block, frame,
};

fn head(stream: u32, method: &str, path: &str, more: h2::Fields<'_>, end: bool) -> Vec<u8> {
    let mut fields =
        vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "test.example")];
    fields.extend(more);
    frame(HEADERS, if end { WHOLE } else { END_HEADERS }, stream, &block(&fields))
}

/// A GET that is answered on a connection that stays.
fn get(name: &'static str, on: &'static str, path: &str, more: h2::Fields<'_>) -> Case {
    frames(name, on, head(1, "GET", path, more, true)).then(Do::Message(1)).then(Do::Ping)
}

fn post(name: &'static str, on: &'static str, path: &str, more: h2::Fields<'_>, body: &[u8]) -> Case {
    let bytes = [head(1, "POST", path, more, false), frame(DATA, END_STREAM, 1, body)].concat();
    frames(name, on, bytes).then(Do::Message(1)).then(Do::Ping)
}

fn frames(name: &'static str, on: &'static str, bytes: Vec<u8>) -> Case {
    let mut case = Case::new(name, on, "");
    case.steps = vec![Do::Frames(bytes)];
    case
}

/// Something that is wrong: the end of the connection.
fn wrong(name: &'static str, bytes: Vec<u8>) -> Case {
    frames(name, "plain", bytes).then(Do::Rest)
}

/// A request of just these fields, which is wrong.
fn malformed(name: &'static str, fields: h2::Fields<'_>) -> Case {
    wrong(name, frame(HEADERS, WHOLE, 1, &block(fields))).differs(LAST_WORD)
}

const LAST_WORD: &str = "GOAWAY says why the connection ends, whatever the error";

/// The same, where it costs the stream only.
fn malformed_stream(name: &'static str, fields: h2::Fields<'_>) -> Case {
    let bytes = frame(HEADERS, WHOLE, 1, &block(fields));
    frames(name, "stream_errors", bytes).then(Do::Message(1)).then(Do::Ping)
}

/// What an upstream of HTTP/2 does to a GET.
fn answered(name: &'static str, frames: &[(u8, u8, Vec<u8>)], close: bool) -> Case {
    get(name, "plain", "/c/h2", &[]).answer(Answer::Frames(frames.to_vec(), close))
}

fn status(status: &str, more: h2::Fields<'_>) -> Vec<u8> {
    block(&[&[(":status", status)][..], more].concat())
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    let code = |code: u32| code.to_be_bytes().to_vec();
    let m = (":method", "GET");
    let s = (":scheme", "http");
    let p = (":path", "/");
    let a = (":authority", "test.example");
    vec![
        // Downstream HTTP/2, upstream HTTP/1.
        get("h2: GET", "plain", "/", &[]),
        get("h2: GET with headers", "plain", "/x?y=z", &[("x-a", "1"), ("x-a", "2"), ("user-agent", "me"), ("accept", "*/*")]),
        get("h2: crumbs of a cookie", "plain", "/", &[("cookie", "a=1"), ("cookie", "b=2")]),
        get("h2: te", "plain", "/", &[("te", "trailers")]),
        get("h2: an empty value", "plain", "/", &[("x-empty", "")]),
        get("h2: direct response", "plain", "/d/201", &[]),
        get("h2: direct response without a body", "plain", "/d/204", &[]),
        get("h2: redirect", "plain", "/r/https", &[]),
        get("h2: no cluster", "plain", "/c/none", &[]),
        get("h2: connection refused", "plain", "/c/refused", &[]),
        get("h2: overflow", "plain", "/c/closed", &[]),
        get("h2: time-out", "plain", "/t/fast", &[]).answer(Answer::Silent),
        get("h2: the edge", "edge", "/a/../b//c", &[("x-forwarded-for", "1.2.3.4")]),
        get("h2: underscores rejected", "reject", "/", &[("x_y", "1")]).differs("answered with 400 instead of a reset"),
        get("h2: underscores dropped", "merge", "/", &[("x_y", "1")]),
        get("h2: a fragment", "plain", "/a#b", &[]),
        get("h2 up: time-out", "quick", "/c/h2", &[]).answer(Answer::Silent),
        get("h2: an upstream that closes", "plain", "/", &[]).answer(Answer::Close),
        get("h2: a response cut short", "plain", "/", &[]).answer(Answer::ReplyAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec())),
        get("h2: a response until the end", "plain", "/", &[]).answer(Answer::ReplyAndClose(b"HTTP/1.1 200 OK\r\n\r\nabc".to_vec())),
        get("h2: a response in chunks", "plain", "/", &[]).replied("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        get("h2: trailers of a response", "plain", "/c/trailers", &[]).replied("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"),
        get("h2: connection headers of a response", "plain", "/", &[]).replied("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok"),
        get("h2: a large response", "plain", "/", &[]).replied(reply("200 OK", "", &"x".repeat(300_000))),
        get("h2: a bad response", "plain", "/", &[]).replied("nonsense\r\n\r\n"),
        frames("h2: HEAD", "plain", head(1, "HEAD", "/", &[], true)).replied("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n").then(Do::Message(1)).then(Do::Ping),
        post("h2: POST", "plain", "/", &[], b"abc"),
        post("h2: POST with a length", "plain", "/", &[("content-length", "3")], b"abc"),
        post("h2: empty POST", "plain", "/", &[], b"").differs("a body that has turned out to be empty before the request is sent is no chunked body"),
        frames("h2: POST that ends with its head", "plain", head(1, "POST", "/", &[], true)).then(Do::Message(1)).then(Do::Ping),
        frames("h2: trailers of a request", "plain", [head(1, "POST", "/c/trailers", &[], false), frame(DATA, 0, 1, b"abc"), frame(HEADERS, WHOLE, 1, &block(&[("x-t", "1")]))].concat()).then(Do::Message(1)).then(Do::Ping),
        frames("h2: two requests at once", "plain", [head(1, "GET", "/1", &[], true), head(3, "GET", "/d/201", &[], true)].concat()).then(Do::Message(1)).then(Do::Message(3)).then(Do::Ping),
        post("h2: expect", "plain", "/", &[("expect", "100-continue")], b"abc"),
        post("h2: expect passed on", "only_h2", "/", &[("expect", "100-continue")], b"abc").replied("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        get("h2: only HTTP/2", "only_h2", "/", &[]),
        Case::new("h2: HTTP/1 where only HTTP/2 is", "only_h2", "GET / HTTP/1.1\r\nhost: x\r\n\r\n").then(Do::End).differs("SETTINGS and GOAWAY come before the end"),
        frames("h2: an early response", "plain", head(1, "POST", "/", &[], false)).answer(Answer::Early(reply("413 Too Large", "", "no"))).then(Do::Message(1)).then(Do::Ping),
        frames("h2: a client that resets", "plain", head(1, "GET", "/", &[], true)).answer(Answer::Silent).then(Do::AwaitUpstream).then(Do::Frames(frame(RST_STREAM, 0, 1, &code(8)))).then(Do::Ping),
        frames("h2: a client that leaves", "plain", head(1, "GET", "/", &[], true)).answer(Answer::Silent).then(Do::AwaitUpstream),
        frames("h2: a head over the limit", "small", head(1, "GET", "/", &[("x-long", &"x".repeat(1500))], true)).then(Do::Message(1)).then(Do::Ping).differs("answered with 431 instead of a reset"),
        frames("h2: too many headers", "small", head(1, "GET", "/", &[("x-a", "1"); 20], true)).then(Do::Message(1)).then(Do::Ping).differs("answered with 431 instead of a reset"),
        frames("h2: streams over the limit", "stream_errors", [1, 3, 5].iter().flat_map(|id| head(*id, "POST", "/", &[], false)).collect()).then(Do::Message(5)).then(Do::Ping),
        get("h2: grpc without a route", "plain", "/c/none", &[("content-type", "application/grpc"), ("te", "trailers")]),
        get("h2: grpc that fails", "plain", "/c/h2", &[("content-type", "application/grpc"), ("te", "trailers")]).answer(Answer::Frames(vec![(HEADERS, WHOLE, status("200", &[("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "no")]))], false)),
        // What is wrong downstream.
        malformed("h2: an upper-case name", &[m, s, p, a, ("X-A", "1")]),
        malformed("h2: no method", &[s, p, a]),
        malformed("h2: no path", &[m, s, a]),
        malformed("h2: no scheme", &[m, p, a]),
        frames("h2: a scheme in capitals", "plain", frame(HEADERS, WHOLE, 1, &block(&[m, (":scheme", "HTTPS"), p, a]))).then(Do::Message(1)),
        frames("h2: another scheme", "plain", frame(HEADERS, WHOLE, 1, &block(&[m, (":scheme", "ftp"), p, a]))).then(Do::Message(1)),
        frames("h2: another scheme behind TLS", "plain", frame(HEADERS, WHOLE, 1, &block(&[m, (":scheme", "ftp"), p, a, ("x-forwarded-proto", "https")]))).then(Do::Message(1)),
        malformed("h2: two paths", &[m, s, p, p, a]),
        malformed("h2: an empty path", &[m, s, (":path", ""), a]),
        malformed("h2: connection", &[m, s, p, a, ("connection", "close")]),
        malformed("h2: transfer-encoding", &[m, s, p, a, ("transfer-encoding", "chunked")]),
        malformed("h2: te of something", &[m, s, p, a, ("te", "gzip")]),
        malformed("h2: a pseudo-header behind a header", &[m, s, a, ("x", "y"), p]),
        malformed("h2: an unknown pseudo-header", &[m, s, p, a, (":x", "y")]),
        malformed("h2: a line feed", &[m, s, p, a, ("x", "a\nb")]),
        malformed_stream("h2 stream: an upper-case name", &[m, s, p, a, ("X-A", "1")]),
        malformed_stream("h2 stream: no method", &[s, p, a]),
        malformed_stream("h2 stream: two paths", &[m, s, p, p, a]),
        malformed_stream("h2 stream: connection", &[m, s, p, a, ("connection", "close")]),
        malformed_stream("h2 stream: a pseudo-header behind a header", &[m, s, a, ("x", "y"), p]),
        frames("h2: no authority but a host", "plain", frame(HEADERS, WHOLE, 1, &block(&[m, s, p, ("host", "other.example")]))).then(Do::Message(1)).then(Do::Ping),
        frames("h2: an authority and another host", "plain", frame(HEADERS, WHOLE, 1, &block(&[m, s, p, a, ("host", "other.example")]))).then(Do::Message(1)).then(Do::Ping),
        frames("h2: neither authority nor host", "stream_errors", frame(HEADERS, WHOLE, 1, &block(&[m, s, p]))).then(Do::Message(1)).then(Do::Ping),
        wrong("h2: less than content-length", [head(1, "POST", "/", &[("content-length", "9")], false), frame(DATA, END_STREAM, 1, b"abc")].concat()).differs("the details and a counter say what was wrong"),
        wrong("h2: more than content-length", [head(1, "POST", "/", &[("content-length", "1")], false), frame(DATA, END_STREAM, 1, b"abc")].concat()).differs("the details and a counter say what was wrong"),
        wrong("h2: DATA on an idle stream", frame(DATA, END_STREAM, 1, b"abc")),
        wrong("h2: a stream of an even number", head(2, "GET", "/", &[], true)).differs(LAST_WORD),
        wrong("h2: PING of wrong length", frame(PING, 0, 0, &[0; 7])),
        wrong("h2: SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])).differs(LAST_WORD),
        wrong("h2: PUSH_PROMISE", [head(1, "POST", "/", &[], false), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat()).differs("GOAWAY; and the details do not name a library"),
        wrong("h2: an increment of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4])).differs(LAST_WORD),
        wrong("h2: a block that is not HPACK", frame(HEADERS, WHOLE, 1, &[0xff; 8])).differs("what cannot be read is no request"),
        wrong("h2: empty frames", [head(1, "POST", "/", &[], false), frame(DATA, 0, 1, &[]).repeat(10)].concat()).differs(LAST_WORD),
        wrong("h2: PRIORITY flood", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]).repeat(300)).differs(LAST_WORD),
        wrong("h2: WINDOW_UPDATE flood", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(300)).differs(LAST_WORD),
        // Upstream HTTP/2.
        get("h2 up: GET", "plain", "/c/h2/x", &[("x-a", "1")]),
        Case::new("h1 to h2: GET", "plain", super::request("GET", "/c/h2/x", "x-a: 1\ncookie: a=1")).kept(),
        Case::new("h1 to h2: POST", "plain", super::post("/c/h2", "", "abc")).kept(),
        Case::new("h1 to h2: chunks", "plain", "POST /c/h2 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").kept(),
        Case::new("h1 to h2: HEAD", "plain", super::request("HEAD", "/c/h2", "")).replied("HTTP/1.1 200 OK\r\n\r\n").then(Do::Response("HEAD")).then(Do::Kept),
        get("h2 up: a large response", "plain", "/c/h2", &[]).replied(reply("200 OK", "", &"x".repeat(60_000))),
        post("h2 up: POST", "plain", "/c/h2", &[], b"abc"),
        get("h2 up: 404 with headers", "plain", "/c/h2", &[]).replied(reply("404 Not Found", "x-b: 2\ncontent-type: text/x", "no")),
        get("h2 follow: HTTP/2", "plain", "/c/follow", &[]),
        Case::new("h1 follow: HTTP/1", "plain", super::request("GET", "/c/follow", "")).kept(),
        answered("h2 up: trailers", &[(HEADERS, END_HEADERS, status("200", &[])), (DATA, 0, b"abc".to_vec()), (HEADERS, WHOLE, block(&[("x-t", "1")]))], false),
        answered("h2 up: reset", &[(RST_STREAM, 0, code(2))], false),
        answered("h2 up: cancelled", &[(RST_STREAM, 0, code(8))], false),
        answered("h2 up: reset in the middle", &[(HEADERS, END_HEADERS, status("200", &[])), (DATA, 0, b"abc".to_vec()), (RST_STREAM, 0, code(2))], false),
        answered("h2 up: refused", &[(RST_STREAM, 0, code(7))], false).differs("what was certainly not processed is sent again"),
        answered("h2 up: goaway and a response", &[(GOAWAY, 0, [code(1), code(0)].concat()), (HEADERS, WHOLE, status("200", &[]))], false).differs("a GOAWAY that lets the response come is no breach of the protocol"),
        answered("h2 up: the connection ends", &[], true),
        answered("h2 up: the connection ends in the middle", &[(HEADERS, END_HEADERS, status("200", &[])), (DATA, 0, b"abc".to_vec())], true),
        answered("h2 up: an upper-case name", &[(HEADERS, WHOLE, status("200", &[("X-A", "1")]))], false),
        answered("h2 up: no status", &[(HEADERS, WHOLE, block(&[("x", "y")]))], false),
        answered("h2 up: not HPACK", &[(HEADERS, WHOLE, vec![0xff; 8])], false),
        answered("h2 up: a pushed stream", &[(PUSH_PROMISE, END_HEADERS, vec![0, 0, 0, 2])], false),
        answered("h2 up: less than content-length", &[(HEADERS, END_HEADERS, status("200", &[("content-length", "9")])), (DATA, END_STREAM, b"abc".to_vec())], false).differs("it is counted as a messaging error"),
        answered("h2 up: connection", &[(HEADERS, WHOLE, status("200", &[("connection", "close")]))], false),
        // Tunnels.
        frames("h2: CONNECT that is not allowed", "plain", frame(HEADERS, END_HEADERS, 1, &block(&[(":method", "CONNECT"), (":authority", "test.example:80")]))).then(Do::Message(1)).then(Do::Ping),
        frames("h2: extended CONNECT that is not allowed", "plain", head(1, "CONNECT", "/", &[(":protocol", "websocket")], false)).then(Do::Rest).differs(LAST_WORD),
    ]
}
