//! Requests on the wire, valid and hostile, against what the server codec must make of them.
//!
//! Every case runs whole, byte by byte and cut at random, and must give the same lines each time.
//! The hostile ones are the known ways to make two hops disagree on where a request ends.

mod h1_support;

use h1_support::{CUTS, Cut, OK, serve};
use nuncio_codec::h1::{HeaderCase, Server, ServerSettings};

type Case<'a> = (&'a [u8], &'a [&'a str]);

fn check(settings: ServerSettings, status: u16, cases: &[Case<'_>]) {
    for (wire, expected) in cases {
        for cut in CUTS {
            let lines = serve(Server::new(settings), wire, cut, status);
            assert_eq!(lines, *expected, "{} cut {cut:?}", wire[..wire.len().min(300)].escape_ascii());
        }
    }
}

const MALFORMED: &[&str] = &["! 400 http1.codec_error", "close"];
const CHARACTERS: &[&str] = &["! 400 http1.invalid_characters", "close"];
const LOW_VERSION: &[&str] = &["! 426 low_version", "close"];
const URL: &[&str] = &["! 400 http1.invalid_url", "close"];
const AUTHORITY: &[&str] = &["! 400 http.invalid_authority", "close"];
const CODING: &[&str] = &["! 400 http1.invalid_transfer_encoding", "close"];
const BOTH: &[&str] = &["! 400 http1.content_length_and_chunked_not_allowed", "close"];
const NOMINATION: &[&str] = &["! 400 http1.connection_header_rejected", "close"];

#[test]
fn request_lines() {
    let cases: &[Case<'_>] = &[
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / 1.1 [:authority=a] end", "open"]),
        (b"GET /p?q=1&r#f HTTP/1.1\r\nHost: a\r\n\r\n", &["GET /p?q=1&r#f 1.1 [:authority=a] end", "open"]),
        (
            b"GET /\"<>\\^`{|}%00 HTTP/1.1\r\nHost: a\r\n\r\n",
            &["GET /\"<>\\^`{|}%00 1.1 [:authority=a] end", "open"],
        ),
        (b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", &["PROPFIND / 1.1 [:authority=a] end", "open"]),
        (b"UNSUBSCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", &["UNSUBSCRIBE / 1.1 [:authority=a] end", "open"]),
        // RFC 9112 section 2.2: empty lines before the request line.
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / 1.1 [:authority=a] end", "open"]),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / 1.1 [:authority=a] end", "open"]),
        (b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET \r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET\r\nHost: a\r\n\r\n", MALFORMED),
        (b"/ HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\nHost: a\n\n", MALFORMED),
        (b"GET / HTTP/1.1\r\rHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\rX", MALFORMED),
        (b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /a\nb HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", CHARACTERS),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", CHARACTERS),
        (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", CHARACTERS),
        (b"GET /\x80\xff HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        // Methods: registered tokens only, and case matters.
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GETGETGETGETGETGETGET / HTTP/1.1\r\n\r\n", MALFORMED),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED),
        // Versions.
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", LOW_VERSION),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", LOW_VERSION),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", LOW_VERSION),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", LOW_VERSION),
        (b"GET /\r\n", LOW_VERSION),
        (b"GET / HTTP/1.\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.11\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/11.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/x.1\r\nHost: a\r\n\r\n", MALFORMED),
    ];
    check(ServerSettings::default(), OK, cases);
}

#[test]
fn targets_and_hosts() {
    let cases: &[Case<'_>] = &[
        (
            b"GET http://x:8/p HTTP/1.1\r\nHost: a\r\n\r\n",
            &["GET /p 1.1 [:scheme=http] [:authority=x:8] end", "open"],
        ),
        (b"GET HTTPS://x HTTP/1.1\r\n\r\n", &["GET / 1.1 [:scheme=https] [:authority=x] end", "open"]),
        (
            b"GET http://u:p@x/ HTTP/1.1\r\nHost: a\r\n\r\n",
            &["GET / 1.1 [:scheme=http] [:authority=x] end", "open"],
        ),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["OPTIONS * 1.1 [:authority=a] end", "open"]),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", URL),
        (b"GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", URL),
        (b"GET http://x:y/p HTTP/1.1\r\nHost: a\r\n\r\n", URL),
        (b"GET ftp://x/p HTTP/1.1\r\nHost: a\r\n\r\n", &["! 400 http1.invalid_scheme", "close"]),
        (b"GET p HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"GET ?q HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        (b"CONNECT /p HTTP/1.1\r\nHost: a\r\n\r\n", URL),
        (b"CONNECT x HTTP/1.1\r\nHost: a\r\n\r\n", URL),
        // A missing Host is for the layer above to refuse.
        (b"GET / HTTP/1.1\r\n\r\n", &["GET / 1.1 end", "open"]),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &["GET / 1.1 [:authority=] end", "open"]),
        (b"GET / HTTP/1.1\r\nhOsT: [::1]:80\r\n\r\n", &["GET / 1.1 [:authority=[::1]:80] end", "open"]),
        (b"GET / HTTP/1.1\r\nx: y\r\nHost: a\r\n\r\n", &["GET / 1.1 [:authority=a] [x=y] end", "open"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", AUTHORITY),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", AUTHORITY),
        (b"GET http://x/ HTTP/1.1\r\nHost: a\r\nHost: x\r\n\r\n", AUTHORITY),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", AUTHORITY),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", AUTHORITY),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", AUTHORITY),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", AUTHORITY),
        (b"GET / HTTP/1.1\r\nHost: a\x80\r\n\r\n", AUTHORITY),
        (b"GET http://x/ HTTP/1.1\r\nHost: a?\r\n\r\n", AUTHORITY),
    ];
    check(ServerSettings::default(), OK, cases);
    let in_clear = ServerSettings { refuse_https: true, ..ServerSettings::default() };
    check(
        in_clear,
        OK,
        &[
            (
                b"GET HTTPS://x/p HTTP/1.1\r\nHost: a\r\n\r\n",
                &["! 403 http1.https_url_on_plaintext_connection", "close"],
            ),
            (
                b"GET http://x/p HTTP/1.1\r\nHost: a\r\n\r\n",
                &["GET /p 1.1 [:scheme=http] [:authority=x] end", "open"],
            ),
        ],
    );
    let plain = ServerSettings { allow_absolute_url: false, ..ServerSettings::default() };
    check(
        plain,
        OK,
        &[
            (
                b"GET http://x/p HTTP/1.1\r\nHost: a\r\n\r\n",
                &["GET http://x/p 1.1 [:authority=a] end", "open"],
            ),
            (b"GET p HTTP/1.1\r\nHost: a\r\n\r\n", MALFORMED),
        ],
    );
}

