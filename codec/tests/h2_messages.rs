//! HTTP messages over HTTP/2 (RFC 9113 section 8): what is taken, what is refused and how, what is written.

mod h2_support;

use h2_support::*;
use nuncio_codec::{
    Buffer, HeaderId, HeaderMap, Method,
    h2::{Code, Event, OpenError, Settings, hpack},
};

fn lenient() -> Settings {
    Settings { stream_error_on_invalid_http_messaging: true, ..Settings::default() }
}

const FIELD: &str = "Malformed(Field)";
const RULE: &str = "Malformed(Messaging)";

#[test]
fn requests() {
    let long = "x".repeat(1000);
    let long_text = format!("[x-long={long}]");
    type Case<'a> = (Vec<(&'a str, &'a str)>, Result<&'a str, &'a str>);
    let cases: Vec<Case<'_>> = vec![
        (GET.to_vec(), Ok("[:method=GET] [:scheme=http] [:authority=a] [:path=/]")),
        (with(&GET, &[("x-a", "1"), ("x-a", "2")]), Ok("[x-a=1] [x-a=2]")),
        (with(&GET, &[("x-long", &long)]), Ok(&long_text)),
        (with(&GET, &[("x", "")]), Ok("[x=]")),
        (with(&GET, &[("x", "caf\u{e9}\tx")]), Ok("[x=caf\\xe9\\tx]")),
        (with(&GET, &[("te", "trailers")]), Ok("[te=trailers]")),
        (with(&GET, &[("te", "Trailers")]), Ok("[te=Trailers]")),
        (with(&GET, &[("content-length", "0")]), Ok("[content-length=0]")),
        (with(&GET, &[("content-length", "00")]), Ok("[content-length=0]")),
        (with(&GET, &[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")]), Ok("[cookie=a=b; c=d] [x=y]")),
        (with(&GET, &[("cookie", "a=b")]), Ok("[cookie=a=b]")),
        (with(&GET, &[("host", "other")]), Ok("[:authority=a] [:path=/]")),
        (with(&GET[..2], &[GET[3], ("host", "b:80"), ("x", "y")]), Ok("[:path=/] [x=y] [:authority=b:80]")),
        (vec![GET[3], GET[2], GET[1], GET[0]], Ok("[:path=/] [:authority=a] [:scheme=http] [:method=GET]")),
        (vec![(":method", "FOO"), GET[1], GET[2], GET[3]], Ok("[:method=FOO]")),
        (vec![GET[0], (":scheme", "ftp+x"), GET[2], GET[3]], Ok("[:scheme=ftp+x]")),
        (with(&GET[..3], &[(":path", "/a?b=c#d\"<>{}|")]), Ok("[:path=/a?b=c#d\\\"<>{}|]")),
        (vec![(":method", "OPTIONS"), GET[1], GET[2], (":path", "*")], Ok("[:path=*]")),
        (vec![(":method", "CONNECT"), (":authority", "a:80")], Ok("[:method=CONNECT] [:authority=a:80]")),
        (vec![GET[0], GET[1], (":authority", "[::1]:80"), GET[3]], Ok("[:authority=[::1]:80]")),
        // Names and values.
        (with(&GET, &[("X-Up", "a")]), Err(FIELD)),
        (with(&GET, &[("x y", "a")]), Err(FIELD)),
        (with(&GET, &[("x:", "a")]), Err(FIELD)),
        (with(&GET, &[("caf\u{e9}", "a")]), Err(FIELD)),
        (with(&GET, &[("x\0", "a")]), Err(FIELD)),
        (with(&GET, &[("", "a")]), Err(FIELD)),
        (with(&GET, &[("x", "a\r\nb: c")]), Err(FIELD)),
        (with(&GET, &[("x", "a\nb")]), Err(FIELD)),
        (with(&GET, &[("x", "a\rb")]), Err(FIELD)),
        (with(&GET, &[("x", "a\0b")]), Err(FIELD)),
        (with(&GET, &[("x", "a\u{1}b")]), Err(FIELD)),
        (with(&GET, &[("x", "a\u{7f}b")]), Err(FIELD)),
        (with(&GET, &[("x", " a")]), Err(FIELD)),
        (with(&GET, &[("x", "a ")]), Err(FIELD)),
        (with(&GET, &[("x", "\ta")]), Err(FIELD)),
        (with(&GET, &[("x", "a\t")]), Err(FIELD)),
        // Fields of connections.
        (with(&GET, &[("connection", "close")]), Err(FIELD)),
        (with(&GET, &[("keep-alive", "1")]), Err(FIELD)),
        (with(&GET, &[("proxy-connection", "close")]), Err(FIELD)),
        (with(&GET, &[("transfer-encoding", "chunked")]), Err(FIELD)),
        (with(&GET, &[("upgrade", "websocket")]), Err(FIELD)),
        (with(&GET, &[("te", "gzip")]), Err(FIELD)),
        (with(&GET, &[("te", "trailers, gzip")]), Err(FIELD)),
        (with(&GET, &[("te", "")]), Err(FIELD)),
        // Pseudo-headers.
        (with(&GET, &[(":method", "GET")]), Err(FIELD)),
        (with(&GET, &[(":path", "/")]), Err(FIELD)),
        (with(&GET[..3], &[("x", "y"), GET[3]]), Err(FIELD)),
        (with(&GET, &[(":status", "200")]), Err(FIELD)),
        (with(&GET, &[(":unknown", "1")]), Err(FIELD)),
        (with(&GET, &[(":", "1")]), Err(FIELD)),
        (with(&GET, &[(":Method", "GET")]), Err(FIELD)),
        (GET[1..].to_vec(), Err(RULE)),
        (vec![GET[0], GET[2], GET[3]], Err(RULE)),
        (vec![GET[0], GET[1], GET[3]], Err(RULE)),
        (GET[..3].to_vec(), Err(RULE)),
        (vec![], Err(RULE)),
        (with(&GET[..3], &[(":path", "")]), Err(FIELD)),
        (with(&GET[..3], &[(":path", "x")]), Err(RULE)),
        (with(&GET[..3], &[(":path", "*")]), Err(RULE)),
        (with(&GET[..3], &[(":path", "http://a/")]), Err(RULE)),
        (with(&GET[..3], &[(":path", "/a b")]), Err(FIELD)),
        (with(&GET[..3], &[(":path", "/\u{e9}")]), Err(FIELD)),
        (vec![(":method", ""), GET[1], GET[2], GET[3]], Err(FIELD)),
        (vec![(":method", "G ET"), GET[1], GET[2], GET[3]], Err(FIELD)),
        (vec![GET[0], (":scheme", ""), GET[2], GET[3]], Err(FIELD)),
        (vec![GET[0], (":scheme", "h:"), GET[2], GET[3]], Err(FIELD)),
        (vec![GET[0], (":scheme", "1http"), GET[2], GET[3]], Err(FIELD)),
        (vec![GET[0], GET[1], (":authority", ""), GET[3]], Err(FIELD)),
        (vec![GET[0], GET[1], (":authority", "u@a"), GET[3]], Err(FIELD)),
        (vec![GET[0], GET[1], (":authority", "a b"), GET[3]], Err(FIELD)),
        (vec![GET[0], GET[1], (":authority", "a/b"), GET[3]], Err(FIELD)),
        (with(&GET, &[("host", "a"), ("host", "a")]), Err(FIELD)),
        (with(&GET, &[("host", "a b")]), Err(FIELD)),
        (with(&GET[..2], &[GET[3], ("host", "")]), Err(RULE)),
        (vec![(":method", "CONNECT")], Err(RULE)),
        (vec![(":method", "CONNECT"), ("host", "a:80")], Err(RULE)),
        (vec![(":method", "CONNECT"), (":authority", "a")], Err(FIELD)),
        (vec![(":method", "CONNECT"), (":authority", "a:80"), (":path", "/")], Err(RULE)),
        (vec![(":method", "CONNECT"), (":authority", "a:80"), (":scheme", "http")], Err(RULE)),
        (with(&GET, &[(":protocol", "websocket")]), Err(FIELD)),
        // Lengths.
        (with(&GET, &[("content-length", "5")]), Err(RULE)),
        (with(&GET, &[("content-length", "x")]), Err(FIELD)),
        (with(&GET, &[("content-length", "")]), Err(FIELD)),
        (with(&GET, &[("content-length", "-1")]), Err(FIELD)),
        (with(&GET, &[("content-length", "+0")]), Err(FIELD)),
        (with(&GET, &[("content-length", "0,0")]), Err(FIELD)),
        (with(&GET, &[("content-length", "0"), ("content-length", "0")]), Err(FIELD)),
        (with(&GET, &[("content-length", "18446744073709551616")]), Err(FIELD)),
    ];
    for (fields, expected) in cases {
        let wire = frame(HEADERS, WHOLE, 1, &block(&fields));
        let mut rig = ServerRig::server(lenient());
        let lines = rig.feed(&[wire.clone(), get(3)].concat());
        let details = match expected {
            Ok(text) => {
                assert!(lines[0].contains(text) && lines[0].ends_with(" end"), "{fields:?}: {lines:?}");
                assert_eq!(rig.written(), [""; 0]);
                continue;
            }
            Err(cause) => {
                assert_eq!(lines[0], format!("1 refused: {cause}"), "{fields:?}");
                if cause == FIELD {
                    "http2.invalid.header.field"
                } else {
                    "http2.violation.of.messaging.rule"
                }
            }
        };
        // The connection goes on, and the table is what it should be.
        assert!(lines[1].starts_with("3 "), "{lines:?}");
        assert_eq!(rig.written(), ["RST_STREAM 1 PROTOCOL_ERROR"]);
        assert_eq!(rig.codec.take_counters().rx_messaging_error, 1);
        // Without the option it is the connection that ends.
        let mut rig = ServerRig::server(Settings::default());
        let mut input = Buffer::from(&wire[..]);
        let error = rig.codec.poll(&mut input, &mut rig.out).expect_err("it is malformed");
        assert_eq!((error.code(), error.details()), (Code::PROTOCOL_ERROR, details));
        assert_eq!(rig.codec.offender().map(|id| id.get()), Some(1));
        assert_eq!(rig.written(), ["GOAWAY 1 PROTOCOL_ERROR"]);
    }
}

#[test]
fn extended_connect() {
    let connect = [(":method", "CONNECT"), (":protocol", "websocket"), GET[1], GET[2], GET[3]];
    let settings = Settings { allow_connect: true, ..lenient() };
    let without =
        |name: &str| connect.iter().copied().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    for (fields, expected) in [
        (
            connect.to_vec(),
            "1 [:method=CONNECT] [:protocol=websocket] [:scheme=http] [:authority=a] [:path=/]",
        ),
        (without(":path"), "1 refused: Malformed(Messaging)"),
        (without(":scheme"), "1 refused: Malformed(Messaging)"),
        (without(":authority"), "1 refused: Malformed(Messaging)"),
        (with(&GET, &[(":protocol", "websocket")]), "1 refused: Malformed(Messaging)"),
        (with(&connect, &[(":protocol", "websocket")]), "1 refused: Malformed(Field)"),
    ] {
        let mut rig = ServerRig::server(settings);
        assert_eq!(rig.feed(&frame(HEADERS, END_HEADERS, 1, &block(&fields))), [expected]);
    }
    // A tunnel: either side may end before the other; 101 is no status of HTTP/2.
    let mut rig = ServerRig::server(settings);
    rig.feed(&frame(HEADERS, END_HEADERS, 1, &block(&connect)));
    let id = id(&rig, 1);
    rig.codec.send_headers(id, &response(101, &[("upgrade", "websocket")]), false, &mut rig.out);
    rig.codec.send_data(id, &mut Buffer::from(&b"hi"[..]), true, &mut rig.out);
    assert_eq!(rig.written(), ["HEADERS 1 [:status=200]", "DATA 1 hi end"]);
    assert_eq!(rig.feed(&data(1, b"bye", true)), ["1 data bye end"]);
    assert_eq!(rig.codec.live(), 0);
    // A client asks only where it may.
    let mut rig = ClientRig::client(Settings::default());
    let mut head = request("CONNECT", "a", &[]);
    for (name, value) in [(":protocol", "websocket"), (":path", "/"), (":scheme", "http")] {
        head.headers.append(name.as_bytes(), value.as_bytes());
    }
    let refused = rig.codec.open(&head, false, 0, &mut rig.out);
    assert_eq!(refused, Err(OpenError::NoExtendedConnect));
    rig.feed(&settings_frame(&[(8, 1)]));
    rig.out.clear();
    rig.codec.open(&head, false, 0, &mut rig.out).expect("now it may");
    assert_eq!(
        rig.written(),
        ["HEADERS 1 [:method=CONNECT] [:scheme=http] [:authority=a] [:path=/] [:protocol=websocket]"]
    );
}

fn settings_frame(list: &[(u16, u32)]) -> Vec<u8> {
    settings(list)
}

#[test]
fn bodies_are_as_long_as_announced() {
    let post =
        |length: &str| frame(HEADERS, END_HEADERS, 1, &block(&with(&POST, &[("content-length", length)])));
    let trailers = frame(HEADERS, WHOLE, 1, &block(&[("x", "y")]));
    let bad = "1 reset: PROTOCOL_ERROR Malformed(Messaging)";
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![post("3"), data(1, b"abc", true)], "1 data abc end"),
        (vec![post("3"), data(1, b"abc", false), data(1, b"", true)], "1 data  end"),
        (vec![post("3"), data(1, b"abc", false), trailers.clone()], "1 trailers [x=y]"),
        (vec![post("3"), frame(DATA, PADDED | 1, 1, b"\x02abc\0\0")], "1 data abc end"),
        (vec![post("0"), data(1, b"", true)], "1 data  end"),
        (vec![post("5"), data(1, b"abc", true)], bad),
        (vec![post("2"), data(1, b"abc", false)], bad),
        (vec![post("2"), data(1, b"ab", false), data(1, b"c", true)], bad),
        (vec![post("5"), data(1, b"abc", false), trailers.clone()], bad),
        (vec![post("5"), trailers], bad),
    ];
    for (wire, last) in cases {
        let mut rig = ServerRig::server(Settings::default());
        let lines = rig.feed(&wire.concat());
        assert_eq!(lines.last().map(String::as_str), Some(last), "{lines:?}");
        // Even without the option it is the stream that ends, as in Envoy.
        assert!(!rig.failed);
        assert_eq!(rig.written().is_empty(), last != bad);
    }
}

