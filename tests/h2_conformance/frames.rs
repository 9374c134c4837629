//! RFC 9113 section 6: each type of frame, right and wrong.

use crate::Expect::{Connection, Error, Good, GoodOrGone, Status, Stream};
use crate::*;

/// The DATA on stream 1, as the lengths of frames, until it ends.
fn lengths(p: &mut Peer, n: usize) -> Vec<usize> {
    (0..n)
        .map(|_| p.until(|frame| frame.kind == DATA && frame.stream == 1).expect("DATA").payload.len())
        .collect()
}

fn padded(n: u8, content: &[u8], padding: usize) -> Vec<u8> {
    [&[n], content, &vec![0; padding]].concat()
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    vec![
        ("6.1", "DATA", |p| { start(p); p.headers(1, &POST, false); p.data(1, b"test", true); }, Status(1, 200)),
        ("6.1", "DATA in several frames", |p| { start(p); p.headers(1, &POST, false); for end in [false, false, true] { p.data(1, b"test", end); } }, Status(1, 200)),
        ("6.1", "DATA that is empty and ends", |p| { start(p); p.headers(1, &POST, false); p.data(1, b"", true); }, Status(1, 200)),
        ("6.1", "DATA with padding", |p| { start(p); p.headers(1, &POST, false); p.frame(DATA, PADDED | END_STREAM, 1, &padded(6, b"test", 6)); }, Status(1, 200)),
        ("6.1", "DATA of nothing but padding", |p| { start(p); p.headers(1, &POST, false); p.frame(DATA, PADDED | END_STREAM, 1, &padded(255, b"", 255)); }, Status(1, 200)),
        ("6.1", "DATA on stream 0", |p| { start(p); p.data(0, b"test", true); }, Connection(PROTOCOL)),
        ("6.1", "DATA on a stream that is not open", |p| { start(p); p.headers(1, &get("/hang"), true); p.data(1, b"test", true); }, Error(1, CLOSED)),
        ("6.1", "DATA with more padding than payload", |p| { start(p); p.headers(1, &POST, false); p.frame(DATA, PADDED | END_STREAM, 1, &padded(5, b"", 4)); }, Connection(PROTOCOL)),
        ("6.1", "DATA with padding as long as the payload", |p| { start(p); p.headers(1, &POST, false); p.frame(DATA, PADDED | END_STREAM, 1, &padded(255, b"test", 10)); }, Connection(PROTOCOL)),
        ("6.1", "DATA without the padding's length", |p| { start(p); p.headers(1, &POST, false); p.frame(DATA, PADDED | END_STREAM, 1, &[]); }, Connection(SIZE)),
        ("6.2", "HEADERS with padding", |p| { start(p); p.frame(HEADERS, WHOLE | PADDED, 1, &padded(6, &block(&GET), 6)); }, Status(1, 200)),
        ("6.2", "HEADERS with a priority", |p| { start(p); p.frame(HEADERS, WHOLE | PRIO, 1, &[&[0, 0, 0, 0, 255][..], &block(&GET)].concat()); }, Status(1, 200)),
        ("6.2", "HEADERS with a priority and padding", |p| { start(p); p.frame(HEADERS, WHOLE | PRIO | PADDED, 1, &padded(3, &[&[0, 0, 0, 0, 255][..], &block(&GET)].concat(), 3)); }, Status(1, 200)),
        ("6.2", "HEADERS without an end, and then PRIORITY", |p| { start(p); p.frame(HEADERS, END_STREAM, 1, &block(&GET)); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]); }, Connection(PROTOCOL)),
        ("6.2", "HEADERS without an end, and then another's", |p| { start(p); p.frame(HEADERS, END_STREAM, 1, &block(&GET)); p.headers(3, &GET, true); }, Connection(PROTOCOL)),
        ("6.2", "HEADERS on stream 0", |p| { start(p); p.headers(0, &GET, true); }, Connection(PROTOCOL)),
        ("6.2", "HEADERS with more padding than payload", |p| { start(p); p.frame(HEADERS, WHOLE | PADDED, 1, &padded(255, &block(&GET), 0)); }, Connection(PROTOCOL)),
        ("6.2", "HEADERS too short for its priority", |p| { start(p); p.frame(HEADERS, WHOLE | PRIO, 1, &[0, 0, 0]); }, Connection(SIZE)),
        ("6.3", "PRIORITY on stream 0", |p| { start(p); p.frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 255]); }, Connection(PROTOCOL)),
        ("6.3", "PRIORITY of wrong length", |p| { start(p); p.headers(1, &POST, false); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0]); }, Error(1, SIZE)),
        ("6.3", "PRIORITY of wrong length on an idle stream", |p| { start(p); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 0, 0]); }, Error(1, SIZE)),
        ("6.4", "RST_STREAM", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); }, Good),
        ("6.4", "RST_STREAM on stream 0", |p| { start(p); p.reset(0, CANCEL); }, Connection(PROTOCOL)),
        ("6.4", "RST_STREAM on an idle stream", |p| { start(p); p.reset(1, CANCEL); }, Connection(PROTOCOL)),
        ("6.4", "RST_STREAM of wrong length", |p| { start(p); p.headers(1, &POST, false); p.frame(RST_STREAM, 0, 1, &[0, 0, 0]); }, Connection(SIZE)),
        ("6.5", "SETTINGS", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(3, 100)])); }, Good),
        ("6.5", "an acknowledgement with a payload", |p| { start(p); p.frame(SETTINGS, ACK, 0, &[0; 6]); }, Connection(SIZE)),
        ("6.5", "SETTINGS on a stream", |p| { start(p); p.frame(SETTINGS, 0, 1, &settings(&[(3, 100)])); }, Connection(PROTOCOL)),
        ("6.5", "SETTINGS of a length that is no multiple of 6", |p| { start(p); p.frame(SETTINGS, 0, 0, &[0, 3, 0]); }, Connection(SIZE)),
        ("6.5.2", "ENABLE_PUSH of 2", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(2, 2)])); }, Connection(PROTOCOL)),
        ("6.5.2", "ENABLE_PUSH of 0 and of 1", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(2, 0), (2, 1)])); }, Good),
        ("6.5.2", "INITIAL_WINDOW_SIZE over the largest", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(4, 1 << 31)])); }, Connection(FLOW)),
        ("6.5.2", "MAX_FRAME_SIZE below the least", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(5, 16383)])); }, Connection(PROTOCOL)),
        ("6.5.2", "MAX_FRAME_SIZE over the largest", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(5, 1 << 24)])); }, Connection(PROTOCOL)),
        ("6.5.2", "MAX_FRAME_SIZE at both ends", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(5, 16384), (5, (1 << 24) - 1)])); }, Good),
        ("6.5.2", "an unknown setting", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(0xff, 1), (0, 7)])); }, Good),
        ("6.5.2", "ENABLE_CONNECT_PROTOCOL of 2", |p| { start(p); p.frame(SETTINGS, 0, 0, &settings(&[(8, 2)])); }, Connection(PROTOCOL)),
        ("6.5.2", "HEADER_TABLE_SIZE of 0", |p| { start_with(p, &[(1, 0)]); p.headers(1, &GET, true); }, Status(1, 200)),
        ("6.5.2", "HEADER_TABLE_SIZE of 0 and then of very much", |p| { start_with(p, &[(1, 0)]); p.frame(SETTINGS, 0, 0, &settings(&[(1, u32::MAX)])); p.headers(1, &GET, true); }, Status(1, 200)),
        ("6.5.3", "the last value of several holds", |p| {
            start_with(p, &[(4, 100), (4, 1)]);
            p.polite = false;
            p.headers(1, &GET, true);
            assert_eq!(lengths(p, 1), [1]);
        }, Good),
        ("6.5.3", "SETTINGS is acknowledged each time", |p| {
            start(p);
            for _ in 0..3 { p.frame(SETTINGS, 0, 0, &[]); }
            for _ in 0..3 { p.until(|frame| frame.kind == SETTINGS && frame.has(ACK)).expect("an acknowledgement"); }
        }, Good),
        ("6.6", "PUSH_PROMISE", |p| {
            start(p);
            p.headers(1, &POST, false);
            p.frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&GET)].concat());
        }, Connection(PROTOCOL)),
        ("6.7", "PING", |p| { start(p); p.ping(); }, Good),
        ("6.7", "the answer to a PING that nobody sent", |p| {
            start(p);
            p.frame(PING, ACK, 0, b"nobody's");
            let frames = p.ping();
            assert!(frames.iter().all(|frame| frame.kind != PING), "{frames:?}");
        }, Good),
        ("6.7", "PING on a stream", |p| { start(p); p.headers(1, &POST, false); p.frame(PING, 0, 1, &[0; 8]); }, Connection(PROTOCOL)),
        ("6.7", "PING of wrong length", |p| { start(p); p.frame(PING, 0, 0, &[0; 9]); }, Connection(SIZE)),
        ("6.8", "GOAWAY", |p| { start(p); p.goaway(0, NO_ERROR); }, GoodOrGone),
        ("6.8", "GOAWAY lets requests end", |p| { start(p); p.headers(1, &GET, true); p.goaway(0, NO_ERROR); let message = p.message(1); assert_eq!(message.status(), 200, "{message:?}"); }, GoodOrGone),
        ("6.8", "GOAWAY with a text", |p| { start(p); p.frame(GOAWAY, 0, 0, &[&[0; 8][..], b"good bye"].concat()); }, GoodOrGone),
        ("6.8", "GOAWAY on a stream", |p| { start(p); p.headers(1, &POST, false); p.frame(GOAWAY, 0, 1, &[0; 8]); }, Connection(PROTOCOL)),
        ("6.8", "GOAWAY too short", |p| { start(p); p.frame(GOAWAY, 0, 0, &[0; 7]); }, Connection(SIZE)),
        ("6.9", "WINDOW_UPDATE of the connection and of a stream", |p| { start(p); p.window(0, 100); p.headers(1, &POST, false); p.window(1, 100); }, Good),
        ("6.9", "an increment of 0 for the connection", |p| { start(p); p.window(0, 0); }, Connection(PROTOCOL)),
        ("6.9", "an increment of 0 for a stream", |p| { start(p); p.headers(1, &POST, false); p.window(1, 0); }, Stream(1, PROTOCOL)),
        ("6.9", "WINDOW_UPDATE of wrong length", |p| { start(p); p.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]); }, Connection(SIZE)),
        ("6.9", "the reserved bit of an increment", |p| { start(p); p.window(0, 5 | 1 << 31); }, Good),
        ("6.9.1", "no more DATA than the window", |p| {
            start_with(p, &[(4, 1)]);
            p.polite = false;
            p.headers(1, &GET, true);
            assert_eq!(lengths(p, 1), [1]);
            p.window(1, 3);
            assert_eq!(lengths(p, 1), [3]);
            p.window(1, 1);
            assert_eq!(lengths(p, 1), [1]);
        }, Good),
        ("6.9.1", "the connection's window over the largest", |p| { start(p); p.window(0, 0x7fff_ffff); }, Connection(FLOW)),
        ("6.9.1", "the connection's window over the largest in two steps", |p| { start(p); p.window(0, 0x3fff_ffff); p.window(0, 0x7fff_ffff); }, Connection(FLOW)),
        ("6.9.1", "a stream's window over the largest", |p| { start(p); p.headers(1, &POST, false); p.window(1, 0x7fff_ffff); }, Stream(1, FLOW)),
        ("6.9.2", "a new initial window counts for open streams", |p| {
            start_with(p, &[(4, 0)]);
            p.polite = false;
            p.headers(1, &GET, true);
            p.until(|frame| frame.kind == HEADERS).expect("a head");
            p.frame(SETTINGS, 0, 0, &settings(&[(4, 1)]));
            assert_eq!(lengths(p, 1), [1]);
        }, Good),
        ("6.9.2", "a window may become negative", |p| {
            start_with(p, &[(4, 3)]);
            p.polite = false;
            p.headers(1, &GET, true);
            assert_eq!(lengths(p, 1), [3]);
            p.frame(SETTINGS, 0, 0, &settings(&[(4, 2)]));
            p.window(1, 1);
            let frames = p.ping();
            assert!(frames.iter().all(|frame| frame.kind != DATA), "{frames:?}");
            p.window(1, 1);
            assert_eq!(lengths(p, 1), [1]);
        }, Good),
        ("6.9.2", "a new initial window that makes a stream's overflow", |p| {
            start(p);
            p.headers(1, &POST, false);
            p.window(1, 0x7fff_0000);
            p.frame(SETTINGS, 0, 0, &settings(&[(4, 0x7fff_ffff)]));
        }, Connection(FLOW)),
        ("6.10", "CONTINUATION", |p| {
            start(p);
            p.frame(HEADERS, END_STREAM, 1, &block(&GET));
            p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]));
        }, Status(1, 200)),
        ("6.10", "several CONTINUATIONs", |p| {
            start(p);
            let bytes = block(&GET);
            let (first, rest) = bytes.split_at(7);
            p.frame(HEADERS, END_STREAM, 1, first);
            for byte in rest { p.frame(CONTINUATION, 0, 1, &[*byte]); }
            p.frame(CONTINUATION, END_HEADERS, 1, &[]);
        }, Status(1, 200)),
        ("6.10", "CONTINUATION and then another frame", |p| {
            start(p);
            p.frame(HEADERS, 0, 1, &block(&POST));
            p.frame(CONTINUATION, 0, 1, &block(&[("x", "y")]));
            p.data(1, b"test", true);
        }, Connection(PROTOCOL)),
        ("6.10", "CONTINUATION on stream 0", |p| {
            start(p);
            p.frame(HEADERS, END_STREAM, 1, &block(&GET));
            p.frame(CONTINUATION, END_HEADERS, 0, &block(&[("x", "y")]));
        }, Connection(PROTOCOL)),
        ("6.10", "CONTINUATION of another stream", |p| {
            start(p);
            p.frame(HEADERS, END_STREAM, 1, &block(&GET));
            p.frame(CONTINUATION, END_HEADERS, 3, &block(&[("x", "y")]));
        }, Connection(PROTOCOL)),
        ("6.10", "CONTINUATION after the end of a block", |p| {
            start(p);
            p.headers(1, &POST, false);
            p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]));
        }, Connection(PROTOCOL)),
        ("6.10", "CONTINUATION after the end of a block in pieces", |p| {
            start(p);
            p.frame(HEADERS, 0, 1, &block(&POST));
            p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]));
            p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]));
        }, Connection(PROTOCOL)),
        ("6.10", "CONTINUATION after DATA", |p| {
            start(p);
            p.headers(1, &POST, false);
            p.data(1, b"test", false);
            p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]));
        }, Connection(PROTOCOL)),
    ]
}