#[test]
fn fields() {
    let cases: &[Case<'_>] = &[
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nFoo:bar\r\nFOO: \t b a z \t \r\nEmpty:\r\nBlank:  \r\nObs: \x80\xff\r\n\r\n",
            &["GET / 1.1 [:authority=a] [foo=bar] [foo=b a z] [empty=] [blank=] [obs=\\x80\\xff] end", "open"],
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\tc\r\n\r\n", &["GET / 1.1 [:authority=a] [a=b\\tc] end", "open"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09: x\r\n\r\n", &["GET / 1.1 [:authority=a] [!#$%&\\'*+-.^_`|~09=x] end", "open"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo : bar\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo\t: bar\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tfolded\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFo o: x\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFo(o: x\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\n:path: /x\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nF\x80: x\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\nF\x00: x\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo: a\x00b\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo: a\x01b\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo: a\x0bb\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo: a\x7fb\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo: a\rb\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo: a\r\r\n\r\n", CHARACTERS),
        (b"GET / HTTP/1.1\r\nHost: a\r\nFoo: a\nBar: b\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", MALFORMED),
    ];
    check(ServerSettings::default(), OK, cases);
}

#[test]
fn lengths() {
    const POST: &str = "POST / 1.1 [:authority=a]";
    let good: &[(&str, &str, &str)] = &[
        ("Content-Length: 5", "hello", "[content-length=5]"),
        ("Content-Length: 005", "hello", "[content-length=5]"),
        ("content-length:5 ", "hello", "[content-length=5]"),
        // Not the field it looks like.
        ("Content_Length: 7\r\nContent-Length: 5", "hello", "[content_length=7] [content-length=5]"),
    ];
    for (field, body, fields) in good {
        let wire = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n{body}");
        let head = format!("{POST} {fields}");
        check(ServerSettings::default(), OK, &[(wire.as_bytes(), &[&head, "data hello", "end", "open"])]);
    }
    let cases: &[Case<'_>] = &[
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", &["POST / 1.1 [:authority=a] end", "open"]),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            &["POST / 1.1 [:authority=a] [content-length=0] end", "open"],
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
            &["POST / 1.1 [:authority=a] [content-length=0] end", "open"],
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            &["GET / 1.1 [:authority=a] [content-length=2]", "data hi", "end", "open"],
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
            &["POST / 1.1 [:authority=a] [content-length=5]", "data hel", "open"],
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\nx",
            &["POST / 1.1 [:authority=a] [content-length=9223372036854775807]", "data x", "open"],
        ),
    ];
    check(ServerSettings::default(), OK, cases);
    for value in [
        "",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5;",
        "5,5",
        "5, 5",
        "5,",
        "5.0",
        "1e1",
        "a",
        "9223372036854775808",
        "18446744073709551616",
        "18446744073709551621",
        "\u{b2}",
    ] {
        let wire = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\nhello");
        check(ServerSettings::default(), OK, &[(wire.as_bytes(), MALFORMED)]);
    }
    for (first, second) in [("5", "5"), ("5", "6"), ("5", ""), ("0", "5")] {
        let wire = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {first}\r\nx: y\r\ncontent-length: {second}\r\n\r\nhello"
        );
        check(ServerSettings::default(), OK, &[(wire.as_bytes(), MALFORMED)]);
    }
    check(
        ServerSettings::default(),
        OK,
        &[
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", MALFORMED),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\x00\r\n\r\nhello", CHARACTERS),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n 6\r\n\r\nhello", MALFORMED),
        ],
    );
}

