//! Frames that are wrong whatever the state, settings, windows, pings, and the end of connections (RFC 9113 sections
//! 3 to 6). Each case whole, byte by byte and split at random.

mod h2_support;

use h2_support::*;
use nuncio_codec::{
    Buffer,
    h2::{Client, Code, Server, Settings},
};

/// Settings under which malformed messages reset their streams.
fn lenient() -> Settings {
    Settings { stream_error_on_invalid_http_messaging: true, ..Settings::default() }
}

/// What a server reports of these bytes, and what it writes, however they are cut.
fn served(wire: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut results = CUTS.map(|cut| {
        let mut rig = ServerRig::server(lenient());
        let mut lines = Vec::new();
        for piece in pieces(wire, cut) {
            join(&mut lines, rig.feed(piece));
        }
        (lines, rig.written())
    });
    for (result, cut) in results.iter().zip(CUTS).skip(1) {
        assert_eq!(*result, results[0], "{cut:?}");
    }
    std::mem::take(&mut results[0])
}

#[test]
fn errors_of_the_connection() {
    let headers = |flags, payload: &[u8]| frame(HEADERS, flags, 1, payload);
    let get_block = block(&GET);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("too long", frame(DATA, 0, 1, &[0; 16_385]), "FRAME_SIZE_ERROR"),
        ("too long, unknown", frame(0x77, 0, 0, &[0; 16_385]), "FRAME_SIZE_ERROR"),
        ("too long, SETTINGS", frame(SETTINGS, 0, 0, &[0; 16_386]), "FRAME_SIZE_ERROR"),
        ("SETTINGS of 3 bytes", frame(SETTINGS, 0, 0, &[0; 3]), "FRAME_SIZE_ERROR"),
        ("SETTINGS ack with payload", frame(SETTINGS, ACK, 0, &[0; 6]), "FRAME_SIZE_ERROR"),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), "PROTOCOL_ERROR"),
        ("ENABLE_PUSH 2", settings(&[(2, 2)]), "PROTOCOL_ERROR"),
        ("INITIAL_WINDOW_SIZE", settings(&[(4, 1 << 31)]), "FLOW_CONTROL_ERROR"),
        ("INITIAL_WINDOW_SIZE, later corrected", settings(&[(4, u32::MAX), (4, 1)]), "FLOW_CONTROL_ERROR"),
        ("MAX_FRAME_SIZE too small", settings(&[(5, 16_383)]), "PROTOCOL_ERROR"),
        ("MAX_FRAME_SIZE too large", settings(&[(5, 1 << 24)]), "PROTOCOL_ERROR"),
        ("ENABLE_CONNECT_PROTOCOL 2", settings(&[(8, 2)]), "PROTOCOL_ERROR"),
        ("ENABLE_CONNECT_PROTOCOL taken back", settings(&[(8, 1), (8, 0)]), "PROTOCOL_ERROR"),
        ("PING of 7", frame(PING, 0, 0, &[0; 7]), "FRAME_SIZE_ERROR"),
        ("PING of 9", frame(PING, ACK, 0, &[0; 9]), "FRAME_SIZE_ERROR"),
        ("PING on a stream", frame(PING, 0, 3, &[0; 8]), "PROTOCOL_ERROR"),
        ("GOAWAY of 7", frame(GOAWAY, 0, 0, &[0; 7]), "FRAME_SIZE_ERROR"),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), "PROTOCOL_ERROR"),
        (
            "GOAWAY that promises more",
            [goaway(1, Code::NO_ERROR), goaway(3, Code::NO_ERROR)].concat(),
            "PROTOCOL_ERROR",
        ),
        ("RST_STREAM of 3", [post(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), "FRAME_SIZE_ERROR"),
        ("RST_STREAM of 5", [post(1), frame(RST_STREAM, 0, 1, &[0; 5])].concat(), "FRAME_SIZE_ERROR"),
        ("WINDOW_UPDATE of 3", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), "FRAME_SIZE_ERROR"),
        ("WINDOW_UPDATE of 0", window_update(0, 0), "PROTOCOL_ERROR"),
        ("WINDOW_UPDATE of 0 and the reserved bit", window_update(0, 1 << 31), "PROTOCOL_ERROR"),
        ("WINDOW_UPDATE over the top", window_update(0, (1 << 31) - 1), "FLOW_CONTROL_ERROR"),
        ("PRIORITY of 4, idle", frame(PRIORITY, 0, 1, &[0; 4]), "FRAME_SIZE_ERROR"),
        ("PRIORITY of itself, idle", frame(PRIORITY, 0, 7, &[0, 0, 0, 7, 0]), "PROTOCOL_ERROR"),
        ("NO_RFC7540_PRIORITIES 2", settings(&[(9, 2)]), "PROTOCOL_ERROR"),
        ("PRIORITY_UPDATE of 3", frame(PRIORITY_UPDATE, 0, 0, &[0; 3]), "FRAME_SIZE_ERROR"),
        ("PRIORITY_UPDATE on a stream", frame(PRIORITY_UPDATE, 0, 1, b"\0\0\0\x01u=1"), "PROTOCOL_ERROR"),
        ("PRIORITY_UPDATE of the connection", priority_update(0, "u=1"), "PROTOCOL_ERROR"),
        ("PRIORITY_UPDATE of a pushed stream", priority_update(2, "u=1"), "PROTOCOL_ERROR"),
        ("PUSH_PROMISE", [post(1), frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2])].concat(), "PROTOCOL_ERROR"),
        (
            "DATA, padding as long as the payload",
            [post(1), frame(DATA, PADDED, 1, &[1])].concat(),
            "PROTOCOL_ERROR",
        ),
        ("DATA, padding longer", [post(1), frame(DATA, PADDED, 1, &[200, 0, 0])].concat(), "PROTOCOL_ERROR"),
        (
            "DATA, padded without a length",
            [post(1), frame(DATA, PADDED, 1, &[])].concat(),
            "FRAME_SIZE_ERROR",
        ),
        (
            "HEADERS, padding too long",
            headers(WHOLE | PADDED, &[&[200][..], &get_block].concat()),
            "PROTOCOL_ERROR",
        ),
        ("HEADERS, padded without a length", headers(WHOLE | PADDED, &[]), "FRAME_SIZE_ERROR"),
        ("HEADERS, priority cut off", headers(WHOLE | PRIO, &[0; 4]), "FRAME_SIZE_ERROR"),
        (
            "HEADERS, padding and priority",
            headers(WHOLE | PRIO | PADDED, &[1, 0, 0, 0, 0, 0]),
            "PROTOCOL_ERROR",
        ),
        ("HEADERS of a smaller stream", [get(5), get(3)].concat(), "PROTOCOL_ERROR"),
        ("HEADERS of an even stream", get(2), "PROTOCOL_ERROR"),
        ("CONTINUATION of nothing", frame(CONTINUATION, 4, 1, &[]), "PROTOCOL_ERROR"),
        (
            "CONTINUATION of what is complete",
            [get(1), frame(CONTINUATION, 4, 1, &[])].concat(),
            "PROTOCOL_ERROR",
        ),
        (
            "CONTINUATION of another stream",
            [headers(1, &get_block), frame(CONTINUATION, 4, 3, &[])].concat(),
            "PROTOCOL_ERROR",
        ),
        ("DATA within a block", [headers(0, &get_block), data(1, b"", false)].concat(), "PROTOCOL_ERROR"),
        (
            "PING within a block",
            [headers(0, &get_block), frame(PING, 0, 0, &[0; 8])].concat(),
            "PROTOCOL_ERROR",
        ),
        ("HEADERS within a block", [headers(0, &get_block), get(1)].concat(), "PROTOCOL_ERROR"),
        (
            "unknown within a block",
            [headers(0, &get_block), frame(0x77, 0, 1, &[])].concat(),
            "PROTOCOL_ERROR",
        ),
        ("a block with index 0", headers(WHOLE, &[0x80]), "COMPRESSION_ERROR"),
        ("a block with an index beyond", headers(WHOLE, &[0xff, 0x7f]), "COMPRESSION_ERROR"),
        ("a block cut off", headers(WHOLE, &[0x82, 0x40]), "COMPRESSION_ERROR"),
        (
            "a block with a bad Huffman code",
            headers(WHOLE, &[0x82, 0x00, 0x81, 0xff, 0x00]),
            "COMPRESSION_ERROR",
        ),
        ("a table too large", headers(WHOLE, &[0x3f, 0xe2, 0x1f]), "COMPRESSION_ERROR"),
        (
            "a change of size at the end",
            headers(WHOLE, &[&block(&GET)[..], &[0x20]].concat()),
            "COMPRESSION_ERROR",
        ),
        (
            "a bad block on a stream that is reset",
            [post(1), rst(1, Code::CANCEL), headers(WHOLE, &[0x80])].concat(),
            "COMPRESSION_ERROR",
        ),
        (
            "a bad block of a malformed message",
            headers(WHOLE, &[&block(&[("A", "b")])[..], &[0x80]].concat()),
            "COMPRESSION_ERROR",
        ),
    ];
    for (name, wire, code) in cases {
        let (lines, written) = served(&wire);
        let last = lines.last().unwrap_or_else(|| panic!("{name}: nothing"));
        assert!(last.starts_with(&format!("! {code} ")), "{name}: {lines:?}");
        assert!(
            written.last().is_some_and(|line| line.starts_with("GOAWAY") && line.ends_with(code)),
            "{name}"
        );
    }
}

