//! Clusters whose hosts choose in TLS which HTTP they speak (`auto_config`).
//!
//! As long as a host has not been heard of it is taken to speak HTTP/2, so that one connection is made for all who wait
//! and not one for each. When a connection turns out to speak something else it moves to the other pool of its host,
//! with everybody who waits, and the next connections are made as for what was learnt. A host that says nothing speaks
//! HTTP/1.

use super::attempt::Requester;
use super::client::ClientKey;
use super::manager::{Cluster, Upstream};
use super::pool::{Place, Waiting};
use crate::io::Cx;
use crate::tls::Alpn;

impl Upstream {
    /// Has a connection that has just been made go where it belongs.
    pub(super) fn settle(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Cluster { config, pools, .. } = &mut self.clusters[client.cluster as usize];
        let h2 = client.tls.as_ref().is_some_and(|tls| tls.alpn == Some(Alpn::H2));
        let stats = &config.stats;
        cx.stats.inc(if h2 { stats.upstream_cx_http2_total } else { stats.upstream_cx_http1_total });
        let from = client.place;
        pools.set_guess(from.host, h2);
        if from.h2 == h2 {
            return;
        }
        let to = pools.other(from);
        client.place = to;
        pools.at(from).total -= 1;
        pools.at(to).total += 1;
        let waiting = std::mem::take(&mut pools.at(from).waiting);
        for Waiting { attempt: key, fresh } in waiting {
            let Some(attempt) = self.attempts.get_mut(key) else { continue };
            attempt.place = to;
            let fresh = fresh || (!h2 && matches!(attempt.requester, Requester::Session(_)));
            pools.at(to).waiting.push_back(Waiting { attempt: key, fresh });
        }
        pools.tidy(from);
    }

    /// Makes as many connections of HTTP/1 as those need who waited for one of HTTP/2.
    pub(super) fn make_many(&mut self, cluster: u32, place: Place, cx: &mut Cx<'_>) {
        loop {
            let before = self.pool(cluster, place).total;
            self.make_more(cluster, place, cx);
            if self.pool(cluster, place).total == before {
                return;
            }
        }
    }
}
