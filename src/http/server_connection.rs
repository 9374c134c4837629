//! One downstream HTTP connection: bytes to request events, and when it ends.
//!
//! HTTP/1 carries one stream at a time. Further pipelined requests wait unparsed in the input until the stream
//! has ended, and beyond [`PIPELINE_LIMIT`] unread in the socket.

use super::stream::{Stream, StreamKey};
use super::{Http, Manager, ManagerId};
use crate::io::{Alarm, Close, ConnKey, Cx, Layer, Owner, Read, Task, Wake};
use crate::router::Cause;
use crate::tls::TlsInfo;
use crate::upstream::Upstream;
use nuncio_codec::h1::{self, RequestEvent};
use nuncio_reactor::{Address, SlabKey, Socket, Time, slab_key};
use std::sync::Arc;
use std::time::Duration;

slab_key! {
    /// A downstream connection in [`Http`].
    pub(super) struct DownstreamKey;
}

/// Most bytes read from one connection before others have their turn.
const READ_BUDGET: usize = 512 << 10;
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
    /// Who is connected.
    pub(super) peer: Address,
    /// Where, if the listener is not bound to one address.
    local: Option<Address>,
    /// Requests so far.
    pub(super) requests: u32,
    opened: Time,
    /// It is being drained for its age, and closed then if it is without a request.
    drained_by: Option<Time>,
    /// The client has ended the connection.
    gone: bool,
    /// The client has ended its half of a tunnel.
    ended: bool,
    pub(super) manager: ManagerId,
    /// What is known of its TLS, once the handshake is done.
    pub(super) tls: Option<Arc<TlsInfo>>,
    pub(super) codec: h1::Server,
    pub(super) stream: Option<StreamKey>,
    pub(super) alarm: Alarm,
    /// Since when there is no request.
    idle_since: Time,
    /// Since when a request's head has been incomplete.
    head_since: Option<Time>,
    /// The request's body is not read because its reader is slow.
    pub(super) paused: bool,
    /// The response's writer was told to wait.
    pub(super) backed_up: bool,
}

impl ServerConnection {
    /// This end's address.
    pub(super) fn local<'a>(&'a self, manager: &'a Manager) -> Option<&'a Address> {
        self.local.as_ref().or(manager.local.as_ref())
    }
}

impl Http {
    /// Takes over an accepted connection.
    pub fn accept(&mut self, socket: Socket, peer: Address, manager: ManagerId, cx: &mut Cx<'_>) {
        let limit = self.managers[manager.0 as usize].buffer_limit;
        // A socket that cannot be registered is closed by being dropped.
        if let Ok(conn) = cx.io.adopt(socket, Owner::Nobody, limit, cx.reactor) {
            let Manager { tls, handshake_timeout, listener, .. } = &self.managers[manager.0 as usize];
            if let Some(tls) = tls {
                let late = listener.downstream_cx_transport_socket_connect_timeout;
                cx.io.secure(conn, tls, (*handshake_timeout, late), cx.stats, cx.reactor);
            }
            self.open(conn, peer, manager, cx);
        }
    }

    /// Starts HTTP on a connection.
    pub(crate) fn open(&mut self, conn: ConnKey, peer: Address, manager: ManagerId, cx: &mut Cx<'_>) {
        let Manager { config, listener, local, tls, .. } = &self.managers[manager.0 as usize];
        let now = cx.reactor.now();
        let key = self.connections.insert(ServerConnection {
            conn,
            id: cx.io.id(conn),
            peer,
            local: if local.is_none() { cx.io.local_address(conn) } else { None },
            requests: 0,
            opened: now,
            drained_by: None,
            gone: false,
            ended: false,
            manager,
            tls: None,
            codec: h1::Server::new(config.http1),
            stream: None,
            alarm: Alarm::default(),
            idle_since: now,
            head_since: None,
            paused: false,
            backed_up: false,
        });
        cx.io.set_owner(conn, Owner::Downstream(key.raw()));
        if let Some(first) = [config.idle_timeout, config.max_connection_duration].into_iter().flatten().min()
        {
            let connection = self.connections.get_mut(key).expect("just inserted");
            connection.alarm.by(now + first, alarm(key), cx.reactor);
        }
        let stats = &config.stats;
        cx.stats.inc(stats.downstream_cx_total);
        cx.stats.inc(stats.downstream_cx_http1_total);
        cx.stats.move_gauge(stats.downstream_cx_active, 1);
        cx.stats.move_gauge(stats.downstream_cx_http1_active, 1);
        if tls.is_some() {
            cx.stats.inc(stats.downstream_cx_ssl_total);
            cx.stats.move_gauge(stats.downstream_cx_ssl_active, 1);
        }
        cx.stats.inc(listener.downstream_cx_total);
        cx.stats.move_gauge(listener.downstream_cx_active, 1);
    }