#[test]
fn trailers_of_requests() {
    for (fields, expected) in [
        (&[("x", "y"), ("grpc-status", "0")][..], "1 trailers [x=y] [grpc-status=0]"),
        (&[], "1 trailers"),
        // What no trailer section may have is dropped, as in HTTP/1.
        (&[("content-length", "5"), ("host", "a"), ("trailer", "x"), ("x", "y")], "1 trailers [x=y]"),
        (&[(":path", "/")], "1 reset: PROTOCOL_ERROR Malformed(Field)"),
        (&[("X", "y")], "1 reset: PROTOCOL_ERROR Malformed(Field)"),
        (&[("connection", "close")], "1 reset: PROTOCOL_ERROR Malformed(Field)"),
    ] {
        let mut rig = ServerRig::server(lenient());
        let wire = [post(1), frame(HEADERS, WHOLE, 1, &block(fields))].concat();
        assert_eq!(rig.feed(&wire).last().map(String::as_str), Some(expected));
    }
}

#[test]
fn responses() {
    type Case<'a> = (&'a str, Vec<Vec<u8>>, Vec<&'a str>);
    let head = |fields: &[(&str, &str)], end: bool| {
        frame(HEADERS, if end { WHOLE } else { END_HEADERS }, 1, &block(fields))
    };
    let field = "1 reset: PROTOCOL_ERROR Malformed(Field)";
    let rule = "1 reset: PROTOCOL_ERROR Malformed(Messaging)";
    let status = |status| [(":status", status)];
    let length = |status, length| [(":status", status), ("content-length", length)];
    let cases: Vec<Case<'_>> = vec![
        ("GET", vec![head(&OK, true)], vec!["1 200 end"]),
        ("GET", vec![head(&OK, false), data(1, b"a", true)], vec!["1 200", "1 data a end"]),
        (
            "GET",
            vec![head(&length("200", "1"), false), data(1, b"a", true)],
            vec!["1 200 [content-length=1]", "1 data a end"],
        ),
        ("GET", vec![head(&length("200", "1"), true)], vec![rule]),
        (
            "GET",
            vec![head(&length("200", "2"), false), data(1, b"a", true)],
            vec!["1 200 [content-length=2]", rule],
        ),
        ("GET", vec![head(&status("999"), true)], vec!["1 999 end"]),
        (
            "GET",
            vec![head(&status("103"), false), head(&status("100"), false), head(&OK, true)],
            vec!["1 ... 103", "1 ... 100", "1 200 end"],
        ),
        ("GET", vec![head(&status("100"), true)], vec![rule]),
        ("GET", vec![head(&status("101"), false)], vec![rule]),
        ("GET", vec![head(&status("99"), true)], vec![field]),
        ("GET", vec![head(&status("0200"), true)], vec![field]),
        ("GET", vec![head(&status("2x0"), true)], vec![field]),
        ("GET", vec![head(&status(""), true)], vec![field]),
        ("GET", vec![head(&[("x", "y")], true)], vec![rule]),
        ("GET", vec![head(&with(&OK, &OK), true)], vec![field]),
        ("GET", vec![head(&with(&[("x", "y")], &OK), true)], vec![field]),
        ("GET", vec![head(&with(&OK, &[(":path", "/")]), true)], vec![field]),
        ("GET", vec![head(&with(&OK, &[("connection", "close")]), true)], vec![field]),
        (
            "GET",
            vec![head(&with(&OK, &[("set-cookie", "a"), ("set-cookie", "b")]), true)],
            vec!["1 200 [set-cookie=a] [set-cookie=b] end"],
        ),
        ("GET", vec![head(&length("204", "0"), true)], vec!["1 204 end"]),
        ("GET", vec![head(&length("204", "1"), true)], vec![field]),
        ("GET", vec![head(&status("204"), false), data(1, b"a", true)], vec!["1 204", rule]),
        ("GET", vec![head(&length("304", "9"), true)], vec!["1 304 [content-length=9] end"]),
        ("GET", vec![head(&status("304"), false), data(1, b"a", true)], vec!["1 304", rule]),
        ("HEAD", vec![head(&length("200", "9"), true)], vec!["1 200 [content-length=9] end"]),
        (
            "HEAD",
            vec![head(&length("200", "9"), false), data(1, b"", true)],
            vec!["1 200 [content-length=9]", "1 data  end"],
        ),
        (
            "HEAD",
            vec![head(&length("200", "1"), false), data(1, b"a", true)],
            vec!["1 200 [content-length=1]", rule],
        ),
        (
            "CONNECT",
            vec![head(&length("200", "9"), false), data(1, b"a", true)],
            vec!["1 200", "1 data a end"],
        ),
        ("CONNECT", vec![head(&OK, false), head(&[("x", "y")], true)], vec!["1 200", rule]),
        (
            "CONNECT",
            vec![head(&status("403"), false), head(&[("x", "y")], true)],
            vec!["1 403", "1 trailers [x=y]"],
        ),
        (
            "GET",
            vec![head(&OK, false), data(1, b"a", false), head(&[("x", "y")], true)],
            vec!["1 200", "1 data a", "1 trailers [x=y]"],
        ),
        ("GET", vec![head(&OK, false), head(&[("x", "y")], false)], vec!["1 200", rule]),
        ("GET", vec![head(&OK, false), head(&OK, true)], vec!["1 200", field]),
    ];
    for (method, wire, expected) in cases {
        let mut rig = ClientRig::client(lenient());
        let target = if method == "CONNECT" { "a:80" } else { "/" };
        rig.codec
            .open(&request(method, target, &[]), method != "CONNECT", 0, &mut rig.out)
            .expect("capacity");
        rig.out.clear();
        let lines = rig.feed(&wire.concat());
        assert_eq!(lines, expected, "{method}");
        let reset = expected.last().is_some_and(|line| line.contains("reset"));
        assert_eq!(rig.written().is_empty(), !reset);
    }
    // A server that never comes to the point.
    let mut rig = ClientRig::client(lenient());
    rig.codec.open(&request("GET", "/", &[]), true, 0, &mut rig.out).expect("capacity");
    let lines = rig.feed(&head(&status("102"), false).repeat(101));
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (101, Some(rule)));
}