#[test]
fn errors_of_a_stream_leave_the_others_alone() {
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("WINDOW_UPDATE of 0", window_update(1, 0), "PROTOCOL_ERROR"),
        ("WINDOW_UPDATE over the top", window_update(1, (1 << 31) - 1), "FLOW_CONTROL_ERROR"),
        ("PRIORITY of 4", frame(PRIORITY, 0, 1, &[0; 4]), "FRAME_SIZE_ERROR"),
        ("PRIORITY of 6", frame(PRIORITY, 0, 1, &[0; 6]), "FRAME_SIZE_ERROR"),
        ("PRIORITY of itself", frame(PRIORITY, 0, 1, &[0x80, 0, 0, 1, 0]), "PROTOCOL_ERROR"),
        (
            "trailers that depend on their stream",
            frame(HEADERS, WHOLE | PRIO, 1, &[0, 0, 0, 1, 0]),
            "PROTOCOL_ERROR",
        ),
    ];
    for (name, bytes, code) in cases {
        let (lines, written) = served(&[post(1), bytes, get(3)].concat());
        assert!(lines[1].starts_with(&format!("1 reset: {code} ")), "{name}: {lines:?}");
        assert!(lines[2].starts_with("3 "), "{name}: {lines:?}");
        assert_eq!(written, [format!("RST_STREAM 1 {code}")], "{name}");
    }
    let dependent = frame(HEADERS, WHOLE | PRIO, 1, &[&[0, 0, 0, 1, 0][..], &block(&GET)].concat());
    let (lines, written) = served(&[dependent, get(3)].concat());
    assert_eq!(
        (&lines[0][..], &written[0][..]),
        ("1 refused: SelfDependency", "RST_STREAM 1 PROTOCOL_ERROR")
    );
}

