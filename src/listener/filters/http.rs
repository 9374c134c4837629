//! `envoy.filters.listener.http_inspector`: which version of HTTP a connection without TLS speaks.

use super::{Step, findings};
use crate::io::{ConnKey, Cx, Provenance};
use crate::stats::HttpInspectorStats;
use nuncio_codec::http_sniff::{Sniffed, Sniffer};

pub(super) fn step(
    stats: &HttpInspectorStats,
    sniffer: &mut Sniffer,
    conn: ConnKey,
    provenance: &mut Provenance,
    cx: &mut Cx<'_>,
) -> Step {
    if provenance.transport_protocol() != "raw_buffer" {
        return Step::Next;
    }
    let (counter, protocol) = match sniffer.sniff(cx.io.input(conn)) {
        Sniffed::Unclear => return Step::More,
        Sniffed::TooLong => {
            cx.stats.inc(stats.read_error);
            return Step::Refuse;
        }
        Sniffed::Other => {
            cx.stats.inc(stats.http_not_found);
            return Step::Next;
        }
        Sniffed::Http10 => (stats.http10_found, &b"http/1.0"[..]),
        Sniffed::Http11 => (stats.http11_found, &b"http/1.1"[..]),
        Sniffed::Http2 => (stats.http2_found, &b"h2c"[..]),
    };
    cx.stats.inc(counter);
    findings(provenance).protocols = vec![protocol.into()];
    Step::Next
}
