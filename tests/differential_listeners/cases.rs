//! The configuration of both sides, and what is sent to it.

use crate::config::{Chain, filter, listener};
use crate::hello::hello;
use std::path::Path;

/// One connection.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub listener: &'static str,
    /// What is sent, one after the other.
    pub pieces: Vec<Vec<u8>>,
    /// The client says that it has no more to send.
    pub half_close: bool,
    /// How long the client waits for an answer or an end, in milliseconds; 0 if it goes soon, and what it
    /// gets is not compared.
    pub patience: u64,
    /// Why we do something else.
    pub differs: Option<&'static str>,
}

const LOG: &str = "%FILTER_CHAIN_NAME% remote=%DOWNSTREAM_REMOTE_ADDRESS% direct=%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% \
    local=%DOWNSTREAM_LOCAL_ADDRESS% xff=%REQ(X-FORWARDED-FOR)% code=%RESPONSE_CODE%";

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Listeners: name, options, chains (name and match).
#[allow(clippy::type_complexity, reason = "a table")]
const LISTENERS: &[(&str, &str, &[(&str, &str)])] = &[
    ("proxy", "F:proxy_protocol", &[("one", "")]),
    ("optional", "F:proxy_protocol;allow_requests_without_proxy_protocol: true", &[("one", "")]),
    ("no_v1", "F:proxy_protocol;disallowed_versions: [V1], stat_prefix: strict", &[("one", "")]),
    (
        "no_v2",
        "F:proxy_protocol;disallowed_versions: [V2], allow_requests_without_proxy_protocol: true",
        &[("one", "")],
    ),
    (
        "chains",
        "F:proxy_protocol",
        &[
            ("rest", "default"),
            ("any", ""),
            ("port", "destination_port: 81"),
            ("net", "prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]"),
            (
                "subnet",
                "prefix_ranges: [{address_prefix: 10.1.0.0, prefix_len: 16}, {address_prefix: 'fd00::', prefix_len: 8}]",
            ),
            ("narrow", "destination_port: 82, prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]"),
            ("from", "source_prefix_ranges: [{address_prefix: 9.0.0.0, prefix_len: 8}]"),
            (
                "from_port",
                "source_prefix_ranges: [{address_prefix: 9.0.0.0, prefix_len: 8}], source_ports: [7, 8]",
            ),
            (
                "from_narrow",
                "source_prefix_ranges: [{address_prefix: 9.1.0.0, prefix_len: 16}], source_ports: [9]",
            ),
            ("local", "destination_port: 83, source_type: SAME_IP_OR_LOOPBACK"),
            ("external", "destination_port: 83, source_type: EXTERNAL"),
            (
                "direct",
                "destination_port: 84, direct_source_prefix_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]",
            ),
            (
                "elsewhere",
                "destination_port: 84, direct_source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]",
            ),
        ],
    ),
    ("nobody", "F:proxy_protocol", &[("one", "destination_port: 81")]),
    (
        "sniff",
        "F:http_inspector",
        &[
            ("h10", "application_protocols: ['http/1.0']"),
            ("h11", "application_protocols: ['http/1.1']"),
            ("h2c", "application_protocols: [h2c]"),
            ("other", ""),
        ],
    ),
    (
        "tls",
        "F:tls_inspector",
        &[
            ("exact", "server_names: [www.example.com]"),
            ("below", "server_names: ['*.example.com']"),
            ("com", "server_names: ['*.com', other.org]"),
            ("h2", "transport_protocol: tls, application_protocols: [h2]"),
            ("h11", "application_protocols: ['http/1.1']"),
            ("tls", "transport_protocol: tls"),
            ("plain", "transport_protocol: raw_buffer"),
        ],
    ),
    ("small", "F:tls_inspector;max_client_hello_size: 256", &[("one", "")]),
    (
        "strict",
        "F:tls_inspector;close_connection_on_client_hello_parsing_errors: true",
        &[("tls", "transport_protocol: tls"), ("plain", "transport_protocol: raw_buffer")],
    ),
    (
        "blind",
        "",
        &[("named", "server_names: [www.example.com]"), ("tls", "transport_protocol: tls"), ("plain", "")],
    ),
    ("patient", "continue_on_listener_filters_timeout: true\nF:tls_inspector", &[("one", "")]),
    (
        "both",
        "F:proxy_protocol&tls_inspector&http_inspector",
        &[("tls", "transport_protocol: tls"), ("http", "application_protocols: ['http/1.1']"), ("other", "")],
    ),
    (
        "bucket",
        "F:local_ratelimit;stat_prefix: b, token_bucket: {max_tokens: 2, tokens_per_fill: 1, fill_interval: 600s}",
        &[("one", "")],
    ),
    ("front", "use_original_dst: true\nF:proxy_protocol", &[("front", "")]),
];

