//! RFC 9113 sections 3 to 5: how a connection begins, frames as such, streams.

use crate::Expect::{Connection, Error, Good, GoodOrGone, Status, Stream};
use crate::*;

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    vec![
        ("3.4", "a preface and SETTINGS", |p| start(p), Good),
        ("3.4", "a request that comes with the preface", |p| {
            p.try_send([PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, WHOLE, 1, &block(&GET))].concat());
        }, Status(1, 200)),
        ("3.4", "a preface in single bytes", |p| {
            for byte in [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat() { p.try_send([byte]); }
        }, Good),
        ("3.4", "a preface with a wrong end", |p| { p.try_send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"); }, Connection(PROTOCOL)),
        ("3.4", "no SETTINGS after the preface", |p| { p.try_send([PREFACE, &frame(PING, 0, 0, &[0; 8])].concat()); }, Connection(PROTOCOL)),
        ("3.4", "a SETTINGS acknowledgement instead of SETTINGS", |p| { p.try_send([PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat()); }, Connection(PROTOCOL)),
        ("4.1", "a frame of unknown type", |p| { start(p); p.frame(0x16, 0, 0, &[0; 8]); }, Good),
        ("4.1", "a frame of unknown type on a stream that was never opened", |p| { start(p); p.frame(0xfe, 0xff, 9, b"what"); }, Good),
        ("4.1", "unknown flags", |p| { start(p); p.frame(PING, 0x16, 0, &[1; 8]); }, Good),
        ("4.1", "the reserved bit of a stream's identifier", |p| { start(p); p.frame(PING, 0, 1 << 31, &[1; 8]); }, Good),
        ("4.1", "the reserved bit in HEADERS", |p| { start(p); p.frame(HEADERS, WHOLE, 1 | 1 << 31, &block(&GET)); }, Status(1, 200)),
        ("4.2", "DATA of 2^14 bytes", |p| { start(p); p.headers(1, &POST, false); p.data(1, &[7; 16384], true); }, Status(1, 200)),
        ("4.2", "DATA larger than the largest frame", |p| { start(p); p.headers(1, &POST, false); p.data(1, &[7; 16385], true); }, Connection(SIZE)),
        ("4.2", "HEADERS larger than the largest frame", |p| {
            start(p);
            let long = "x".repeat(5000);
            let mut fields = GET.to_vec();
            fields.extend([("x-a", long.as_str()); 4]);
            p.headers(1, &fields, true);
        }, Connection(SIZE)),
        ("4.2", "an unknown frame larger than the largest", |p| { start(p); p.frame(0x16, 0, 0, &[0; 16385]); }, Connection(SIZE)),
        ("4.2", "SETTINGS larger than the largest frame", |p| { start(p); p.frame(SETTINGS, 0, 0, &[0; 16386]); }, Connection(SIZE)),
        ("4.2", "CONTINUATION larger than the largest frame", |p| {
            start(p);
            p.frame(HEADERS, END_STREAM, 1, &block(&GET));
            p.frame(CONTINUATION, END_HEADERS, 1, &[0; 16385]);
        }, Connection(SIZE)),
        ("4.3", "a block that is not HPACK", |p| { start(p); p.frame(HEADERS, WHOLE, 1, &[0x40]); }, Connection(COMPRESSION)),
        ("4.3", "PRIORITY within a block", |p| {
            start(p);
            p.frame(HEADERS, END_STREAM, 1, &block(&GET));
            p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]);
            p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]));
        }, Connection(PROTOCOL)),
        ("4.3", "another stream's HEADERS within a block", |p| {
            start(p);
            p.frame(HEADERS, END_STREAM, 1, &block(&GET));
            p.frame(HEADERS, WHOLE, 3, &block(&GET));
        }, Connection(PROTOCOL)),
        ("4.3", "DATA within a block", |p| {
            start(p);
            p.frame(HEADERS, 0, 1, &block(&POST));
            p.data(1, b"x", true);
        }, Connection(PROTOCOL)),
        // 5.1: idle.
        ("5.1", "idle: DATA", |p| { start(p); p.data(1, b"test", true); }, Connection(PROTOCOL)),
        ("5.1", "idle: RST_STREAM", |p| { start(p); p.reset(1, CANCEL); }, Connection(PROTOCOL)),
        ("5.1", "idle: WINDOW_UPDATE", |p| { start(p); p.window(1, 100); }, Connection(PROTOCOL)),
        ("5.1", "idle: CONTINUATION", |p| { start(p); p.frame(CONTINUATION, END_HEADERS, 1, &block(&GET)); }, Connection(PROTOCOL)),
        ("5.1", "idle: PRIORITY", |p| { start(p); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]); p.headers(1, &GET, true); }, Status(1, 200)),
        ("5.1", "idle: HEADERS, while others are open", |p| { start(p); p.headers(1, &POST, false); p.headers(3, &GET, true); }, Status(3, 200)),
        // 5.1: half-closed (remote).
        ("5.1", "half-closed (remote): DATA", |p| { start(p); p.headers(1, &get("/hang"), true); p.data(1, b"test", true); }, Error(1, CLOSED)),
        ("5.1", "half-closed (remote): HEADERS", |p| { start(p); p.headers(1, &get("/hang"), true); p.headers(1, &[("x", "y")], true); }, Error(1, CLOSED)),
        ("5.1", "half-closed (remote): HEADERS of a request", |p| { start(p); p.headers(1, &get("/hang"), true); p.headers(1, &GET, true); }, Error(1, CLOSED)),
        ("5.1", "half-closed (remote): CONTINUATION", |p| { start(p); p.headers(1, &get("/hang"), true); p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")])); }, Connection(PROTOCOL)),
        ("5.1", "half-closed (remote): WINDOW_UPDATE", |p| { start(p); p.headers(1, &GET, true); p.window(1, 100); }, Status(1, 200)),
        ("5.1", "half-closed (remote): PRIORITY", |p| { start(p); p.headers(1, &GET, true); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]); }, Status(1, 200)),
        ("5.1", "half-closed (remote): RST_STREAM", |p| { start(p); p.headers(1, &get("/hang"), true); p.reset(1, CANCEL); }, Good),
        // 5.1: closed by our RST_STREAM.
        ("5.1", "closed by RST_STREAM: DATA", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); p.data(1, b"test", true); }, Error(1, CLOSED)),
        ("5.1", "closed by RST_STREAM: HEADERS", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); p.headers(1, &[("x", "y")], true); }, Error(1, CLOSED)),
        ("5.1", "closed by RST_STREAM: HEADERS of a request", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); p.headers(1, &GET, true); }, Error(1, CLOSED)),
        ("5.1", "closed by RST_STREAM: CONTINUATION", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); p.frame(CONTINUATION, END_HEADERS, 1, &block(&GET)); }, Connection(PROTOCOL)),
        ("5.1", "closed by RST_STREAM: PRIORITY", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]); }, Good),
        ("5.1", "closed by RST_STREAM: WINDOW_UPDATE", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); p.window(1, 10); }, Good),
        ("5.1", "closed by RST_STREAM: RST_STREAM", |p| { start(p); p.headers(1, &POST, false); p.reset(1, CANCEL); p.reset(1, CANCEL); }, Good),
        // 5.1: closed by both ends.
        ("5.1", "closed: DATA", |p| { start(p); p.ask(1, &GET); p.data(1, b"test", true); }, Connection(CLOSED)),
        ("5.1", "closed: HEADERS", |p| { start(p); p.ask(1, &GET); p.headers(1, &[("x", "y")], true); }, Connection(CLOSED)),
        ("5.1", "closed: HEADERS of a request", |p| { start(p); p.ask(1, &GET); p.headers(1, &GET, true); }, Connection(CLOSED)),
        ("5.1", "closed: CONTINUATION", |p| { start(p); p.ask(1, &GET); p.frame(CONTINUATION, END_HEADERS, 1, &block(&GET)); }, Connection(PROTOCOL)),
        ("5.1", "closed: PRIORITY", |p| { start(p); p.ask(1, &GET); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]); }, Good),
        ("5.1", "closed: WINDOW_UPDATE", |p| { start(p); p.ask(1, &GET); p.window(1, 100); }, Good),
        ("5.1", "closed: RST_STREAM", |p| { start(p); p.ask(1, &GET); p.reset(1, CANCEL); }, Good),
        ("5.1.1", "a stream of an even number", |p| { start(p); p.headers(2, &GET, true); }, Connection(PROTOCOL)),
        ("5.1.1", "a stream smaller than the last", |p| { start(p); p.headers(5, &get("/hang"), true); p.headers(3, &GET, true); }, Connection(PROTOCOL)),
        ("5.1.1", "a stream with gaps before it", |p| { start(p); p.headers(101, &GET, true); }, Status(101, 200)),
        ("5.1.1", "the largest stream there is", |p| { start(p); p.headers(0x7fff_ffff, &GET, true); }, Status(0x7fff_ffff, 200)),
        ("5.1.2", "more streams than are allowed, which cannot end", |p| {
            start_with(p, &[(4, 0)]);
            let most = p.settings.iter().find(|entry| entry.0 == 3).expect("a limit").1;
            for n in 0..=most { p.headers(1 + 2 * n, &GET, true); }
        }, Stream(2049, REFUSED)),
        ("5.1.2", "more streams than are allowed, which are not ended", |p| {
            start(p);
            let most = p.settings.iter().find(|entry| entry.0 == 3).expect("a limit").1;
            for n in 0..=most { p.headers(1 + 2 * n, &POST, false); }
        }, Stream(2049, REFUSED)),
        ("5.3.1", "HEADERS of a stream that depends on itself", |p| {
            start(p);
            p.frame(HEADERS, WHOLE | PRIO, 1, &[&[0, 0, 0, 1, 255][..], &block(&GET)].concat());
        }, Error(1, PROTOCOL)),
        ("5.3.1", "PRIORITY of a stream that depends on itself", |p| { start(p); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 255]); }, Error(1, PROTOCOL)),
        ("5.3.1", "PRIORITY of an open stream that depends on itself", |p| { start(p); p.headers(1, &POST, false); p.frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 255]); }, Error(1, PROTOCOL)),
        ("5.3", "priorities of every kind", |p| {
            start(p);
            for (stream, depends, weight) in [(1u32, 0u32, 0u8), (3, 0, 255), (5, 1, 15), (7, 5 | 1 << 31, 200), (9, 99, 1)] {
                p.frame(PRIORITY, 0, stream, &[&depends.to_be_bytes()[..], &[weight]].concat());
            }
            p.headers(3, &GET, true);
        }, Status(3, 200)),
        ("5.3", "PRIORITY of a later stream does not take its number", |p| { start(p); p.frame(PRIORITY, 0, 99, &[0, 0, 0, 0, 255]); p.headers(1, &GET, true); }, Status(1, 200)),
        ("5.4.1", "a PING that ends the connection", |p| { start(p); p.frame(PING, 0, 0, &[0; 6]); }, Connection(SIZE)),
        ("5.4.1", "a broken frame while requests run", |p| { start(p); p.headers(1, &get("/hang"), true); p.headers(3, &POST, false); p.frame(PING, 0, 3, &[0; 8]); }, Connection(PROTOCOL)),
        ("5.5", "an unknown frame within a block", |p| {
            start(p);
            p.frame(HEADERS, END_STREAM, 1, &block(&GET));
            p.frame(0x16, 0, 1, &[0; 8]);
            p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]));
        }, Connection(PROTOCOL)),
        ("7", "GOAWAY with an unknown code", |p| { start(p); p.goaway(0, 0xff); }, GoodOrGone),
        ("7", "RST_STREAM with an unknown code", |p| { start(p); p.headers(1, &POST, false); p.reset(1, 0xff); }, Good),
    ]
}
