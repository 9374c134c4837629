//! HTTP/1 itself: framing, versions, connections, limits, spelling.

use super::{Answer, Case, Do, get, message, post, reply, request};

fn refused(name: &'static str, bytes: &str) -> Case {
    Case::new(name, "plain", bytes).closed()
}

/// A response of the upstream, passed on.
fn back(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    get(name, "plain", "/", "").replied(bytes)
}

pub fn cases() -> Vec<Case> {
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n";
    let mut cases = vec![
        Case::new("chunked request", "plain", format!("{chunked}\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")).kept(),
        Case::new("chunked request in capitals", "plain", "POST / HTTP/1.1\r\nHOST: x\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n").kept(),
        Case::new("trailers are dropped", "plain", format!("{chunked}trailer: x-t\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n")).kept(),
        Case::new("trailers are passed on", "trailers", format!("{}\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n", chunked.replace(" / ", " /c/trailers "))).kept(),
        get("trailers of a response are dropped", "plain", "/", "").replied("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"),
        get("trailers of a response are passed on", "trailers", "/c/trailers", "").replied("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"),
        Case::new("empty POST", "plain", post("/", "", "")).kept(),
        Case::new("POST without a length", "plain", request("POST", "/", "")).kept(),
        Case::new("GET with a body", "plain", message("GET / HTTP/1.1\nhost: x\ncontent-length: 3", "abc")).kept(),
        Case::new("DELETE with a body", "plain", message("DELETE / HTTP/1.1\nhost: x\ncontent-length: 3", "abc")).kept(),
        Case::new("a large body", "plain", post("/", "", &"x".repeat(300_000))).kept(),
        Case::new("a body in two pieces", "plain", message("POST / HTTP/1.1\nhost: x\ncontent-length: 6", "abc")).then(Do::AwaitConnection).send("def").kept(),
        Case::new("two requests at once", "plain", [request("GET", "/1", ""), request("GET", "/2", "")].concat()).then(Do::Response("GET")).kept(),
        Case::new("HEAD", "plain", request("HEAD", "/", "")).replied("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n").then(Do::Response("HEAD")).then(Do::Kept),
        Case::new("HEAD chunked", "plain", request("HEAD", "/", "")).replied("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").then(Do::Response("HEAD")).then(Do::Kept),
        Case::new("OPTIONS", "plain", request("OPTIONS", "/", "")).kept(),
        Case::new("PATCH", "plain", message("PATCH / HTTP/1.1\nhost: x\ncontent-length: 1", "a")).kept(),
        Case::new("a method of WebDAV", "plain", request("PROPFIND", "/", "")).kept(),
        Case::new("an unknown method", "plain", request("BREW", "/", "")).closed(),
        Case::new("a lower-case method", "plain", request("get", "/", "")).closed(),
        Case::new("connection close", "plain", request("GET", "/", "connection: close")).closed(),
        Case::new("connection close in capitals", "plain", request("GET", "/", "Connection: Close")).closed(),
        Case::new("an empty line first", "plain", format!("\r\n{}", String::from_utf8_lossy(&request("GET", "/", "")))).kept(),
        get("header spaces", "plain", "/", "x-a:   b  \nx-c:d\nx-e: f g"),
        get("an empty header", "plain", "/", "x-a:\nx-b: "),
        get("repeated headers", "plain", "/", "x-a: 1\nx-b: 2\nx-a: 3\ncookie: a=1\ncookie: b=2\naccept: x\naccept: y").differs("lines of a list are not joined"),
        get("high bytes in a value", "plain", "/", "x-a: \u{e4}\u{20ac}"),
        Case::new("1.0 is refused", "plain", "GET / HTTP/1.0\r\nhost: x\r\n\r\n").closed(),
        Case::new("1.0 is accepted", "old", "GET / HTTP/1.0\r\nhost: x\r\n\r\n").closed(),
        Case::new("1.0 without a host", "old", "GET / HTTP/1.0\r\n\r\n").closed(),
        Case::new("1.0 keep-alive", "old", "GET / HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n").kept(),
        Case::new("1.0 gets no chunks", "old", "GET / HTTP/1.0\r\nhost: x\r\n\r\n").replied("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").closed(),
        Case::new("1.0 no route", "old", "GET / HTTP/1.0\r\nhost: empty.example\r\n\r\n").closed(),
        // Limits.
        Case::new("headers too large", "small", request("GET", "/", &format!("x-long: {}", "v".repeat(1100)))).closed(),
        Case::new("too many headers", "small", request("GET", "/", "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1")).closed(),
        Case::new("a long target", "small", request("GET", &format!("/{}", "v".repeat(1100)), "")).closed(),
        Case::new("headers much too large", "plain", request("GET", "/", &format!("x-long: {}", "v".repeat(70_000)))).closed(),
        Case::new("the last request of a connection is refused", "small", request("GET", "/1", "")).then(Do::Response("GET")).send("GET / HTTP/1.1\r\nhost : a\r\n\r\n").closed(),
        Case::new("the last request of a connection", "small", request("GET", "/1", "")).then(Do::Response("GET")).send(request("GET", "/2", "")).closed(),
        get("response headers too large", "plain", "/c/small", "").replied(reply("200 OK", &format!("x-long: {}", "v".repeat(1100)), "")),
        get("too many response headers", "plain", "/c/small", "").replied(reply("200 OK", "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1", "")),
        // Spelling.
        get("proper case", "proper", "/", "x-some-thing: 1").replied(reply("200 OK", "x-back-here: 1\nwww-authenticate: x", "")),
        get("proper case to the upstream", "plain", "/c/case", "x-some-thing: 1"),
        get("preserved case", "preserve", "/", "X-SoMe: 1\nUser-Agent: x").replied(reply("200 OK", "X-BaCk: 1", "")),
        get("preserved case of the host", "preserve", "/", "HOST: x").replied(reply("200 OK", "CONTENT-TYPE: x", "")),
        get("preserved case wins", "preserve", "/c/case", "X-SoMe: 1").replied(reply("200 OK", "X-BaCk: 1", "")),
        get("preserved case of a local reply", "preserve", "/d/403", "X-SoMe: 1"),
        get("whole URL to the upstream", "plain", "/c/url?x", "Host: a.example:81"),
        get("one request for each connection", "plain", "/c/once", ""),
        // Continue.
        Case::new("expect continue", "plain", request("POST", "/", "content-length: 3\nexpect: 100-continue")).then(Do::Response("POST")).send("abc").kept(),
        Case::new("expect continue passed on", "interim", request("POST", "/", "content-length: 3\nexpect: 100-continue")).then(Do::AwaitUpstream).then(Do::Response("POST")).send("abc").kept().answer(Answer::Early(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec())),
        Case::new("expect something else", "plain", request("POST", "/", "content-length: 0\nexpect: magic")).kept(),
        Case::new("expect without a body", "plain", request("GET", "/", "expect: 100-continue")).kept().differs("no 100 for a request that is complete"),
        get("early hints are not passed on", "plain", "/", "").replied([message("HTTP/1.1 103 Early Hints\nlink: x", ""), reply("200 OK", "", "ok")].concat()),
        get("interim continue is not passed on", "plain", "/", "").replied([message("HTTP/1.1 100 Continue", ""), reply("200 OK", "", "ok")].concat()),
        // Responses.
        back("a counted response", reply("200 OK", "x-a: 1", "body")),
        back("a chunked response", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0\r\n\r\n"),
        back("a large response", reply("200 OK", "", &"y".repeat(400_000))),
        back("no content", "HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
        back("not modified", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: x\r\n\r\n"),
        back("another reason", "HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n"),
        back("no reason", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"),
        back("an unknown status", "HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n"),
        back("a status above 599", "HTTP/1.1 799 Odd\r\ncontent-length: 0\r\n\r\n"),
        back("an upstream of 1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        back("connection close of the upstream", reply("200 OK", "connection: close", "ok")),
        back("404 of the upstream", reply("404 Not Found", "content-type: text/html", "<p>")),
        back("503 of the upstream", reply("503 Service Unavailable", "retry-after: 5", "later")),
        back("302 of the upstream", reply("302 Found", "location: /x", "")),
        get("a response until the end", "plain", "/", "").answer(Answer::ReplyAndClose(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n\r\nuntil the end".to_vec())),
        get("a response of 1.0 until the end", "plain", "/", "").answer(Answer::ReplyAndClose(b"HTTP/1.0 200 OK\r\n\r\nuntil the end".to_vec())).differs("an end that the version implies is not counted as announced"),
        Case::new("gRPC trailers in a response", "trailers", request("POST", "/c/trailers", "content-type: application/grpc\nte: trailers\ncontent-length: 0")).replied("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\ngrpc-status: 5\r\n\r\n").kept(),
    ];
    // What both refuse.
    for (name, bytes) in [
        ("no version", "GET /\r\n\r\n"),
        ("version 1.2", "GET / HTTP/1.2\r\nhost: x\r\n\r\n"),
        ("version 2.0", "GET / HTTP/2.0\r\nhost: x\r\n\r\n"),
        ("garbage", "\x00\x01\x02\r\n\r\n"),
        ("a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nhost: x\r\nnothing\r\n\r\n"),
        ("a space before the colon", "GET / HTTP/1.1\r\nhost: x\r\nx-a : 1\r\n\r\n"),
        ("an empty name", "GET / HTTP/1.1\r\nhost: x\r\n: 1\r\n\r\n"),
        ("NUL in a value", "GET / HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n"),
        ("two lengths", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        ("a list of lengths", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 1\r\n\r\na"),
        ("a signed length", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\na"),
        ("a negative length", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\na"),
        ("a hexadecimal length", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0x1\r\n\r\na"),
        ("a length with a letter", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1a\r\n\r\na"),
        (
            "length and chunks",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunks and length",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        ),
        (
            "a chunk size without digits",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ),
    ] {
        cases.push(refused(name, bytes));
    }
    cases.push(Case::new("length and chunks allowed", "chunked_length", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").kept().differs("closed after the response"));
    // Where we are stricter (docs/differences.md).
    for (name, bytes) in [
        ("bare LF", "GET / HTTP/1.1\nhost: x\n\n"),
        ("a folded header", "GET / HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n 2\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n"),
        ("a host with a user", "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n"),
        ("spaces in the request line", "GET  / HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("an unknown transfer coding", "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n"),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a chunk without its end",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n",
        ),
    ] {
        cases.push(
            Case::new(name, "plain", bytes)
                .then(Do::Response("GET"))
                .differs("stricter: docs/differences.md"),
        );
    }
    cases
}
