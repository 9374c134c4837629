//! Responses of the proxy itself: failures, time-outs, refusals, and their mappers.

use super::{Answer, Case, Do, get, post, reply, request};

pub fn cases() -> Vec<Case> {
    let early = |bytes: &[u8]| Answer::Early(bytes.to_vec());
    vec![
        get("no healthy upstream", "plain", "/c/none", ""),
        Case::new("a mapped reply to what is no HTTP", "replies", "BREW / HTTP/1.1\r\nhost: x\r\n\r\n")
            .closed(),
        Case::new("no healthy upstream to HEAD", "plain", request("HEAD", "/c/none", ""))
            .then(Do::Response("HEAD"))
            .then(Do::Kept),
        get("a JSON reply to gRPC", "replies", "/c/none", "x-json: 1\ncontent-type: application/grpc"),
        get("no healthy upstream to gRPC", "plain", "/c/none", "content-type: application/grpc+proto"),
        Case::new("no healthy upstream to POST", "plain", post("/c/none", "", "12345")).kept(),
        get("connection refused", "plain", "/c/refused", ""),
        get("connection refused to gRPC", "plain", "/c/refused", "content-type: application/grpc"),
        get("overflow", "plain", "/c/closed", ""),
        get("overflow with HIGH", "plain", "/c/high", ""),
        get("unknown cluster", "plain", "/c/header", "x-cluster: x"),
        Case::new("upstream closes", "plain", post("/", "", "abc")).answer(Answer::Close).kept(),
        Case::new("upstream answers garbage", "plain", post("/", "", "abc"))
            .replied("garbage\r\n\r\n")
            .kept(),
        Case::new("upstream switches protocols", "plain", post("/", "", "abc"))
            .replied("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n")
            .kept(),
        Case::new("upstream closes within the head", "plain", post("/", "", "abc"))
            .answer(Answer::ReplyAndClose(b"HTTP/1.1 200 OK\r\nx-a".to_vec()))
            .kept(),
        Case::new("upstream closes within a counted body", "plain", post("/", "", "abc"))
            .answer(Answer::ReplyAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec()))
            .then(Do::Response("GET"))
            .then(Do::End),
        Case::new("upstream closes within chunks", "plain", post("/", "", "abc"))
            .answer(Answer::ReplyAndClose(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab".to_vec(),
            ))
            .then(Do::Response("GET"))
            .then(Do::End),
        Case::new("upstream breaks its chunks", "plain", post("/", "", "abc"))
            .answer(Answer::ReplyAndClose(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n".to_vec(),
            ))
            .then(Do::Response("GET"))
            .then(Do::End)
            .differs("what came before the breach is passed on"),
        Case::new("upstream answers early", "plain", request("POST", "/", "content-length: 10"))
            .answer(early(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"))
            .then(Do::Response("GET"))
            .then(Do::End),
        Case::new("upstream length and chunks", "plain", post("/", "", "abc"))
            .replied("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
            .kept(),
        Case::new("upstream two lengths", "plain", post("/", "", "abc"))
            .replied("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 2\r\n\r\nabc")
            .kept(),
        // Time-outs.
        get("route time-out", "plain", "/t/fast", "").answer(Answer::Silent),
        get("route time-out as 204", "internal", "/t/fast", "x-envoy-upstream-rq-timeout-alt-response: 1")
            .answer(Answer::Silent),
        get("route time-out to gRPC", "plain", "/t/fast", "content-type: application/grpc")
            .answer(Answer::Silent),
        Case::new("route time-out within the response", "plain", request("GET", "/t/fast", ""))
            .replied("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
            .then(Do::Response("GET"))
            .then(Do::End),
        get("idle time-out of a route", "plain", "/t/idle", "").answer(Answer::Silent),
        Case::new("idle time-out within a request", "quick", request("POST", "/", "content-length: 5"))
            .closed(),
        Case::new("headers time-out", "quick", "GET / HTTP/1.1\r\nhost: x\r\n").closed(),
        Case::new("stream idle time-out", "limited", request("POST", "/", "content-length: 5")).closed(),
        get("longest stream", "plain", "/t/max", "").answer(Answer::Silent),
        get("longest stream of a cluster", "plain", "/t/cluster", "").answer(Answer::Silent),
        Case::new("longest stream within the request", "limited", request("POST", "/", "content-length: 9"))
            .closed(),
        get("longest stream of a manager", "limited", "/", "").answer(Answer::Silent),
        get("gRPC time-out", "plain", "/t/grpc", "grpc-timeout: 5S\ncontent-type: application/grpc")
            .answer(Answer::Silent),
        get("a short gRPC time-out", "plain", "/t/grpc", "grpc-timeout: 90m\ncontent-type: application/grpc")
            .answer(Answer::Silent),
        get("time-out by header", "internal", "/", "x-envoy-upstream-rq-timeout-ms: 150")
            .answer(Answer::Silent),
        // Mappers.
        get("mapped 404", "replies", "/x", "Host: empty.example"),
        get("mapped to JSON", "replies", "/c/none", "x-json: 1"),
        get("mapped to HTML", "replies", "/c/none?x", "x-html: 1"),
        get("mapped with a type", "replies", "/c/none", ""),
        get("only formatted", "replies", "/d/403", ""),
        get("formatted without a body", "replies", "/d/500", ""),
        get("formatted redirect", "replies", "/r/host", ""),
        get("formatted to gRPC", "replies", "/d/403", "content-type: application/grpc"),
        get("mapped 404 to gRPC", "replies", "/x", "Host: empty.example\ncontent-type: application/grpc"),
        Case::new("formatted to HEAD", "replies", request("HEAD", "/d/403", ""))
            .then(Do::Response("HEAD"))
            .then(Do::Kept),
        Case::new("formatted bad request", "replies", "GET / HTTP/1.1\r\nhost: x\r\nx : 1\r\n\r\n").closed(),
        get("responses of upstreams are not mapped", "replies", "/", "").replied(reply(
            "404 Not Found",
            "",
            "theirs",
        )),
        get("a missing host is mapped", "replies", "/", "Host: a b"),
    ]
}
