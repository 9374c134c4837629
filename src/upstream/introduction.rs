//! What is said first on a connection to a host: whose connection it is (upstream PROXY protocol).
//!
//! Such a connection carries nothing but exchanges of the client that was named on it: it is in a pool apart from those
//! of other clients.

use crate::api::envoy::config::core::v3::proxy_protocol_config::Version as ProtoVersion;
use crate::api::envoy::config::core::v3::proxy_protocol_pass_through_tl_vs::PassTlVsMatchType;
use crate::api::envoy::config::core::v3::{ProxyProtocolConfig, ProxyProtocolPassThroughTlVs};
use crate::config::Cx;
use crate::io::Provenance;
use crate::stats::Counter;
use nuncio_codec::Buffer;
use nuncio_codec::proxy_protocol::{Ends, Version, write_local, write_v1, write_v2};
use nuncio_reactor::Address;

/// `envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport`, apart from what it wraps.
#[derive(Clone, Debug)]
pub struct Introduction {
    version: Version,
    pass: Tlvs,
    added: Vec<(u8, Box<[u8]>)>,
    /// `upstream.proxyprotocol.v2_tlvs_exceed_max_length`.
    too_long: Counter,
}

/// Some extensions of a PROXY header by their types (`ProxyProtocolPassThroughTLVs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tlvs {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// These.
    Some(Vec<u8>),
}

impl Tlvs {
    /// Compiles them.
    pub fn compile(proto: &ProxyProtocolPassThroughTlVs, cx: &mut Cx<'_>) -> Self {
        let kinds = cx.each("tlv_type", &proto.tlv_type, |cx, kind| tlv_type(*kind, cx));
        match proto.match_type() {
            PassTlVsMatchType::IncludeAll => Self::All,
            PassTlVsMatchType::Include => Self::Some(kinds),
        }
    }

    /// Whether those of a type are among them.
    pub fn contains(&self, kind: u8) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(kinds) => kinds.contains(&kind),
        }
    }
}

/// The type of an extension, at the present field.
pub(crate) fn tlv_type(kind: u32, cx: &mut Cx<'_>) -> Option<u8> {
    let small = u8::try_from(kind).ok();
    if small.is_none() {
        cx.error(format!("{kind} is not a type of an extension: 0 to 255"));
    }
    small
}

impl Introduction {
    /// Compiles one, for a cluster whose statistics begin with `scope`.
    pub fn compile(proto: &ProxyProtocolConfig, scope: &str, cx: &mut Cx<'_>) -> Self {
        let version = match proto.version() {
            ProtoVersion::V1 => Version::V1,
            ProtoVersion::V2 => Version::V2,
        };
        let pass = match &proto.pass_through_tlvs {
            None => Tlvs::None,
            Some(tlvs) => cx.field("pass_through_tlvs", |cx| Tlvs::compile(tlvs, cx)),
        };
        let added = cx.each("added_tlvs", &proto.added_tlvs, |cx, entry| {
            let kind = cx.field("type", |cx| tlv_type(entry.r#type, cx))?;
            if entry.value.is_empty() {
                cx.missing(&["value"], "`value` is required and must not be empty");
            }
            Some((kind, Box::from(&entry.value[..])))
        });
        if version == Version::V1 && !(added.is_empty() && pass == Tlvs::None) {
            cx.error_at("version", "version 1 has no extensions: V2 is required to send any");
        }
        let too_long =
            cx.registry.counter(&format!("{scope}upstream.proxyprotocol.v2_tlvs_exceed_max_length"));
        Self { version, pass, added, too_long }
    }

    /// The ends by which the host will know a client; `None` if they have no IP addresses.
    pub(super) fn ends(client: &Provenance) -> Option<Ends> {
        match (client.remote(), client.local()) {
            (Address::Inet(source), Address::Inet(destination)) => {
                Some(Ends { source: *source, destination: *destination })
            }
            _ => None,
        }
    }

    /// Writes the header for a client; the counter is to be counted if its extensions were too long to be sent.
    pub(super) fn write(&self, client: &Provenance, out: &mut Buffer) -> Option<Counter> {
        let ends = Self::ends(client);
        match (self.version, ends) {
            (Version::V1, ends) => write_v1(ends, out),
            (Version::V2, None) => write_local(out),
            (Version::V2, Some(ends)) => {
                let own = self.added.iter().map(|(kind, value)| (*kind, &value[..]));
                let theirs = client.tlvs().iter().map(|(kind, value)| (*kind, &value[..]));
                // One that is added stands in place of the client's.
                let replaced = |kind| self.added.iter().any(|(added, _)| *added == kind);
                let passed = theirs.filter(|(kind, _)| self.pass.contains(*kind) && !replaced(*kind));
                if !write_v2(ends, own.chain(passed), out) {
                    return Some(self.too_long);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Findings;
    use crate::stats::Registry;

    fn introduction(version: Version, pass: Tlvs, added: &[(u8, &[u8])]) -> Introduction {
        let added = added.iter().map(|(kind, value)| (*kind, Box::from(*value))).collect();
        Introduction { version, pass, added, too_long: Registry::new().counter("too_long") }
    }

    fn written(introduction: &Introduction, client: &Provenance) -> (Vec<u8>, bool) {
        let mut out = Buffer::new();
        let too_long = introduction.write(client, &mut out).is_some();
        (out.to_vec(), too_long)
    }

    fn client(tlvs: &[(u8, &[u8])]) -> Provenance {
        let address = |text: &str| text.parse::<Address>().expect("an address");
        let findings = Findings {
            remote: Some(address("1.2.3.4:5")),
            tlvs: tlvs.iter().map(|(kind, value)| (*kind, Box::from(*value))).collect(),
            ..Findings::default()
        };
        let direct = Provenance::direct(address("9.9.9.9:9"), address("6.7.8.9:10"));
        Provenance { findings: Some(Box::new(findings)), ..direct }
    }

    #[test]
    fn extensions_are_added_and_passed_on() {
        let client = client(&[(1, b"one"), (2, b"two"), (3, b"three")]);
        let rows: &[(Tlvs, &[u8])] = &[
            (Tlvs::None, b"\x02\0\x01x"),
            (Tlvs::Some(vec![3]), b"\x02\0\x01x\x03\0\x05three"),
            (Tlvs::All, b"\x02\0\x01x\x01\0\x03one\x03\0\x05three"),
        ];
        for (pass, wanted) in rows {
            let (header, too_long) = written(&introduction(Version::V2, pass.clone(), &[(2, b"x")]), &client);
            assert_eq!((&header[28..], too_long), (*wanted, false));
            assert_eq!(header[16..28], [1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 10]);
        }
        let long = vec![0; 65_530];
        let (header, too_long) = written(&introduction(Version::V2, Tlvs::None, &[(2, &long)]), &client);
        assert_eq!((header.len(), too_long), (28, true));
    }

    #[test]
    fn a_client_without_an_ip_address_is_not_named() {
        let unix = Provenance::direct(Address::unix("@a"), Address::unix("@b"));
        let (v1, _) = written(&introduction(Version::V1, Tlvs::None, &[]), &unix);
        assert_eq!(v1, b"PROXY UNKNOWN\r\n");
        let (v2, _) = written(&introduction(Version::V2, Tlvs::All, &[]), &unix);
        assert_eq!(v2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        let (v1, _) = written(&introduction(Version::V1, Tlvs::None, &[]), &client(&[]));
        assert_eq!(v1, b"PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n");
    }
}
