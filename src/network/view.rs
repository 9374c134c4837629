//! A session as access logs see it.

use super::session::{Kind, Outcome, Session, SessionKey};
use super::{Chain, Network};
use crate::io::Cx;
use crate::stream_info::{Bytes, CloseType, Downstream, Occasion, SessionInfo, StreamInfo};
use crate::upstream::Upstream;

impl Network {
    /// Writes a line about a session of the TCP proxy.
    pub(super) fn log(&mut self, key: SessionKey, moment: &'static str, upstream: &Upstream, cx: &Cx<'_>) {
        let Some(session) = self.sessions.get(key) else { return };
        let chain = &self.chains[session.chain.0 as usize];
        if matches!(session.kind, Kind::Tcp(_)) && !chain.logs.is_empty() {
            self.logger.record(&chain.logs, &view(session, chain, moment, upstream, cx));
        }
    }

    /// Writes the lines of the listener about a connection that ends.
    pub(super) fn log_connection(&mut self, key: SessionKey, upstream: &Upstream, cx: &Cx<'_>) {
        let Some(session) = self.sessions.get(key) else { return };
        let chain = &self.chains[session.chain.0 as usize];
        if !chain.connection_logs.is_empty() {
            let view = view(session, chain, Occasion::NotSet.name(), upstream, cx);
            self.logger.record(&chain.connection_logs, &view);
        }
    }
}

/// A session as formats see it.
pub(super) fn view<'a>(
    session: &'a Session,
    chain: &'a Chain,
    moment: &'static str,
    upstream: &'a Upstream,
    cx: &'a Cx<'_>,
) -> StreamInfo<'a> {
    let Session { info, outcome, .. } = session;
    let lasted = cx.reactor.now() - session.opened;
    let downstream = Downstream::of(&info.provenance, session.id, &chain.name, info.filter_state());
    let downstream = downstream.with_tls(session.down, cx.io);
    let times = (session.started, cx.reactor.wall());
    if let Kind::Tcp(tcp) = &session.kind {
        let info = StreamInfo::of_connection(downstream, times, lasted, tcp.info(moment));
        return StreamInfo { bytes: tcp.bytes(), upstream: tcp.upstream(upstream), ..info };
    }
    let Outcome { details, reason, flags, reset } = *outcome;
    let denial = info.extra.as_ref().and_then(|extra| extra.denial.as_deref());
    let said = SessionInfo {
        moment,
        flags,
        termination: denial.unwrap_or_default(),
        downstream_close: reason,
        downstream_end: if reset { CloseType::RemoteReset } else { CloseType::Normal },
        ..SessionInfo::default()
    };
    let (received, sent) = cx.io.traffic(session.down);
    let bytes = Bytes { received, sent, ..Bytes::default() };
    StreamInfo { details, bytes, ..StreamInfo::of_connection(downstream, times, lasted, said) }
}
