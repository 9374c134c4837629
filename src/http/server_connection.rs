//! One downstream HTTP connection: bytes to request events, and when it ends.
//!
//! HTTP/1 carries one stream at a time. Further pipelined requests wait unparsed in the input until the stream
//! has ended, and beyond [`PIPELINE_LIMIT`] unread in the socket. What is different with HTTP/2 is in `h2_connection`.

use super::codec::Codec;
use super::stream::{Stream, StreamKey};
use super::{Http, Manager, ManagerId};
use crate::io::{Alarm, BULK, Close, ConnKey, Cx, Layer, Owner, Read, Task, Wake};
use crate::network::ConnectionInfo;
use crate::router::Cause;
use crate::stream_info::{Bytes, CloseType, Downstream, Flag, Flags, Occasion, SessionInfo, StreamInfo};
use crate::tls::TlsInfo;
use crate::upstream::Upstream;
use nuncio_codec::h1::{self, RequestEvent};
use nuncio_codec::{Version, h2};
use nuncio_reactor::{SlabKey, Time, slab_key};
use std::sync::Arc;
use std::time::Duration;

slab_key! {
    /// A downstream connection in [`Http`].
    pub(super) struct DownstreamKey;
}

/// Most bytes read from one connection before others have their turn.
pub(super) const READ_BUDGET: usize = 512 << 10;
/// Most bytes of further requests that are read while one is being answered.
const PIPELINE_LIMIT: usize = 64 << 10;
/// How long a connection without a request is left open when the worker drains, so that a request that is
/// already on its way still gets its answer.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// A downstream connection.
#[derive(Debug)]
pub(super) struct ServerConnection {
    pub(super) conn: ConnKey,
    /// Its number in the process.
    pub(super) id: u64,
    /// Who is connected, and where.
    pub(super) info: ConnectionInfo,
    /// Requests so far.
    pub(super) requests: u32,
    opened: Time,
    /// When it is drained for its age.
    expires: Option<Time>,
    /// It is being drained, for its age or because it was idle, and closed then if it is without a request.
    drained_by: Option<Time>,
    /// The client has ended the connection.
    gone: bool,
    /// The client has ended its half of a tunnel.
    ended: bool,
    /// The version of HTTP in which the last request was understood.
    spoken: Option<Version>,
    /// The client has broken the protocol.
    pub(super) garbled: bool,
    pub(super) manager: ManagerId,
    /// What is known of its TLS, once the handshake is done.
    pub(super) tls: Option<Arc<TlsInfo>>,
    pub(super) codec: Codec,
    /// It is known which version of HTTP is spoken.
    pub(super) decided: bool,
    /// HTTP/1: the present exchange.
    pub(super) stream: Option<StreamKey>,
    pub(super) alarm: Alarm,
    /// Since when there is no request.
    pub(super) idle_since: Time,
    /// Since when a request's head has been incomplete.
    head_since: Option<Time>,
    /// HTTP/1: the request's body is not read because its reader is slow.
    pub(super) paused: bool,
    /// HTTP/1: the response's writer was told to wait.
    pub(super) backed_up: bool,
}

impl ServerConnection {
    /// One of the streams that have not ended.
    pub(super) fn last_stream(&self) -> Option<StreamKey> {
        match &self.codec {
            Codec::H1(_) => self.stream,
            Codec::H2(multiplex) => multiplex.streams.last().copied(),
        }
    }

    /// Whether the client still has to take the rest of a response whose stream has ended.
    fn is_flushing(&self) -> bool {
        match &self.codec {
            Codec::H1(_) => false,
            Codec::H2(multiplex) => !multiplex.flushing.is_empty(),
        }
    }

    /// How many streams have not ended.
    pub(super) fn stream_count(&self) -> usize {
        match &self.codec {
            Codec::H1(_) => usize::from(self.stream.is_some()),
            Codec::H2(multiplex) => multiplex.streams.len(),
        }
    }
}

