//! Datagrams from hosts: received on the socket of their session, and collected for its client.

use super::Udp;
use super::table::SessionKey;
use crate::io::{Cx, Layer, Task, Wake};
use nuncio_reactor::SlabKey;
use std::io;

/// Most calls for one event of one session; what is left waits for the next turn.
const CALLS: usize = 32;
/// Datagrams that the first call asks for: one that came, and one that tells whether there are more.
const FEW: usize = 2;
/// Datagrams that further calls ask for.
const MANY: usize = 16;

impl Udp {
    /// Receives what has come for a session until nothing is left, or until others should have their turn.
    pub(super) fn receive_answers(&mut self, key: SessionKey, cx: &mut Cx<'_>) {
        let mut most = FEW;
        for _ in 0..CALLS {
            let Self { sessions, listeners, replies, .. } = self;
            let Some(entry) = sessions.get_mut(key) else { return };
            let flow = entry.flow;
            let Some(listening) = listeners.get(flow.listener) else { return };
            let proxy = &listening.config.proxy;
            let longest = proxy.receive.longest;
            entry.last = cx.reactor.now();
            if !replies.takes(flow.listener, longest) {
                replies.flush(listeners, sessions, cx);
                continue;
            }
            let target = &proxy.targets[entry.value.target as usize];
            let received = match replies.receive(&entry.value.socket, &proxy.receive, most) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Such as: the host's system says that nobody listens there.
                    log::debug!("cannot receive from a host: {error}");
                    cx.stats.inc(target.stats.sess_rx_errors);
                    continue;
                }
            };
            let totals = replies.collect(received, key, &flow, &mut entry.value.filters);
            entry.value.counts.sent += totals.bytes;
            entry.value.counts.sent_datagrams += totals.datagrams;
            cx.stats.add(target.stats.sess_rx_datagrams, totals.datagrams);
            cx.stats.add(target.cluster_stats.upstream_cx_rx_bytes_total, totals.bytes);
            if totals.dropped > 0 {
                cx.stats.add(target.stats.sess_rx_datagrams_dropped, totals.dropped);
            }
            if received.is_last() {
                return;
            }
            most = MANY;
        }
        cx.reactor.defer(Task { layer: Layer::Udp, wake: Wake::Resume, key: key.raw() });
    }
}