/// Without sockets: name, address, port.
const VIRTUAL: [(&str, &str, u16); 3] =
    [("exact", "10.0.0.1", 80), ("wildcard", "0.0.0.0", 81), ("six", "'::'", 81)];

/// The configuration; access logs go to this file.
pub fn yaml(log: &Path) -> String {
    let options = format!(
        "delayed_close_timeout: 0.05s\n          use_remote_address: true\n          access_log: [{{name: out, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {}, log_format: {{text_format_source: {{inline_string: \"{LOG}\\n\"}}}}}}}}]",
        log.display()
    );
    let mut listeners = Vec::new();
    for (name, lines, chains) in LISTENERS {
        let mut text = format!("stat_prefix: {name}\nlistener_filters_timeout: 0.5s\n");
        for line in lines.lines() {
            match line.strip_prefix("F:") {
                None => text.push_str(line),
                Some(filters) => {
                    let (names, options) = filters.split_once(';').unwrap_or((filters, ""));
                    let filters: Vec<_> = names.split('&').map(|name| filter(name, options)).collect();
                    text.push_str(&format!("listener_filters: [{}]", filters.join(", ")));
                }
            }
            text.push('\n');
        }
        let names: Vec<_> = chains.iter().map(|(chain, _)| format!("{name}_{chain}")).collect();
        let chains: Vec<_> =
            chains.iter().zip(&names).map(|((_, fits), name)| Chain(name, fits, &options)).collect();
        listeners.push(listener(name, &text, &chains));
    }
    for (name, address, port) in VIRTUAL {
        let text = format!(
            "stat_prefix: {name}\nbind_to_port: false\naddress: {{socket_address: {{address: {address}, port_value: {port}}}}}"
        );
        listeners.push(crate::config::listener_at(name, &text, &[Chain(name, "", &options)]));
    }
    crate::config::config(&listeners, "", "")
}

/// All cases, in order.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    proxy(&mut cases);
    chains(&mut cases);
    sniffed(&mut cases);
    tls(&mut cases);
    others(&mut cases);
    cases
}

fn case(name: impl Into<String>, listener: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    Case {
        name: name.into(),
        listener,
        pieces: vec![bytes.as_ref().to_vec()],
        half_close: false,
        patience: 1500,
        differs: None,
    }
}

/// What is sent with a request behind it.
fn with_request(header: impl AsRef<[u8]>) -> Vec<u8> {
    [header.as_ref(), GET.as_bytes()].concat()
}

fn v2(version_command: u8, family: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    [b"\r\n\r\n\0\r\nQUIT\n", &[version_command, family][..], &(content.len() as u16).to_be_bytes(), &content]
        .concat()
}