#[test]
fn what_is_too_large_can_be_answered() {
    let settings = Settings { max_headers_bytes: 200, max_headers_count: 10, ..Settings::default() };
    let long = "x".repeat(170);
    let many: Vec<_> = (0..8).map(|_| ("x", "y")).collect();
    let crumbs: Vec<_> = (0..20).map(|_| ("cookie", "a")).collect();
    for (more, expected) in [
        (vec![("x-long", &long[..])], "1 too large: http2.header_list_size_too_large"),
        (many[..7].to_vec(), "1 too large: http2.too_many_headers"),
        (many[..6].to_vec(), "1 ["),
        // They become one.
        (crumbs, "1 ["),
    ] {
        let mut rig = ServerRig::server(settings);
        let wire = frame(HEADERS, END_HEADERS, 1, &block(&with(&POST, &more)));
        let lines = rig.feed(&wire);
        assert!(lines[0].starts_with(expected), "{lines:?}");
        if expected.ends_with('[') {
            continue;
        }
        let counters = rig.codec.take_counters();
        let by_size = u32::from(expected.ends_with("header_list_size_too_large"));
        assert_eq!((counters.header_list_size_too_large, counters.header_overflow), (by_size, 1 - by_size));
        // What comes of the request is thrown away, and the window given back.
        assert_eq!(rig.feed(&data(1, b"body", false)), [""; 0]);
        rig.codec.send_headers(id(&rig, 1), &response(431, &[]), true, &mut rig.out);
        assert_eq!(rig.written(), ["HEADERS 1 [:status=431] end", "RST_STREAM 1 NO_ERROR"]);
        assert_eq!(rig.feed(&data(1, b"body", true)), [""; 0]);
        assert_eq!(rig.feed(&get(3)).len(), 1);
    }
    let mut rig = ServerRig::server(settings);
    let mut input = Buffer::from(&frame(HEADERS, WHOLE, 1, &block(&with(&GET, &[("x-long", &long)])))[..]);
    match rig.codec.poll(&mut input, &mut rig.out) {
        Ok(Some(Event::TooLarge { head, .. })) => {
            assert_eq!((head.method, head.path()), (Method::Get, &b"/"[..]));
        }
        other => panic!("{other:?}"),
    }
    // Trailers reset their stream, and so does a response.
    let mut rig = ServerRig::server(settings);
    let wire = [post(1), frame(HEADERS, WHOLE, 1, &block(&[("x-long", &long), ("x-long", &long)]))].concat();
    assert_eq!(rig.feed(&wire)[1], "1 reset: INTERNAL_ERROR HeadersTooLarge");
    let mut rig = ClientRig::client(settings);
    rig.codec.open(&request("GET", "/", &[]), true, 0, &mut rig.out).expect("capacity");
    let wire = frame(HEADERS, WHOLE, 1, &block(&with(&OK, &[("x-long", &long), ("x-long", &long)])));
    assert_eq!(rig.feed(&wire), ["1 reset: INTERNAL_ERROR HeadersTooLarge"]);
}