#[test]
fn transfer_codings() {
    let cases: &[(&str, &[&str])] = &[
        ("gzip, chunked", CODING),
        ("gzip\r\nTransfer-Encoding: chunked", CODING),
        ("chunked\r\nTransfer-Encoding: chunked", CODING),
        ("chunked, chunked", CODING),
        ("identity", CODING),
        ("chunked, identity", CODING),
        ("chunked\r\nTransfer-Encoding: identity", CODING),
        ("xchunked", CODING),
        ("chunke", CODING),
        ("\"chunked\"", CODING),
        ("chunked;q=1", CODING),
        ("", CODING),
        (",chunked", CODING),
        ("chunked,", CODING),
        ("gzip", CODING),
        ("chunked foo", CODING),
        ("\u{b}chunked", CHARACTERS),
        ("chunked\u{0}", CHARACTERS),
        ("\r\n chunked", MALFORMED),
        ("chunked\r\nContent-Length: 5", BOTH),
        ("chunked\r\nContent-Length: 0", BOTH),
        ("identity\r\nContent-Length: 5", BOTH),
        ("chunked\r\nContent-Length: 5, 5", MALFORMED),
    ];
    for (value, expected) in cases {
        let wire = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        check(ServerSettings::default(), OK, &[(wire.as_bytes(), expected)]);
    }
    check(ServerSettings::default(), OK, &[
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BOTH),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", MALFORMED),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n", CHARACTERS),
        (b"POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", MALFORMED),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi",
            &["POST / 1.1 [:authority=a] [transfer_encoding=chunked] [content-length=2]", "data hi", "end", "open"],
        ),
    ]);
    let allowed = ServerSettings { allow_chunked_length: true, ..ServerSettings::default() };
    check(allowed, OK, &[
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &["POST / 1.1 [:authority=a] [transfer-encoding=chunked]", "data hi", "end", "close"],
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n", MALFORMED),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nTransfer-Encoding: identity\r\n\r\n", CODING),
    ]);
}

