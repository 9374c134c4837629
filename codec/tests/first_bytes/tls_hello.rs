//! Client hellos: their form, what is read from them, their fingerprints.

use super::h1_support::Cut;
use super::support::{every_way, feed, tls_hello as look};
use nuncio_codec::tls_hello::MAX_HELLO;

/// A list behind its length in two bytes.
fn list16(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &list16(content)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &list16(&[&[0][..], &list16(name)].concat()))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<_> = names.iter().map(|name| [&[name.len() as u8][..], name].concat()).collect();
    extension(16, &list16(&list.concat()))
}

/// The message's body.
fn body(version: u16, ciphers: &[u16], extensions: Option<&[Vec<u8>]>) -> Vec<u8> {
    let ciphers: Vec<u8> = ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
    let mut body = [&version.to_be_bytes()[..], &[7; 32], &[0], &list16(&ciphers), &[1, 0]].concat();
    if let Some(extensions) = extensions {
        body.extend(list16(&extensions.concat()));
    }
    body
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[1], &length[1..], body].concat()
}

/// A message in records of at most `most` bytes.
fn records(message: &[u8], most: usize) -> Vec<u8> {
    message.chunks(most).flat_map(|part| [&[22, 3, 1], &list16(part)[..]].concat()).collect()
}

fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    records(&message(&body(0x0303, &[0x1301], Some(extensions))), 1 << 14)
}

/// The answer without the fingerprints.
fn read(wire: &[u8]) -> String {
    let answer = every_way(wire, || look(MAX_HELLO));
    answer.split(" ja3=").next().unwrap_or_default().to_owned()
}

#[test]
fn names_and_protocols() {
    let rows: &[(Vec<u8>, &str)] = &[
        (hello(&[]), "name="),
        (records(&message(&body(0x0301, &[0x2f], None)), 1 << 14), "name="),
        (hello(&[server_name(b"www.Example.com")]), "name=www.Example.com"),
        (hello(&[alpn(&[b"h2", b"http/1.1"])]), "name= h2 http/1.1"),
        (hello(&[extension(0x2a2a, b""), alpn(&[b"h2"]), server_name(b"a")]), "name=a h2"),
        // Protocols without the form of a list count as none.
        (hello(&[extension(16, b"\x00\x03\x02h2x")]), "name="),
        (hello(&[extension(16, b"\x00\x01\x00")]), "name="),
        (hello(&[extension(16, b"\x00\x04\x02h2")]), "name="),
        // A name that is none makes the whole hello malformed.
        (hello(&[extension(0, b"")]), "not tls"),
        (hello(&[extension(0, b"\x00\x03\x00\x00\x00")]), "not tls"),
        (hello(&[extension(0, b"\x00\x04\x01\x00\x01a")]), "not tls"),
        (hello(&[server_name(b"a\0b")]), "not tls"),
        (hello(&[server_name(&[b'a'; 256])]), "not tls"),
        (hello(&[server_name(&[b'a'; 255])]), &format!("name={}", "a".repeat(255))),
        // Only versions that are no TLS, or none at all.
        (hello(&[extension(43, b"\x02\x7f\x1c")]), "not tls"),
        (hello(&[extension(43, b"\x04\x1a\x1a\x03\x04")]), "name="),
        (hello(&[extension(43, b"\x02\x03\x00")]), "not tls"),
        (hello(&[extension(43, b"\x03\x03\x04")]), "not tls"),
        (records(&message(&body(0x0300, &[0x2f], None)), 1 << 14), "not tls"),
        (records(&message(&body(0x0303, &[], Some(&[]))), 1 << 14), "not tls"),
    ];
    for (wire, wanted) in rows {
        assert_eq!(read(wire), *wanted, "{}", wire.escape_ascii());
    }
}

#[test]
fn any_cut_into_records_is_the_same() {
    let message = message(&body(0x0303, &[0x1301, 0x1302], Some(&[server_name(b"a.b"), alpn(&[b"x"])])));
    let whole = every_way(&records(&message, 1 << 14), || look(MAX_HELLO));
    assert!(whole.starts_with("name=a.b x "), "{whole}");
    for most in [1, 2, 3, 4, 5, 7, 50] {
        assert_eq!(every_way(&records(&message, most), || look(MAX_HELLO)), whole, "{most}");
    }
    // What follows the hello is nobody's business yet.
    let more = [&records(&message, 1 << 14)[..], b"anything"].concat();
    assert_eq!(every_way(&more, || look(MAX_HELLO)), whole);
}

