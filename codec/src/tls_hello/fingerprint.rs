//! Fingerprints of clients by their hello, after JA3 (MD5 of five lists of numbers) and JA4 (three parts, of which two
//! are the beginnings of SHA-256 sums). Values that clients send only to keep servers tolerant (GREASE, RFC 8701) are
//! left out, but for those among groups in JA3, where Envoy keeps them.

use super::ClientHello;
use super::hello::{Reader, extension, numbers};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt::{Display, Write};

/// The MD5 of a hello's version, ciphers, extensions, groups and point formats, in hexadecimal.
pub fn ja3(hello: &ClientHello<'_>) -> String {
    let mut text = hello.version.to_string();
    text.push(',');
    join(&mut text, "-", numbers(hello.ciphers).filter(is_meant));
    text.push(',');
    join(&mut text, "-", hello.extensions().map(|(number, _)| number).filter(is_meant));
    text.push(',');
    let groups = hello.extension(extension::SUPPORTED_GROUPS).unwrap_or_default();
    join(&mut text, "-", numbers(groups.get(2..).unwrap_or_default()));
    text.push(',');
    let formats = hello.extension(extension::EC_POINT_FORMATS).unwrap_or_default();
    join(&mut text, "-", formats.iter().skip(1));
    hex(&Md5::digest(text))
}

/// JA4: protocol, version, whether there is a server name, how many ciphers and extensions, the first protocol's
/// ends; the sum of the sorted ciphers; the sum of the sorted extensions and the signature algorithms.
pub fn ja4(hello: &ClientHello<'_>) -> String {
    let mut ciphers: Vec<_> = numbers(hello.ciphers).filter(is_meant).collect();
    let mut extensions: Vec<_> = hello.extensions().map(|(number, _)| number).filter(is_meant).collect();
    let mut text = String::from("t");
    text.push_str(match hello.highest_version() {
        Some(0x0304) => "13",
        Some(0x0303) => "12",
        Some(0x0302) => "11",
        Some(0x0301) => "10",
        _ => "00",
    });
    text.push(if hello.extension(extension::SERVER_NAME).is_some() { 'd' } else { 'i' });
    let _ = write!(text, "{:02}{:02}", ciphers.len().min(99), extensions.len().min(99));
    let first = hello.protocols().next();
    match (first.and_then(|name| name.first()), first.and_then(|name| name.last())) {
        (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            text.push((*first).into());
            text.push((*last).into());
        }
        (Some(first), Some(last)) => {
            let _ = write!(text, "{:x}{:x}", first >> 4, last & 15);
        }
        _ => text.push_str("00"),
    }
    ciphers.sort_unstable();
    let mut list = String::new();
    join(&mut list, ",", ciphers.iter().map(|cipher| format!("{cipher:04x}")));
    text.push('_');
    text.push_str(&beginning(&list));
    extensions.retain(|number| ![extension::SERVER_NAME, extension::ALPN].contains(number));
    extensions.sort_unstable();
    list.clear();
    join(&mut list, ",", extensions.iter().map(|number| format!("{number:04x}")));
    let algorithms = hello.extension(extension::SIGNATURE_ALGORITHMS).and_then(|list| Reader(list).list16());
    if let Some(algorithms) = algorithms.filter(|list| list.len() > 1) {
        list.push('_');
        join(&mut list, ",", numbers(algorithms).map(|algorithm| format!("{algorithm:04x}")));
    }
    text.push('_');
    text.push_str(&beginning(&list));
    text
}

/// Not GREASE.
fn is_meant(value: &u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high != low || low & 15 != 10
}

fn join(text: &mut String, between: &str, items: impl Iterator<Item = impl Display>) {
    for (at, item) in items.enumerate() {
        if at > 0 {
            text.push_str(between);
        }
        let _ = write!(text, "{item}");
    }
}

/// The first twelve digits of the sum of a list; zeroes for an empty one.
fn beginning(list: &str) -> String {
    if list.is_empty() {
        return "000000000000".to_owned();
    }
    hex(&Sha256::digest(list)[..6])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
