//! RFC 7541, as far as a block can show it from outside.

use crate::Expect::{Connection, Good, Status};
use crate::*;

/// `:method GET`, `:scheme http`, `:path /` from the static table, `:authority test`.
const BASE: [u8; 9] = [0x82, 0x86, 0x84, 0x01, 4, b't', b'e', b's', b't'];

fn send(p: &mut Peer, stream: u32, more: &[u8]) {
    p.frame(HEADERS, WHOLE, stream, &[&BASE, more].concat());
}

fn one(p: &mut Peer, more: &[u8]) {
    start(p);
    send(p, 1, more);
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    vec![
        ("6.1", "an indexed field", |p| one(p, &[0x90]), Status(1, 200)),
        ("6.2.1", "a literal that is indexed, with an indexed name", |p| one(p, &[0x7a, 4, b't', b'e', b's', b't']), Status(1, 200)),
        ("6.2.1", "the same in Huffman's code", |p| one(p, &[0x7a, 0x83, 0x49, 0x50, 0x9f]), Status(1, 200)),
        ("6.2.1", "a literal that is indexed, with a new name", |p| one(p, b"\x40\x01x\x01y"), Status(1, 200)),
        ("6.2.1", "a literal with a new name in Huffman's code", |p| one(p, &[0x40, 0x83, 0x49, 0x50, 0x9f, 0x83, 0x49, 0x50, 0x9f]), Status(1, 200)),
        ("6.2.2", "a literal that is not indexed, with an indexed name", |p| one(p, &[0x0f, 0x2b, 4, b't', b'e', b's', b't']), Status(1, 200)),
        ("6.2.2", "a literal that is not indexed, with a new name", |p| one(p, b"\x00\x01x\x01y"), Status(1, 200)),
        ("6.2.3", "a literal that is never indexed, with an indexed name", |p| one(p, &[0x1f, 0x2b, 4, b't', b'e', b's', b't']), Status(1, 200)),
        ("6.2.3", "a literal that is never indexed, with a new name", |p| one(p, b"\x10\x01x\x01y"), Status(1, 200)),
        ("2.3.2", "a field of the dynamic table", |p| {
            start(p);
            send(p, 1, b"\x40\x01x\x01y");
            let first = p.message(1);
            assert_eq!(first.status(), 200);
            send(p, 3, &[0xbe]);
        }, Status(3, 200)),
        ("2.3.2", "a table that is filled again and again", |p| {
            start(p);
            for n in 0..50u8 {
                let value = [b'a' + n % 26; 100];
                send(p, 1 + 2 * u32::from(n), &[b"\x40\x01x\x64", &value[..]].concat());
                assert_eq!(p.message(1 + 2 * u32::from(n)).status(), 200);
            }
        }, Good),
        ("6.3", "a change of the table's size", |p| { start(p); p.frame(HEADERS, WHOLE, 1, &[&[0x20][..], &BASE].concat()); }, Status(1, 200)),
        ("6.3", "two changes of the table's size", |p| { start(p); p.frame(HEADERS, WHOLE, 1, &[&[0x20, 0x3f, 0xe1, 0x1f][..], &BASE].concat()); }, Status(1, 200)),
        ("2.3.3", "an index beyond both tables", |p| one(p, &[0xbe]), Connection(COMPRESSION)),
        ("2.3.3", "an indexed name beyond both tables", |p| one(p, &[0x7e, 4, b't', b'e', b's', b't']), Connection(COMPRESSION)),
        ("2.3.3", "an index of an entry that was evicted", |p| {
            start(p);
            send(p, 1, b"\x40\x01x\x01y");
            assert_eq!(p.message(1).status(), 200);
            p.frame(HEADERS, WHOLE, 3, &[&[0x20][..], &BASE, &[0xbe]].concat());
        }, Connection(COMPRESSION)),
        ("4.2", "a change of size at the end of a block", |p| one(p, &[0x20]), Connection(COMPRESSION)),
        ("4.2", "a change of size within a block", |p| one(p, b"\x20\x00\x01x\x01y"), Connection(COMPRESSION)),
        ("5.1", "an integer without an end", |p| one(p, &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]), Connection(COMPRESSION)),
        ("5.2", "a string longer than the block", |p| one(p, b"\x00\x01x\x20y"), Connection(COMPRESSION)),
        ("5.2", "Huffman's code with more than 7 bits of padding", |p| one(p, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"), Connection(COMPRESSION)),
        ("5.2", "Huffman's code with padding of zeros", |p| one(p, b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"), Connection(COMPRESSION)),
        ("5.2", "Huffman's code with the end of strings", |p| one(p, b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"), Connection(COMPRESSION)),
        ("6.1", "an index of 0", |p| one(p, &[0x80]), Connection(COMPRESSION)),
        ("6.3", "a table larger than we allow", |p| { start(p); p.frame(HEADERS, WHOLE, 1, &[&[0x3f, 0xe2, 0x1f][..], &BASE].concat()); }, Connection(COMPRESSION)),
        ("6.3", "a table of the largest size there is", |p| { start(p); p.frame(HEADERS, WHOLE, 1, &[&[0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &BASE].concat()); }, Connection(COMPRESSION)),
    ]
}
