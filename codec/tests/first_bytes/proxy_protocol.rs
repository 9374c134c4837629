//! The PROXY protocol: what is accepted and refused, and what is written.

use super::h1_support::Cut;
use super::support::{every_way, feed, proxy_protocol as look};
use nuncio_codec::Buffer;
use nuncio_codec::proxy_protocol::{Ends, MAX_V2, Version, Versions, parse, write_local, write_v1, write_v2};
use proptest::prelude::*;
use std::net::SocketAddr;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const IPV4: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 4, 87, 8, 174];

/// A header of version 2.
fn v2(version_command: u8, family: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = (content.len() as u16).to_be_bytes();
    [SIGNATURE, &[version_command, family], &length, &content].concat()
}

fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &(value.len() as u16).to_be_bytes()[..], value].concat()
}

#[test]
fn lines_of_version_1() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(93));
    let rows: &[(&str, &str)] = &[
        // The specification's own examples.
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET /",
            "V1 length=47 192.168.0.1:56324 > 192.168.0.11:443",
        ),
        ("PROXY UNKNOWN\r\n", "V1 length=15"),
        (
            "PROXY TCP4 255.255.255.254 255.255.255.254 65535 65535\r\n",
            "V1 length=56 255.255.255.254:65535 > 255.255.255.254:65535",
        ),
        ("PROXY TCP6 2001:db8::1 ffff:f:f:f:f:f:f:fff0 65535 65535\r\n", "V1 malformed"),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            "V1 length=107",
        ),
        ("PROXY TCP6 1::2 5::6 1111 2222\r\n", "V1 length=32 [1::2]:1111 > [5::6]:2222"),
        (
            "PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 1 2\r\n",
            "V1 length=46 [::ffff:1.2.3.4]:1 > [::ffff:5.6.7.8]:2",
        ),
        ("PROXY UNKNOWN anything goes here\r\n", "V1 length=34"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0 0111\r\n", "V1 length=35 1.2.3.4:0 > 5.6.7.8:111"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "V1 length=33 1.2.3.4:1 > 5.6.7.8:2"),
        (&longest, "V1 length=108"),
        (&too_long, "V1 malformed"),
        // Hostile or broken.
        ("PROXY TCP4 1.2.3.4 5.6.7.8 66666 2\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4\t5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 1::2 5::6 1 2\r\n", "V1 malformed"),
        ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP6 fe80::1%lo 5::6 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 host 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY \r\n", "V1 malformed"),
        ("PROXY  \r\n", "V1 malformed"),
        ("PROXY TCP4 224.0.0.1 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4 255.255.255.255 1 2\r\n", "V1 malformed"),
        ("PROXY TCP4 0.0.0.0 5.6.7.8 1 2\r\n", "V1 malformed"),
        ("PROXY TCP6 ff02::1 5::6 1 2\r\n", "V1 malformed"),
        ("PROXY TCP6 :: 5::6 1 2\r\n", "V1 malformed"),
        // A line feed alone ends no line.
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\nGET / HTTP/1.1\r\n", "V1 malformed"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", "more"),
        ("PROXY TCP4 1.2.3.4 ", "more"),
        ("PROXY", "more"),
        ("", "more"),
        // Not PROXY.
        ("PROXY\r\n", "none"),
        ("PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n", "none"),
        ("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "none"),
        (" PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "none"),
        ("GET / HTTP/1.1\r\n", "none"),
        ("\r\nGET", "none"),
        ("\r\n", "more"),
    ];
    for (wire, wanted) in rows {
        assert_eq!(every_way(wire.as_bytes(), || look(Versions::BOTH)), *wanted, "{wire:?}");
    }
}