/// A connection as the access logs of its listener see it.
fn view<'a>(connection: &'a ServerConnection, manager: &'a Manager, cx: &'a Cx<'_>) -> StreamInfo<'a> {
    let ServerConnection { conn, id, info, codec, spoken, garbled, gone, .. } = connection;
    let (now, wall) = (cx.reactor.now(), cx.reactor.wall());
    let lasted = now - cx.io.accepted_at(*conn).unwrap_or(connection.opened);
    let denial = info.extra.as_ref().and_then(|extra| extra.denial.as_deref());
    let mut flags = Flags::default();
    if *garbled {
        flags.add(Flag::DownstreamProtocolError);
    }
    let session = SessionInfo {
        moment: Occasion::NotSet.name(),
        protocol: if matches!(codec, Codec::H2(_)) { Some(Version::H2) } else { *spoken },
        flags,
        termination: denial.unwrap_or_default(),
        downstream_close: if denial.is_some() { "rbac_deny_close" } else { "" },
        downstream_end: if *gone && cx.io.is_broken(*conn) {
            CloseType::RemoteReset
        } else {
            CloseType::Normal
        },
        ..SessionInfo::default()
    };
    let downstream = Downstream::of(&info.provenance, *id, &manager.filter_chain, info.filter_state());
    let downstream = downstream.with_tls(*conn, cx.io);
    let times = (wall.checked_sub(lasted).unwrap_or(wall), wall);
    let (received, sent) = cx.io.traffic(*conn);
    let bytes = Bytes { received, sent, ..Bytes::default() };
    StreamInfo { bytes, ..StreamInfo::of_connection(downstream, times, lasted, session) }
}

impl Http {
    /// Starts HTTP on an accepted connection.
    pub fn open(&mut self, conn: ConnKey, info: ConnectionInfo, manager: ManagerId, cx: &mut Cx<'_>) {
        let Manager { config, secure, .. } = &self.managers[manager.0 as usize];
        let now = cx.reactor.now();
        let expires = config.max_connection_duration.map(|limit| {
            let jitter = limit.as_millis() as f64 * config.max_connection_duration_jitter;
            now + limit + Duration::from_millis(cx.rng.below(jitter as u64 + 1))
        });
        let key = self.connections.insert(ServerConnection {
            conn,
            id: cx.io.id(conn),
            info,
            requests: 0,
            opened: now,
            expires,
            drained_by: None,
            gone: false,
            ended: false,
            spoken: None,
            garbled: false,
            manager,
            tls: None,
            codec: Codec::H1(h1::Server::new(h1::ServerSettings {
                refuse_https: config.http1.refuse_https && !secure,
                ..config.http1
            })),
            decided: false,
            stream: None,
            alarm: Alarm::default(),
            idle_since: now,
            head_since: None,
            paused: false,
            backed_up: false,
        });
        cx.io.set_owner(conn, Owner::Downstream(key.raw()));
        let idle = config.idle_timeout.map(|limit| now + limit);
        if let Some(first) = idle.into_iter().chain(expires).min() {
            let connection = self.connections.get_mut(key).expect("just inserted");
            connection.alarm.by(first, alarm(key), cx.reactor);
        }
        let stats = &config.stats;
        cx.stats.inc(stats.downstream_cx_total);
        cx.stats.move_gauge(stats.downstream_cx_active, 1);
        if *secure {
            cx.stats.inc(stats.downstream_cx_ssl_total);
            cx.stats.move_gauge(stats.downstream_cx_ssl_active, 1);
        }
    }

