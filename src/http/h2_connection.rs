//! A downstream connection of HTTP/2: frames to streams, windows, and how it is drained.
//!
//! The codec keeps the streams apart; here its events find the streams of the connection manager by the key that each
//! carries as its tag. A slow reader of a request holds back that stream's window only.

use super::codec::{Codec, Flushing, Multiplex};
use super::config::{CodecType, HcmConfig};
use super::ending::Ended;
use super::server_connection::{DownstreamKey, READ_BUDGET, ServerConnection, alarm, resume};
use super::stream::StreamKey;
use super::{Http, Manager};
use crate::io::{Close, Cx, Read};
use crate::router::Cause;
use crate::tls::Alpn;
use crate::upstream::Upstream;
use crate::upstream::http2::{self, Vigil, Watch};
use nuncio_codec::h2::{self, Code, RequestEvent, Sniff};
use nuncio_codec::{HeaderId, HeaderMap, Method, RequestHead, Version};
use nuncio_reactor::{RawKey, SlabKey, Time};

/// How much more than its limit the output of a client that does not read may hold before that client is not read
/// from either.
const UNREAD: usize = 2;

impl Http {
    /// Finds out what a connection speaks, from its first bytes; false as long as they do not tell.
    pub(super) fn decide(&mut self, key: DownstreamKey, cx: &mut Cx<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let config = &self.managers[connection.manager.0 as usize].config;
        let input = cx.io.input(connection.conn);
        if input.is_empty() {
            return false;
        }
        let version = match config.codec {
            CodecType::Http1 => Sniff::H1,
            CodecType::Http2 => Sniff::H2,
            CodecType::Auto => match connection.tls.as_ref().and_then(|tls| tls.alpn.as_ref()) {
                Some(Alpn::H2) => Sniff::H2,
                Some(_) => Sniff::H1,
                None => h2::sniff(input),
            },
        };
        match version {
            Sniff::More => return false,
            Sniff::H1 => {
                cx.stats.inc(config.stats.downstream_cx_http1_total);
                cx.stats.move_gauge(config.stats.downstream_cx_http1_active, 1);
            }
            Sniff::H2 => {
                cx.stats.inc(config.stats.downstream_cx_http2_total);
                cx.stats.move_gauge(config.stats.downstream_cx_http2_active, 1);
                let (now, limit) = (cx.reactor.now(), config.http2.settings.output_limit);
                // Below the codec's own, so that whatever stops it is noticed here.
                cx.io.set_output_limit(connection.conn, limit / 2);
                let codec = h2::Server::new(config.http2.settings, cx.io.output(connection.conn));
                let vigil = Vigil::new(&config.http2, now, cx.rng);
                if let Some(next) = vigil.next() {
                    connection.alarm.by(next, alarm(key), cx.reactor);
                }
                let multiplex =
                    Multiplex { codec, streams: Vec::new(), vigil, goaway_at: None, flushing: Vec::new() };
                connection.codec = Codec::H2(Box::new(multiplex));
            }
        }
        connection.decided = true;
        true
    }

