//! `envoy.filters.listener.proxy_protocol`: the PROXY header, which says where a connection really comes from.

use super::{Step, findings};
use crate::io::{ConnKey, Cx, Provenance};
use crate::stats::{Counter, ProxyProtocolStats, ProxyVersionStats};
use crate::upstream::Tlvs;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nuncio_codec::proxy_protocol::{self, Beginning, Version, Versions};
use nuncio_reactor::Address;

/// What the filter does.
#[derive(Debug)]
pub(in crate::listener) struct ProxyRules {
    /// `allow_requests_without_proxy_protocol`.
    pub(super) optional: bool,
    /// Not in `disallowed_versions`.
    pub(super) allowed: Versions,
    /// `rules`.
    pub(super) store: Vec<Store>,
    /// `pass_through_tlvs`.
    pub(super) pass: Tlvs,
    pub(super) stats: ProxyProtocolStats,
    pub(super) v1: ProxyVersionStats,
    pub(super) v2: ProxyVersionStats,
    /// `downstream_cx_proxy_proto_error`, of all these filters.
    pub(super) refused: Counter,
}

/// Where an extension's value is kept for others to read.
#[derive(Debug)]
pub(in crate::listener) struct Store {
    pub(super) kind: u8,
    pub(super) namespace: Box<str>,
    pub(super) key: Box<str>,
    pub(super) base64: bool,
}

pub(super) fn step(rules: &ProxyRules, conn: ConnKey, provenance: &mut Provenance, cx: &mut Cx<'_>) -> Step {
    // Where a connection may come without a header, one of a version that is refused is none.
    let wanted = if rules.optional { rules.allowed } else { Versions::BOTH };
    let input = cx.io.input(conn);
    let version = match proxy_protocol::begins(input, wanted) {
        Beginning::Unclear => return Step::More,
        Beginning::Other if rules.optional => {
            cx.stats.inc(rules.stats.not_found_allowed);
            return Step::Next;
        }
        Beginning::Other => {
            cx.stats.inc(rules.stats.not_found_disallowed);
            cx.stats.inc(rules.refused);
            return Step::Refuse;
        }
        Beginning::Header(version) => version,
    };
    let (stats, allowed) = match version {
        Version::V1 => (&rules.v1, rules.allowed.v1),
        Version::V2 => (&rules.v2, rules.allowed.v2),
    };
    if !allowed {
        cx.stats.inc(stats.found);
        cx.stats.inc(stats.disallowed);
        return Step::Refuse;
    }
    let header = match proxy_protocol::parse(input, version) {
        Ok(None) => return Step::More,
        Err(_) => {
            cx.stats.inc(stats.error);
            cx.stats.inc(rules.refused);
            return Step::Refuse;
        }
        Ok(Some(header)) => header,
    };
    cx.stats.inc(stats.found);
    if let Some(ends) = header.ends {
        let local = Address::Inet(ends.destination);
        let same = local == *provenance.local();
        let found = findings(provenance);
        found.remote = Some(Address::Inet(ends.source));
        if !same {
            found.local = Some(local);
        }
        for (kind, value) in header.extensions {
            if let Some(store) = rules.store.iter().find(|store| store.kind == kind) {
                let value = if store.base64 { STANDARD.encode(value) } else { text(value) };
                found.metadata.set(&store.namespace, &store.key, value);
            }
            if rules.pass.contains(kind) {
                found.tlvs.push((kind, value.into()));
            }
        }
    }
    let length = header.length;
    input.drain(length);
    Step::Next
}

/// Bytes as text: as in Envoy, those that belong to none become exclamation marks.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '!'));
    }
    text
}
