//! A session as access logs see it.

use super::super::session::{Kind, Session, SessionKey};
use super::super::{Chain, Network};
use super::Tcp;
use crate::io::Cx;
use crate::stream_info::{
    Bytes, Downstream, Flag, Occasion, SessionInfo, StreamInfo, Times, UpstreamInfo, no_request,
};
use crate::upstream::Upstream;

impl Network {
    /// Writes a line about a session.
    pub(in crate::network) fn log(
        &mut self,
        key: SessionKey,
        moment: &'static str,
        upstream: &Upstream,
        cx: &Cx<'_>,
    ) {
        let Some(session) = self.sessions.get(key) else { return };
        let chain = &self.chains[session.chain.0 as usize];
        if let Kind::Tcp(tcp) = &session.kind
            && !chain.logs.is_empty()
        {
            self.logger.record(&chain.logs, &view(session, tcp, chain, moment, upstream, cx));
        }
    }
}

/// A session as formats see it.
pub(super) fn view<'a>(
    session: &'a Session,
    tcp: &'a Tcp,
    chain: &'a Chain,
    moment: &'static str,
    upstream: &'a Upstream,
    cx: &Cx<'_>,
) -> StreamInfo<'a> {
    let provenance = &session.info.provenance;
    let lasted = cx.reactor.now() - session.opened;
    let host =
        tcp.cluster.zip(tcp.host).map(|(cluster, host)| &upstream.cluster(cluster).hosts[host as usize]);
    StreamInfo {
        occasion: Occasion::NotSet,
        metadata: None,
        request: no_request(),
        request_trailers: None,
        response: None,
        response_trailers: None,
        start: session.started,
        now: cx.reactor.wall(),
        times: Times { end: Some(lasted), ..Times::default() },
        bytes: Bytes {
            received: tcp.received,
            sent: tcp.back.passed,
            request_headers: 0,
            response_headers: 0,
            downstream_wire_received: tcp.down.passed,
            downstream_wire_sent: tcp.back.passed,
            upstream_wire_received: tcp.back.passed + tcp.framing.1,
            upstream_wire_sent: tcp.down.passed + tcp.framing.0,
        },
        flag: Flag::None,
        details: "",
        local_reply_body: b"",
        stream_id: session.id,
        downstream: Downstream {
            tls: None,
            local: Some(provenance.local()),
            direct_remote: Some(&provenance.peer),
            remote: Some(provenance.remote()),
            connection_id: session.id,
            filter_chain: &chain.name,
            server_name: provenance.server_name(),
            filter_state: session.info.filter_state(),
            provenance: Some(provenance),
        },
        route: None,
        upstream: tcp.cluster.map(|cluster| UpstreamInfo {
            tls: None,
            cluster: &upstream.cluster(cluster).observability_name,
            host: host.map(|host| &host.address),
            hostname: host.map_or("", |host| &host.hostname),
            local: tcp.local.as_ref(),
            connection_id: tcp.up_id,
            attempts: tcp.attempts,
            transport_failure: tcp.failure.as_deref().unwrap_or_default(),
            protocol: None,
        }),
        session: Some(SessionInfo {
            protocol: None,
            moment,
            flags: tcp.flags,
            termination: tcp.termination.as_deref().unwrap_or_default(),
            downstream_close: tcp.reason.0,
            upstream_close: tcp.reason.1,
            downstream_end: tcp.ended.0,
            upstream_end: tcp.ended.1,
        }),
    }
}
