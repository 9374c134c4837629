//! The operators about TLS: what was negotiated, and what the certificates of both ends say.

use super::time::TimeFormat;
use crate::stream_info::StreamInfo;
use crate::tls::{Certificate, Names, TlsInfo};
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// Which connection.
#[derive(Copy, Clone, Debug)]
pub(super) enum Side {
    Downstream,
    Upstream,
}

/// What of it.
#[derive(Copy, Clone, Debug)]
pub(super) enum Field {
    Version,
    Cipher,
    Group,
    SessionId,
    Peer(Of),
    PeerChain(Of),
    Local(Of),
}

/// What of a certificate.
#[derive(Copy, Clone, Debug)]
pub(super) enum Of {
    Subject,
    Issuer,
    Serial,
    Fingerprint256,
    Fingerprint1,
    /// As PEM, encoded for URLs.
    Pem,
    Dns,
    Uri,
    Email,
    Ip,
}

use Field::{Cipher, Group, Local, Peer, PeerChain, SessionId, Version};
use Side::{Downstream, Upstream};

/// Operators without arguments.
pub(super) const PLAIN: &[(&str, Side, Field)] = &[
    ("DOWNSTREAM_TLS_SESSION_ID", Downstream, SessionId),
    ("DOWNSTREAM_TLS_CIPHER", Downstream, Cipher),
    ("DOWNSTREAM_TLS_GROUP", Downstream, Group),
    ("DOWNSTREAM_TLS_VERSION", Downstream, Version),
    ("DOWNSTREAM_PEER_FINGERPRINT_256", Downstream, Peer(Of::Fingerprint256)),
    ("DOWNSTREAM_PEER_FINGERPRINT_1", Downstream, Peer(Of::Fingerprint1)),
    ("DOWNSTREAM_PEER_SERIAL", Downstream, Peer(Of::Serial)),
    ("DOWNSTREAM_PEER_CERT", Downstream, Peer(Of::Pem)),
    ("DOWNSTREAM_PEER_SUBJECT", Downstream, Peer(Of::Subject)),
    ("DOWNSTREAM_PEER_ISSUER", Downstream, Peer(Of::Issuer)),
    ("DOWNSTREAM_PEER_URI_SAN", Downstream, Peer(Of::Uri)),
    ("DOWNSTREAM_PEER_DNS_SAN", Downstream, Peer(Of::Dns)),
    ("DOWNSTREAM_PEER_IP_SAN", Downstream, Peer(Of::Ip)),
    ("DOWNSTREAM_PEER_EMAIL_SAN", Downstream, Peer(Of::Email)),
    ("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", Downstream, PeerChain(Of::Fingerprint256)),
    ("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", Downstream, PeerChain(Of::Fingerprint1)),
    ("DOWNSTREAM_PEER_CHAIN_SERIALS", Downstream, PeerChain(Of::Serial)),
    ("DOWNSTREAM_LOCAL_SUBJECT", Downstream, Local(Of::Subject)),
    ("DOWNSTREAM_LOCAL_URI_SAN", Downstream, Local(Of::Uri)),
    ("DOWNSTREAM_LOCAL_DNS_SAN", Downstream, Local(Of::Dns)),
    ("DOWNSTREAM_LOCAL_IP_SAN", Downstream, Local(Of::Ip)),
    ("DOWNSTREAM_LOCAL_EMAIL_SAN", Downstream, Local(Of::Email)),
    ("UPSTREAM_TLS_SESSION_ID", Upstream, SessionId),
    ("UPSTREAM_TLS_CIPHER", Upstream, Cipher),
    ("UPSTREAM_TLS_GROUP", Upstream, Group),
    ("UPSTREAM_TLS_VERSION", Upstream, Version),
    ("UPSTREAM_PEER_SUBJECT", Upstream, Peer(Of::Subject)),
    ("UPSTREAM_PEER_ISSUER", Upstream, Peer(Of::Issuer)),
    ("UPSTREAM_PEER_CERT", Upstream, Peer(Of::Pem)),
    ("UPSTREAM_PEER_URI_SAN", Upstream, Peer(Of::Uri)),
    ("UPSTREAM_PEER_DNS_SAN", Upstream, Peer(Of::Dns)),
    ("UPSTREAM_PEER_IP_SAN", Upstream, Peer(Of::Ip)),
    ("UPSTREAM_LOCAL_URI_SAN", Upstream, Local(Of::Uri)),
    ("UPSTREAM_LOCAL_DNS_SAN", Upstream, Local(Of::Dns)),
    ("UPSTREAM_LOCAL_IP_SAN", Upstream, Local(Of::Ip)),
];

