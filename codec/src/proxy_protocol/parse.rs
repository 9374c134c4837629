//! Reading a header.

use super::{
    Beginning, Ends, Extensions, FIXED_V2, Header, MAX_V1, Malformed, SIGNATURE_V1, SIGNATURE_V2, Version,
    Versions,
};
use crate::Buffer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Bytes of the two addresses and ports of version 2.
const ENDS_V4: usize = 12;
const ENDS_V6: usize = 36;

/// Says what the first bytes of a connection are, as soon as they tell.
pub fn begins(input: &mut Buffer, versions: Versions) -> Beginning {
    let bytes = input.linearize(SIGNATURE_V2.len());
    let mut may_be = false;
    for (version, wanted, signature) in
        [(Version::V2, versions.v2, SIGNATURE_V2), (Version::V1, versions.v1, SIGNATURE_V1)]
    {
        if wanted && bytes.starts_with(signature) {
            return Beginning::Header(version);
        }
        may_be |= wanted && signature.starts_with(bytes);
    }
    if may_be { Beginning::Unclear } else { Beginning::Other }
}

/// Reads the header that the input begins with, without consuming it; `None` while it is incomplete.
///
/// # Errors
/// If it can be no header of this version, as soon as that is known.
pub fn parse(input: &mut Buffer, version: Version) -> Result<Option<Header<'_>>, Malformed> {
    match version {
        Version::V1 => parse_v1(input.linearize(MAX_V1)),
        Version::V2 => {
            let Some(fixed) = input.linearize(FIXED_V2).first_chunk() else { return Ok(None) };
            let (layout, rest) = layout(fixed)?;
            if input.len() < FIXED_V2 + rest {
                return Ok(None);
            }
            parse_v2(input.linearize(FIXED_V2 + rest), layout).map(Some)
        }
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header<'_>>, Malformed> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_V1 { Ok(None) } else { Err(Malformed) };
    };
    let line = bytes[..end].strip_prefix(SIGNATURE_V1).ok_or(Malformed)?;
    let text = std::str::from_utf8(line.trim_ascii_end()).map_err(|_| Malformed)?;
    let mut parts = text.split(' ');
    let ends = match parts.next() {
        Some("TCP4") => Some(ends_v1::<Ipv4Addr>(parts)?),
        Some("TCP6") => Some(ends_v1::<Ipv6Addr>(parts)?),
        // Whatever follows has no meaning.
        Some("UNKNOWN") => None,
        _ => return Err(Malformed),
    };
    Ok(Some(Header { length: end + 2, ends, extensions: Extensions::default() }))
}

fn ends_v1<'a, A>(mut parts: impl Iterator<Item = &'a str>) -> Result<Ends, Malformed>
where
    A: FromStr + Into<IpAddr>,
{
    let mut next = || parts.next().ok_or(Malformed);
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err(Malformed);
    }
    let end = |address: &str, port: &str| {
        let address = address.parse::<A>().ok()?.into();
        // A sign would be accepted by `parse`.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        Some(SocketAddr::new(address, port.parse().ok().filter(|_| digits)?))
    };
    let ends = end(source, source_port).zip(end(destination, destination_port));
    checked(ends.ok_or(Malformed)?)
}

/// What a header of version 2 holds behind its fixed part.
#[derive(Copy, Clone)]
enum Layout {
    Local,
    V4,
    V6,
}

/// Reads the fixed part: what follows, and how many bytes that is.
fn layout(fixed: &[u8; FIXED_V2]) -> Result<(Layout, usize), Malformed> {
    let [version_command, family, high, low] = *fixed.last_chunk().expect("the fixed part is longer");
    let rest = usize::from(u16::from_be_bytes([high, low]));
    let (layout, least) = match (version_command, family) {
        // Whatever follows has no meaning.
        (0x20, _) => (Layout::Local, 0),
        // Streams and datagrams: a sender that relays datagrams on a connection names them so.
        (0x21, 0x11 | 0x12) => (Layout::V4, ENDS_V4),
        (0x21, 0x21 | 0x22) => (Layout::V6, ENDS_V6),
        _ => return Err(Malformed),
    };
    if fixed.starts_with(SIGNATURE_V2) && rest >= least { Ok((layout, rest)) } else { Err(Malformed) }
}

fn parse_v2(bytes: &[u8], layout: Layout) -> Result<Header<'_>, Malformed> {
    let rest = &bytes[FIXED_V2..];
    let (ends, extensions) = match layout {
        Layout::Local => (None, Extensions::default()),
        Layout::V4 => {
            let (ends, extensions) = rest.split_at(ENDS_V4);
            (Some(ends_v2::<4>(ends)?), Extensions::new(extensions).ok_or(Malformed)?)
        }
        Layout::V6 => {
            let (ends, extensions) = rest.split_at(ENDS_V6);
            (Some(ends_v2::<16>(ends)?), Extensions::new(extensions).ok_or(Malformed)?)
        }
    };
    Ok(Header { length: bytes.len(), ends, extensions })
}

fn ends_v2<const N: usize>(bytes: &[u8]) -> Result<Ends, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let end = |address: usize, port: usize| {
        let address = bytes.get(address..)?.first_chunk::<N>()?;
        let port = bytes.get(port..)?.first_chunk::<2>()?;
        Some(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port)))
    };
    let ends = end(0, 2 * N).zip(end(N, 2 * N + 2));
    checked(ends.ok_or(Malformed)?)
}

/// TCP has one peer at each end.
fn checked((source, destination): (SocketAddr, SocketAddr)) -> Result<Ends, Malformed> {
    let possible = |address: IpAddr| {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        !(address.is_unspecified() || address.is_multicast() || broadcast)
    };
    if possible(source.ip()) && possible(destination.ip()) {
        Ok(Ends { source, destination })
    } else {
        Err(Malformed)
    }
}