#[test]
fn chunked_bodies() {
    const HEAD: &str = "POST / 1.1 [:authority=a] [transfer-encoding=chunked]";
    let good: &[&str] = &[
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n1;x=\"y;z\"\r\nl\r\n02 \r\nlo\r\n000\r\n\r\n",
        "5\r\nhello\r\n0\r\nT: v\r\nContent-Length: 9\r\n\r\n",
    ];
    for body in good {
        let wire = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n{body}GET / HTTP/1.1\r\n\r\n"
        );
        let head = HEAD.replace("chunked", "Chunked");
        check(
            ServerSettings::default(),
            OK,
            &[(wire.as_bytes(), &[&head, "data hello", "end", "GET / 1.1 end", "open"])],
        );
    }
    let bad: &[(&str, &[&str])] = &[
        ("0x5\r\nhello\r\n0\r\n\r\n", &[HEAD, "! 400 http1.codec_error", "close"]),
        ("-5\r\nhello\r\n0\r\n\r\n", &[HEAD, "! 400 http1.codec_error", "close"]),
        ("5\nhello\n0\n\n", &[HEAD, "! 400 http1.codec_error", "close"]),
        ("fffffffffffffffff\r\n", &[HEAD, "! 400 http1.codec_error", "close"]),
        ("5\r\nhelloX\r\n0\r\n\r\n", &[HEAD, "data hello", "! 400 http1.codec_error", "close"]),
        ("5\r\nhello\n0\r\n\r\n", &[HEAD, "data hello", "! 400 http1.codec_error", "close"]),
        ("5\r\nhello\r\n0\r\nbad\r\n\r\n", &[HEAD, "data hello", "! 400 http1.codec_error", "close"]),
        ("5\r\nhello\r\n0\r\nT : v\r\n\r\n", &[HEAD, "data hello", "! 400 http1.codec_error", "close"]),
        (
            "5\r\nhello\r\n0\r\nT: v\r\n folded\r\n\r\n",
            &[HEAD, "data hello", "! 400 http1.codec_error", "close"],
        ),
        (
            "5\r\nhello\r\n0\r\nT: \u{0}\r\n\r\n",
            &[HEAD, "data hello", "! 400 http1.invalid_characters", "close"],
        ),
        ("0\r\n\n", &[HEAD, "! 400 http1.codec_error", "close"]),
    ];
    for (body, expected) in bad {
        let wire = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        check(ServerSettings::default(), OK, &[(wire.as_bytes(), expected)]);
    }
    let trailers = ServerSettings {
        enable_trailers: true,
        max_headers_count: 5,
        max_headers_bytes: 200,
        ..ServerSettings::default()
    };
    let many = "0\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\n\r\n".to_owned();
    let long = format!("0\r\na: {}\r\n\r\n", "x".repeat(300));
    let kept: &[(&str, &[&str])] = &[
        ("5\r\nhello\r\n0\r\nT: v\r\n\r\n", &[HEAD, "data hello", "trailers [t=v]", "open"]),
        ("0\r\nT: v\r\nU: w\r\n\r\n", &[HEAD, "trailers [t=v] [u=w]", "open"]),
        (
            "0\r\nHost: b\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: x\r\nT: v\r\n\r\n",
            &[HEAD, "trailers [t=v]", "open"],
        ),
        ("0\r\nHost: b\r\n\r\n", &[HEAD, "end", "open"]),
        ("5\r\nhello\r\n0\r\n\r\n", &[HEAD, "data hello", "end", "open"]),
        (&many, &[HEAD, "! 431 http1.too_many_headers", "close"]),
        (&long, &[HEAD, "! 431 http1.headers_too_large", "close"]),
    ];
    for (body, expected) in kept {
        let wire = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        check(trailers, OK, &[(wire.as_bytes(), expected)]);
    }
}