#[test]
fn frames_that_are_right() {
    let padded = frame(
        HEADERS,
        END_HEADERS | PADDED | PRIO,
        1,
        &[&[3, 0, 0, 0, 9, 7][..], &block(&POST), &[1, 2, 3]].concat(),
    );
    let whole = block(&GET);
    let continued = [
        frame(HEADERS, END_STREAM, 3, &whole[..5]),
        frame(CONTINUATION, 0, 3, &whole[5..6]),
        frame(CONTINUATION, END_HEADERS, 3, &whole[6..]),
    ];
    let wire = [
        frame(0xfe, 0xff, 9, b"unknown"),
        priority_update(1, "u=1"),
        priority_update(99, ""),
        // Unknown settings, and flags without meaning.
        frame(SETTINGS, 0xfe, 0, &[0, 0xff, 0, 0, 0, 1, 0, 9, 0, 0, 0, 1]),
        frame(PING, 0, 0, b"12345678"),
        padded,
        frame(DATA, PADDED, 1, &[4, b'a', b'b', 0, 0, 0, 0]),
        frame(DATA, 0, 1, b"cd"),
        continued.concat(),
        frame(DATA, PADDED | END_STREAM, 1, &[0]),
        frame(PING, ACK, 0, &[0, 0, 0, 0, 0, 0, 0, 7]),
        frame(GOAWAY, 0, 0, &[&[0, 0, 0, 0, 0, 0, 0, 2][..], b"because"].concat()),
    ];
    let (lines, written) = served(&wire.concat());
    assert_eq!(
        lines,
        [
            "settings",
            "1 [:method=POST] [:scheme=http] [:authority=a] [:path=/]",
            "1 data abcd",
            "3 [:method=GET] [:scheme=http] [:authority=a] [:path=/] end",
            "1 data  end",
            "pong 7",
            "goaway 0 INTERNAL_ERROR",
        ]
    );
    assert_eq!(written, ["SETTINGS ack", "PING ack 12345678"]);
}

