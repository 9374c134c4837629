//! Who the client is, and what a request may claim: `x-forwarded-*`, internal and external callers.
//!
//! The rules are those of Envoy's `ConnectionManagerUtility::mutateRequestHeaders`, in its order. Whoever is
//! connected decides, or one of the addresses that trusted proxies have put into `x-forwarded-for`; headers that only
//! callers from inside may send are taken out of all other requests.

use super::config::{Forwarding, HcmConfig};
use crate::tls::TlsInfo;
use nuncio_codec::{HeaderId, HeaderMap, RequestHead};
use nuncio_reactor::Address;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The two ends of a downstream connection.
#[derive(Copy, Clone, Debug)]
pub(super) struct Ends<'a> {
    pub(super) local: Option<&'a Address>,
    pub(super) peer: &'a Address,
    /// There is TLS between them.
    pub(super) secure: bool,
    /// What is known of it.
    pub(super) tls: Option<&'a TlsInfo>,
}

/// What was found out about a request's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Who is taken for the client, if that is not who is connected.
    pub(super) address: Option<IpAddr>,
    /// It came straight from outside: what it says of itself does not count.
    pub(super) edge: bool,
}

/// Headers that only internal callers may send.
const INTERNAL: [HeaderId; 14] = [
    HeaderId::X_ENVOY_RETRIABLE_STATUS_CODES,
    HeaderId::X_ENVOY_RETRIABLE_HEADER_NAMES,
    HeaderId::X_ENVOY_RETRY_ON,
    HeaderId::X_ENVOY_RETRY_GRPC_ON,
    HeaderId::X_ENVOY_MAX_RETRIES,
    HeaderId::X_ENVOY_UPSTREAM_ALT_STAT_NAME,
    HeaderId::X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS,
    HeaderId::X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS,
    HeaderId::X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE,
    HeaderId::X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
    HeaderId::X_ENVOY_FORCE_TRACE,
    HeaderId::X_ENVOY_IP_TAGS,
    HeaderId::X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
    HeaderId::X_ENVOY_ORIGINAL_URL,
];

/// Sees to the headers that say where a request comes from.
pub(super) fn prepare(head: &mut RequestHead, ends: Ends<'_>, config: &HcmConfig) -> Client {
    let rules = &config.forwarding;
    let headers = &mut head.headers;
    headers.remove(HeaderId::X_ENVOY_INTERNAL);
    config.client_cert.apply(headers, ends.tls);
    let scheme: &[u8] = if ends.secure { b"https" } else { b"http" };
    let peer = ip(ends.peer);
    if headers.get_all(HeaderId::X_FORWARDED_FOR).nth(1).is_some() {
        // One list in one line, as everybody reads it.
        append_to_list(headers, HeaderId::X_FORWARDED_FOR, b",", b"");
    }
    let (address, single);
    if rules.use_remote_address {
        single = !headers.contains(HeaderId::X_FORWARDED_FOR);
        let hops = rules.trusted_hops as usize;
        address = if hops > 0 { forwarded_for(headers, hops - 1).map(|(address, _)| address) } else { None };
        if !rules.skip_append {
            append_peer(headers, ends, rules);
        }
        if rules.trusted_hops == 0 || !headers.contains(HeaderId::X_FORWARDED_PROTO) {
            headers.set(HeaderId::X_FORWARDED_PROTO, scheme);
        }
    } else {
        let found = forwarded_for(headers, rules.trusted_hops as usize);
        address = found.map(|(address, _)| address);
        single = found.is_some_and(|(_, single)| single);
    }
    if !headers.contains(HeaderId::X_FORWARDED_PROTO) {
        headers.append_id(HeaderId::X_FORWARDED_PROTO, scheme);
    }
    if rules.append_port
        && (!headers.contains(HeaderId::X_FORWARDED_PORT)
            || (rules.use_remote_address && rules.trusted_hops == 0))
        && let Some(Address::Inet(local)) = ends.local
    {
        headers.set(HeaderId::X_FORWARDED_PORT, local.port().to_string().as_bytes());
    }
    // Without remote addresses the client is one that a header names, or nobody.
    let client = if rules.use_remote_address { address.or(peer) } else { address };
    let unix = rules.internal_unix && rules.use_remote_address && matches!(ends.peer, Address::Unix(_));
    let internal = single
        && (unix || client.is_some_and(|client| rules.internal.iter().any(|range| range.contains(client))));
    let edge = !internal && rules.use_remote_address;
    if internal {
        headers.append_id(HeaderId::X_ENVOY_INTERNAL, b"true");
    } else {
        take_out_internal(headers, edge, config);
    }
    if let (true, Some(address)) = (edge, client) {
        headers.set(HeaderId::X_ENVOY_EXTERNAL_ADDRESS, Text::of(address).bytes());
    }
    Client { address: address.filter(|address| Some(*address) != peer), edge }
}