    /// Reads, parses and writes until there is nothing more, the client does not read, or others must have their turn.
    pub(super) fn pump_h2(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let mut budget = READ_BUDGET;
        loop {
            self.parse_h2(key, upstream, cx);
            let Some(connection) = self.connections.get_mut(key) else { return };
            let Codec::H2(multiplex) = &mut connection.codec else { return };
            if multiplex.codec.goaway_sent() && multiplex.codec.live() == 0 {
                return self.close(key, Close::Flush, cx);
            }
            let config = &self.managers[connection.manager.0 as usize].config;
            // Marks the connection, so that it comes back when its output has been written.
            let backed_up = cx.io.is_backed_up(connection.conn);
            if backed_up && cx.io.unsent(connection.conn) > UNREAD * config.http2.settings.output_limit {
                if cx.io.is_broken(connection.conn) {
                    self.on_remote_close(key, upstream, cx);
                }
                return;
            }
            if budget == 0 {
                cx.reactor.defer(resume(key));
                return;
            }
            match cx.io.read(connection.conn) {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    cx.stats.add(config.stats.downstream_cx_rx_bytes_total, n as u64);
                    if connection.info.is_guarded() && !self.admit(key, upstream, cx) {
                        return;
                    }
                }
                Read::Empty => return cx.io.rest(connection.conn),
                Read::Eof | Read::Failed => return self.on_remote_close(key, upstream, cx),
            }
        }
    }

    fn parse_h2(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let Codec::H2(multiplex) = &mut connection.codec else { return };
            let config = &self.managers[connection.manager.0 as usize].config;
            multiplex.codec.set_time((cx.reactor.now().as_nanos() / 1_000_000) as u32);
            let (input, output) = cx.io.buffers(connection.conn);
            let (before, ahead) = (output.len(), input.len());
            let event = multiplex.codec.poll(input, output);
            self.pending_wire = (ahead - input.len()) as u64;
            let written = output.len() - before;
            if written > 0 {
                cx.stats.add(config.stats.downstream_cx_tx_bytes_total, written as u64);
            }
            match event {
                Ok(Some(event)) => self.on_h2(key, event, upstream, cx),
                Ok(None) => {
                    http2::count(multiplex.codec.take_counters(), &config.http2_stats, cx.stats);
                    return;
                }
                Err(error) => return self.on_h2_error(key, error, upstream, cx),
            }
        }
    }

    fn on_h2(&mut self, key: DownstreamKey, event: RequestEvent, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        match event {
            RequestEvent::Headers { id, mut head, end, .. } => {
                let tunnel = to_upgrade(&mut head);
                self.on_request(key, head, (end && !tunnel, Some(id)), upstream, cx);
            }
            RequestEvent::TooLarge { id, head, cause } => {
                let stream = self.begin_stream(key, head, Some(id), cx);
                if let Some(stats) = self.stats_of(key) {
                    cx.stats.inc(stats.downstream_rq_too_large);
                }
                self.end(stream, Cause::TooLarge(cause), upstream, cx);
            }
            RequestEvent::Data { id, tag, data, end } => {
                let (stream, n) = (stream_of(tag), data.len());
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.wire_received += n as u64;
                }
                self.on_request_data(stream, data, end, upstream, cx);
                match self.streams.get_mut(stream) {
                    Some(stream) if stream.paused => stream.unconsumed += n,
                    _ => self.consume(key, id, n, cx),
                }
            }
            RequestEvent::Trailers { tag, trailers, .. } => {
                self.on_request_trailers(stream_of(tag), trailers, upstream, cx);
            }
            RequestEvent::Reset { id, tag, code, cause } => {
                self.forget_flushing(key, id, cx);
                self.end(stream_of(tag), Cause::Reset { code, cause }, upstream, cx);
            }
            RequestEvent::Writable { tag, .. } => {
                let key = stream_of(tag);
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.backed_up = false;
                    self.resume_response(key, upstream, cx);
                }
            }
            RequestEvent::Flushed { id, .. } => {
                self.forget_flushing(key, id, cx);
            }
            RequestEvent::SettingsAck => {
                if let Some((multiplex, _)) = self.multiplex(key) {
                    multiplex.vigil.on_settings_ack();
                }
            }
            RequestEvent::Pong { payload } => {
                let now = cx.reactor.now();
                if let Some((multiplex, config)) = self.multiplex(key) {
                    multiplex.vigil.on_pong(payload, &config.http2, now, cx.rng);
                }
            }
            RequestEvent::Refused { id, cause } => {
                // A request that cannot be understood is one for statistics and logs.
                if let h2::Cause::Malformed(_) = cause {
                    let stream = self.begin_unread(key, id, cx);
                    self.end(stream, Cause::Reset { code: cause.code(), cause }, upstream, cx);
                }
            }
            // An informational response is nothing that a client sends.
            RequestEvent::Informational { .. } | RequestEvent::GoAway { .. } | RequestEvent::Settings => {}
        }
    }

    /// The client has broken the protocol, or has overdone it: GOAWAY is written, all streams end.
    fn on_h2_error(
        &mut self,
        key: DownstreamKey,
        error: h2::Error,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some((multiplex, config)) = self.multiplex(key) else { return };
        http2::count(multiplex.codec.take_counters(), &config.http2_stats, cx.stats);
        if error == h2::Error::PrematureResets {
            cx.stats.inc(config.stats.downstream_rq_too_many_premature_resets);
        } else if !error.is_flood() {
            cx.stats.inc(config.stats.downstream_cx_protocol_error);
        }
        let unread = multiplex.codec.offender().filter(|id| multiplex.codec.tag(*id).is_none());
        if let Some(id) = unread {
            self.begin_unread(key, id, cx);
        }
        if let Some(connection) = self.connections.get_mut(key) {
            connection.garbled = true;
        }
        if let Some(connection) = self.connections.get(key)
            && connection.stream_count() > 0
        {
            log::debug!("connection {}: HTTP/2: {error}", connection.id);
            let stats = &self.managers[connection.manager.0 as usize].config.stats;
            cx.stats.inc(stats.downstream_cx_destroy_active_rq);
            cx.stats.inc(stats.downstream_cx_destroy_local_active_rq);
        }
        self.end_all(key, &Cause::Http2(error), upstream, cx);
        self.close(key, Close::Linger, cx);
    }

    /// A stream for a request that the codec could not read.
    fn begin_unread(&mut self, key: DownstreamKey, id: h2::StreamId, cx: &mut Cx<'_>) -> StreamKey {
        let head = RequestHead { version: Version::H2, method: Method::Other, headers: HeaderMap::new() };
        self.begin_stream(key, head, Some(id), cx)
    }

    /// Ends all streams of a connection for the same cause.
    pub(super) fn end_all(
        &mut self,
        key: DownstreamKey,
        cause: &Cause,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        while let Some(stream) = self.connections.get(key).and_then(ServerConnection::last_stream) {
            self.end(stream, cause.clone(), upstream, cx);
        }
    }

    /// The client may send more on a stream.
    pub(super) fn consume(&mut self, key: DownstreamKey, id: h2::StreamId, n: usize, cx: &mut Cx<'_>) {
        if let Some(connection) = self.connections.get_mut(key)
            && let Codec::H2(multiplex) = &mut connection.codec
        {
            multiplex.codec.consume(id, n, cx.io.output(connection.conn));
        }
    }

    /// A stream has ended on this connection.
    pub(super) fn after_h2_stream(&mut self, key: DownstreamKey, ended: Ended, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let config = &self.managers[connection.manager.0 as usize].config;
        let Codec::H2(multiplex) = &mut connection.codec else { return };
        cx.stats.move_gauge(config.http2_stats.streams_active, -1);
        let streams = &mut multiplex.streams;
        streams.swap_remove(ended.place as usize);
        if let Some(moved) = streams.get(ended.place as usize)
            && let Some(moved) = self.streams.get_mut(*moved)
        {
            moved.place = ended.place;
        }
        if let (Some(id), Some(code)) = (ended.id, ended.reset) {
            multiplex.codec.reset(id, code, cx.io.output(connection.conn));
        }
        if let Some(id) = ended.id
            && !multiplex.codec.send_complete(id)
        {
            let deadline = config.stream_idle_timeout.map(|limit| cx.reactor.now() + limit);
            multiplex.flushing.push(Flushing { id, queued: multiplex.codec.queued_on(id), deadline });
            if let Some(deadline) = deadline {
                connection.alarm.by(deadline, alarm(key), cx.reactor);
            }
        }
        self.note_idleness(key, cx);
    }

    /// From now on the connection is idle, if nothing is left on it.
    fn note_idleness(&mut self, key: DownstreamKey, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let config = &self.managers[connection.manager.0 as usize].config;
        let Codec::H2(multiplex) = &mut connection.codec else { return };
        if !multiplex.streams.is_empty() || !multiplex.flushing.is_empty() {
            return;
        }
        connection.idle_since = cx.reactor.now();
        if let Some(timeout) = config.idle_timeout {
            connection.alarm.by(connection.idle_since + timeout, alarm(key), cx.reactor);
        }
        if multiplex.codec.goaway_sent() {
            cx.reactor.defer(resume(key));
        }
    }

    /// The rest of a response was taken, or is not wanted any more.
    fn forget_flushing(&mut self, key: DownstreamKey, id: h2::StreamId, cx: &mut Cx<'_>) {
        let Some((multiplex, _)) = self.multiplex(key) else { return };
        let before = multiplex.flushing.len();
        multiplex.flushing.retain(|flushing| flushing.id != id);
        if multiplex.flushing.len() != before {
            self.note_idleness(key, cx);
        }
    }

    /// Announces the end of a connection; the final GOAWAY follows when its time has come.
    pub(super) fn begin_drain(
        connection: &mut ServerConnection,
        key: DownstreamKey,
        at: Time,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Codec::H2(multiplex) = &mut connection.codec else { return false };
        if multiplex.goaway_at.is_some() || multiplex.codec.goaway_sent() {
            return false;
        }
        multiplex.codec.drain(cx.io.output(connection.conn));
        multiplex.goaway_at = Some(at);
        connection.alarm.by(at, alarm(key), cx.reactor);
        true
    }

    /// Gives up complete responses of which the client has taken nothing for as long as a stream may be idle; says when
    /// to look again.
    fn watch_flushing(&mut self, key: DownstreamKey, cx: &mut Cx<'_>) -> Option<Time> {
        let now = cx.reactor.now();
        let connection = self.connections.get_mut(key)?;
        let config = &self.managers[connection.manager.0 as usize].config;
        let limit = config.stream_idle_timeout?;
        let Codec::H2(multiplex) = &mut connection.codec else { return None };
        let Multiplex { codec, flushing, .. } = &mut **multiplex;
        let before = flushing.len();
        flushing.retain_mut(|flushing| {
            if flushing.deadline.is_none_or(|deadline| now < deadline) {
                return true;
            }
            let queued = codec.queued_on(flushing.id);
            if queued < flushing.queued {
                (flushing.queued, flushing.deadline) = (queued, Some(now + limit));
                return true;
            }
            cx.stats.inc(config.http2_stats.tx_flush_timeout);
            codec.reset(flushing.id, Code::CANCEL, cx.io.output(connection.conn));
            false
        });
        let next = flushing.iter().filter_map(|flushing| flushing.deadline).min();
        if flushing.len() != before {
            self.note_idleness(key, cx);
        }
        next
    }

    /// What time has made of a connection of HTTP/2 itself: the time to look again, or that it has ended.
    pub(super) fn watch_h2(
        &mut self,
        key: DownstreamKey,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Option<Option<Time>> {
        let now = cx.reactor.now();
        let flushed = self.watch_flushing(key, cx);
        let connection = self.connections.get_mut(key)?;
        let config = &self.managers[connection.manager.0 as usize].config;
        let Codec::H2(multiplex) = &mut connection.codec else { return Some(None) };
        let out = cx.io.output(connection.conn);
        let watch = multiplex.vigil.watch(&config.http2, now, &mut multiplex.codec, out);
        let due = multiplex.goaway_at.is_some_and(|at| now >= at);
        if due {
            multiplex.goaway_at = None;
            multiplex.codec.goaway(Code::NO_ERROR, out);
            cx.reactor.defer(resume(key));
        }
        let next = match watch {
            Watch::Until(next) => {
                return Some([next, multiplex.goaway_at, flushed].into_iter().flatten().min());
            }
            Watch::Dead => {
                cx.stats.inc(config.http2_stats.keepalive_timeout);
                Code::NO_ERROR
            }
            Watch::Unsettled => {
                cx.stats.inc(config.http2_stats.settings_timeout);
                Code::SETTINGS_TIMEOUT
            }
        };
        multiplex.codec.goaway(next, out);
        self.end_all(key, &Cause::Stopped, upstream, cx);
        self.close(key, Close::Flush, cx);
        None
    }

    fn multiplex(&mut self, key: DownstreamKey) -> Option<(&mut Multiplex, &HcmConfig)> {
        let connection = self.connections.get_mut(key)?;
        let Manager { config, .. } = &self.managers[connection.manager.0 as usize];
        match &mut connection.codec {
            Codec::H2(multiplex) => Some((multiplex, config)),
            Codec::H1(_) => None,
        }
    }

    fn stats_of(&self, key: DownstreamKey) -> Option<&crate::stats::HttpStats> {
        let connection = self.connections.get(key)?;
        Some(&self.managers[connection.manager.0 as usize].config.stats)
    }
}

fn stream_of(tag: u64) -> StreamKey {
    StreamKey::from_raw(RawKey::from_bits(tag))
}

/// Makes of an extended CONNECT (RFC 8441) what HTTP/1 calls an upgrade, which is how the rest of the proxy knows it; says
/// whether it was one.
fn to_upgrade(head: &mut RequestHead) -> bool {
    let Some(protocol) = head.headers.get(HeaderId::PROTOCOL) else { return false };
    let protocol = protocol.to_vec();
    let mut headers = HeaderMap::new();
    headers.append_id(HeaderId::METHOD, b"GET");
    for header in head.headers.iter() {
        if !matches!(header.id, HeaderId::METHOD | HeaderId::PROTOCOL) {
            headers.append(header.name, header.value);
        }
    }
    headers.append_id(HeaderId::UPGRADE, &protocol);
    headers.append_id(HeaderId::CONNECTION, b"upgrade");
    head.headers = headers;
    head.method = Method::Get;
    true
}