#[test]
fn how_a_connection_starts() {
    let hello = frame(SETTINGS, 0, 0, &[]);
    let good = [PREFACE, &hello].concat();
    let cases: &[(&[u8], &[&str])] = &[
        (&good, &["settings"]),
        (b"GET / HTTP/1.1\r\n", &["! PROTOCOL_ERROR"]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", &["! PROTOCOL_ERROR"]),
        (b"\x16\x03\x01", &["! PROTOCOL_ERROR"]),
        (b"PRI * HTTP/2.0\r\n", &[]),
        (b"PRX", &["! PROTOCOL_ERROR"]),
        (&[PREFACE, &get(1)].concat(), &["! PROTOCOL_ERROR"]),
        (&[PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat(), &["! PROTOCOL_ERROR"]),
        (&[PREFACE, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat(), &["! PROTOCOL_ERROR"]),
        (&[PREFACE, &settings(&[(5, 0)])].concat(), &["! PROTOCOL_ERROR"]),
    ];
    for (wire, expected) in cases {
        for cut in CUTS {
            let mut rig = ServerRig::fresh(Settings::default());
            let mut lines = Vec::new();
            for piece in pieces(wire, cut) {
                lines.extend(rig.feed(piece));
            }
            assert_eq!(lines.len(), expected.len(), "{lines:?}");
            assert!(lines.iter().zip(*expected).all(|(line, start)| line.starts_with(start)), "{lines:?}");
        }
    }
    let mut rig = ClientRig::fresh(Settings::default());
    assert!(rig.feed(b"HTTP/1.1 400 Bad Request\r\n")[0].starts_with("! PROTOCOL_ERROR"));
}

#[test]
fn what_is_written_first() {
    let mut out = Buffer::new();
    Server::new(Settings { allow_connect: true, hpack_table_size: 0, ..Settings::default() }, &mut out);
    let bytes = out.to_vec();
    assert_eq!(
        frames(&bytes),
        [
            (SETTINGS, 0, 0, settings(&[(1, 0), (3, 1024), (8, 1), (4, 16 << 20)])[9..].to_vec()),
            (WINDOW_UPDATE, 0, 0, ((24_u32 << 20) - 65_535).to_be_bytes().to_vec()),
        ]
    );
    out.clear();
    let small = Settings {
        initial_stream_window_size: 65_535,
        initial_connection_window_size: 65_535,
        ..Settings::default()
    };
    Client::new(small, &mut out);
    let bytes = out.to_vec();
    let rest = bytes.strip_prefix(PREFACE).expect("the preface");
    // One stream alone cannot take the whole window.
    let more = (65_535_u32 / 2).to_be_bytes().to_vec();
    assert_eq!(
        frames(rest),
        [(SETTINGS, 0, 0, settings(&[(2, 0), (4, 65_535)])[9..].to_vec()), (WINDOW_UPDATE, 0, 0, more)]
    );
}

#[test]
fn a_client_lets_nobody_push() {
    let mut rig = ClientRig::client(Settings::default());
    rig.codec.open(&request("GET", "/", &[]), true, 0, &mut rig.out).expect("capacity");
    let lines = rig.feed(&frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&GET)].concat()));
    assert!(lines[0].starts_with("! PROTOCOL_ERROR"), "{lines:?}");
    let mut rig = ClientRig::fresh(Settings::default());
    assert!(rig.feed(&settings(&[(2, 1)]))[0].starts_with("! PROTOCOL_ERROR"));
    let mut rig = ClientRig::fresh(Settings::default());
    assert_eq!(rig.feed(&settings(&[(2, 0)])), ["settings"]);
}