#[test]
fn headers_of_version_2() {
    let ipv6 = [&[0; 15], &[1][..], &[0; 15], &[2, 0, 11, 0, 22]].concat();
    let aws = extension(0xea, b"\x01vpce-1");
    let rows: &[(Vec<u8>, &str)] = &[
        (v2(0x21, 0x11, &[IPV4]), "V2 length=28 1.2.3.4:1111 > 5.6.7.8:2222"),
        (v2(0x21, 0x12, &[IPV4]), "V2 length=28 1.2.3.4:1111 > 5.6.7.8:2222"),
        (v2(0x21, 0x21, &[&ipv6]), "V2 length=52 [::1]:11 > [::2]:22"),
        (v2(0x21, 0x22, &[&ipv6]), "V2 length=52 [::1]:11 > [::2]:22"),
        (
            v2(0x21, 0x11, &[IPV4, &extension(2, b"a.b"), &aws]),
            "V2 length=44 1.2.3.4:1111 > 5.6.7.8:2222 2=a.b 234=\\x01vpce-1",
        ),
        (v2(0x21, 0x11, &[IPV4, &extension(4, b"")]), "V2 length=31 1.2.3.4:1111 > 5.6.7.8:2222 4="),
        (v2(0x20, 0, &[]), "V2 length=16"),
        // What follows LOCAL is skipped, whatever it is.
        (v2(0x20, 0x11, &[IPV4]), "V2 length=28"),
        (v2(0x20, 0xff, &[b"\x02\xff\xffjunk"]), "V2 length=23"),
        // Hostile or broken.
        (v2(0x21, 0x00, &[]), "V2 malformed"),
        (v2(0x21, 0x10, &[IPV4]), "V2 malformed"),
        (v2(0x21, 0x13, &[IPV4]), "V2 malformed"),
        (v2(0x21, 0x31, &[&[0; 216]]), "V2 malformed"),
        (v2(0x21, 0x41, &[IPV4]), "V2 malformed"),
        (v2(0x22, 0x11, &[IPV4]), "V2 malformed"),
        (v2(0x11, 0x11, &[IPV4]), "V2 malformed"),
        (v2(0x31, 0x11, &[IPV4]), "V2 malformed"),
        (v2(0x21, 0x11, &[&IPV4[..11]]), "V2 malformed"),
        (v2(0x21, 0x21, &[IPV4]), "V2 malformed"),
        (v2(0x21, 0x11, &[IPV4, b"\x02"]), "V2 malformed"),
        (v2(0x21, 0x11, &[IPV4, b"\x02\x00"]), "V2 malformed"),
        (v2(0x21, 0x11, &[IPV4, b"\x02\x00\x04abc"]), "V2 malformed"),
        (v2(0x21, 0x11, &[&[239, 0, 0, 1], &IPV4[4..]]), "V2 malformed"),
        (v2(0x21, 0x11, &[&[0; 12]]), "V2 malformed"),
        (v2(0x21, 0x21, &[&[0; 36]]), "V2 malformed"),
        (SIGNATURE.to_vec(), "more"),
        (v2(0x21, 0x11, &[IPV4])[..27].to_vec(), "more"),
        ([&SIGNATURE[..11], b"\r"].concat(), "none"),
    ];
    for (wire, wanted) in rows {
        assert_eq!(every_way(wire, || look(Versions::BOTH)), *wanted, "{}", wire.escape_ascii());
    }
    let long = v2(0x21, 0x11, &[IPV4, &extension(4, &[b'x'; 65_520])]);
    assert_eq!(long.len(), MAX_V2);
    let (answer, given) = feed(&[&long[..], b"more"].concat(), Cut::Bytes, look(Versions::BOTH));
    assert!(answer.starts_with("V2 length=65551 "));
    assert_eq!(given, MAX_V2);
}

