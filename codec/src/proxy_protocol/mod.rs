//! The PROXY protocol, versions 1 and 2: the header before a connection's bytes that names its real ends.
//!
//! [`begins`] looks at the first bytes, [`parse`] reads the header that they promise, [`write_v1`] and [`write_v2`]
//! make one. What is refused is what the specification forbids and what Envoy refuses: names of ends that cannot
//! be those of a TCP connection, address families other than IPv4 and IPv6, extensions that do not fill their
//! header.

mod parse;
mod write;

pub use parse::{begins, parse};
pub use write::{write_local, write_v1, write_v2};

use std::fmt;
use std::net::SocketAddr;

/// Longest header of version 1, with its line end. The specification says 107; a reader that is generous by one
/// byte, as Envoy is, harms nobody.
pub const MAX_V1: usize = 108;
/// Longest header of version 2: the fixed part and what a 16-bit length can announce.
pub const MAX_V2: usize = FIXED_V2 + u16::MAX as usize;

/// The fixed part of version 2: signature, version and command, family, length.
const FIXED_V2: usize = 16;
/// What a header of version 1 begins with.
const SIGNATURE_V1: &[u8] = b"PROXY ";
/// What a header of version 2 begins with.
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A version of the protocol.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// One line of text.
    V1,
    /// Binary, with extensions.
    V2,
}

/// Which versions are looked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Version 1.
    pub v1: bool,
    /// Version 2.
    pub v2: bool,
}

impl Versions {
    /// Both.
    pub const BOTH: Self = Self { v1: true, v2: true };
}

/// What the first bytes of a connection are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// They may become a header.
    Unclear,
    /// A header of this version begins.
    Header(Version),
    /// No header.
    Other,
}

/// The two ends of a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// A header that was read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its length in bytes.
    pub length: usize,
    /// `None` if the sender speaks for itself (`LOCAL`) or does not know (`UNKNOWN`).
    pub ends: Option<Ends>,
    /// Extensions of version 2.
    pub extensions: Extensions<'a>,
}

/// A header that breaks the protocol.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("malformed PROXY protocol header")
    }
}

impl std::error::Error for Malformed {}

/// The extensions of a header (type, length, value), checked: iterating gives types and values.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// `None` if the last one is cut off.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Self(bytes);
        rest.by_ref().for_each(drop);
        rest.0.is_empty().then_some(Self(bytes))
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, high, low, rest @ ..] = self.0 else { return None };
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
        self.0 = rest;
        Some((*kind, value))
    }
}