#[test]
fn goaway_of_a_server() {
    let mut rig = ServerRig::server(Settings::default());
    rig.feed(&get(1));
    rig.codec.drain(&mut rig.out);
    rig.codec.drain(&mut rig.out);
    assert_eq!(rig.written(), ["GOAWAY 2147483647 NO_ERROR"]);
    assert!(rig.codec.is_draining() && !rig.codec.goaway_sent());
    // Between the two, streams are still taken.
    assert_eq!(rig.feed(&get(3)).len(), 1);
    rig.codec.goaway(Code::NO_ERROR, &mut rig.out);
    rig.codec.goaway(Code::NO_ERROR, &mut rig.out);
    assert_eq!(rig.written(), ["GOAWAY 3 NO_ERROR"]);
    // What was sent before the client heard of it is ignored, but its fields go into the table.
    let mut encoder = nuncio_codec::h2::hpack::Encoder::new(4096);
    let late = encoded(&mut encoder, &with(&POST, &[("x-late", "value")]));
    let wire = [frame(HEADERS, END_HEADERS, 5, &late), data(5, b"body", true)].concat();
    assert_eq!((rig.feed(&wire), rig.written()), (vec![], vec![]));
    assert_eq!(rig.codec.live(), 2);
    for number in [1, 3] {
        rig.codec.send_headers(id(&rig, number), &response(200, &[]), true, &mut rig.out);
    }
    assert_eq!(rig.codec.live(), 0);
    // An error later on says no more than what was promised.
    assert!(rig.feed(&data(0, b"", false))[0].starts_with('!'));
    assert_eq!(rig.written().last().map(String::as_str), Some("GOAWAY 3 PROTOCOL_ERROR"));
}

#[test]
fn goaway_of_an_upstream_tells_what_may_be_sent_again() {
    let mut rig = ClientRig::client(Settings::default());
    for tag in [10, 30, 50] {
        rig.codec.open(&request("GET", "/", &[]), true, tag, &mut rig.out).expect("capacity");
    }
    rig.out.clear();
    assert_eq!(rig.feed(&goaway((1 << 31) - 1, Code::NO_ERROR)), ["goaway 2147483647 NO_ERROR"]);
    assert_eq!((rig.codec.live(), rig.codec.capacity()), (3, 0));
    assert_eq!(
        rig.feed(&goaway(1, Code::NO_ERROR)),
        ["goaway 1 NO_ERROR", "3 reset: REFUSED_STREAM GoAway", "5 reset: REFUSED_STREAM GoAway"]
    );
    assert_eq!((rig.codec.live(), rig.written()), (1, vec![]));
    assert_eq!(rig.feed(&frame(HEADERS, WHOLE, 1, &block(&OK))), ["1 200 end"]);
    let another = rig.codec.open(&request("GET", "/", &[]), true, 0, &mut rig.out);
    assert_eq!(another, Err(nuncio_codec::h2::OpenError::NoCapacity));
}

#[test]
fn a_table_that_was_made_smaller_is_asked_for() {
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let shrunk = Settings { hpack_table_size: 0, ..lenient() };
    let ack = frame(SETTINGS, ACK, 0, &[]);
    let indexing = |name: &str| [&block(&GET)[..], &[0x40], &block(&[(name, "v")])[1..]].concat();
    // Before the acknowledgement the old size holds.
    let mut rig = ServerRig::fresh(shrunk);
    rig.feed(&hello);
    let wire = [
        frame(HEADERS, WHOLE, 1, &indexing("x-a")),
        frame(HEADERS, WHOLE, 3, &[&[0xbe][..], &block(&GET)].concat()),
    ];
    assert_eq!(rig.feed(&wire.concat()).len(), 2);
    // After it the first block has to say so.
    assert!(rig.feed(&[ack.clone(), get(5)].concat())[1].starts_with("! COMPRESSION_ERROR"));
    let mut rig = ServerRig::fresh(shrunk);
    let wire =
        [hello, ack, frame(HEADERS, WHOLE, 1, &[&[0x20][..], &indexing("x-a")].concat()), get(3)].concat();
    assert_eq!(rig.feed(&wire).len(), 4);
}
