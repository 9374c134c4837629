//! Requests that are malformed, ambiguous or just at the edge.

use Expect::{Refused, Rejected, Taken};

/// What must happen.
#[derive(Copy, Clone, Debug)]
pub enum Expect {
    /// The codec refuses it with this status and closes.
    Refused(u16),
    /// It is HTTP, but the connection manager refuses it; with true it closes too.
    Rejected(u16, bool),
    /// So many requests go upstream, each answered with 200.
    Taken(usize),
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\n";
/// What an attacker would like to be taken for a request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

pub fn requests() -> Vec<(&'static str, Vec<u8>, Expect)> {
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

/// What may say how long a body is, in the spellings that parsers have fallen for.
const LENGTHS: [&str; 20] = [
    "",
    "Content-Length: 5\r\n",
    "content-length:5\r\n",
    "Content-Length:\t5 \t\r\n",
    "Content-Length: 05\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5,5\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 0\r\nContent-Length: 5\r\n",
    "Content-Length : 5\r\n",
    "X: y\r\n Content-Length: 5\r\n",
    "Content-Length: \x0b5\r\n",
    "Content-Length: 5\0\r\n",
    "Content_Length: 5\r\n",
    "Content-Length: 5;x\r\n",
    "X: y\nContent-Length: 5\r\n",
    "X: y\rContent-Length: 5\r\n",
    "Connection: content-length\r\nContent-Length: 5\r\n",
    "Content-Length: 1e0\r\n",
];

const CODINGS: [&str; 27] = [
    "",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:CHUNKED\r\n",
    "Transfer-Encoding:\tchunked\t\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding: \x0cchunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: ,chunked\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: chunked;x\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked\0\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer_Encoding: chunked\r\n",
    "X: y\nTransfer-Encoding: chunked\r\n",
    "X: y\rTransfer-Encoding: chunked\r\n",
    "X: y\r\n\rTransfer-Encoding: chunked\r\n",
    "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
    "TE: chunked\r\n",
    "Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n",
    "Upgrade: h2c\r\nConnection: upgrade\r\n",
    "\u{a0}Transfer-Encoding: chunked\r\n",
];

const BODIES: [&str; 16] = [
    "",
    "hello",
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "005\r\nhello\r\n000\r\n\r\n",
    "5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5;\nxy\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\n\n",
    "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
];

/// Every combination of the spellings above, after what the table has.
pub fn all() -> Vec<Vec<u8>> {
    let mut cases: Vec<_> = requests().into_iter().map(|(_, bytes, _)| bytes).collect();
    for method in ["POST", "GET"] {
        for length in LENGTHS {
            for coding in CODINGS {
                // In both orders, where there are two.
                let mut heads = vec![format!("{length}{coding}")];
                if !length.is_empty() && !coding.is_empty() {
                    heads.push(format!("{coding}{length}"));
                }
                for head in heads {
                    for body in BODIES {
                        let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n{head}\r\n{body}");
                        // One byte for each character.
                        cases.push(text.chars().map(|byte| byte as u8).collect());
                    }
                }
            }
        }
    }
    cases
}