/// The operator that is called so.
pub(super) fn plain(name: &str) -> Option<(Side, Field)> {
    PLAIN.iter().find(|(known, ..)| *known == name).map(|(_, side, field)| (*side, *field))
}

impl Side {
    fn of<'a>(self, info: &StreamInfo<'a>) -> Option<&'a TlsInfo> {
        match self {
            Downstream => info.downstream.tls,
            Upstream => info.upstream.as_ref()?.tls,
        }
    }
}

impl Field {
    /// Appends the value; says whether there is one.
    pub(super) fn write(self, side: Side, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        let Some(tls) = side.of(info) else { return false };
        let before = out.len();
        match self {
            Version => out.extend_from_slice(tls.version.as_bytes()),
            Cipher => out.extend_from_slice(tls.cipher.as_bytes()),
            Group => out.extend_from_slice(tls.group.as_bytes()),
            SessionId => hex(&tls.session_id, out),
            Peer(of) => {
                if let Some(certificate) = tls.peer_certificate() {
                    of.write(certificate, out);
                }
            }
            PeerChain(of) => {
                for (at, certificate) in tls.peer.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    of.write(certificate, out);
                }
            }
            Local(of) => {
                if let Some(identity) = &tls.local {
                    of.write(&identity.leaf, out);
                }
            }
        }
        out.len() > before
    }
}

impl Of {
    fn write(self, certificate: &Certificate, out: &mut Vec<u8>) {
        let facts = certificate.facts();
        let Names { dns, uri, email, ip } = &facts.names;
        let list = |names: &[String], out: &mut Vec<u8>| out.extend_from_slice(names.join(",").as_bytes());
        match self {
            Self::Subject => out.extend_from_slice(facts.subject.as_bytes()),
            Self::Issuer => out.extend_from_slice(facts.issuer.as_bytes()),
            Self::Serial => out.extend_from_slice(facts.serial.as_bytes()),
            Self::Fingerprint256 => out.extend_from_slice(certificate.fingerprint_256().as_bytes()),
            Self::Fingerprint1 => out.extend_from_slice(certificate.fingerprint_1().as_bytes()),
            Self::Pem => certificate.write_url_pem(out),
            Self::Dns => list(dns, out),
            Self::Uri => list(uri, out),
            Self::Email => list(email, out),
            Self::Ip => list(ip, out),
        }
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        // Writing into memory does not fail.
        let _ = write!(out, "{byte:02x}");
    }
}

/// A moment in the life of the peer's certificate.
#[derive(Clone, Debug)]
pub(super) struct Validity {
    pub(super) side: Side,
    /// Its end, not its beginning.
    pub(super) end: bool,
    pub(super) format: Box<TimeFormat>,
}

impl Validity {
    /// An operator with an optional format of its time.
    pub(super) fn parse(name: &str, arguments: Option<&str>) -> Option<Result<Self, String>> {
        let (side, end) = match name {
            "DOWNSTREAM_PEER_CERT_V_START" => (Downstream, false),
            "DOWNSTREAM_PEER_CERT_V_END" => (Downstream, true),
            "UPSTREAM_PEER_CERT_V_START" => (Upstream, false),
            "UPSTREAM_PEER_CERT_V_END" => (Upstream, true),
            _ => return None,
        };
        let format = match arguments.filter(|text| !text.is_empty()) {
            None => Ok(TimeFormat::iso(false)),
            Some(text) => TimeFormat::parse(text, false),
        };
        Some(format.map(|format| Self { side, end, format: Box::new(format) }))
    }

    /// Appends the value; says whether there is one.
    pub(super) fn write(&self, info: &StreamInfo<'_>, out: &mut Vec<u8>) -> bool {
        let Some(certificate) = self.side.of(info).and_then(TlsInfo::peer_certificate) else { return false };
        let facts = certificate.facts();
        let seconds = if self.end { facts.not_after } else { facts.not_before };
        self.format.write(UNIX_EPOCH + Duration::from_secs(seconds.max(0) as u64), out)
    }
}