#[test]
fn what_is_no_hello() {
    let good = hello(&[server_name(b"a")]);
    let changed = |at: usize, to: u8| {
        let mut wire = good.clone();
        wire[at] = to;
        wire
    };
    let rows: &[(Vec<u8>, &str)] = &[
        (b"GET / HTTP/1.1\r\n".to_vec(), "not tls"),
        (b"\x80\x2e\x01\x00\x02".to_vec(), "not tls"),
        (changed(0, 21), "not tls"),
        (changed(1, 2), "not tls"),
        // The minor version does not matter.
        (changed(2, 0), "name=a"),
        (changed(2, 9), "name=a"),
        (changed(3, 0x41), "not tls"),
        (changed(5, 2), "not tls"),
        (changed(6, 1), "not tls"),
        (changed(7, 0x41), "not tls"),
        (changed(6, 9), "not tls"),
        (changed(9, 2), "not tls"),
        // The session id ends behind the message.
        (changed(43, 255), "not tls"),
        (changed(43, 33), "not tls"),
        (b"\x16\x03\x01\x00\x00".to_vec(), "not tls"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00".to_vec(), "not tls"),
        (good[..good.len() - 1].to_vec(), "more"),
        (b"\x16".to_vec(), "more"),
        (b"\x16\x03\x01".to_vec(), "more"),
        (Vec::new(), "more"),
    ];
    for (wire, wanted) in rows {
        assert_eq!(read(wire), *wanted, "{}", wire.escape_ascii());
    }
    // Cut off anywhere inside, with lengths that fit: there is no form in which that is a hello.
    let body = body(0x0303, &[0x1301], Some(&[server_name(b"a"), alpn(&[b"h2"])]));
    let without_extensions = body.len() - 2 - server_name(b"a").len() - alpn(&[b"h2"]).len();
    for end in 1..body.len() {
        let wanted = if end == without_extensions { "name=" } else { "not tls" };
        assert_eq!(read(&records(&message(&body[..end]), 1 << 14)), wanted, "{end}");
    }
}

#[test]
fn the_limit_counts_everything() {
    let wire = hello(&[server_name(b"a"), extension(21, &[0; 300])]);
    for limit in [100, wire.len() - 1] {
        assert_eq!(every_way(&wire, || look(limit)), "too large", "{limit}");
    }
    assert!(every_way(&wire, || look(wire.len())).starts_with("name=a"));
    let (answer, given) = feed(&wire, Cut::Bytes, look(100));
    assert_eq!((&answer[..], given), ("too large", 100));
    // In the smallest records the longest hello does not fit.
    let long = message(&body(0x0303, &[0x1301], Some(&[extension(21, &[0; 9000])])));
    assert_eq!(
        every_way(&records(&long, 4096), || look(MAX_HELLO)),
        every_way(&records(&long, 64), || look(MAX_HELLO))
    );
    assert_eq!(feed(&records(&long, 1), Cut::Whole, look(MAX_HELLO)).0, "too large");
}

#[test]
fn fingerprints() {
    let extensions = [
        extension(0x0a0a, b""),
        server_name(b"a.example"),
        extension(23, b""),
        extension(10, &list16(&[0x2a, 0x2a, 0x00, 0x1d, 0x00, 0x17])),
        extension(11, &[1, 0]),
        alpn(&[b"h2", b"http/1.1"]),
        extension(13, &list16(&[0x04, 0x03, 0x08, 0x04])),
        extension(43, &[6, 0x3a, 0x3a, 0x03, 0x04, 0x03, 0x03]),
    ];
    let ciphers = [0x1a1a, 0x1301, 0x1303, 0x1302, 0xc02b];
    let wire = records(&message(&body(0x0303, &ciphers, Some(&extensions))), 1 << 14);
    // MD5 of "771,4865-4867-4866-49195,0-23-10-11-16-13-43,10794-29-23,0"; SHA-256 of "1301,1302,1303,c02b" and of
    // "000a,000b,000d,0017,002b_0403,0804".
    assert_eq!(
        every_way(&wire, || look(MAX_HELLO)),
        "name=a.example h2 http/1.1 ja3=9b50e902cb628a39d8de2b97f0a8312d ja4=t13d0407h2_39e807bd56df_38dbf9c86be1"
    );
    let bare = records(&message(&body(0x0302, &[0x0a0a], None)), 1 << 14);
    assert_eq!(
        every_way(&bare, || look(MAX_HELLO)),
        "name= ja3=c60aede8a0769e8413584e679cee5579 ja4=t11i000000_000000000000_000000000000"
    );
    let odd = hello(&[alpn(&[b"\xab\xcd"])]);
    let answer = every_way(&odd, || look(MAX_HELLO));
    assert!(answer.contains("ja4=t12i0101ad_"), "{answer}");
}
