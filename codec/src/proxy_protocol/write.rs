//! Writing a header.

use super::{Ends, SIGNATURE_V1, SIGNATURE_V2};
use crate::Buffer;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Writes a header of version 1; without ends, or with ends of different families, it says that nothing is known.
pub fn write_v1(ends: Option<Ends>, out: &mut Buffer) {
    out.append(SIGNATURE_V1);
    let written = match ends {
        Some(Ends { source: SocketAddr::V4(source), destination: SocketAddr::V4(destination) }) => write!(
            out,
            "TCP4 {} {} {} {}\r\n",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        ),
        Some(Ends { source: SocketAddr::V6(source), destination: SocketAddr::V6(destination) }) => write!(
            out,
            "TCP6 {} {} {} {}\r\n",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        ),
        _ => write!(out, "UNKNOWN\r\n"),
    };
    written.expect("a buffer takes everything");
}

/// Writes a header of version 2 for a stream, with extensions. Ends of different families are both written as IPv6.
/// Says false, and writes none of the extensions, if they are too long together.
pub fn write_v2<'a>(
    ends: Ends,
    extensions: impl Iterator<Item = (u8, &'a [u8])> + Clone,
    out: &mut Buffer,
) -> bool {
    let v6 = ends.source.is_ipv6() || ends.destination.is_ipv6();
    let fixed = if v6 { 36 } else { 12 };
    let length =
        extensions.clone().try_fold(fixed, |sum: usize, (_, value)| sum.checked_add(3 + value.len()));
    let length = length.and_then(|length| u16::try_from(length).ok());
    out.append(SIGNATURE_V2);
    out.append(&[0x21, if v6 { 0x21 } else { 0x11 }]);
    out.append(&length.unwrap_or(fixed as u16).to_be_bytes());
    for address in [ends.source.ip(), ends.destination.ip()] {
        match (address, v6) {
            (IpAddr::V4(address), false) => out.append(&address.octets()),
            (IpAddr::V4(address), true) => out.append(&address.to_ipv6_mapped().octets()),
            (IpAddr::V6(address), _) => out.append(&address.octets()),
        }
    }
    for end in [ends.source, ends.destination] {
        out.append(&end.port().to_be_bytes());
    }
    if length.is_some() {
        for (kind, value) in extensions {
            out.append(&[kind]);
            // The sum fits into 16 bits.
            out.append(&(value.len() as u16).to_be_bytes());
            out.append(value);
        }
    }
    length.is_some()
}

/// Writes a header of version 2 that says that the sender speaks for itself.
pub fn write_local(out: &mut Buffer) {
    out.append(SIGNATURE_V2);
    out.append(&[0x20, 0, 0, 0]);
}
