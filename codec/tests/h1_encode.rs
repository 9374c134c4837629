//! What the codecs write: start lines, framing, `Connection`, header case, and what they never
//! write, whoever asks for it.

mod h1_support;

use h1_support::{headers, request, response, text};
use nuncio_codec::{
    Buffer, HeaderMap, RequestHead, ResponseHead, Spelling, Version,
    h1::{
        Client, ClientSettings, Error, HeaderCase, RequestEvent, ResponseEvent, Server, ServerSettings,
        expects_continue, reason, strip_hop_by_hop,
    },
};

/// A server that has read `wire` to the end of the request.
fn server(settings: ServerSettings, wire: &str) -> Server {
    let (mut server, mut input) = (Server::new(settings), Buffer::new());
    input.append(wire.as_bytes());
    while server.poll(&mut input).expect("a valid request").is_some() {}
    server
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The body of a response, as calls on the codec.
#[derive(Clone, Copy)]
enum Body<'a> {
    None,
    Data(&'a [&'a str]),
    /// Data, then trailers.
    Trailers(&'a [&'a str], &'a [(&'a str, &'a str)]),
}

fn buffer(data: &str) -> Buffer {
    let mut buffer = Buffer::new();
    buffer.append(data.as_bytes());
    buffer
}

fn respond(server: &mut Server, head: &ResponseHead, body: Body<'_>) -> String {
    let mut out = Buffer::new();
    server.send_headers(head, matches!(body, Body::None), &mut out);
    match body {
        Body::None => {}
        Body::Data(pieces) => {
            for (index, piece) in pieces.iter().enumerate() {
                server.send_data(&mut buffer(piece), index + 1 == pieces.len(), &mut out);
            }
        }
        Body::Trailers(pieces, trailers) => {
            for piece in pieces {
                server.send_data(&mut buffer(piece), false, &mut out);
            }
            server.send_trailers(&headers(trailers), &mut out);
        }
    }
    assert!(server.response_complete());
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn response_framing() {
    let head = |status, list: &[(&str, &str)]| response(status, list);
    type Case<'a> = (&'a str, ResponseHead, Body<'a>, &'a str, bool, bool);
    // request, response, body, wire, keep-alive, mismatch
    let cases: &[Case<'_>] = &[
        (GET, head(200, &[]), Body::None, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true, false),
        (
            GET,
            head(200, &[("content-length", "0")]),
            Body::None,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            true,
            false,
        ),
        (
            GET,
            head(200, &[("a", "b"), ("content-length", "2"), ("c", "")]),
            Body::Data(&["o", "k"]),
            "HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\nc: \r\n\r\nok",
            true,
            false,
        ),
        (
            GET,
            head(404, &[("x", "y")]),
            Body::Data(&["hello", "", " world!!!!!", ""]),
            "HTTP/1.1 404 Not Found\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nb\r\n world!!!!!\r\n0\r\n\r\n",
            true,
            false,
        ),
        (
            GET,
            head(200, &[]),
            Body::Data(&["ok"]),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            true,
            false,
        ),
        // Announced and real length differ.
        (
            GET,
            head(200, &[("content-length", "2")]),
            Body::Data(&["okay"]),
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            false,
            true,
        ),
        (
            GET,
            head(200, &[("content-length", "5")]),
            Body::Data(&["ok"]),
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok",
            false,
            true,
        ),
        (
            GET,
            head(200, &[("content-length", "5")]),
            Body::None,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            false,
            true,
        ),
        // A length that is none is not passed on; of two, one is.
        (
            GET,
            head(200, &[("content-length", "-1")]),
            Body::Data(&["ok"]),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            true,
            false,
        ),
        (
            GET,
            head(200, &[("content-length", "2"), ("content-length", "3")]),
            Body::Data(&["ok"]),
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            true,
            false,
        ),
        // Framing and connection fields of the map are not the codec's.
        (
            GET,
            head(
                200,
                &[
                    ("transfer-encoding", "gzip"),
                    ("connection", "close"),
                    ("keep-alive", "5"),
                    ("proxy-connection", "x"),
                    ("upgrade", "y"),
                    ("host", "z"),
                    (":status", "200"),
                ],
            ),
            Body::None,
            "HTTP/1.1 200 OK\r\nhost: z\r\ncontent-length: 0\r\n\r\n",
            true,
            false,
        ),
        // HEAD: the framing of a GET, without the body.
        (
            HEAD,
            head(200, &[("content-length", "5")]),
            Body::None,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            true,
            false,
        ),
        (
            HEAD,
            head(200, &[("content-length", "5")]),
            Body::Data(&["hello"]),
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            true,
            false,
        ),
        (
            HEAD,
            head(200, &[]),
            Body::None,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            true,
            false,
        ),
        (HEAD, head(204, &[]), Body::None, "HTTP/1.1 204 No Content\r\n\r\n", true, false),
        // No body by status.
        (GET, head(204, &[]), Body::None, "HTTP/1.1 204 No Content\r\n\r\n", true, false),
        (
            GET,
            head(204, &[("content-length", "5")]),
            Body::Data(&["hello"]),
            "HTTP/1.1 204 No Content\r\n\r\n",
            true,
            false,
        ),
        (GET, head(304, &[]), Body::None, "HTTP/1.1 304 Not Modified\r\n\r\n", true, false),
        (
            GET,
            head(304, &[("content-length", "5")]),
            Body::None,
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            true,
            false,
        ),
        (
            GET,
            head(205, &[]),
            Body::None,
            "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
            true,
            false,
        ),
        (GET, head(299, &[]), Body::None, "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n", true, false),
        (
            GET,
            head(7, &[]),
            Body::None,
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            true,
            false,
        ),
        (
            GET,
            head(65535, &[]),
            Body::None,
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            true,
            false,
        ),
        // An upgrade nobody asked for.
        (
            GET,
            head(101, &[("upgrade", "x")]),
            Body::None,
            "HTTP/1.1 101 Switching Protocols\r\nconnection: close\r\n\r\n",
            false,
            false,
        ),
        // Trailers are not enabled: the body just ends.
        (
            GET,
            head(200, &[]),
            Body::Trailers(&["ok"], &[("t", "v")]),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            true,
            false,
        ),
        (
            GET,
            head(200, &[("content-length", "2")]),
            Body::Trailers(&["ok"], &[("t", "v")]),
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            true,
            false,
        ),
        // The client closes.
        (
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            head(200, &[]),
            Body::None,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            false,
            false,
        ),
        // The request is not complete: its rest is not waited for.
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe",
            head(413, &[]),
            Body::None,
            "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            false,
            false,
        ),
    ];
    for (request, head, body, expected, keep_alive, mismatch) in cases {
        let mut server = server(ServerSettings::default(), request);
        assert_eq!(respond(&mut server, head, *body), *expected, "{request:?} {head:?}");
        assert_eq!(
            (server.keep_alive(), server.body_mismatch()),
            (*keep_alive, *mismatch),
            "{request:?} {head:?}"
        );
        assert_eq!(server.is_idle(), *keep_alive && server.request_complete());
    }
}