#[test]
fn persistence() {
    let cases: &[Case<'_>] = &[
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", &["GET / 1.1 [connection=close] end", "close"]),
        (b"GET / HTTP/1.1\r\nConnection: x , CLOSE\r\n\r\n", &["GET / 1.1 [connection=x , CLOSE] end", "close"]),
        (b"GET / HTTP/1.1\r\nConnection: x\r\nConnection: close\r\n\r\n", &["GET / 1.1 [connection=x] [connection=close] end", "close"]),
        (b"GET / HTTP/1.1\r\nConnection: closed\r\n\r\n", &["GET / 1.1 [connection=closed] end", "open"]),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", &["GET / 1.1 [connection=keep-alive] end", "open"]),
        (b"GET / HTTP/1.1\r\nProxy-Connection: close\r\n\r\n", &["GET / 1.1 [proxy-connection=close] end", "close"]),
        (
            b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi\r\nGET /3 HTTP/1.1\r\n\r\n",
            &["GET /1 1.1 end", "POST /2 1.1 [content-length=2]", "data hi", "end", "GET /3 1.1 end", "open"],
        ),
        (b"GET /1 HTTP/1.1\r\n\r\nGARBAGE\r\n\r\n", &["GET /1 1.1 end", "! 400 http1.codec_error", "close"]),
        // The body is shorter than the sender thought: the rest is not a request.
        (
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcdef / HTTP/1.1\r\n\r\n",
            &["POST / 1.1 [content-length=3]", "data abc", "end", "! 400 http1.codec_error", "close"],
        ),
        (b"GET / HTTP/1.1\r\nConnection: :path\r\n\r\n", NOMINATION),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n", NOMINATION),
        (b"GET / HTTP/1.1\r\nConnection: X-Forwarded-For\r\n\r\n", NOMINATION),
        (b"GET / HTTP/1.1\r\nConnection: a\r\nConnection: x-forwarded-proto\r\n\r\n", NOMINATION),
        (b"GET / HTTP/1.1\r\nConnection: 1,2,3,4,5,6,7,8,9,10\r\n\r\n", NOMINATION),
        (b"GET / HTTP/1.1\r\nConnection: 1,2,3,4,5,6,7,8,9\r\n\r\n", &["GET / 1.1 [connection=1,2,3,4,5,6,7,8,9] end", "open"]),
    ];
    check(ServerSettings::default(), OK, cases);
}

#[test]
fn http_10() {
    let settings = ServerSettings { accept_http_10: true, ..ServerSettings::default() };
    let version = &["! 505 http1.codec_error", "close"];
    check(
        settings,
        OK,
        &[
            (b"GET / HTTP/1.0\r\n\r\n", &["GET / 1.0 end", "close"]),
            (
                b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
                &["GET / 1.0 [:authority=a] [connection=Keep-Alive] end", "open"],
            ),
            (
                b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
                &["GET / 1.0 [connection=keep-alive, close] end", "close"],
            ),
            (
                b"GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n",
                &["GET / 1.0 [proxy-connection=keep-alive] end", "close"],
            ),
            (
                b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
                &["POST / 1.0 [content-length=2]", "data hi", "end", "close"],
            ),
            (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CODING),
            (
                b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
                &["GET / 1.0 [connection=upgrade] end", "close"],
            ),
            (b"GET / HTTP/1.1\r\n\r\n", &["GET / 1.1 end", "open"]),
            (b"GET / HTTP/0.9\r\n\r\n", version),
            (b"GET /\r\n", version),
            (b"GET / HTTP/1.2\r\n\r\n", version),
            (b"GET / HTTP/2.0\r\n\r\n", version),
        ],
    );
}

