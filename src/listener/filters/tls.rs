//! `envoy.filters.listener.tls_inspector`: server name, protocols and fingerprints from the client hello.

use super::{Step, findings};
use crate::io::{ConnKey, Cx, Provenance};
use crate::stats::TlsInspectorStats;
use nuncio_codec::tls_hello::{self, Inspection, Inspector};

/// What the filter does.
#[derive(Debug)]
pub(in crate::listener) struct TlsRules {
    /// `max_client_hello_size`.
    pub(super) limit: usize,
    /// `enable_ja3_fingerprinting`.
    pub(super) ja3: bool,
    /// `enable_ja4_fingerprinting`.
    pub(super) ja4: bool,
    /// `close_connection_on_client_hello_parsing_errors`.
    pub(super) strict: bool,
    pub(super) stats: TlsInspectorStats,
}

const NAMESPACE: &str = "envoy.filters.listener.tls_inspector";

pub(super) fn step(
    rules: &TlsRules,
    inspector: &mut Inspector,
    conn: ConnKey,
    provenance: &mut Provenance,
    cx: &mut Cx<'_>,
) -> Step {
    let stats = &rules.stats;
    let input = cx.io.input(conn);
    let seen = input.len().min(rules.limit) as u64;
    match inspector.inspect(input) {
        Inspection::Incomplete => return Step::More,
        Inspection::TooLarge => {
            fail(provenance, "ClientHelloTooLarge");
            cx.stats.inc(stats.client_hello_too_large);
            cx.stats.record(stats.bytes_processed, seen);
            return Step::Refuse;
        }
        Inspection::NotTls => {
            cx.stats.record(stats.bytes_processed, seen);
            cx.stats.inc(stats.tls_not_found);
            fail(provenance, "ClientHelloNotDetected");
            if rules.strict {
                return Step::Refuse;
            }
        }
        Inspection::Hello(hello) => {
            let found = findings(provenance);
            found.tls = true;
            // Names are compared without regard to case; what is no text matches nothing.
            found.server_name = String::from_utf8_lossy(hello.server_name()).to_ascii_lowercase().into();
            found.protocols = hello.protocols().map(Box::from).collect();
            if rules.ja3 {
                found.ja3 = tls_hello::ja3(&hello).into();
            }
            if rules.ja4 {
                found.ja4 = tls_hello::ja4(&hello).into();
            }
            let named = !found.server_name.is_empty();
            cx.stats.inc(if named { stats.sni_found } else { stats.sni_not_found });
            let offers = !found.protocols.is_empty();
            cx.stats.inc(if offers { stats.alpn_found } else { stats.alpn_not_found });
            cx.stats.inc(stats.tls_found);
            cx.stats.record(stats.bytes_processed, inspector.seen() as u64);
        }
    }
    Step::Next
}

/// Leaves a note for the listener's access log.
fn fail(provenance: &mut Provenance, reason: &str) {
    findings(provenance).metadata.set(NAMESPACE, "failure_reason", reason.to_owned());
}
