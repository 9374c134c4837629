//! What is known about a TLS connection once its handshake is done: what logs, headers and routes ask for.

use super::certificate::Certificate;
use super::material::Identity;
use std::sync::Arc;

/// A connection's TLS.
#[derive(Debug)]
pub struct TlsInfo {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, by BoringSSL's name.
    pub cipher: &'static str,
    /// The group of the key exchange; empty if it is not known, as after the resumption of a session of TLS 1.2.
    pub group: &'static str,
    /// The protocol that was agreed on, if one was.
    pub alpn: Option<Alpn>,
    /// The session's number in TLS 1.2; empty in TLS 1.3, which has none.
    pub session_id: Box<[u8]>,
    /// An earlier session was resumed.
    pub resumed: bool,
    /// The peer's certificate and those that lead from it to a root.
    pub peer: Box<[Certificate]>,
    /// The peer's certificate was checked against authorities or pins.
    pub validated: bool,
    /// Our own certificate, if one was shown or would have been without resumption.
    pub local: Option<Arc<Identity>>,
}

/// A protocol that is spoken within TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`.
    Http11,
    /// `h2`.
    H2,
    /// Another one.
    Other(Box<[u8]>),
}

impl Alpn {
    /// By its name.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"http/1.1" => Self::Http11,
            b"h2" => Self::H2,
            other => Self::Other(other.into()),
        }
    }
}

impl TlsInfo {
    /// The peer's own certificate.
    pub fn peer_certificate(&self) -> Option<&Certificate> {
        self.peer.first()
    }
}
