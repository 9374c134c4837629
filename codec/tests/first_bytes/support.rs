//! Drivers: bytes in, a line out. Shared with the fuzz targets.
#![allow(dead_code, unreachable_pub, reason = "each user has its own part")]

use super::h1_support::{CUTS, Cut, pieces};
use nuncio_codec::Buffer;
use nuncio_codec::http_sniff::{Sniffed, Sniffer};
use nuncio_codec::proxy_protocol::{self, Beginning, Versions};
use nuncio_codec::tls_hello::{Inspection, Inspector, ja3, ja4};
use std::fmt::Write;

/// Whether a driver has its answer.
pub type Answer = Option<String>;

/// Feeds pieces until there is an answer; with it how many bytes had been given. Without one the text says so.
pub fn feed(wire: &[u8], cut: Cut, mut look: impl FnMut(&mut Buffer) -> Answer) -> (String, usize) {
    let mut input = Buffer::new();
    let mut given = 0;
    for piece in pieces(wire, cut) {
        input.append(piece);
        given += piece.len();
        let before = input.to_vec();
        if let Some(answer) = look(&mut input) {
            return (answer, given);
        }
        assert!(input == before[..], "looking has changed the input");
    }
    ("more".to_owned(), given)
}

/// The answer for every way to cut the input, which must be the same.
pub fn every_way(wire: &[u8], mut start: impl FnMut() -> Box<dyn FnMut(&mut Buffer) -> Answer>) -> String {
    let (whole, _) = feed(wire, Cut::Whole, start());
    for cut in CUTS {
        assert_eq!(feed(wire, cut, start()).0, whole, "{cut:?} of {:?}", wire.escape_ascii().to_string());
    }
    whole
}

/// A PROXY header: looked for in these versions, then read.
pub fn proxy_protocol(versions: Versions) -> Box<dyn FnMut(&mut Buffer) -> Answer> {
    Box::new(move |input| match proxy_protocol::begins(input, versions) {
        Beginning::Unclear => None,
        Beginning::Other => Some("none".to_owned()),
        Beginning::Header(version) => match proxy_protocol::parse(input, version) {
            Ok(None) => None,
            Err(_) => Some(format!("{version:?} malformed")),
            Ok(Some(header)) => {
                let mut text = format!("{version:?} length={}", header.length);
                if let Some(ends) = header.ends {
                    let _ = write!(text, " {} > {}", ends.source, ends.destination);
                }
                for (kind, value) in header.extensions {
                    let _ = write!(text, " {kind}={}", value.escape_ascii());
                }
                Some(text)
            }
        },
    })
}

/// A client hello within so many bytes.
pub fn tls_hello(limit: usize) -> Box<dyn FnMut(&mut Buffer) -> Answer> {
    let mut inspector = Inspector::new(limit);
    Box::new(move |input| match inspector.inspect(input) {
        Inspection::Incomplete => None,
        Inspection::NotTls => Some("not tls".to_owned()),
        Inspection::TooLarge => Some("too large".to_owned()),
        Inspection::Hello(hello) => {
            let mut text = format!("name={}", hello.server_name().escape_ascii());
            for protocol in hello.protocols() {
                let _ = write!(text, " {}", protocol.escape_ascii());
            }
            let _ = write!(text, " ja3={} ja4={}", ja3(&hello), ja4(&hello));
            Some(text)
        }
    })
}

/// A request line or a preface.
pub fn http() -> Box<dyn FnMut(&mut Buffer) -> Answer> {
    let mut sniffer = Sniffer::default();
    Box::new(move |input| match sniffer.sniff(input) {
        Sniffed::Unclear => None,
        sniffed => Some(format!("{sniffed:?}")),
    })
}