#[test]
fn custom_methods() {
    let settings = ServerSettings { allow_custom_methods: true, ..ServerSettings::default() };
    check(
        settings,
        OK,
        &[
            (b"FOO / HTTP/1.1\r\n\r\n", &["FOO / 1.1 end", "open"]),
            (b"get / HTTP/1.1\r\n\r\n", &["get / 1.1 end", "open"]),
            (
                b"M-SEARCH_AND_A_VERY_LONG_NAME / HTTP/1.1\r\n\r\n",
                &["M-SEARCH_AND_A_VERY_LONG_NAME / 1.1 end", "open"],
            ),
            (b"F(O / HTTP/1.1\r\n\r\n", MALFORMED),
        ],
    );
}

#[test]
fn tunnels() {
    const UPGRADE: &str = "GET / 1.1 [connection=Upgrade] [upgrade=websocket]";
    let upgrade =
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
    let connect = b"CONNECT a:80 HTTP/1.1\r\nHost: b\r\n\r\nGET /x HTTP/1.1\r\n\r\n";
    let through = "data GET /x HTTP/1.1\\r\\n\\r\\n";
    check(
        ServerSettings::default(),
        101,
        &[
            (upgrade, &[UPGRADE, through, "close"]),
            // A 101 is no answer to CONNECT: what follows is nobody's.
            (connect, &["CONNECT - 1.1 [:authority=a:80]", "end", "close"]),
        ],
    );
    check(ServerSettings::default(), 200, &[
        (connect, &["CONNECT - 1.1 [:authority=a:80]", through, "close"]),
        (upgrade, &[UPGRADE, "end", "close"]),
        (b"CONNECT [::1]:80 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &["CONNECT - 1.1 [:authority=[::1]:80] [content-length=0]", "close"]),
        (b"CONNECT a:80 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", &["! 400 http1.body_disallowed", "close"]),
        (b"CONNECT a:80 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", CODING),
        (b"CONNECT a:80 HTTP/1.1\r\nTransfer-Encoding: foo\r\n\r\n", CODING),
        (b"CONNECT a:80 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", &["CONNECT - 1.1 [:authority=a:80] [connection=upgrade]", "close"]),
        // Requests for an upgrade that cannot be granted are plain requests.
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", &["GET / 1.1 end", "open"]),
        (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n", &["GET / 1.1 [connection=upgrade] end", "open"]),
        (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: ,\r\n\r\n", &["GET / 1.1 [connection=upgrade] end", "open"]),
        (b"GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n", &["GET / 1.1 [connection=upgrade] end", "open"]),
        (
            b"GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
            &["GET / 1.1 [connection=Upgrade, HTTP2-Settings] end", "open"],
        ),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket, H2C\r\n\r\n", &["GET / 1.1 [connection=Upgrade] end", "open"]),
        (
            b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
            &["POST / 1.1 [connection=Upgrade] [content-length=2]", "data hi", "end", "open"],
        ),
    ]);
    check(ServerSettings::default(), 403, &[(connect, &["CONNECT - 1.1 [:authority=a:80]", "end", "close"])]);
}

#[test]
fn limits() {
    // Exactly as Envoy 1.40 counts: the whole head, from the request line to the last CRLF.
    let head = |size: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nHost: a\r\nx: ", "\r\n\r\n");
        format!("{start}{}{end}", "v".repeat(size - start.len() - end.len()))
    };
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
    let large = &["! 431 http1.headers_too_large", "close"];
    let many = &["! 431 http1.too_many_headers", "close"];
    let limit = ServerSettings::default().max_headers_bytes as usize;
    for (wire, expected) in [
        (head(limit + 1), &large[..]),
        (head(limit + 1)[..limit].to_owned(), large),
        ("G".repeat(limit), large),
        (format!("GET /{}", "a".repeat(limit)), large),
        (fields(101), many),
        (fields(101)[.."GET / HTTP/1.1\r\n".len() + 101 * 6].to_owned(), many),
    ] {
        let custom = ServerSettings { allow_custom_methods: true, ..ServerSettings::default() };
        check(custom, OK, &[(wire.as_bytes(), expected)]);
    }
    for wire in [head(limit), fields(100)] {
        for cut in CUTS {
            let lines = serve(Server::new(ServerSettings::default()), wire.as_bytes(), cut, OK);
            assert_eq!((lines.len(), lines[1].as_str()), (2, "open"), "{cut:?}");
        }
    }
    // More fields than the tokeniser has room for on the stack.
    let wide = ServerSettings { max_headers_count: 1000, ..ServerSettings::default() };
    let lines = serve(Server::new(wide), fields(1000).as_bytes(), Cut::Whole, OK);
    assert_eq!(lines[0].matches("[a=b]").count(), 1000);
    check(wide, OK, &[(fields(1001).as_bytes(), many)]);
}

/// A small block of a buffer is this large and full before the next one is begun.
const BLOCK: usize = 4096;

#[test]
fn messages_across_blocks() {
    let settings = ServerSettings { enable_trailers: true, ..ServerSettings::default() };
    let tail = " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n\
                5;e=f\r\nhello\r\n6\r\n world\r\n0\r\nT: v\r\nU: w\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    for before in 0..tail.len() {
        let path = format!("/{}", "p".repeat(BLOCK - "POST /".len() - before));
        let wire = format!("POST {path}{tail}");
        let head = format!("POST {path} 1.1 [:authority=a] [transfer-encoding=chunked] [x=y]");
        let expected = [&*head, "data hello world", "trailers [t=v] [u=w]", "GET / 1.1 end", "open"];
        for cut in [Cut::Blocks(BLOCK), Cut::Random(before as u64), Cut::Whole] {
            assert_eq!(serve(Server::new(settings), wire.as_bytes(), cut, OK), expected, "{before} {cut:?}");
        }
        // A bare LF is seen wherever it lies.
        let bad = wire.replacen("a\r\nT", "a\nT", 1);
        assert_eq!(
            serve(Server::new(settings), bad.as_bytes(), Cut::Blocks(BLOCK), OK),
            MALFORMED,
            "{before}"
        );
    }
}

#[test]
fn garbage_is_refused_before_the_head_is_complete() {
    let cases: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00",
        b"\x80\x2e\x01\x00\x02",
        b" ",
        b"{\"json\": 1}",
        b"FOO ",
        b"GET x\x01",
        b"GET / FTP",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.0\r\n",
        b"\r\n\r\n\r\n",
    ];
    for wire in cases {
        for cut in CUTS {
            let lines = serve(Server::new(ServerSettings::default()), wire, cut, OK);
            assert!(lines[0].starts_with("! 4"), "{}: {lines:?}", wire.escape_ascii());
        }
    }
}

#[test]
fn spelling_is_kept_on_request() {
    let settings = ServerSettings { header_case: HeaderCase::Preserve, ..ServerSettings::default() };
    let (mut server, mut input) = (Server::new(settings), nuncio_codec::Buffer::new());
    input.append(b"GET / HTTP/1.1\r\nHost: a\r\nX-FoO: b\r\n\r\n");
    let Ok(Some(nuncio_codec::h1::RequestEvent::Headers { head, .. })) = server.poll(&mut input) else {
        panic!("a request");
    };
    let spelt: Vec<_> =
        head.headers.iter().filter_map(|header| header.original.map(<[u8]>::to_vec)).collect();
    assert_eq!(spelt, [b"Host".to_vec(), b"X-FoO".to_vec()]);
}