#[test]
fn what_belongs_to_other_connections_is_not_written() {
    let list = [
        ("connection", "x-hop"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("te", "gzip"),
        (":status", "500"),
        (":path", "/other"),
        ("x-bad", "a\r\nb"),
        ("bad name", "a"),
        ("x-blank", " a "),
        ("x-ok", "1"),
    ];
    let mut rig = ServerRig::server(Settings::default());
    rig.feed(&get(1));
    rig.codec.send_headers(id(&rig, 1), &response(200, &list), true, &mut rig.out);
    assert_eq!(rig.written(), ["HEADERS 1 [:status=200] [x-blank=a] [x-ok=1] end"]);
    let mut rig = ClientRig::client(Settings::default());
    let mut head = request("GET", "/", &list[..7]);
    head.headers.append(b"host", b"other");
    head.headers.append(b"te", b"trailers");
    rig.codec.open(&head, true, 0, &mut rig.out).expect("capacity");
    assert_eq!(
        rig.written(),
        ["HEADERS 1 [:method=GET] [:scheme=http] [:authority=a] [:path=/] [te=trailers] end"]
    );
    let mut trailers = headers(&list[..7]);
    trailers.append(b"content-length", b"5");
    let id = rig.codec.open(&request("POST", "/", &[]), false, 0, &mut rig.out).expect("capacity");
    rig.out.clear();
    rig.codec.send_trailers(id, &trailers, &mut rig.out);
    assert_eq!(rig.written(), ["DATA 3  end"]);
}

#[test]
fn requests_that_cannot_be_written() {
    let mut rig = ClientRig::client(Settings::default());
    let mut wrong = vec![
        request("GE T", "/", &[]),
        request("", "/", &[]),
        request("GET", "", &[]),
        request("GET", "/a b", &[]),
        request("GET", "/a\r\nb", &[]),
        request("GET", "/", &[(":protocol", "websocket")]),
        request("CONNECT", "", &[]),
    ];
    for (name, value) in [(HeaderId::AUTHORITY, "a\nb"), (HeaderId::AUTHORITY, ""), (HeaderId::SCHEME, "h\0")]
    {
        let mut head = request("GET", "/", &[]);
        head.headers.set(name, value.as_bytes());
        wrong.push(head);
    }
    let mut lying = request("CONNECT", "a:80", &[]);
    lying.method = Method::Get;
    wrong.push(lying);
    for head in wrong {
        let result = rig.codec.open(&head, true, 0, &mut rig.out);
        assert_eq!(result, Err(OpenError::InvalidRequest), "{head:?}");
    }
    assert_eq!((rig.written(), rig.codec.live()), (vec![], 0));
}

#[test]
fn responses_end_when_they_should() {
    let start = |method: &str, end: bool| {
        let mut rig = ServerRig::server(Settings::default());
        let fields = with(&[(":method", method)], &GET[1..]);
        rig.feed(&frame(HEADERS, if end { WHOLE } else { END_HEADERS }, 1, &block(&fields)));
        let id = id(&rig, 1);
        (rig, id)
    };
    // No body: whatever is handed over.
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let (mut rig, id) = start(method, true);
        rig.codec.send_headers(id, &response(status, &[("content-length", "5")]), false, &mut rig.out);
        let sent = rig.codec.send_data(id, &mut Buffer::from(&b"12345"[..]), true, &mut rig.out);
        assert_eq!((sent.queued, rig.codec.live()), (0, 0));
        assert_eq!(rig.written(), [format!("HEADERS 1 [:status={status}] [content-length=5] end")]);
    }
    // Before the request is complete: the client is told to stop.
    let (mut rig, early) = start("POST", false);
    rig.codec.send_headers(early, &response(413, &[]), false, &mut rig.out);
    rig.codec.send_data(early, &mut Buffer::from(&b"no"[..]), true, &mut rig.out);
    assert_eq!(rig.written(), ["HEADERS 1 [:status=413]", "DATA 1 no end", "RST_STREAM 1 NO_ERROR"]);
    assert_eq!((rig.feed(&data(1, b"more", true)), rig.written()), (vec![], vec![]));
    // Informational ones come before, only.
    let (mut rig, id) = start("GET", true);
    rig.codec.send_informational(id, &response(103, &[("link", "x")]), &mut rig.out);
    rig.codec.send_headers(id, &response(100, &[]), true, &mut rig.out);
    assert!(!rig.codec.response_started(id));
    rig.codec.send_informational(id, &response(101, &[]), &mut rig.out);
    rig.codec.send_headers(id, &response(200, &[]), false, &mut rig.out);
    rig.codec.send_informational(id, &response(103, &[]), &mut rig.out);
    rig.codec.send_headers(id, &response(500, &[]), false, &mut rig.out);
    rig.codec.send_trailers(id, &headers(&[("grpc-status", "0")]), &mut rig.out);
    rig.codec.send_data(id, &mut Buffer::from(&b"late"[..]), true, &mut rig.out);
    assert_eq!(
        rig.written(),
        [
            "HEADERS 1 [:status=103] [link=x]",
            "HEADERS 1 [:status=100]",
            "HEADERS 1 [:status=200]",
            "HEADERS 1 [grpc-status=0] end"
        ]
    );
}