#[test]
fn responses_to_http_10() {
    let settings =
        ServerSettings { accept_http_10: true, enable_trailers: true, ..ServerSettings::default() };
    let keep = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let cases: &[(&str, ResponseHead, Body<'_>, &str, bool)] = &[
        (
            "GET / HTTP/1.0\r\n\r\n",
            response(200, &[]),
            Body::None,
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            false,
        ),
        (
            keep,
            response(200, &[]),
            Body::None,
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n",
            true,
        ),
        // No chunks in HTTP/1.0: the end of the connection ends the body.
        (
            keep,
            response(200, &[]),
            Body::Data(&["o", "k"]),
            "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nok",
            false,
        ),
        (
            keep,
            response(200, &[]),
            Body::Trailers(&["ok"], &[("t", "v")]),
            "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nok",
            false,
        ),
        (
            "HEAD / HTTP/1.0\r\n\r\n",
            response(200, &[]),
            Body::None,
            "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\n",
            false,
        ),
    ];
    for (request, head, body, expected, keep_alive) in cases {
        let mut server = server(settings, request);
        let mut out = Buffer::new();
        server.send_informational(&response(100, &[]), &mut out);
        assert!(out.is_empty(), "no 1xx to HTTP/1.0");
        assert_eq!(respond(&mut server, head, *body), *expected, "{request:?}");
        assert_eq!(server.keep_alive(), *keep_alive, "{request:?}");
    }
}

#[test]
fn informational_responses_go_before_the_final_one_only() {
    let mut server = server(
        ServerSettings::default(),
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    let mut out = Buffer::new();
    server.send_informational(&response(100, &[]), &mut out);
    server.send_headers(&response(103, &[("link", "x")]), false, &mut out);
    server.send_informational(&response(101, &[]), &mut out);
    server.send_informational(&response(200, &[]), &mut out);
    assert_eq!(
        text(&out),
        "HTTP/1.1 100 Continue\\r\\n\\r\\nHTTP/1.1 103 Early Hints\\r\\nlink: x\\r\\n\\r\\n"
    );
    assert!(!server.response_started());
    let mut input = buffer("hi");
    while server.poll(&mut input).unwrap().is_some() {}
    out.clear();
    server.send_headers(&response(200, &[]), true, &mut out);
    server.send_informational(&response(100, &[]), &mut out);
    server.send_headers(&response(500, &[]), true, &mut out);
    server.send_data(&mut buffer("late"), true, &mut out);
    assert_eq!(text(&out), "HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n");
    assert!(server.keep_alive());
}

#[test]
fn an_error_can_be_answered() {
    let (mut server, mut input, mut out) =
        (Server::new(ServerSettings::default()), Buffer::new(), Buffer::new());
    input.append(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let error = server.poll(&mut input).unwrap_err();
    let body = reason(error.status());
    server.send_headers(&response(error.status(), &[("content-length", "11")]), false, &mut out);
    server.send_data(&mut buffer(body), true, &mut out);
    assert_eq!(
        String::from_utf8(out.to_vec()).unwrap(),
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\nconnection: close\r\n\r\nBad Request"
    );
    assert!(server.response_complete() && !server.keep_alive() && !server.is_idle());
}

#[test]
fn a_request_that_never_completes_can_be_answered() {
    let (mut server, mut input, mut out) =
        (Server::new(ServerSettings::default()), Buffer::new(), Buffer::new());
    input.append(b"GET / HTTP/1.1\r\nHo");
    assert!(matches!(server.poll(&mut input), Ok(None)));
    assert!(server.is_idle());
    server.send_headers(&response(408, &[]), true, &mut out);
    assert_eq!(
        text(&out),
        "HTTP/1.1 408 Request Timeout\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n"
    );
    input.append(b"st: a\r\n\r\n");
    assert!(matches!(server.poll(&mut input), Ok(None)), "too late");
    assert!(!server.is_idle() && !server.keep_alive());
}

#[test]
fn set_close_ends_the_exchange_in_progress_or_the_next() {
    let close = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let mut in_progress = server(ServerSettings::default(), GET);
    in_progress.set_close();
    assert_eq!(respond(&mut in_progress, &response(200, &[]), Body::None), close);

    let mut between = server(ServerSettings::default(), GET);
    respond(&mut between, &response(200, &[]), Body::None);
    between.set_close();
    let mut input = buffer(GET);
    assert!(matches!(between.poll(&mut input), Ok(Some(RequestEvent::Headers { end: true, .. }))));
    assert_eq!(respond(&mut between, &response(200, &[]), Body::None), close);
    input.append(GET.as_bytes());
    assert!(matches!(between.poll(&mut input), Ok(None)));

    let (mut client, mut out) = (Client::new(ClientSettings::default()), Buffer::new());
    client.set_close();
    client.send_headers(&request("GET", "/", &[]), true, &mut out).unwrap();
    assert_eq!(text(&out), "GET / HTTP/1.1\\r\\nhost: a\\r\\nconnection: close\\r\\n\\r\\n");
    assert!(!client.keep_alive());
}

#[test]
fn pipelined_requests_wait_for_the_response() {
    let (mut server, mut input, mut out) =
        (Server::new(ServerSettings::default()), Buffer::new(), Buffer::new());
    input.append(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    assert!(matches!(server.poll(&mut input), Ok(Some(RequestEvent::Headers { .. }))));
    assert!(matches!(server.poll(&mut input), Ok(None)));
    server.send_headers(&response(200, &[]), false, &mut out);
    assert!(matches!(server.poll(&mut input), Ok(None)));
    assert!(!server.is_idle());
    server.send_data(&mut Buffer::new(), true, &mut out);
    assert!(server.is_idle());
    assert!(matches!(server.poll(&mut input), Ok(Some(RequestEvent::Headers { .. }))));
    assert!(!server.is_idle() && input.is_empty());
}

#[test]
fn end_of_input() {
    let mut idle = server(ServerSettings::default(), "");
    assert!(matches!(idle.finish(), Ok(None)));
    let mut complete = server(ServerSettings::default(), GET);
    assert!(matches!(complete.finish(), Ok(None)));
    for partial in ["GET", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell"] {
        let mut partial = server(ServerSettings::default(), partial);
        assert!(matches!(partial.finish(), Err(Error::UnexpectedEof)));
        assert!(!partial.keep_alive());
    }
    let mut tunnel = server(ServerSettings::default(), "CONNECT a:80 HTTP/1.1\r\n\r\n");
    let mut out = Buffer::new();
    tunnel.send_headers(&response(200, &[]), false, &mut out);
    assert!(matches!(tunnel.finish(), Ok(Some(RequestEvent::Data { end: true, .. }))));
    assert!(matches!(tunnel.finish(), Ok(None)));
    tunnel.send_data(&mut buffer("still"), true, &mut out);
    assert_eq!(text(&out), "HTTP/1.1 200 OK\\r\\n\\r\\nstill");
}

#[test]
fn tunnels() {
    let mut upgrade = server(
        ServerSettings::default(),
        "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let wire = respond(
        &mut upgrade,
        &response(101, &[("upgrade", "websocket"), ("connection", "x"), ("a", "b")]),
        Body::Data(&["raw", "!"]),
    );
    assert_eq!(
        wire,
        "HTTP/1.1 101 Switching Protocols\r\na: b\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nraw!"
    );
    assert!(upgrade.in_tunnel() && !upgrade.keep_alive());

    let mut connect = server(ServerSettings::default(), "CONNECT a:80 HTTP/1.1\r\n\r\n");
    let wire = respond(&mut connect, &response(200, &[("content-length", "3")]), Body::Data(&["raw"]));
    assert_eq!(wire, "HTTP/1.1 200 OK\r\n\r\nraw");
    assert!(connect.in_tunnel() && !connect.keep_alive());

    for request in [
        "CONNECT a:80 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut refused = server(ServerSettings::default(), request);
        let wire = respond(&mut refused, &response(403, &[]), Body::None);
        assert_eq!(wire, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        assert!(!refused.in_tunnel() && !refused.keep_alive());
    }
}

#[test]
fn request_framing() {
    // method, headers, end, body; wire, mismatch
    type Case<'a> = (RequestHead, Body<'a>, &'a str, bool);
    let cases: &[Case<'_>] = &[
        (
            request("GET", "/p?q", &[("x", "y")]),
            Body::None,
            "GET /p?q HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n",
            false,
        ),
        (request("HEAD", "/", &[]), Body::None, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", false),
        (request("DELETE", "/", &[]), Body::None, "DELETE / HTTP/1.1\r\nhost: a\r\n\r\n", false),
        (request("TRACE", "/", &[]), Body::None, "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", false),
        (
            request("POST", "/", &[]),
            Body::None,
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            request("PUT", "/", &[]),
            Body::None,
            "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            request("PATCH", "/", &[]),
            Body::None,
            "PATCH / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            request("OPTIONS", "*", &[]),
            Body::None,
            "OPTIONS * HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            request("PROPFIND", "/", &[]),
            Body::None,
            "PROPFIND / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            request("GET", "/", &[("content-length", "0")]),
            Body::None,
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
        (
            request("POST", "/", &[("content-length", "2")]),
            Body::Data(&["h", "i"]),
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
            false,
        ),
        (
            request("POST", "/", &[("content-length", "3")]),
            Body::Data(&["hi"]),
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nhi",
            true,
        ),
        (
            request("POST", "/", &[("content-length", "1")]),
            Body::Data(&["hi"]),
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nh",
            true,
        ),
        (
            request("POST", "/", &[("content-length", "3")]),
            Body::None,
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n",
            true,
        ),
        (
            request(
                "GET",
                "/",
                &[
                    ("transfer-encoding", "x"),
                    ("connection", "close"),
                    ("te", "trailers"),
                    (":scheme", "http"),
                    ("host", "b"),
                ],
            ),
            Body::Data(&["hi"]),
            "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            false,
        ),
    ];
    for (head, body, expected, mismatch) in cases {
        let (mut client, mut out) = (Client::new(ClientSettings::default()), Buffer::new());
        client.send_headers(head, matches!(body, Body::None), &mut out).unwrap();
        if let Body::Data(pieces) = body {
            for (index, piece) in pieces.iter().enumerate() {
                assert!(!client.request_complete());
                client.send_data(&mut buffer(piece), index + 1 == pieces.len(), &mut out);
            }
        }
        assert_eq!(String::from_utf8(out.to_vec()).unwrap(), *expected);
        assert!(client.request_complete() && !client.is_idle());
        assert_eq!((client.body_mismatch(), client.keep_alive()), (*mismatch, !*mismatch));
    }
    let settings = ClientSettings { enable_trailers: true, ..ClientSettings::default() };
    let (mut client, mut out) = (Client::new(settings), Buffer::new());
    client.send_headers(&request("POST", "/", &[]), false, &mut out).unwrap();
    client.send_trailers(
        &headers(&[("t", "v"), ("content-length", "1"), ("trailer", "x"), ("host", "b")]),
        &mut out,
    );
    assert!(text(&out).ends_with("\\r\\n\\r\\n0\\r\\nt: v\\r\\n\\r\\n"), "{}", text(&out));
}

#[test]
fn client_tunnels_wait_for_the_upstream() {
    for (head, wire, answer) in [
        (
            request("CONNECT", "a:80", &[]),
            "CONNECT a:80 HTTP/1.1\\r\\nhost: a:80\\r\\n\\r\\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ),
        (
            request("GET", "/", &[("upgrade", "websocket")]),
            "GET / HTTP/1.1\\r\\nhost: a\\r\\nconnection: Upgrade\\r\\nupgrade: websocket\\r\\n\\r\\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        ),
    ] {
        let (mut client, mut input, mut out) =
            (Client::new(ClientSettings::default()), Buffer::new(), Buffer::new());
        client.send_headers(&head, true, &mut out).unwrap();
        assert_eq!(text(&out), wire);
        out.clear();
        let mut early = buffer("early");
        client.send_data(&mut early, false, &mut out);
        assert!(out.is_empty() && early.len() == 5 && !client.request_complete());
        input.append(answer.as_bytes());
        assert!(matches!(client.poll(&mut input), Ok(Some(ResponseEvent::Headers { end: false, .. }))));
        assert!(client.in_tunnel() && !client.keep_alive());
        client.send_data(&mut early, true, &mut out);
        assert_eq!(text(&out), "early");
        assert!(client.request_complete() && early.is_empty());
    }
    // Refused: what was meant for the tunnel goes nowhere.
    let (mut client, mut input, mut out) =
        (Client::new(ClientSettings::default()), Buffer::new(), Buffer::new());
    client.send_headers(&request("CONNECT", "a:80", &[]), false, &mut out).unwrap();
    out.clear();
    input.append(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(client.poll(&mut input), Ok(Some(ResponseEvent::Headers { end: true, .. }))));
    client.send_data(&mut buffer("early"), true, &mut out);
    assert!(out.is_empty() && client.is_idle());
}

#[test]
fn requests_that_cannot_be_written() {
    let with = |name: &str, value: &str| {
        let mut head = request("GET", "/", &[]);
        head.headers.remove_name(name.as_bytes());
        head.headers.append(name.as_bytes(), value.as_bytes());
        head
    };
    let heads = [
        with(":method", ""),
        with(":method", "GET /x HTTP/1.1\r\n"),
        with(":method", "G T"),
        with(":method", "CONNECT"),
        with(":path", ""),
        with(":path", "/ HTTP/1.1\r\nx: y"),
        with(":path", "/a b"),
        with(":path", "/\u{e9}"),
        with(":path", "/\0"),
        with(":authority", "a\r\nx: y"),
        with(":authority", "a b"),
        request("CONNECT", "", &[]),
    ];
    for head in heads {
        let (mut client, mut out) = (Client::new(ClientSettings::default()), Buffer::new());
        assert_eq!(client.send_headers(&head, true, &mut out), Err(Error::InvalidRequest), "{head:?}");
        assert!(out.is_empty() && client.is_idle());
    }
    let (mut client, mut out) = (Client::new(ClientSettings::default()), Buffer::new());
    client.send_headers(&request("GET", "/", &[]), true, &mut out).unwrap();
    let before = out.len();
    assert_eq!(client.send_headers(&request("GET", "/", &[]), true, &mut out), Err(Error::InvalidRequest));
    assert_eq!(out.len(), before);
    // Without an authority `Host` is there, but empty (RFC 9112 section 3.2).
    let mut head = request("GET", "/", &[]);
    head.headers.remove_name(b":authority");
    let (mut client, mut out) = (Client::new(ClientSettings::default()), Buffer::new());
    client.send_headers(&head, true, &mut out).unwrap();
    assert_eq!(text(&out), "GET / HTTP/1.1\\r\\nhost: \\r\\n\\r\\n");
}

#[test]
fn nothing_can_be_injected() {
    let evil = headers(&[
        ("ok", "1"),
        ("a", "x\r\ny: z"),
        ("b", "x\ny: z"),
        ("c", "x\ry: z"),
        ("d", "x\0"),
        ("e\r\nf", "x"),
        ("g:", "x"),
        ("h i", "x"),
        ("", "x"),
        (":unknown", "x"),
        ("fine", "\u{e9}\t"),
    ]);
    let mut server = server(ServerSettings { enable_trailers: true, ..ServerSettings::default() }, GET);
    let head = ResponseHead { version: Version::Http11, status: 200, headers: evil.clone() };
    let mut out = Buffer::new();
    server.send_headers(&head, false, &mut out);
    server.send_trailers(&evil, &mut out);
    assert_eq!(
        String::from_utf8(out.to_vec()).unwrap(),
        "HTTP/1.1 200 OK\r\nok: 1\r\nfine: \u{e9}\t\r\ntransfer-encoding: chunked\r\n\r\n0\r\nok: 1\r\nfine: \u{e9}\t\r\n\r\n"
    );
    let mut head = request("GET", "/", &[]);
    for header in evil.iter() {
        head.headers.append(header.name, header.value);
    }
    head.headers.append(b"upgrade", b"x\r\ny: z");
    let (mut client, mut out) = (Client::new(ClientSettings::default()), Buffer::new());
    client.send_headers(&head, true, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out.to_vec()).unwrap(),
        "GET / HTTP/1.1\r\nhost: a\r\nok: 1\r\nfine: \u{e9}\t\r\n\r\n"
    );
}

#[test]
fn header_case() {
    let map = |spelling| {
        let mut map = HeaderMap::new();
        map.set_spelling(spelling);
        map.append(b":method", b"POST");
        map.append(b":path", b"/");
        map.append_authority_cased(b"HosT", b"a");
        map.append(b"x-foo_bar.baz9q", b"1");
        map.append_cased(b"x-CASED", b"2");
        map.append_cased(b"Content-LENGTH", b"0");
        map
    };
    let (free, kept, proper) = (Spelling::Free, Spelling::Kept, Spelling::KeptElseProper);
    let all_lower = "host: a\r\nx-foo_bar.baz9q: 1\r\nx-cased: 2\r\ncontent-length: 0\r\n\r\n";
    let all_proper = "Host: a\r\nX-Foo_Bar.Baz9q: 1\r\nX-Cased: 2\r\nContent-Length: 0\r\n\r\n";
    let all_kept = "HosT: a\r\nx-foo_bar.baz9q: 1\r\nx-CASED: 2\r\nContent-LENGTH: 0\r\n\r\n";
    let rest_proper = "HosT: a\r\nX-Foo_Bar.Baz9q: 1\r\nx-CASED: 2\r\nContent-LENGTH: 0\r\n\r\n";
    // A spelling that was kept wins, as in Envoy, and one that was not is not made up.
    let cases = [
        (HeaderCase::Lower, free, all_lower),
        (HeaderCase::Proper, free, all_proper),
        (HeaderCase::Preserve, free, all_lower),
        (HeaderCase::PreserveElseProper, free, all_lower),
        (HeaderCase::Lower, kept, all_kept),
        (HeaderCase::Proper, kept, all_kept),
        (HeaderCase::Preserve, kept, all_kept),
        (HeaderCase::Lower, proper, rest_proper),
        (HeaderCase::Proper, proper, rest_proper),
    ];
    for (header_case, spelling, expected) in cases {
        let headers = map(spelling);
        let head = RequestHead { version: Version::Http11, method: nuncio_codec::Method::Post, headers };
        let settings = ClientSettings { header_case, ..ClientSettings::default() };
        let (mut client, mut out) = (Client::new(settings), Buffer::new());
        client.send_headers(&head, true, &mut out).unwrap();
        assert_eq!(String::from_utf8(out.to_vec()).unwrap(), format!("POST / HTTP/1.1\r\n{expected}"));
    }
    let settings = ServerSettings { header_case: HeaderCase::Proper, ..ServerSettings::default() };
    let mut server = server(settings, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    let wire = respond(&mut server, &response(200, &[]), Body::Data(&[""]));
    assert_eq!(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n");
}

#[test]
fn long_heads() {
    // Longer than what is collected on the stack, with pieces longer than that too.
    let (long, longer) = ("v".repeat(300), "w".repeat(5000));
    let list: Vec<_> = (0..9)
        .map(|index| (if index == 4 { "b" } else { "a" }, if index == 4 { &*longer } else { &*long }))
        .collect();
    let mut server = server(ServerSettings::default(), GET);
    let wire = respond(&mut server, &response(200, &list), Body::None);
    let fields: String = list.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    assert_eq!(wire, format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n"));
}

#[test]
fn hop_by_hop_fields() {
    type List<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(List<'_>, bool, List<'_>)] = &[
        (&[("a", "b")], false, &[("a", "b")]),
        (
            &[
                ("connection", "keep-alive"),
                ("keep-alive", "5"),
                ("proxy-connection", "x"),
                ("transfer-encoding", "chunked"),
                ("a", "b"),
            ],
            false,
            &[("a", "b")],
        ),
        (
            &[
                ("connection", "Foo , close,,BAR"),
                ("foo", "1"),
                ("connection", "baz"),
                ("bar", "2"),
                ("baz", "3"),
                ("qux", "4"),
            ],
            false,
            &[("qux", "4")],
        ),
        (
            &[
                ("connection", "content-length, Host, :path, te, transfer-encoding"),
                (":path", "/"),
                ("content-length", "5"),
                ("host", "a"),
            ],
            false,
            &[(":path", "/"), ("content-length", "5"), ("host", "a")],
        ),
        (&[("connection", "cookie, authorization"), ("cookie", "1"), ("authorization", "2")], false, &[]),
        (&[("connection", "upgrade"), ("upgrade", "websocket")], false, &[]),
        (&[("connection", "upgrade"), ("upgrade", "websocket")], true, &[("upgrade", "websocket")]),
        (&[("te", "trailers")], false, &[("te", "trailers")]),
        (&[("te", "gzip, Trailers")], false, &[("te", "trailers")]),
        (&[("te", "gzip"), ("te", "trailers")], false, &[("te", "trailers")]),
        (&[("te", "gzip")], false, &[]),
        (&[("te", "trailers;q=1")], false, &[]),
        (&[("trailer", "x"), ("expect", "y")], false, &[("trailer", "x"), ("expect", "y")]),
    ];
    for (list, keep_upgrade, expected) in cases {
        let mut map = headers(list);
        strip_hop_by_hop(&mut map, *keep_upgrade);
        assert_eq!(h1_support::fields(&map), h1_support::fields(&headers(expected)), "{list:?}");
    }
    // A list that does not fit the stack.
    let long = format!("{}foo", "x, ".repeat(500));
    let mut map = headers(&[("connection", &long), ("foo", "1"), ("bar", "2")]);
    strip_hop_by_hop(&mut map, false);
    assert_eq!(h1_support::fields(&map), " [bar=2]");

    assert!(expects_continue(&headers(&[("expect", "100-Continue")])));
    assert!(!expects_continue(&headers(&[("expect", "something")])));
    assert!(!expects_continue(&headers(&[])));
}

#[test]
fn an_idle_codec_is_small() {
    assert!(size_of::<Server>() <= 96, "{}", size_of::<Server>());
    assert!(size_of::<Client>() <= 96, "{}", size_of::<Client>());
}

#[test]
fn received_fields_are_sent_on_in_one_form() {
    let wire = "POST /a HTTP/1.1\r\nX-First: 1\r\nHost: a\r\nx-tight:2\r\nX-Wide:   3  \r\nX-Empty:\r\nX-Empty-Too: \r\n\
                Connection: x-gone, keep-alive\r\nX-Gone: 4\r\nContent-Length: 0\r\nCookie: a=1; b\r\nX-Utf: \u{e9}\r\n\
                A-Very-Long-Name-That-Is-Not-Known-At-All: 5\r\nVia: 1\r\nvia: 2\r\n\r\n";
    let (mut server, mut input) = (Server::new(ServerSettings::default()), Buffer::new());
    input.append(wire.as_bytes());
    let Ok(Some(RequestEvent::Headers { mut head, .. })) = server.poll(&mut input) else {
        panic!("a request")
    };
    let send = |head: &RequestHead| {
        let mut out = Buffer::new();
        Client::new(ClientSettings::default()).send_headers(head, true, &mut out).expect("it can be sent");
        String::from_utf8(out.to_vec()).expect("UTF-8")
    };
    strip_hop_by_hop(&mut head.headers, false);
    let rest = "cookie: a=1; b\r\nx-utf: \u{e9}\r\na-very-long-name-that-is-not-known-at-all: 5\r\n";
    assert_eq!(
        send(&head),
        format!(
            "POST /a HTTP/1.1\r\nhost: a\r\nx-first: 1\r\nx-tight: 2\r\nx-wide: 3\r\nx-empty: \r\nx-empty-too: \r\n\
             content-length: 0\r\n{rest}via: 1\r\nvia: 2\r\n\r\n"
        )
    );
    // What is changed stands where it stood, and nothing of what was there before is left.
    head.headers.set(nuncio_codec::HeaderId::VIA, b"3");
    head.headers.set(nuncio_codec::HeaderId::CONTENT_LENGTH, b"00");
    head.headers.remove_name(b"x-empty");
    head.headers.append(b"X-Last", b"6");
    assert_eq!(
        send(&head),
        format!(
            "POST /a HTTP/1.1\r\nhost: a\r\nx-first: 1\r\nx-tight: 2\r\nx-wide: 3\r\nx-empty-too: \r\n\
             content-length: 0\r\n{rest}via: 3\r\nx-last: 6\r\n\r\n"
        )
    );
}