fn proxy(cases: &mut Vec<Case>) {
    const V4: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 4, 87, 8, 174];
    let v6 = [&[0; 15], &[1][..], &[0; 15], &[2, 0, 11, 0, 22]].concat();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("v1", b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n".to_vec()),
        ("v1 IPv6", b"PROXY TCP6 1::2 5::6 1111 2222\r\n".to_vec()),
        ("v1 mapped", b"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 1 2\r\n".to_vec()),
        ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec()),
        ("v1 unknown and more", b"PROXY UNKNOWN foo bar\r\n".to_vec()),
        ("v1 port 0", b"PROXY TCP4 1.2.3.4 5.6.7.8 0 2222\r\n".to_vec()),
        ("v1 port too large", b"PROXY TCP4 1.2.3.4 5.6.7.8 66666 2222\r\n".to_vec()),
        ("v1 two spaces", b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n".to_vec()),
        ("v1 multicast", b"PROXY TCP4 224.0.0.1 5.6.7.8 1 2\r\n".to_vec()),
        ("v1 broadcast", b"PROXY TCP4 1.2.3.4 255.255.255.255 1 2\r\n".to_vec()),
        ("v1 unspecified", b"PROXY TCP4 0.0.0.0 5.6.7.8 1 2\r\n".to_vec()),
        ("v1 too many words", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n".to_vec()),
        ("v1 space at the end", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n".to_vec()),
        ("v1 other family", b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec()),
        ("v1 in lower case", b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec()),
        ("v1 line feed alone", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n".to_vec()),
        ("v1 longest", format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).into_bytes()),
        ("v1 too long", format!("PROXY UNKNOWN {}\r\n", "x".repeat(93)).into_bytes()),
        ("v1 nothing else", b"PROXY\r\n".to_vec()),
        ("none", Vec::new()),
        ("v2", v2(0x21, 0x11, &[V4])),
        ("v2 datagrams", v2(0x21, 0x12, &[V4])),
        ("v2 IPv6", v2(0x21, 0x21, &[&v6])),
        ("v2 unspecified", v2(0x21, 0, &[])),
        ("v2 unix", v2(0x21, 0x31, &[&[0; 216]])),
        ("v2 local", v2(0x20, 0, &[])),
        ("v2 local with addresses", v2(0x20, 0x11, &[V4])),
        ("v2 other command", v2(0x22, 0x11, &[V4])),
        ("v2 other version", v2(0x11, 0x11, &[V4])),
        ("v2 too short", v2(0x21, 0x11, &[&V4[..8]])),
        ("v2 extensions", v2(0x21, 0x11, &[V4, b"\x02\0\x03a.b\x04\0\0"])),
        ("v2 broken extension", v2(0x21, 0x11, &[V4, b"\x02\0\x09abc"])),
        ("v2 multicast", v2(0x21, 0x11, &[&[239, 0, 0, 1], &V4[4..]])),
        ("v2 large", v2(0x21, 0x11, &[V4, &[4, 0xea, 0x60], &[0; 60_000]])),
    ];
    for listener in ["proxy", "optional", "no_v1", "no_v2"] {
        for (name, header) in &rows {
            let mut case = case(*name, listener, with_request(header));
            if listener == "no_v1" && *name == "v1 too long" {
                case.differs = Some("a version that is refused is refused by its first bytes");
            }
            cases.push(case);
        }
    }
    let cut = "PROXY TCP4 1.2.3.4 ";
    cases.push(case("cut off", "proxy", cut));
    cases.push(case("cut off", "no_v2", cut));
    cases.push(case("v2 cut off", "proxy", &v2(0x21, 0x11, &[V4])[..20]));
    cases.push(Case { half_close: true, ..case("cut off and ended", "proxy", cut) });
    cases.push(Case { half_close: true, ..case("ended", "optional", "") });
    cases.push(Case {
        differs: Some("what can be no header is refused at once"),
        ..case("too short to be one", "proxy", "GE")
    });
    let header = "PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n".bytes().map(|byte| vec![byte]);
    let one_by_one = header.chain([GET.into()]).collect();
    cases.push(Case { pieces: one_by_one, ..case("byte by byte", "proxy", "") });
}

fn chains(cases: &mut Vec<Case>) {
    for header in [
        "TCP4 8.8.8.8 7.7.7.7 1 80",
        "TCP4 8.8.8.8 7.7.7.7 1 81",
        "TCP4 8.8.8.8 10.1.1.1 1 81",
        "TCP4 8.8.8.8 10.2.1.1 1 80",
        "TCP4 8.8.8.8 10.1.1.1 1 80",
        "TCP6 1::1 fd00::1 1 80",
        "TCP6 1::1 fe00::1 1 80",
        "TCP4 8.8.8.8 10.1.1.1 1 82",
        "TCP4 8.8.8.8 7.7.7.7 1 82",
        "TCP4 9.8.8.8 7.7.7.7 1 80",
        "TCP4 9.8.8.8 7.7.7.7 8 80",
        "TCP4 9.1.8.8 7.7.7.7 9 80",
        "TCP4 9.1.8.8 7.7.7.7 8 80",
        "TCP4 9.8.8.8 10.1.1.1 8 80",
        "TCP4 127.0.0.1 7.7.7.7 1 83",
        "TCP4 127.0.0.2 7.7.7.7 1 83",
        "TCP4 7.7.7.7 7.7.7.7 1 83",
        "TCP4 8.8.8.8 7.7.7.7 1 83",
        "TCP6 ::1 7::7 1 83",
        "TCP4 8.8.8.8 7.7.7.7 1 84",
        "TCP4 10.8.8.8 7.7.7.7 1 84",
        "UNKNOWN",
    ] {
        cases.push(case(header, "chains", with_request(format!("PROXY {header}\r\n"))));
    }
    cases.push(case("for nobody", "nobody", with_request("PROXY TCP4 8.8.8.8 7.7.7.7 1 80\r\n")));
    cases.push(case("for somebody", "nobody", with_request("PROXY TCP4 8.8.8.8 7.7.7.7 1 81\r\n")));
    for header in [
        "TCP4 1.1.1.1 10.0.0.1 1 80",
        "TCP4 1.1.1.1 10.0.0.2 1 80",
        "TCP4 1.1.1.1 10.0.0.1 1 81",
        "TCP6 1::1 2::2 1 81",
        "TCP6 1::1 2::2 1 80",
        "UNKNOWN",
    ] {
        cases.push(case(header, "front", with_request(format!("PROXY {header}\r\n"))));
    }
}

fn sniffed(cases: &mut Vec<Case>) {
    // Cut off behind the line: what the codec makes of the rest is the business of other tests.
    let quick = |case: Case| Case { patience: 350, ..case };
    for line in [
        "GET / HTTP/1.1\r\n",
        "FOO / HTTP/1.1\r\n",
        "GET http://a/ HTTP/1.1\r\n",
        "CONNECT a:1 HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/0.9\r\n",
        "GET /\r\n",
        "GET / http/1.1\r\n",
        "GET / FOO\r\n",
        "GET foo HTTP/1.1\r\n",
        "GET\r\n",
        " GET / HTTP/1.1\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "F@O / HTTP/1.1\r\n",
        "GET /a b HTTP/1.1\r\n",
        "HTTP/1.1 200 OK\r\n",
        "SSH-2.0-OpenSSH_9\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\nxx\r\n",
    ] {
        let mut case = quick(case(line.trim_end(), "sniff", line));
        // Only the choice is compared: the client does not wait for an answer.
        case.patience = 0;
        cases.push(case);
    }
    cases.push(case("a request", "sniff", GET));
    cases.push(case("half a line", "sniff", "GET / HTT"));
    cases.push(case("half a preface", "sniff", "PRI * HTTP/2.0\r\n"));
    cases.push(case("a line without end", "sniff", format!("GET /{}", "a".repeat(70_000))));
    cases.push(quick(case("binary", "sniff", b"\x16\x03\x01\0\x05hello")));
}

fn tls(cases: &mut Vec<Case>) {
    let to = |name: Option<&str>, protocols: &[&str]| hello(name, protocols, 0, 1 << 14);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("exact name", to(Some("www.example.com"), &[])),
        ("name in capitals", to(Some("WWW.Example.COM"), &[])),
        ("name below", to(Some("a.b.example.com"), &["h2"])),
        ("name far below", to(Some("example.com"), &[])),
        ("listed name", to(Some("other.org"), &[])),
        ("below a name that is not a pattern", to(Some("an.other.org"), &[])),
        ("other name, h2", to(Some("a.net"), &["h2", "http/1.1"])),
        ("other name, http/1.1", to(Some("a.net"), &["http/1.1"])),
        ("no name", to(None, &[])),
        ("no name, h2", to(None, &["foo", "h2"])),
        ("in records of 7 bytes", hello(Some("www.example.com"), &["h2"], 0, 7)),
        ("in records of one byte", hello(Some("www.example.com"), &["h2"], 0, 1)),
        ("plain", GET.into()),
        ("an alert", b"\x15\x03\x01\0\x02\x02\x28".to_vec()),
        ("another message", b"\x16\x03\x01\0\x05\x02\0\0\x01\0".to_vec()),
        ("no version", b"\x16\x02\x01\0\x05\x01\0\0\x01\0".to_vec()),
        ("a broken hello", b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03".to_vec()),
        ("half a hello", to(Some("www.example.com"), &[])[..60].to_vec()),
        ("a hello of 400 bytes", hello(Some("www.example.com"), &[], 400, 1 << 14)),
        ("a hello of 16 KiB", hello(Some("www.example.com"), &[], 15_900, 1 << 14)),
        ("a hello of 20 KiB", hello(Some("www.example.com"), &[], 20_000, 1 << 14)),
    ];
    for listener in ["tls", "small", "strict", "both"] {
        for (name, bytes) in &rows {
            let header: &[u8] = if listener == "both" { b"PROXY UNKNOWN\r\n" } else { b"" };
            let mut case = case(*name, listener, [header, bytes].concat());
            // What HTTP makes of it is not compared, only who gets it.
            if *name != "plain" {
                case.patience = 400;
            }
            cases.push(case);
        }
    }
}

fn others(cases: &mut Vec<Case>) {
    cases.push(case("nothing finds names out", "blind", GET));
    cases.push(Case { pieces: vec![GET.into()], ..case("a request", "patient", "") });
    let late = GET.as_bytes().to_vec();
    cases.push(Case {
        pieces: vec![b"GE".to_vec(), late[2..].to_vec()],
        ..case("a request in two", "patient", "")
    });
    for n in 1..4 {
        cases.push(case(format!("connection {n}"), "bucket", GET));
    }
}
