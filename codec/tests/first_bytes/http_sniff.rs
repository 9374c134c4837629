//! Which protocols pass for HTTP.

use super::h1_support::Cut;
use super::support::{every_way, feed, http as look};
use nuncio_codec::http_sniff::MAX_LINE;

#[test]
fn request_lines_prefaces_and_others() {
    let rows: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n", "Http11"),
        (b"GET / HTTP/1.1\n", "Http11"),
        (b"GET / HTTP/1.1\r\r\nhost: a", "Http11"),
        (b"GET  /  HTTP/1.1\r\n", "Http11"),
        (b"GET\t/ HTTP/1.1 \r\n", "Http11"),
        (b"foo / HTTP/1.1\r\n", "Http11"),
        (b"GET http://a/ HTTP/1.1\r\n", "Http11"),
        (b"CONNECT a:1 HTTP/1.1\r\n", "Http11"),
        (b"OPTIONS * HTTP/1.1\r\n", "Http11"),
        (b"PRI * HTTP/1.1\r\n", "Http11"),
        (b"GET / HTTP/1.0\r\n", "Http10"),
        (b"GET / HTTP/0.9\r\n", "Http10"),
        (b"GET / HTTP/2.0\r\n", "Http10"),
        (b"GET / HTTP/1.2\r\n", "Http10"),
        (b"GET /\r\n", "Http10"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04", "Http2"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\nxx\r\n", "Http10"),
        (b"GET / http/1.1\r\n", "Other"),
        (b"GET / HTTP/11\r\n", "Other"),
        (b"GET / HTTP/1.1\0\r\n", "Other"),
        (b"GET / HTTP/1.1 x\r\n", "Other"),
        (b"GET /a b HTTP/1.1\r\n", "Other"),
        (b"GET / FOO\r\n", "Other"),
        (b"GET foo HTTP/1.1\r\n", "Other"),
        (b"GET\r\n", "Other"),
        (b"GET \r\n", "Other"),
        (b" GET / HTTP/1.1\r\n", "Other"),
        (b"\r\nGET / HTTP/1.1\r\n", "Other"),
        (b"\nGET / HTTP/1.1\r\n", "Other"),
        (b"F@O / HTTP/1.1\r\n", "Other"),
        (b"HTTP/1.1 200 OK\r\n", "Other"),
        (b"SSH-2.0-OpenSSH_9\r\n", "Other"),
        (b"EHLO foo\r\n", "Other"),
        (b"*1\r\n$4\r\nPING\r\n", "Other"),
        (b"\x16\x03\x01\0\x05hello", "Other"),
        (b"\0\0\0\x10\x04\xd2\x16\x2f", "Other"),
        (b"GET /\xff HTTP/1.1", "Other"),
        (b"PRI * HTTP/2.0\r\n", "more"),
        (b"GET / HTT", "more"),
        (b"hello", "more"),
        (b"P", "more"),
        (b"", "more"),
    ];
    for (wire, wanted) in rows {
        assert_eq!(every_way(wire, look), *wanted, "{}", wire.escape_ascii());
    }
}

#[test]
fn what_can_be_no_request_line_is_known_at_once() {
    for (wire, wanted) in [
        (&b"\x16\x03\x01\0\x05hello"[..], 1),
        (b"GET /\xff HTTP/1.1\r\n", 6),
        (b"A:B", 2),
        (b"PRI * HTTQ\n", 11),
    ] {
        let (answer, given) = feed(wire, Cut::Bytes, look());
        assert_eq!((&answer[..], given), ("Other", wanted), "{}", wire.escape_ascii());
    }
}

#[test]
fn a_line_without_end_is_given_up() {
    let line = [&b"GET /"[..], &vec![b'a'; MAX_LINE]].concat();
    assert_eq!(every_way(&line[..MAX_LINE - 1], look), "more");
    assert_eq!(every_way(&line[..MAX_LINE], look), "TooLong");
    assert_eq!(every_way(&[&line[..MAX_LINE], b"\n"].concat(), look), "TooLong");
}
