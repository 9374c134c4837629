//! RFC 9113 section 8: HTTP in HTTP/2. All on stream 1, so that errors are those of stream 1 where they end no
//! connection.

use crate::Expect::{Connection, Error, Status};
use crate::*;

/// A request with more fields.
fn more(p: &mut Peer, fields: Fields<'_>) {
    fields_of(p, &[&GET[..], fields].concat());
}

/// A request of just these fields.
fn fields_of(p: &mut Peer, fields: Fields<'_>) {
    start(p);
    p.headers(1, fields, true);
}

fn post(p: &mut Peer, fields: Fields<'_>) {
    start(p);
    p.headers(1, &[&POST[..], fields].concat(), false);
}

const METHOD: (&str, &str) = GET[0];
const SCHEME: (&str, &str) = GET[1];
const PATH: (&str, &str) = GET[2];
const AUTHORITY: (&str, &str) = GET[3];

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    vec![
        ("8.1", "GET", |p| fields_of(p, &GET), Status(1, 200)),
        ("8.1", "HEAD", |p| fields_of(p, &request("HEAD", "/")), Status(1, 200)),
        ("8.1", "POST", |p| { post(p, &[]); p.data(1, b"test", true); }, Status(1, 200)),
        ("8.1", "POST with trailers", |p| { post(p, &[("trailer", "x-test")]); p.data(1, b"test", false); p.headers(1, &[("x-test", "ok")], true); }, Status(1, 200)),
        ("8.1", "trailers right behind the head", |p| { post(p, &[]); p.headers(1, &[("x-test", "ok")], true); }, Status(1, 200)),
        ("8.1", "HEADERS that neither begin nor end", |p| { post(p, &[]); p.data(1, b"test", false); p.headers(1, &[("x-test", "ok")], false); }, Connection(PROTOCOL)),
        ("8.1", "a second head", |p| { post(p, &[]); p.headers(1, &POST, false); }, Connection(PROTOCOL)),
        ("8.2", "an upper-case name", |p| more(p, &[("X-TEST", "ok")]), Connection(PROTOCOL)),
        ("8.2.1", "a name with a blank", |p| more(p, &[("x test", "ok")]), Connection(PROTOCOL)),
        ("8.2.1", "a name with a colon in it", |p| more(p, &[("x:test", "ok")]), Connection(PROTOCOL)),
        ("8.2.1", "an empty name", |p| more(p, &[("", "ok")]), Connection(PROTOCOL)),
        ("8.2.1", "a name beyond ASCII", |p| more(p, &[("x-\u{e4}", "ok")]), Connection(PROTOCOL)),
        ("8.2.1", "a value with a line feed", |p| more(p, &[("x", "a\nb")]), Connection(PROTOCOL)),
        ("8.2.1", "a value with a carriage return", |p| more(p, &[("x", "a\rb")]), Connection(PROTOCOL)),
        ("8.2.1", "a value with NUL", |p| more(p, &[("x", "a\0b")]), Connection(PROTOCOL)),
        ("8.2.1", "a path with a line feed", |p| fields_of(p, &request("GET", "/ HTTP/1.1\r\nhost: x\r\n\r\n")), Connection(PROTOCOL)),
        ("8.2.1", "a method with a blank", |p| fields_of(p, &request("GET /x", "/")), Connection(PROTOCOL)),
        ("8.2.2", "connection", |p| more(p, &[("connection", "keep-alive")]), Connection(PROTOCOL)),
        ("8.2.2", "keep-alive", |p| more(p, &[("keep-alive", "3")]), Connection(PROTOCOL)),
        ("8.2.2", "proxy-connection", |p| more(p, &[("proxy-connection", "close")]), Connection(PROTOCOL)),
        ("8.2.2", "transfer-encoding", |p| more(p, &[("transfer-encoding", "chunked")]), Connection(PROTOCOL)),
        ("8.2.2", "upgrade", |p| more(p, &[("upgrade", "h2c")]), Connection(PROTOCOL)),
        ("8.2.2", "te of something else than trailers", |p| more(p, &[("te", "trailers, deflate")]), Connection(PROTOCOL)),
        ("8.2.2", "te of trailers", |p| more(p, &[("te", "trailers")]), Status(1, 200)),
        ("8.2.3", "crumbs of a cookie", |p| more(p, &[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]), Status(1, 200)),
        ("8.3", "an unknown pseudo-header", |p| more(p, &[(":test", "ok")]), Connection(PROTOCOL)),
        ("8.3", "an unknown pseudo-header before the others", |p| fields_of(p, &[&[(":test", "ok")][..], &GET].concat()), Connection(PROTOCOL)),
        ("8.3", "the pseudo-header of responses", |p| fields_of(p, &[&GET[..], &[(":status", "200")]].concat()), Connection(PROTOCOL)),
        ("8.3", "a pseudo-header in trailers", |p| { post(p, &[]); p.data(1, b"test", false); p.headers(1, &[(":method", "GET")], true); }, Connection(PROTOCOL)),
        ("8.3", "a pseudo-header behind a field", |p| fields_of(p, &[METHOD, SCHEME, AUTHORITY, ("x-test", "ok"), PATH]), Connection(PROTOCOL)),
        ("8.3.1", "an empty path", |p| fields_of(p, &request("GET", "")), Connection(PROTOCOL)),
        ("8.3.1", "no method", |p| fields_of(p, &[SCHEME, PATH, AUTHORITY]), Connection(PROTOCOL)),
        ("8.3.1", "no scheme", |p| fields_of(p, &[METHOD, PATH, AUTHORITY]), Connection(PROTOCOL)),
        ("8.3.1", "no path", |p| fields_of(p, &[METHOD, SCHEME, AUTHORITY]), Connection(PROTOCOL)),
        ("8.3.1", "two methods", |p| fields_of(p, &[METHOD, METHOD, SCHEME, PATH, AUTHORITY]), Connection(PROTOCOL)),
        ("8.3.1", "two schemes", |p| fields_of(p, &[METHOD, SCHEME, SCHEME, PATH, AUTHORITY]), Connection(PROTOCOL)),
        ("8.3.1", "two paths", |p| fields_of(p, &[METHOD, SCHEME, PATH, PATH, AUTHORITY]), Connection(PROTOCOL)),
        ("8.3.1", "two authorities", |p| fields_of(p, &[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY]), Connection(PROTOCOL)),
        ("8.3.1", "a path that is none", |p| fields_of(p, &request("GET", "x")), Connection(PROTOCOL)),
        ("8.3.1", "the asterisk of OPTIONS", |p| fields_of(p, &request("OPTIONS", "*")), Status(1, 404)),
        ("8.3.1", "the asterisk of another method", |p| fields_of(p, &request("GET", "*")), Connection(PROTOCOL)),
        ("8.3.1", "an authority with user information", |p| fields_of(p, &[METHOD, SCHEME, PATH, (":authority", "me@test")]), Connection(PROTOCOL)),
        ("8.3.1", "a host instead of an authority", |p| fields_of(p, &[METHOD, SCHEME, PATH, ("host", "test")]), Status(1, 200)),
        ("8.1.1", "more DATA than content-length says", |p| { post(p, &[("content-length", "1")]); p.data(1, b"test", true); }, Error(1, PROTOCOL)),
        ("8.1.1", "less DATA than content-length says", |p| { post(p, &[("content-length", "9")]); p.data(1, b"test", true); }, Error(1, PROTOCOL)),
        ("8.1.1", "more DATA in several frames", |p| { post(p, &[("content-length", "1")]); p.data(1, b"te", false); p.data(1, b"st", true); }, Error(1, PROTOCOL)),
        ("8.1.1", "no DATA, but a content-length", |p| more(p, &[("content-length", "4")]), Connection(PROTOCOL)),
        ("8.1.1", "trailers before all of the DATA", |p| { post(p, &[("content-length", "9")]); p.data(1, b"test", false); p.headers(1, &[("x", "y")], true); }, Error(1, PROTOCOL)),
        ("8.1.1", "two lengths", |p| { post(p, &[("content-length", "4"), ("content-length", "5")]); p.data(1, b"test", true); }, Connection(PROTOCOL)),
        ("8.1.1", "a content-length that is none", |p| { post(p, &[("content-length", "+4")]); p.data(1, b"test", true); }, Connection(PROTOCOL)),
        ("8.1.1", "all DATA that content-length says", |p| { post(p, &[("content-length", "4")]); p.data(1, b"te", false); p.data(1, b"st", true); }, Status(1, 200)),
        ("8.5", "CONNECT with a path", |p| fields_of(p, &[(":method", "CONNECT"), PATH, (":authority", "test:80")]), Connection(PROTOCOL)),
        ("8.5", "CONNECT with a scheme", |p| fields_of(p, &[(":method", "CONNECT"), SCHEME, (":authority", "test:80")]), Connection(PROTOCOL)),
        ("8.5", "CONNECT without an authority", |p| fields_of(p, &[(":method", "CONNECT")]), Connection(PROTOCOL)),
        ("RFC 8441", ":protocol where that was not offered", |p| fields_of(p, &[(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY]), Connection(PROTOCOL)),
    ]
}