    /// Reads and parses until there is nothing more, somebody is slow, or others must have their turn.
    pub(super) fn pump(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.tell_drained(key, upstream, cx);
        self.learn_tls(key, cx);
        let mut budget = READ_BUDGET;
        loop {
            self.parse(key, upstream, cx);
            let Some(connection) = self.connections.get_mut(key) else { return };
            let Codec::H1(codec) = &connection.codec else { return self.pump_h2(key, upstream, cx) };
            if connection.paused {
                // Nothing is read, so a reset must be noticed in another way.
                if cx.io.is_broken(connection.conn) {
                    self.on_remote_close(key, upstream, cx);
                }
                return;
            }
            if connection.ended {
                // Nothing more comes but the news that the connection is broken.
                if cx.io.is_broken(connection.conn) {
                    self.on_remote_close(key, upstream, cx);
                }
                return;
            }
            if codec.request_complete() && cx.io.input(connection.conn).len() >= PIPELINE_LIMIT {
                return;
            }
            if budget == 0 {
                cx.reactor.defer(resume(key));
                return;
            }
            let (left, in_head) = (codec.plain_left(), codec.in_head());
            let stream = connection.stream.filter(|_| left >= BULK).and_then(|key| self.streams.get(key));
            let bulk = stream.is_some_and(|stream| stream.router.takes_bulk(upstream, cx));
            let read = match connection.conn {
                conn if bulk => cx.io.read_bulk(conn, left),
                conn if in_head => cx.io.read_head(conn),
                conn => cx.io.read(conn),
            };
            match read {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    let stats = &self.managers[connection.manager.0 as usize].config.stats;
                    cx.stats.add(stats.downstream_cx_rx_bytes_total, n as u64);
                    if connection.info.is_guarded() && !self.admit(key, upstream, cx) {
                        return;
                    }
                }
                Read::Empty => return cx.io.rest(connection.conn),
                Read::Eof if self.is_tunnel(key) => return self.on_tunnel_end(key, upstream, cx),
                Read::Eof | Read::Failed => return self.on_remote_close(key, upstream, cx),
            }
        }
    }

    /// The handshake of TLS may be done now.
    fn learn_tls(&mut self, key: DownstreamKey, cx: &Cx<'_>) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.tls.is_none()
            && self.managers[connection.manager.0 as usize].secure
        {
            connection.tls = cx.io.tls(connection.conn).cloned();
        }
    }

    /// Whether the network filters before this one let through what has been read; if not the connection is closed.
    pub(super) fn admit(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        let Err(denial) = connection.info.admit(connection.conn, cx) else { return true };
        connection.info.extra().denial = Some(denial.details);
        self.end_all(key, &Cause::Stopped, upstream, cx);
        self.close(key, denial.delay.map_or(Close::Now, Close::After), cx);
        false
    }

    fn is_tunnel(&self, key: DownstreamKey) -> bool {
        let stream = self.connections.get(key).and_then(|connection| connection.stream);
        stream.and_then(|stream| self.streams.get(stream)).is_some_and(Stream::is_tunnel)
    }

    /// The client has ended its half of a tunnel; the other half may go on.
    fn on_tunnel_end(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.ended = true;
        let Codec::H1(codec) = &mut connection.codec else { return };
        match (codec.finish(), connection.stream) {
            (Ok(Some(RequestEvent::Data { data, end })), Some(stream)) => {
                self.on_request_data(stream, data, end, upstream, cx);
            }
            _ => self.on_remote_close(key, upstream, cx),
        }
    }

    /// Turns what was read into events.
    fn parse(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if self.connections.get(key).is_none_or(|connection| !connection.decided) && !self.decide(key, cx) {
            return;
        }
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let Codec::H1(codec) = &mut connection.codec else { return };
            if connection.paused {
                return;
            }
            let input = cx.io.input(connection.conn);
            if input.is_empty() {
                return;
            }
            let before = input.len();
            let event = codec.poll(input);
            self.pending_wire = (before - cx.io.input(connection.conn).len()) as u64;
            if let Some(stream) = connection.stream.and_then(|stream| self.streams.get_mut(stream)) {
                stream.wire_received += std::mem::take(&mut self.pending_wire);
            }
            match event {
                Ok(Some(RequestEvent::Headers { head, end })) => {
                    connection.head_since = None;
                    connection.spoken = Some(head.version);
                    self.on_request(key, head, (end, None), upstream, cx);
                }
                Ok(Some(RequestEvent::Data { data, end })) => {
                    if let Some(stream) = connection.stream {
                        self.on_request_data(stream, data, end, upstream, cx);
                    }
                }
                Ok(Some(RequestEvent::Trailers { trailers })) => {
                    if let Some(stream) = connection.stream {
                        self.on_request_trailers(stream, trailers, upstream, cx);
                    }
                }
                Ok(None) => return self.on_partial_head(key, cx),
                Err(error) => return self.on_codec_error(key, error, upstream, cx),
            }
        }
    }

    /// The input ends within something; if that is a request's head, its time runs.
    fn on_partial_head(&mut self, key: DownstreamKey, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.stream.is_some() || connection.head_since.is_some() {
            return;
        }
        let now = cx.reactor.now();
        connection.head_since = Some(now);
        connection.spoken.get_or_insert(Version::Http11);
        let config = &self.managers[connection.manager.0 as usize].config;
        if let Some(timeout) = config.request_headers_timeout {
            connection.alarm.by(now + timeout, alarm(key), cx.reactor);
        }
    }

    pub(super) fn on_remote_close(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        cx.stats.inc(stats.downstream_cx_destroy_remote);
        connection.gone = true;
        if connection.stream_count() > 0 {
            cx.stats.inc(stats.downstream_cx_destroy_active_rq);
            cx.stats.inc(stats.downstream_cx_destroy_remote_active_rq);
        }
        self.end_all(key, &Cause::Disconnected, upstream, cx);
        self.close(key, Close::Now, cx);
    }

    /// A time limit of the connection or of its stream may have passed.
    pub(super) fn on_alarm(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.alarm.rang();
        let config = &self.managers[connection.manager.0 as usize].config;
        let now = cx.reactor.now();
        let mut expires = connection.expires;
        if connection.drained_by.is_none() && expires.is_some_and(|expires| now >= expires) {
            cx.stats.inc(config.stats.downstream_cx_max_duration_reached);
            connection.codec.set_close();
            connection.drained_by = Some(now + config.drain_timeout);
            Self::begin_drain(connection, key, now + config.drain_timeout, cx);
        }
        expires = connection.drained_by.or(expires);
        let next = if connection.stream_count() > 0 {
            match self.time_out_streams(key, now, upstream, cx) {
                Some(next) => next,
                None => return,
            }
        } else {
            let head =
                connection.head_since.zip(config.request_headers_timeout).map(|(since, limit)| since + limit);
            if head.is_some_and(|deadline| now >= deadline) {
                cx.stats.inc(config.stats.downstream_rq_header_timeout);
                return self.refuse_connection(key, Cause::HeadersTimeout, upstream, cx);
            }
            let mut limit = config.idle_timeout;
            let flushing = connection.is_flushing();
            if flushing {
                limit = None;
            } else if self.draining {
                limit = Some(limit.map_or(DRAIN_GRACE, |limit| limit.min(DRAIN_GRACE)));
            }
            let mut idle = limit.map(|limit| connection.idle_since + limit);
            if idle.is_some_and(|deadline| now >= deadline) {
                if self.draining {
                    cx.stats.inc(config.stats.downstream_cx_drain_close);
                    return self.close_idle(key, cx);
                }
                // A request that is already on its way still gets its answer.
                if connection.drained_by.is_none() {
                    cx.stats.inc(config.stats.downstream_cx_idle_timeout);
                    connection.codec.set_close();
                    connection.drained_by = Some(now + config.drain_timeout);
                    expires = connection.drained_by;
                    Self::begin_drain(connection, key, now + config.drain_timeout, cx);
                }
                idle = None;
            }
            if !flushing && connection.drained_by.is_some_and(|deadline| now >= deadline) {
                return self.close_idle(key, cx);
            }
            head.into_iter().chain(idle).min()
        };
        let Some(watch) = self.watch_h2(key, upstream, cx) else { return };
        // Once drained, only a connection without a request has something to wait for.
        let expires = expires.filter(|expires| *expires > now);
        let next = next.into_iter().chain(expires).chain(watch).min();
        if let (Some(next), Some(connection)) = (next, self.connections.get_mut(key)) {
            connection.alarm.by(next, alarm(key), cx.reactor);
        }
    }

    /// Ends the streams whose time has passed; says when the next one's has. `None` if the connection has ended with
    /// its stream.
    fn time_out_streams(
        &mut self,
        key: DownstreamKey,
        now: Time,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Option<Option<Time>> {
        let connection = self.connections.get(key)?;
        let Codec::H2(multiplex) = &connection.codec else {
            let stream = connection.stream?;
            return match self.check_stream_deadlines(stream, now) {
                Ok(next) => Some(next),
                Err(cause) => {
                    self.time_out(stream, cause, upstream, cx);
                    None
                }
            };
        };
        let mut next: Option<Time> = None;
        let mut passed = Vec::new();
        for stream in &multiplex.streams {
            match self.check_stream_deadlines(*stream, now) {
                Ok(deadline) => next = next.into_iter().chain(deadline).min(),
                Err(cause) => passed.push((*stream, cause)),
            }
        }
        for (stream, cause) in passed {
            self.time_out(stream, cause, upstream, cx);
        }
        Some(next)
    }

    /// The stream on this connection has ended: the connection goes on, or ends with it. `clean` when both the
    /// request and the response were complete.
    pub(super) fn after_stream(&mut self, key: DownstreamKey, clean: bool, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.stream = None;
        connection.paused = false;
        let conn = connection.conn;
        if clean && connection.codec.keep_alive() {
            connection.idle_since = cx.reactor.now();
            let config = &self.managers[connection.manager.0 as usize].config;
            if let Some(timeout) = config.idle_timeout {
                connection.alarm.by(connection.idle_since + timeout, alarm(key), cx.reactor);
            }
            if let Some(expires) = connection.expires {
                connection.alarm.by(expires, alarm(key), cx.reactor);
            }
            if !cx.io.input(conn).is_empty() || cx.io.may_read(conn) {
                cx.reactor.defer(resume(key));
            }
            return;
        }
        // What the client still sends must not destroy the answer by a reset: read it away for a while.
        let quiet = clean && cx.io.input(conn).is_empty() && !cx.io.may_read(conn);
        self.close(key, if quiet { Close::Flush } else { Close::Linger }, cx);
    }

    /// Closes a connection without a request, of which the client hears nothing but GOAWAY.
    fn close_idle(&mut self, key: DownstreamKey, cx: &mut Cx<'_>) {
        if let Some(connection) = self.connections.get_mut(key)
            && let Codec::H2(multiplex) = &mut connection.codec
        {
            multiplex.codec.goaway(h2::Code::NO_ERROR, cx.io.output(connection.conn));
        }
        self.close(key, Close::Flush, cx);
    }

    /// Closes a connection that has no stream.
    pub(super) fn close(&mut self, key: DownstreamKey, how: Close, cx: &mut Cx<'_>) {
        let Some(mut connection) = self.connections.remove(key) else { return };
        debug_assert!(connection.stream_count() == 0, "a stream ends before its connection");
        connection.alarm.stop(cx.reactor);
        let manager = &self.managers[connection.manager.0 as usize];
        if !manager.connection_logs.is_empty() {
            self.logger.record(&manager.connection_logs, &view(&connection, manager, cx));
        }
        let Manager { config, secure, .. } = manager;
        cx.io.close(connection.conn, how, config.delayed_close_timeout, cx.reactor);
        let stats = &config.stats;
        let lived = (cx.reactor.now() - connection.opened).as_millis() as u64;
        cx.stats.record(stats.downstream_cx_length_ms, lived);
        cx.stats.inc(stats.downstream_cx_destroy);
        if !connection.gone {
            cx.stats.inc(stats.downstream_cx_destroy_local);
        }
        cx.stats.move_gauge(stats.downstream_cx_active, -1);
        if *secure {
            cx.stats.move_gauge(stats.downstream_cx_ssl_active, -1);
        }
        if connection.decided {
            let active = match connection.codec {
                Codec::H1(_) => stats.downstream_cx_http1_active,
                Codec::H2(_) => stats.downstream_cx_http2_active,
            };
            cx.stats.move_gauge(active, -1);
        }
    }

    pub(super) fn drain_connection(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let grace = cx.reactor.now() + DRAIN_GRACE;
        if Self::begin_drain(connection, key, grace, cx) || connection.stream.is_none() {
            connection.alarm.by(grace, alarm(key), cx.reactor);
            self.pump(key, upstream, cx);
        }
    }

    pub(super) fn stop_connection(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.end_all(key, &Cause::Stopped, upstream, cx);
        self.close(key, Close::Now, cx);
    }

    /// Output has been written: the response may go on.
    fn tell_drained(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.backed_up && !cx.io.is_backed_up(connection.conn) {
            connection.backed_up = false;
            if let Some(stream) = connection.stream {
                self.resume_response(stream, upstream, cx);
            }
        }
    }
}

pub(super) fn alarm(key: DownstreamKey) -> Task {
    Task { layer: Layer::Downstream, wake: Wake::Alarm, key: key.raw() }
}

pub(super) fn resume(key: DownstreamKey) -> Task {
    Task { layer: Layer::Downstream, wake: Wake::Resume, key: key.raw() }
}
