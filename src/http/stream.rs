//! One request and its response: the state machine between the downstream codec and the terminal filter.
//!
//! A stream begins with the request's head and ends exactly once, in [`Http::end`], with a cause; what is
//! answered, logged and counted follows from the cause. Streams lie in a slab and their headers and bodies in pooled
//! memory, so a warm connection's next request allocates nothing.

use super::config::Terminal;
use super::header_rules;
use super::local_reply::LocalReply;
use super::server_connection::{DownstreamKey, alarm, resume};
use super::{AdminRequest, Http, Manager};
use crate::access_log::Entry;
use crate::io::{Close, Cx};
use crate::router::{Cause, Exchange, Frame, Step};
use crate::upstream::{Event, Upstream};
use nuncio_codec::{Buffer, HeaderId, HeaderMap, Method, RequestHead, ResponseHead, Version, h1};
use nuncio_reactor::{SlabKey, Time, slab_key};
use std::time::SystemTime;

slab_key! {
    /// A stream in [`Http`].
    pub(super) struct StreamKey;
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct Stream {
    connection: DownstreamKey,
    request: RequestHead,
    /// Empty until the response begins.
    response: ResponseHead,
    router: Exchange,
    started: Time,
    started_wall: SystemTime,
    /// Last sign of life in either direction.
    moved: Time,
    request_bytes: u64,
    response_bytes: u64,
    request_end: bool,
    response_started: bool,
    response_end: bool,
}

impl Stream {
    fn new(connection: DownstreamKey, request: RequestHead, cx: &Cx<'_>) -> Self {
        let now = cx.reactor.now();
        Self {
            connection,
            request,
            response: ResponseHead { version: Version::Http11, status: 0, headers: HeaderMap::new() },
            router: Exchange::default(),
            started: now,
            started_wall: cx.reactor.wall(),
            moved: now,
            request_bytes: 0,
            response_bytes: 0,
            request_end: false,
            response_started: false,
            response_end: false,
        }
    }
}

impl Http {
    /// A request's head has arrived.
    pub(super) fn on_request(
        &mut self,
        connection: DownstreamKey,
        head: RequestHead,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let key = self.begin_stream(connection, head, cx);
        let stream = self.streams.get_mut(key).expect("just begun");
        stream.request_end = end;
        if let Some(cause) = header_rules::refusal(&stream.request) {
            return self.refuse(key, cause, upstream, cx);
        }
        let upgrade = header_rules::asks_upgrade(&stream.request.headers);
        let expects = header_rules::take_expectation(&mut stream.request);
        header_rules::prepare_request(&mut stream.request, cx.rng);
        if upgrade {
            return self.refuse(key, Cause::UpgradeRefused, upstream, cx);
        }
        if expects && !end {
            self.send_continue(connection, cx);
        }
        self.decode_headers(key, end, upstream, cx);
        self.arm(key, cx);
    }

    /// Ends a request that reaches no filter.
    fn refuse(&mut self, key: StreamKey, cause: Cause, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get(key) else { return };
        let connection = self.connections.get_mut(stream.connection).expect("a stream has its connection");
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        let connect = stream.request.method == Method::Connect;
        match cause {
            Cause::PathRejected => cx.stats.inc(stats.downstream_rq_non_relative_path),
            Cause::UpgradeRefused => cx.stats.inc(stats.downstream_rq_ws_on_non_ws_route),
            Cause::NoRoute => cx.stats.inc(stats.no_route),
            _ => {}
        }
        // As Envoy decides; and what follows a refused tunnel is not HTTP.
        if connect || matches!(cause, Cause::MissingHost | Cause::UpgradeRefused) {
            connection.codec.set_close();
        }
        self.end(key, cause, upstream, cx);
    }

    /// The request has passed all filters: the terminal one takes it.
    fn decode_headers(&mut self, key: StreamKey, end: bool, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get(stream.connection) else { return };
        let manager = &self.managers[connection.manager.0 as usize];
        let step = match &manager.config.terminal {
            Terminal::Router(_) => {
                stream.router.on_headers(&frame(manager, key), &mut stream.request, end, upstream, cx)
            }
            Terminal::Admin => {
                if end {
                    self.ask_admin(key);
                }
                Step::Wait
            }
        };
        self.take(key, step, upstream, cx);
    }

    /// A piece of the request's body.
    pub(super) fn on_request_data(
        &mut self,
        connection: DownstreamKey,
        mut data: Buffer,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(server) = self.connections.get_mut(connection) else { return };
        let Some(key) = server.stream else { return };
        let stream = self.streams.get_mut(key).expect("a connection's stream lives");
        let manager = &self.managers[server.manager.0 as usize];
        stream.request_end = end;
        stream.request_bytes += data.len() as u64;
        stream.moved = cx.reactor.now();
        match &manager.config.terminal {
            Terminal::Router(_) => {
                if !stream.router.on_data(&frame(manager, key), &mut data, end, upstream, cx) && !end {
                    server.paused = true;
                    cx.stats.inc(manager.config.stats.downstream_flow_control_paused_reading_total);
                }
            }
            Terminal::Admin if end => self.ask_admin(key),
            Terminal::Admin => {}
        }
        if end {
            self.arm(key, cx);
        }
    }

    /// The request's trailers, which end it.
    pub(super) fn on_request_trailers(
        &mut self,
        connection: DownstreamKey,
        trailers: HeaderMap,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(server) = self.connections.get(connection) else { return };
        let Some(key) = server.stream else { return };
        let stream = self.streams.get_mut(key).expect("a connection's stream lives");
        stream.request_end = true;
        match self.managers[server.manager.0 as usize].config.terminal {
            Terminal::Router(_) => stream.router.on_trailers(trailers, upstream, cx),
            Terminal::Admin => self.ask_admin(key),
        }
        self.arm(key, cx);
    }

    /// Something happened upstream.
    pub(super) fn on_stream_event(
        &mut self,
        key: StreamKey,
        event: Event,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get(stream.connection) else { return };
        let manager = &self.managers[connection.manager.0 as usize];
        stream.moved = cx.reactor.now();
        let step = stream.router.on_upstream(&frame(manager, key), event, &stream.request, upstream, cx);
        self.take(key, step, upstream, cx);
    }

    fn take(&mut self, key: StreamKey, step: Step, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        match step {
            Step::Wait => {}
            Step::MoreBody => self.resume_request(key, cx),
            // The client has had its `100 Continue` from us; as in Envoy other interim responses end here.
            Step::Informational(_) => {}
            Step::Headers(mut head, end) => {
                header_rules::prepare_response(&mut head, self.date.at(cx.reactor.wall()));
                self.send_headers(key, head, end, cx);
                if end {
                    self.end(key, Cause::Complete, upstream, cx);
                }
            }
            Step::Data(mut data, end) => {
                if !self.send_data(key, &mut data, end, cx) && !end {
                    self.pause_response(key, upstream, cx);
                }
                if end {
                    self.end(key, Cause::Complete, upstream, cx);
                }
            }
            Step::Trailers(trailers) => {
                self.send_trailers(key, &trailers, cx);
                self.end(key, Cause::Complete, upstream, cx);
            }
            Step::End(cause) => self.end(key, cause, upstream, cx),
        }
    }

    /// The one place where a stream ends.
    pub(super) fn end(&mut self, key: StreamKey, cause: Cause, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.router.abandon(upstream, cx);
        if !stream.response_started
            && let Some(reply) = LocalReply::to(&cause)
        {
            self.send_local_reply(key, reply, cx);
        }
        let Some(stream) = self.streams.remove(key) else { return };
        self.account(&stream, &cause, cx);
        let connection = stream.connection;
        let complete = stream.response_end;
        let clean = complete && stream.request_end;
        let close_delimited = stream.request.version == Version::Http10
            && !stream.response.headers.contains(HeaderId::CONTENT_LENGTH);
        if complete {
            return self.after_stream(connection, clean, cx);
        }
        if let Some(server) = self.connections.get_mut(connection) {
            server.stream = None;
            let how = match cause {
                Cause::Disconnected | Cause::Stopped => Close::Now,
                // Where only the end of the connection ends the body, a plain close would make it look whole.
                _ if close_delimited => Close::Reset,
                _ => Close::Flush,
            };
            self.close(connection, how, cx);
        }
    }

    /// Counts and logs an ended stream.
    fn account(&mut self, stream: &Stream, cause: &Cause, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get(stream.connection) else { return };
        let manager = &self.managers[connection.manager.0 as usize];
        let stats = &manager.config.stats;
        cx.stats.move_gauge(stats.downstream_rq_active, -1);
        cx.stats.inc(stats.downstream_rq_completed);
        match cause {
            Cause::Disconnected => cx.stats.inc(stats.downstream_rq_rx_reset),
            _ if !stream.response_end => cx.stats.inc(stats.downstream_rq_tx_reset),
            _ => {}
        }
        if stream.response_end && !stream.request_end {
            cx.stats.inc(stats.downstream_rq_response_before_rq_complete);
        }
        if !manager.logs.is_empty() {
            let row = cause.row();
            let entry = Entry {
                start: stream.started_wall,
                request: &stream.request,
                response: &stream.response,
                flag: row.flag,
                details: &row.details,
                bytes_received: stream.request_bytes,
                bytes_sent: stream.response_bytes,
                duration: cx.reactor.now() - stream.started,
                upstream_host: stream.router.host(),
            };
            self.logger.record(&manager.logs, &entry);
        }
    }

    fn begin_stream(
        &mut self,
        connection: DownstreamKey,
        request: RequestHead,
        cx: &mut Cx<'_>,
    ) -> StreamKey {
        let key = self.streams.insert(Stream::new(connection, request, cx));
        let server = self.connections.get_mut(connection).expect("a request comes from a live connection");
        server.stream = Some(key);
        let stats = &self.managers[server.manager.0 as usize].config.stats;
        cx.stats.inc(stats.downstream_rq_total);
        cx.stats.inc(stats.downstream_rq_http1_total);
        cx.stats.move_gauge(stats.downstream_rq_active, 1);
        key
    }

    /// A request that cannot be understood: answered, counted, and the connection closed.
    pub(super) fn on_codec_error(
        &mut self,
        key: DownstreamKey,
        error: h1::Error,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        if let Some(connection) = self.connections.get(key) {
            let stats = &self.managers[connection.manager.0 as usize].config.stats;
            cx.stats.inc(stats.downstream_cx_protocol_error);
        }
        self.refuse_connection(key, Cause::Codec(error), upstream, cx);
    }

    /// Ends the request that a connection is at, or has not even begun, and then the connection.
    pub(super) fn refuse_connection(
        &mut self,
        key: DownstreamKey,
        cause: Cause,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.codec.set_close();
        let stream = match connection.stream {
            Some(stream) => stream,
            None => {
                let head = RequestHead {
                    version: Version::Http11,
                    method: Method::Other,
                    headers: HeaderMap::new(),
                };
                self.begin_stream(key, head, cx)
            }
        };
        self.end(stream, cause, upstream, cx);
    }

    /// A time limit has passed.
    pub(super) fn time_out(
        &mut self,
        key: StreamKey,
        cause: Cause,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get(stream.connection) else { return };
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        match cause {
            Cause::StreamIdle => cx.stats.inc(stats.downstream_rq_idle_timeout),
            Cause::RequestTimeout => cx.stats.inc(stats.downstream_rq_timeout),
            Cause::RouteTimeout => drop(stream.router.on_timeout(upstream, cx)),
            _ => {}
        }
        self.end(key, cause, upstream, cx);
    }

    /// The next time limit of a stream, or the one that has passed.
    pub(super) fn check_stream_deadlines(&self, key: StreamKey, now: Time) -> Result<Option<Time>, Cause> {
        let Some(stream) = self.streams.get(key) else { return Ok(None) };
        let Some(connection) = self.connections.get(stream.connection) else { return Ok(None) };
        let config = &self.managers[connection.manager.0 as usize].config;
        let idle = config.stream_idle_timeout.map(|limit| stream.moved + limit);
        let request = if stream.request_end {
            None
        } else {
            config.request_timeout.map(|limit| stream.started + limit)
        };
        let mut next = None;
        for (deadline, cause) in [
            (stream.router.deadline(), Cause::RouteTimeout),
            (request, Cause::RequestTimeout),
            (idle, Cause::StreamIdle),
        ] {
            let Some(deadline) = deadline else { continue };
            if now >= deadline {
                return Err(cause);
            }
            next = Some(next.map_or(deadline, |next: Time| next.min(deadline)));
        }
        Ok(next)
    }

    /// Sees to it that the connection wakes up for the stream's next time limit.
    fn arm(&mut self, key: StreamKey, cx: &mut Cx<'_>) {
        if let Ok(Some(next)) = self.check_stream_deadlines(key, Time::ZERO)
            && let Some(stream) = self.streams.get(key)
            && let Some(connection) = self.connections.get_mut(stream.connection)
        {
            connection.alarm.by(next, alarm(stream.connection), cx.reactor);
        }
    }

    fn send_local_reply(&mut self, key: StreamKey, reply: LocalReply, cx: &mut Cx<'_>) {
        let LocalReply { mut head, mut body } = reply;
        header_rules::prepare_response(&mut head, self.date.at(cx.reactor.wall()));
        let end = body.is_empty();
        self.send_headers(key, head, end, cx);
        if !end {
            self.send_data(key, &mut body, true, cx);
        }
    }

    fn send_headers(&mut self, key: StreamKey, head: ResponseHead, end: bool, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return };
        if self.draining {
            connection.codec.set_close();
        }
        let output = cx.io.output(connection.conn);
        let before = output.len();
        connection.codec.send_headers(&head, end, output);
        let sent = (output.len() - before) as u64;
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        cx.stats.add(stats.downstream_cx_tx_bytes_total, sent);
        cx.stats.inc(match head.status / 100 {
            1 => stats.downstream_rq_1xx,
            2 => stats.downstream_rq_2xx,
            3 => stats.downstream_rq_3xx,
            4 => stats.downstream_rq_4xx,
            _ => stats.downstream_rq_5xx,
        });
        stream.response = head;
        stream.response_started = true;
        stream.response_end = end;
    }

    /// Says whether more may be sent.
    fn send_data(&mut self, key: StreamKey, data: &mut Buffer, end: bool, cx: &mut Cx<'_>) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return true };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return true };
        // As in Envoy, a body that is not sent (HEAD) still counts what the client would have got.
        if stream.request.method != Method::Head {
            stream.response_bytes += data.len() as u64;
        }
        let output = cx.io.output(connection.conn);
        let before = output.len();
        connection.codec.send_data(data, end, output);
        let sent = (output.len() - before) as u64;
        stream.response_end = end;
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        cx.stats.add(stats.downstream_cx_tx_bytes_total, sent);
        connection.backed_up |= cx.io.is_backed_up(connection.conn);
        !connection.backed_up
    }

    fn send_trailers(&mut self, key: StreamKey, trailers: &HeaderMap, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return };
        connection.codec.send_trailers(trailers, cx.io.output(connection.conn));
        stream.response_end = true;
    }

    fn send_continue(&mut self, key: DownstreamKey, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let head = ResponseHead { version: Version::Http11, status: 100, headers: HeaderMap::new() };
        connection.codec.send_informational(&head, cx.io.output(connection.conn));
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        cx.stats.inc(stats.downstream_rq_1xx);
        cx.stats.inc(stats.downstream_rq_completed);
    }

    /// The request's reader has caught up: read on.
    fn resume_request(&mut self, key: StreamKey, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get(key) else { return };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return };
        if connection.paused {
            connection.paused = false;
            let stats = &self.managers[connection.manager.0 as usize].config.stats;
            cx.stats.inc(stats.downstream_flow_control_resumed_reading_total);
            cx.reactor.defer(resume(stream.connection));
        }
    }

    fn pause_response(&self, key: StreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(stream) = self.streams.get(key) {
            stream.router.pause(upstream, cx);
        }
    }

    /// The response's reader has caught up.
    pub(super) fn resume_response(&mut self, key: StreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.moved = cx.reactor.now();
            stream.router.resume(upstream, cx);
        }
    }

    fn ask_admin(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key) else { return };
        self.admin.push_back(AdminRequest {
            stream: key.raw(),
            method: String::from_utf8_lossy(stream.request.method_bytes()).into_owned(),
            path: String::from_utf8_lossy(stream.request.path()).into_owned(),
        });
    }

    pub(super) fn answer_admin(
        &mut self,
        key: StreamKey,
        status: u16,
        content_type: &str,
        body: Vec<u8>,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        if self.streams.contains(key) {
            self.send_local_reply(key, LocalReply::new(status, content_type, &body), cx);
            self.end(key, Cause::Admin, upstream, cx);
        }
    }
}

fn frame(manager: &Manager, key: StreamKey) -> Frame<'_> {
    let suppress_envoy_headers =
        matches!(&manager.config.terminal, Terminal::Router(router) if router.suppress_envoy_headers);
    Frame {
        routes: &manager.config.routes,
        stats: &manager.config.stats,
        suppress_envoy_headers,
        buffer_limit: manager.buffer_limit as usize,
        requester: key.raw(),
    }
}