#[test]
fn answers_come_as_early_as_they_can() {
    let rows: &[(&[u8], usize)] = &[
        (b"GET / HTTP/1.1\r\n", 1),
        (b"PROXY\r\n", 6),
        (b"\r\n\r\nx", 5),
        // The version, not the end of the header.
        (&v2(0x11, 0x11, &[IPV4]), 16),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n", 32),
    ];
    for (wire, wanted) in rows {
        let (answer, given) = feed(wire, Cut::Bytes, look(Versions::BOTH));
        assert_ne!(answer, "more");
        assert_eq!(given, *wanted, "{}", wire.escape_ascii());
    }
}

#[test]
fn a_version_that_is_not_looked_for_is_not_seen() {
    let (v1, v2) = (&b"PROXY UNKNOWN\r\n"[..], v2(0x20, 0, &[]));
    let only_v1 = Versions { v1: true, v2: false };
    let only_v2 = Versions { v1: false, v2: true };
    assert_eq!(every_way(v1, || look(only_v2)), "none");
    assert_eq!(every_way(v1, || look(only_v1)), "V1 length=15");
    assert_eq!(every_way(&v2, || look(only_v1)), "none");
    assert_eq!(every_way(&v2, || look(only_v2)), "V2 length=16");
    assert_eq!(every_way(b"PROXY", || look(only_v2)), "none");
}

fn ends() -> impl Strategy<Value = Ends> {
    let v4 = any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (a.into(), b.into()));
    let v6 = any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (a.into(), b.into()));
    (prop_oneof![v4, v6], any::<(u16, u16)>()).prop_map(|((a, b), (p, q))| Ends {
        source: SocketAddr::new(a, p),
        destination: SocketAddr::new(b, q),
    })
}

fn possible(ends: Ends) -> bool {
    [ends.source, ends.destination].iter().all(|end| {
        let ip = end.ip();
        !ip.is_unspecified() && !ip.is_multicast() && ip != std::net::Ipv4Addr::BROADCAST
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(ends in ends(), extensions in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..5)) {
        prop_assume!(possible(ends));
        let mut wire = Buffer::new();
        write_v1(Some(ends), &mut wire);
        let length = wire.len();
        let header = parse(&mut wire, Version::V1).expect("well-formed").expect("whole");
        prop_assert_eq!((header.ends, header.length), (Some(ends), length));
        let mut wire = Buffer::new();
        let list = extensions.iter().map(|(kind, value)| (*kind, &value[..]));
        prop_assert!(write_v2(ends, list.clone(), &mut wire));
        let length = wire.len();
        let header = parse(&mut wire, Version::V2).expect("well-formed").expect("whole");
        prop_assert_eq!((header.ends, header.length), (Some(ends), length));
        prop_assert!(header.extensions.eq(list));
    }
}

#[test]
fn what_cannot_be_said_is_left_out() {
    let text = |ends| {
        let mut wire = Buffer::new();
        write_v1(ends, &mut wire);
        String::from_utf8(wire.to_vec()).expect("text")
    };
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address");
    assert_eq!(text(None), "PROXY UNKNOWN\r\n");
    let mixed = Ends { source: end("1.2.3.4:5"), destination: end("[::1]:6") };
    assert_eq!(text(Some(mixed)), "PROXY UNKNOWN\r\n");
    let mut wire = Buffer::new();
    write_v2(mixed, [].into_iter(), &mut wire);
    let read = every_way(&wire.to_vec(), || look(Versions::BOTH));
    assert_eq!(read, "V2 length=52 [::ffff:1.2.3.4]:5 > [::1]:6");
    let mut wire = Buffer::new();
    let long = vec![0; 65_521];
    let same = Ends { source: end("1.2.3.4:5"), destination: end("6.7.8.9:10") };
    assert!(!write_v2(same, [(1, &long[..])].into_iter(), &mut wire));
    assert_eq!(every_way(&wire.to_vec(), || look(Versions::BOTH)), "V2 length=28 1.2.3.4:5 > 6.7.8.9:10");
    let mut wire = Buffer::new();
    write_local(&mut wire);
    assert_eq!(every_way(&wire.to_vec(), || look(Versions::BOTH)), "V2 length=16");
}