#[test]
fn a_large_head_goes_in_pieces() {
    let long = "y".repeat(40_000);
    let mut rig = ServerRig::server(Settings::default());
    rig.feed(&get(1));
    rig.codec.send_headers(id(&rig, 1), &response(200, &[("x-long", &long)]), true, &mut rig.out);
    let list = frames(&rig.out.to_vec());
    let shape: Vec<_> =
        list.iter().map(|(kind, flags, stream, payload)| (*kind, *flags, *stream, payload.len())).collect();
    assert_eq!(&shape[..2], [(HEADERS, END_STREAM, 1, 16_384), (CONTINUATION, 0, 1, 16_384)]);
    assert_eq!((shape.len(), shape[2].0, shape[2].1), (3, CONTINUATION, END_HEADERS));
    let block: Vec<u8> = list.into_iter().flat_map(|(.., payload)| payload).collect();
    let (mut rest, mut scratch, mut decoder) = (&block[..], Vec::new(), hpack::Decoder::new());
    decoder.start();
    let mut map = HeaderMap::new();
    while let Some(field) = decoder.next(&mut rest, &mut scratch).expect("a block") {
        map.append(field.name, field.value);
    }
    assert_eq!(map.get_name(b"x-long"), Some(long.as_bytes()));
}

/// Never-indexed stays never-indexed (RFC 7541 section 6.2.3), from one connection to the other.
#[test]
fn secrets_are_passed_on_as_such() {
    let mut rig = ServerRig::server(Settings::default());
    let mut wire = block(&GET);
    wire.extend([0x10, 3]);
    wire.extend(b"x-k\x01v");
    let mut input = Buffer::from(&frame(HEADERS, WHOLE, 1, &wire)[..]);
    let Ok(Some(Event::Headers { head, .. })) = rig.codec.poll(&mut input, &mut rig.out) else {
        panic!("a head")
    };
    let mut rig = ClientRig::client(Settings::default());
    for _ in 0..2 {
        rig.codec.open(&head, true, 0, &mut rig.out).expect("capacity");
        let list = frames(&rig.out.to_vec());
        rig.out.clear();
        let (.., block) = &list[0];
        assert!(block.ends_with(b"\x10\x03x-k\x01v"), "{block:x?}");
    }
}
