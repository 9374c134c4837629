//! What access logs are told of a session besides its connection.

use super::Tcp;
use crate::stream_info::{Bytes, SessionInfo, UpstreamInfo};
use crate::upstream::Upstream;

impl Tcp {
    /// How it ended, or that it goes on.
    pub(in crate::network) fn info(&self, moment: &'static str) -> SessionInfo<'_> {
        SessionInfo {
            moment,
            protocol: None,
            flags: self.flags,
            termination: self.termination.as_deref().unwrap_or_default(),
            downstream_close: self.reason.0,
            upstream_close: self.reason.1,
            downstream_end: self.ended.0,
            upstream_end: self.ended.1,
        }
    }

    /// What has passed.
    pub(in crate::network) fn bytes(&self) -> Bytes {
        Bytes {
            received: self.received,
            sent: self.back.passed,
            request_headers: 0,
            response_headers: 0,
            downstream_wire_received: self.down.passed,
            downstream_wire_sent: self.back.passed,
            upstream_wire_received: self.back.passed + self.framing.1,
            upstream_wire_sent: self.down.passed + self.framing.0,
        }
    }

    /// Where it is passed on to.
    pub(in crate::network) fn upstream<'a>(&'a self, upstream: &'a Upstream) -> Option<UpstreamInfo<'a>> {
        let cluster = upstream.cluster(self.cluster?);
        let host = self.host.map(|host| &cluster.hosts[host as usize]);
        Some(UpstreamInfo {
            tls: self.tls.as_deref(),
            cluster: &cluster.observability_name,
            host: host.map(|host| &host.address),
            hostname: host.map_or("", |host| &host.hostname),
            local: self.local.as_ref(),
            connection_id: self.up_id,
            attempts: self.attempts,
            transport_failure: self.failure.as_deref().unwrap_or_default(),
            protocol: None,
        })
    }
}