fn take_out_internal(headers: &mut HeaderMap, edge: bool, config: &HcmConfig) {
    if edge {
        for id in [
            HeaderId::X_ENVOY_DECORATOR_OPERATION,
            HeaderId::X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER,
            HeaderId::X_ENVOY_DOWNSTREAM_SERVICE_NODE,
            HeaderId::X_ENVOY_ORIGINAL_PATH,
        ] {
            headers.remove(id);
        }
    }
    for id in INTERNAL {
        if headers.contains(id) {
            headers.remove(id);
        }
    }
    for name in &config.routes.internal_only_headers {
        headers.remove_key(name);
    }
}

/// Appends who is connected to `x-forwarded-for`; for a client on this machine that is our own address, which says
/// more than a loopback address would.
fn append_peer(headers: &mut HeaderMap, ends: Ends<'_>, rules: &Forwarding) {
    let Some(peer) = ip(ends.peer) else { return };
    // As in Envoy, the one address of each kind that everybody uses.
    let loopback = peer == Ipv4Addr::LOCALHOST || peer == Ipv6Addr::LOCALHOST;
    let address = match peer {
        _ if loopback => rules.own_address,
        IpAddr::V4(v4) if rules.ipv4_as_mapped_ipv6 => v4.to_ipv6_mapped().into(),
        peer => peer,
    };
    append_to_list(headers, HeaderId::X_FORWARDED_FOR, b",", Text::of(address).bytes());
}

/// Appends to a list header; several values are one list (RFC 9110 section 5.3) and are written as one.
pub(super) fn append_to_list(headers: &mut HeaderMap, id: HeaderId, separator: &[u8], value: &[u8]) {
    if !headers.contains(id) {
        return headers.append_id(id, value);
    }
    let values: Vec<_> = headers.get_all(id).chain([value]).filter(|value| !value.is_empty()).collect();
    let list = values.join(separator);
    headers.set(id, &list);
}

/// The address at `skip` places from the right of `x-forwarded-for`, and whether the list has no other.
fn forwarded_for(headers: &HeaderMap, skip: usize) -> Option<(IpAddr, bool)> {
    let list = headers.get(HeaderId::X_FORWARDED_FOR)?;
    let entry = list.rsplit(|byte| *byte == b',').nth(skip)?;
    let address = std::str::from_utf8(entry.trim_ascii()).ok()?.parse::<IpAddr>().ok()?;
    Some((address, !list.contains(&b',')))
}

fn ip(address: &Address) -> Option<IpAddr> {
    match address {
        Address::Inet(address) => Some(address.ip()),
        Address::Unix(_) => None,
    }
}

/// The address that a log shows for a client that a header named: its port is not known.
pub(super) fn with_port_zero(address: IpAddr) -> Address {
    Address::Inet(SocketAddr::new(address, 0))
}

/// An address in text, on the stack.
struct Text {
    bytes: [u8; 48],
    length: usize,
}

impl Text {
    fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 48];
        let mut rest = &mut bytes[..];
        // The longest IPv6 address has 45 characters: there is room.
        drop(write!(rest, "{address}"));
        let length = 48 - rest.len();
        Self { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