    /// Reads and parses until there is nothing more, somebody is slow, or others must have their turn.
    pub(super) fn pump(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.tell_drained(key, upstream, cx);
        self.learn_tls(key, cx);
        let mut budget = READ_BUDGET;
        loop {
            self.parse(key, upstream, cx);
            let Some(connection) = self.connections.get_mut(key) else { return };
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
            if connection.codec.request_complete() && cx.io.input(connection.conn).len() >= PIPELINE_LIMIT {
                return;
            }
            if budget == 0 {
                cx.reactor.defer(resume(key));
                return;
            }
            match cx.io.read(connection.conn) {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    let stats = &self.managers[connection.manager.0 as usize].config.stats;
                    cx.stats.add(stats.downstream_cx_rx_bytes_total, n as u64);
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
            && self.managers[connection.manager.0 as usize].tls.is_some()
        {
            connection.tls = cx.io.tls(connection.conn).cloned();
        }
    }

    fn is_tunnel(&self, key: DownstreamKey) -> bool {
        let stream = self.connections.get(key).and_then(|connection| connection.stream);
        stream.and_then(|stream| self.streams.get(stream)).is_some_and(Stream::is_tunnel)
    }

    /// The client has ended its half of a tunnel; the other half may go on.
    fn on_tunnel_end(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.ended = true;
        match connection.codec.finish() {
            Ok(Some(RequestEvent::Data { data, end })) => self.on_request_data(key, data, end, upstream, cx),
            _ => self.on_remote_close(key, upstream, cx),
        }
    }

    /// Turns what was read into events.
    fn parse(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            if connection.paused {
                return;
            }
            let input = cx.io.input(connection.conn);
            if input.is_empty() {
                return;
            }
            let before = input.len();
            let event = connection.codec.poll(input);
            self.pending_wire = (before - cx.io.input(connection.conn).len()) as u64;
            if let Some(stream) = connection.stream.and_then(|stream| self.streams.get_mut(stream)) {
                stream.wire_received += std::mem::take(&mut self.pending_wire);
            }
            match event {
                Ok(Some(RequestEvent::Headers { head, end })) => {
                    connection.head_since = None;
                    self.on_request(key, head, end, upstream, cx);
                }
                Ok(Some(RequestEvent::Data { data, end })) => {
                    self.on_request_data(key, data, end, upstream, cx)
                }
                Ok(Some(RequestEvent::Trailers { trailers })) => {
                    self.on_request_trailers(key, trailers, upstream, cx);
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
        let config = &self.managers[connection.manager.0 as usize].config;
        if let Some(timeout) = config.request_headers_timeout {
            connection.alarm.by(now + timeout, alarm(key), cx.reactor);
        }
    }

    fn on_remote_close(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        cx.stats.inc(stats.downstream_cx_destroy_remote);
        connection.gone = true;
        match connection.stream {
            Some(stream) => {
                cx.stats.inc(stats.downstream_cx_destroy_active_rq);
                cx.stats.inc(stats.downstream_cx_destroy_remote_active_rq);
                self.end(stream, Cause::Disconnected, upstream, cx);
            }
            None => self.close(key, Close::Now, cx),
        }
    }

    /// A time limit of the connection or of its stream may have passed.
    pub(super) fn on_alarm(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.alarm.rang();
        let config = &self.managers[connection.manager.0 as usize].config;
        let now = cx.reactor.now();
        let mut expires = config.max_connection_duration.map(|limit| connection.opened + limit);
        if connection.drained_by.is_none() && expires.is_some_and(|expires| now >= expires) {
            cx.stats.inc(config.stats.downstream_cx_max_duration_reached);
            connection.codec.set_close();
            connection.drained_by = Some(now + config.drain_timeout);
        }
        expires = connection.drained_by.or(expires);
        let next = if let Some(stream) = connection.stream {
            match self.check_stream_deadlines(stream, now) {
                Ok(next) => next,
                Err(cause) => return self.time_out(stream, cause, upstream, cx),
            }
        } else {
            let head =
                connection.head_since.zip(config.request_headers_timeout).map(|(since, limit)| since + limit);
            if head.is_some_and(|deadline| now >= deadline) {
                cx.stats.inc(config.stats.downstream_rq_header_timeout);
                return self.refuse_connection(key, Cause::HeadersTimeout, upstream, cx);
            }
            let mut limit = config.idle_timeout;
            if self.draining {
                limit = Some(limit.map_or(DRAIN_GRACE, |limit| limit.min(DRAIN_GRACE)));
            }
            let idle = limit.map(|limit| connection.idle_since + limit);
            if idle.is_some_and(|deadline| now >= deadline) {
                let stats = &config.stats;
                cx.stats.inc(if self.draining {
                    stats.downstream_cx_drain_close
                } else {
                    stats.downstream_cx_idle_timeout
                });
                return self.close(key, Close::Flush, cx);
            }
            if connection.drained_by.is_some_and(|deadline| now >= deadline) {
                return self.close(key, Close::Flush, cx);
            }
            head.into_iter().chain(idle).min()
        };
        // Once drained, only a connection without a request has something to wait for.
        let expires = expires.filter(|expires| *expires > now);
        let next = next.into_iter().chain(expires).min();
        if let (Some(next), Some(connection)) = (next, self.connections.get_mut(key)) {
            connection.alarm.by(next, alarm(key), cx.reactor);
        }
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
            if let Some(limit) = config.max_connection_duration {
                connection.alarm.by(connection.opened + limit, alarm(key), cx.reactor);
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

    /// Closes a connection that has no stream.
    pub(super) fn close(&mut self, key: DownstreamKey, how: Close, cx: &mut Cx<'_>) {
        let Some(mut connection) = self.connections.remove(key) else { return };
        debug_assert!(connection.stream.is_none(), "a stream ends before its connection");
        connection.alarm.stop(cx.reactor);
        let Manager { config, listener, tls, .. } = &self.managers[connection.manager.0 as usize];
        cx.io.close(connection.conn, how, config.delayed_close_timeout, cx.reactor);
        let stats = &config.stats;
        let lived = (cx.reactor.now() - connection.opened).as_millis() as u64;
        cx.stats.record(stats.downstream_cx_length_ms, lived);
        cx.stats.record(listener.downstream_cx_length_ms, lived);
        cx.stats.inc(stats.downstream_cx_destroy);
        if !connection.gone {
            cx.stats.inc(stats.downstream_cx_destroy_local);
        }
        cx.stats.move_gauge(stats.downstream_cx_active, -1);
        cx.stats.move_gauge(stats.downstream_cx_http1_active, -1);
        if tls.is_some() {
            cx.stats.move_gauge(stats.downstream_cx_ssl_active, -1);
        }
        cx.stats.inc(listener.downstream_cx_destroy);
        cx.stats.move_gauge(listener.downstream_cx_active, -1);
    }

    pub(super) fn drain_connection(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.stream.is_none() {
            let grace = cx.reactor.now() + DRAIN_GRACE;
            connection.alarm.by(grace, alarm(key), cx.reactor);
            self.pump(key, upstream, cx);
        }
    }

    pub(super) fn stop_connection(&mut self, key: DownstreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get(key) else { return };
        match connection.stream {
            Some(stream) => self.end(stream, Cause::Stopped, upstream, cx),
            None => self.close(key, Close::Now, cx),
        }
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
