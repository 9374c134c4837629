//! Every type of frame in every state of a stream, on both sides (RFC 9113 section 5.1 and 6).

mod h2_support;

use h2_support::*;
use nuncio_codec::h2::{Code, Settings};

/// What comes of a frame: it is taken; it is passed over; it ends its stream; a stream that is gone is reset again; it
/// ends the connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Then {
    Taken,
    Ignored,
    Stream(&'static str),
    Again(&'static str),
    Connection(&'static str),
}

use Then::{Again, Connection, Ignored, Stream, Taken};

const PROTOCOL: &str = "PROTOCOL_ERROR";
const CLOSED: &str = "STREAM_CLOSED";

/// What was written and reported, as one of the above.
fn outcome(lines: &[String], written: &[String]) -> Then {
    let code = |line: &str| -> &'static str {
        ["PROTOCOL_ERROR", "STREAM_CLOSED", "FLOW_CONTROL_ERROR", "FRAME_SIZE_ERROR", "COMPRESSION_ERROR"]
            .into_iter()
            .find(|code| line.contains(code))
            .unwrap_or("another code")
    };
    if let Some(line) = lines.iter().find(|line| line.starts_with('!')) {
        let goaway = written.last().expect("GOAWAY is written");
        assert!(goaway.starts_with("GOAWAY") && goaway.contains(code(line)), "{line} {goaway}");
        return Connection(code(line));
    }
    if let Some(line) = lines.iter().find(|line| line.contains("reset: ") && !line.contains(" Peer")) {
        let reset = written.iter().find(|line| line.starts_with("RST_STREAM")).expect("it is reset");
        assert!(reset.contains(code(line)), "{line} {reset}");
        return Stream(code(line));
    }
    if let Some(line) = written.iter().find(|line| line.starts_with("RST_STREAM")) {
        return Again(code(line));
    }
    if lines.is_empty() && written.is_empty() { Ignored } else { Taken }
}

/// The name of a frame, and its bytes for a stream.
type Frame = (&'static str, fn(u32) -> Vec<u8>);
/// A state: its name, the stream that is in it, how it gets there, and what comes of each frame.
type State<Setup> = (&'static str, u32, Setup, Vec<(&'static str, Then)>);

fn all() -> Vec<Frame> {
    vec![
        ("DATA", |id| data(id, b"x", false)),
        ("DATA end", |id| data(id, b"x", true)),
        ("HEADERS", |id| frame(HEADERS, END_HEADERS, id, &block(&[("x-trailer", "1")]))),
        ("HEADERS end", |id| frame(HEADERS, WHOLE, id, &block(&[("x-trailer", "1")]))),
        ("PRIORITY", |id| frame(PRIORITY, 0, id, &[0, 0, 0, 99, 1])),
        ("RST_STREAM", |id| rst(id, Code::CANCEL)),
        ("SETTINGS", |id| frame(SETTINGS, 0, id, &[])),
        ("PUSH_PROMISE", |id| frame(PUSH_PROMISE, END_HEADERS, id, &[0, 0, 0, 2])),
        ("PING", |id| frame(PING, 0, id, &[0; 8])),
        ("GOAWAY", |id| frame(GOAWAY, 0, id, &[0; 8])),
        ("WINDOW_UPDATE", |id| window_update(id, 1)),
        ("CONTINUATION", |id| frame(CONTINUATION, END_HEADERS, id, &[])),
        ("unknown", |id| frame(0x42, 0xff, id, b"whatever")),
    ]
}

fn check(
    state: &str,
    feed: impl Fn(&[u8]) -> (Vec<String>, Vec<String>),
    id: u32,
    expected: &[(&str, Then)],
) {
    for (name, bytes) in all() {
        let (lines, written) = feed(&bytes(id));
        let (_, then) = expected.iter().find(|(other, _)| *other == name).expect("each has a line");
        assert_eq!(
            outcome(&lines, &written),
            *then,
            "{name} on a stream that is {state}: {lines:?} {written:?}"
        );
    }
}

/// Frames that are wrong on any stream but 0, and those that are right on any.
fn anywhere(own: &[(&'static str, Then)]) -> Vec<(&'static str, Then)> {
    let mut all = own.to_vec();
    for name in ["SETTINGS", "PING", "GOAWAY", "PUSH_PROMISE", "CONTINUATION"] {
        all.push((name, Connection(PROTOCOL)));
    }
    all.extend([("PRIORITY", Ignored), ("unknown", Ignored)]);
    all
}

fn served(setup: &dyn Fn(&mut ServerRig), bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let settings = Settings { stream_error_on_invalid_http_messaging: true, ..Settings::default() };
    let mut rig = ServerRig::server(settings);
    setup(&mut rig);
    rig.out.clear();
    let lines = rig.feed(bytes);
    (lines, rig.written())
}

#[test]
fn on_a_server() {
    type Setup = Box<dyn Fn(&mut ServerRig)>;
    let feed = |rig: &mut ServerRig, bytes: &[u8]| drop(rig.feed(bytes));
    let states: Vec<State<Setup>> = vec![
        (
            "idle",
            5,
            Box::new(move |rig| feed(rig, &get(3))),
            anywhere(&[
                ("DATA", Connection(PROTOCOL)),
                ("DATA end", Connection(PROTOCOL)),
                // A request without pseudo-headers.
                ("HEADERS", Again(PROTOCOL)),
                ("HEADERS end", Again(PROTOCOL)),
                ("RST_STREAM", Connection(PROTOCOL)),
                ("WINDOW_UPDATE", Connection(PROTOCOL)),
            ]),
        ),
        (
            "idle, and not the client's",
            2,
            Box::new(move |rig| feed(rig, &get(3))),
            anywhere(&[
                ("DATA", Connection(PROTOCOL)),
                ("DATA end", Connection(PROTOCOL)),
                ("HEADERS", Connection(PROTOCOL)),
                ("HEADERS end", Connection(PROTOCOL)),
                ("RST_STREAM", Connection(PROTOCOL)),
                ("WINDOW_UPDATE", Connection(PROTOCOL)),
            ]),
        ),
        (
            "passed over",
            1,
            Box::new(move |rig| feed(rig, &get(3))),
            anywhere(&[
                ("DATA", Connection(CLOSED)),
                ("DATA end", Connection(CLOSED)),
                // RFC 9113 section 5.1.1.
                ("HEADERS", Connection(PROTOCOL)),
                ("HEADERS end", Connection(PROTOCOL)),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "open",
            1,
            Box::new(move |rig| feed(rig, &post(1))),
            anywhere(&[
                ("DATA", Taken),
                ("DATA end", Taken),
                // Trailers have to end the stream.
                ("HEADERS", Stream(PROTOCOL)),
                ("HEADERS end", Taken),
                ("RST_STREAM", Taken),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "half-closed (remote)",
            1,
            Box::new(move |rig| feed(rig, &get(1))),
            anywhere(&[
                ("DATA", Stream(CLOSED)),
                ("DATA end", Stream(CLOSED)),
                ("HEADERS", Stream(CLOSED)),
                ("HEADERS end", Stream(CLOSED)),
                ("RST_STREAM", Taken),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "half-closed (local), which only a tunnel is",
            1,
            Box::new(move |rig| {
                feed(
                    rig,
                    &frame(HEADERS, END_HEADERS, 1, &block(&[(":method", "CONNECT"), (":authority", "a:1")])),
                );
                rig.codec.send_headers(id(rig, 1), &response(200, &[]), true, &mut rig.out);
            }),
            anywhere(&[
                ("DATA", Taken),
                ("DATA end", Taken),
                // RFC 9113 section 8.5.
                ("HEADERS", Stream(PROTOCOL)),
                ("HEADERS end", Stream(PROTOCOL)),
                ("RST_STREAM", Taken),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "closed by both ends",
            1,
            Box::new(move |rig| {
                feed(rig, &get(1));
                rig.codec.send_headers(id(rig, 1), &response(200, &[]), true, &mut rig.out);
            }),
            anywhere(&[
                ("DATA", Connection(CLOSED)),
                ("DATA end", Connection(CLOSED)),
                ("HEADERS", Connection(CLOSED)),
                ("HEADERS end", Connection(CLOSED)),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "reset by the client",
            1,
            Box::new(move |rig| feed(rig, &[post(1), rst(1, Code::CANCEL)].concat())),
            anywhere(&[
                ("DATA", Again(CLOSED)),
                ("DATA end", Again(CLOSED)),
                ("HEADERS", Again(CLOSED)),
                ("HEADERS end", Again(CLOSED)),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "reset by us: the client may not have heard of it",
            1,
            Box::new(move |rig| {
                feed(rig, &post(1));
                rig.codec.reset(id(rig, 1), Code::CANCEL, &mut rig.out);
            }),
            anywhere(&[
                ("DATA", Ignored),
                ("DATA end", Ignored),
                ("HEADERS", Ignored),
                ("HEADERS end", Ignored),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "left out by our GOAWAY",
            3,
            Box::new(move |rig| {
                feed(rig, &get(1));
                rig.codec.goaway(Code::NO_ERROR, &mut rig.out);
                feed(rig, &post(3));
                assert_eq!(rig.codec.live(), 1);
            }),
            anywhere(&[
                ("DATA", Ignored),
                ("DATA end", Ignored),
                ("HEADERS", Ignored),
                ("HEADERS end", Ignored),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "the connection",
            0,
            Box::new(|_| {}),
            vec![
                ("DATA", Connection(PROTOCOL)),
                ("DATA end", Connection(PROTOCOL)),
                ("HEADERS", Connection(PROTOCOL)),
                ("HEADERS end", Connection(PROTOCOL)),
                ("PRIORITY", Connection(PROTOCOL)),
                ("RST_STREAM", Connection(PROTOCOL)),
                ("SETTINGS", Taken),
                ("PUSH_PROMISE", Connection(PROTOCOL)),
                ("PING", Taken),
                ("GOAWAY", Taken),
                ("WINDOW_UPDATE", Ignored),
                ("CONTINUATION", Connection(PROTOCOL)),
                ("unknown", Ignored),
            ],
        ),
    ];
    for (state, id, setup, expected) in &states {
        check(state, |bytes| served(setup, bytes), *id, expected);
    }
}

fn asked(setup: &dyn Fn(&mut ClientRig), bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let settings = Settings { stream_error_on_invalid_http_messaging: true, ..Settings::default() };
    let mut rig = ClientRig::client(settings);
    setup(&mut rig);
    rig.out.clear();
    let lines = rig.feed(bytes);
    (lines, rig.written())
}

#[test]
fn on_a_client() {
    type Setup = Box<dyn Fn(&mut ClientRig)>;
    let open = |rig: &mut ClientRig, end: bool| {
        let head = request(if end { "GET" } else { "POST" }, "/", &[]);
        rig.codec.open(&head, end, 0, &mut rig.out).expect("there is capacity")
    };
    let feed = |rig: &mut ClientRig, bytes: &[u8]| drop(rig.feed(bytes));
    let ok = |end: bool| frame(HEADERS, if end { WHOLE } else { END_HEADERS }, 1, &block(&OK));
    let never = |id| {
        (
            if id % 2 == 0 { "never opened, and the server's" } else { "idle" },
            id,
            Box::new(move |rig: &mut ClientRig| {
                open(rig, true);
            }) as Setup,
            anywhere(&[
                ("DATA", Connection(PROTOCOL)),
                ("DATA end", Connection(PROTOCOL)),
                ("HEADERS", Connection(PROTOCOL)),
                ("HEADERS end", Connection(PROTOCOL)),
                ("RST_STREAM", Connection(PROTOCOL)),
                ("WINDOW_UPDATE", Connection(PROTOCOL)),
            ]),
        )
    };
    let states: Vec<State<Setup>> = vec![
        never(3),
        never(2),
        (
            "open, before the response",
            1,
            Box::new(move |rig| {
                open(rig, false);
            }),
            anywhere(&[
                ("DATA", Stream(PROTOCOL)),
                ("DATA end", Stream(PROTOCOL)),
                // A response without a status.
                ("HEADERS", Stream(PROTOCOL)),
                ("HEADERS end", Stream(PROTOCOL)),
                ("RST_STREAM", Taken),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "open, within the response",
            1,
            Box::new(move |rig| {
                open(rig, false);
                feed(rig, &ok(false));
            }),
            anywhere(&[
                ("DATA", Taken),
                ("DATA end", Taken),
                ("HEADERS", Stream(PROTOCOL)),
                ("HEADERS end", Taken),
                ("RST_STREAM", Taken),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "half-closed (local)",
            1,
            Box::new(move |rig| {
                open(rig, true);
                feed(rig, &ok(false));
            }),
            anywhere(&[
                ("DATA", Taken),
                ("DATA end", Taken),
                ("HEADERS", Stream(PROTOCOL)),
                ("HEADERS end", Taken),
                ("RST_STREAM", Taken),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "half-closed (remote)",
            1,
            Box::new(move |rig| {
                open(rig, false);
                feed(rig, &ok(true));
            }),
            anywhere(&[
                ("DATA", Stream(CLOSED)),
                ("DATA end", Stream(CLOSED)),
                ("HEADERS", Stream(CLOSED)),
                ("HEADERS end", Stream(CLOSED)),
                ("RST_STREAM", Taken),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "closed by both ends",
            1,
            Box::new(move |rig| {
                open(rig, true);
                feed(rig, &ok(true));
            }),
            anywhere(&[
                ("DATA", Connection(CLOSED)),
                ("DATA end", Connection(CLOSED)),
                ("HEADERS", Connection(CLOSED)),
                ("HEADERS end", Connection(CLOSED)),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "closed by both ends, but not consumed",
            1,
            Box::new(move |rig| {
                open(rig, true);
                feed(rig, &[ok(false), data(1, b"held", true)].concat());
                assert_eq!((rig.codec.live(), rig.codec.streams().count()), (0, 1));
            }),
            anywhere(&[
                ("DATA", Connection(CLOSED)),
                ("DATA end", Connection(CLOSED)),
                ("HEADERS", Connection(CLOSED)),
                ("HEADERS end", Connection(CLOSED)),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "reset by the server",
            1,
            Box::new(move |rig| {
                open(rig, true);
                feed(rig, &rst(1, Code::INTERNAL_ERROR));
            }),
            anywhere(&[
                ("DATA", Again(CLOSED)),
                ("DATA end", Again(CLOSED)),
                ("HEADERS", Again(CLOSED)),
                ("HEADERS end", Again(CLOSED)),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
        (
            "reset by us",
            1,
            Box::new(move |rig| {
                let id = open(rig, false);
                rig.codec.reset(id, Code::CANCEL, &mut rig.out);
            }),
            anywhere(&[
                ("DATA", Ignored),
                ("DATA end", Ignored),
                ("HEADERS", Ignored),
                ("HEADERS end", Ignored),
                ("RST_STREAM", Ignored),
                ("WINDOW_UPDATE", Ignored),
            ]),
        ),
    ];
    for (state, id, setup, expected) in &states {
        check(state, |bytes| asked(setup, bytes), *id, expected);
    }
}

/// A complete response to an upload that is not needed any more stays a response.
#[test]
fn no_error_after_a_complete_response_only_stops_the_request() {
    for held in [false, true] {
        let mut rig = ClientRig::client(Settings::default());
        let id = rig.codec.open(&request("POST", "/", &[]), false, 7, &mut rig.out).expect("capacity");
        let mut wire = frame(HEADERS, END_HEADERS, 1, &block(&OK));
        wire.extend(data(1, b"done", true));
        assert_eq!(rig.feed(&wire), ["1 200", "1 data done end"]);
        if !held {
            rig.codec.consume(id, 4, &mut rig.out);
        }
        assert_eq!(rig.feed(&rst(1, Code::NO_ERROR)), [""; 0]);
        assert_eq!((rig.codec.live(), rig.codec.tag(id)), (0, held.then_some(7)));
        rig.out.clear();
        rig.codec.send_data(id, &mut (&b"more"[..]).into(), false, &mut rig.out);
        rig.codec.consume(id, 4, &mut rig.out);
        assert_eq!((rig.written(), rig.codec.tag(id)), (vec![], None));
    }
}
