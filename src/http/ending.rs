//! The one place where a stream ends: what is answered, counted and logged follows from the cause.

use super::Http;
use super::local_reply::LocalReply;
use super::stream::{Stream, StreamKey};
use crate::io::{Close, Cx};
use crate::router::Cause;
use crate::stream_info::Flag;
use crate::upstream::Upstream;
use nuncio_codec::{HeaderId, Version, h2};
use std::time::Duration;

/// A request that took less than this was quick.
const QUICK: Duration = Duration::from_millis(1);

/// What a connection of HTTP/2 must know of a stream that has ended.
#[derive(Copy, Clone, Debug)]
pub(super) struct Ended {
    pub(super) id: Option<h2::StreamId>,
    /// Its place among the connection's streams.
    pub(super) place: u32,
    /// It ended before its time, which the client is to be told with this code.
    pub(super) reset: Option<h2::Code>,
}

impl Ended {
    fn of(stream: &Stream, cause: &Cause) -> Self {
        let reset = match cause {
            Cause::Disconnected | Cause::Stopped | Cause::Http2(_) | Cause::Reset { .. } => None,
            // The codec sends what it has of the response, and then tells the client that nobody reads the rest of the
            // request (RFC 9113 section 8.1); except in a tunnel, of which each half has its own end.
            _ if stream.response_end => {
                (!stream.request_end && stream.is_tunnel()).then_some(h2::Code::NO_ERROR)
            }
            _ => Some(h2::Code::INTERNAL_ERROR),
        };
        Self { id: stream.wire, place: stream.place, reset }
    }
}

impl Http {
    /// Ends a stream.
    pub(super) fn end(&mut self, key: StreamKey, cause: Cause, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.router.abandon(upstream, cx);
        if !stream.response_started
            && let Some(reply) = LocalReply::to(&cause)
        {
            self.send_local_reply(key, reply, &cause, upstream, cx);
        }
        let Some(stream) = self.streams.remove(key) else { return };
        self.account(&stream, &cause, upstream, cx);
        let connection = stream.connection;
        if stream.wire.is_some() {
            return self.after_h2_stream(connection, Ended::of(&stream, &cause), cx);
        }
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
    fn account(&mut self, stream: &Stream, cause: &Cause, upstream: &Upstream, cx: &mut Cx<'_>) {
        let Some(connection) = self.connections.get(stream.connection) else { return };
        let manager = &self.managers[connection.manager.0 as usize];
        let stats = &manager.config.stats;
        cx.stats.move_gauge(stats.downstream_rq_active, -1);
        if stream.response_started {
            cx.stats.inc(stats.downstream_rq_completed);
            cx.stats.inc(manager.config.listener_stats.downstream_rq_completed);
        }
        let duration = cx.reactor.now() - stream.started;
        self.ended.all += 1;
        self.ended.took += duration;
        self.ended.quick += usize::from(duration < QUICK);
        cx.stats.record(stats.downstream_rq_time, duration.as_millis() as u64);
        if stream.admitted {
            cx.stats.move_gauge(stats.downstream_cx_upgrades_active, -1);
        }
        let theirs = matches!(cause, Cause::Disconnected | Cause::Reset { .. } | Cause::Http2(_));
        if !theirs && !stream.response_end {
            cx.stats.inc(stats.downstream_rq_tx_reset);
        }
        if !stream.request_end || !stream.response_end {
            cx.stats.inc(stats.downstream_rq_rx_reset);
        }
        if stream.response_end && !stream.request_end {
            cx.stats.inc(stats.downstream_rq_response_before_rq_complete);
        }
        if !manager.logs.is_empty() {
            let row = cause.row();
            let origin = stream.origin(connection, manager);
            let mut info = stream.info(&manager.config.routes, &origin, upstream);
            info.now = cx.reactor.wall();
            info.times.end = Some(duration);
            (info.flag, info.details) = (row.flag, &row.details);
            self.logger.record(&manager.logs, &info);
        }
    }

    /// Answers a request ourselves.
    fn send_local_reply(
        &mut self,
        key: StreamKey,
        mut reply: LocalReply,
        cause: &Cause,
        upstream: &Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(stream) = self.streams.get(key) else { return };
        let Some(connection) = self.connections.get(stream.connection) else { return };
        let manager = &self.managers[connection.manager.0 as usize];
        let origin = stream.origin(connection, manager);
        let Stream { router, request, .. } = stream;
        let routes = &manager.config.routes;
        if routes.mutates {
            let row = cause.row();
            let mut info = stream.info(routes, &origin, upstream);
            (info.flag, info.details) = (row.flag, &row.details);
            router.change_response(routes, &mut reply.head, &info);
        }
        if manager.config.suppresses_envoy_headers() {
            reply.head.headers.remove(HeaderId::X_ENVOY_OVERLOADED);
        }
        if let (Some(rules), false) = (&manager.config.replies, matches!(cause, Cause::Admin)) {
            let row = cause.row();
            let mut info = stream.info(&manager.config.routes, &origin, upstream);
            info.now = cx.reactor.wall();
            info.times.end = Some(cx.reactor.now() - stream.started);
            // As in Envoy, which sets this flag when the answer is made.
            let flag = if matches!(cause, Cause::Codec(_)) { Flag::None } else { row.flag };
            (info.flag, info.details) = (flag, &row.details);
            rules.apply(&mut reply, &info);
        }
        reply.finish(request, cause);
        let LocalReply { head, mut body, .. } = reply;
        let end = body.is_empty();
        self.send_headers(key, head, end, cx);
        if !end {
            self.send_data(key, &mut body, true, cx);
        }
    }

    /// Answers a request of the admin interface.
    pub(super) fn answer_admin(
        &mut self,
        key: StreamKey,
        (status, content_type): (u16, &str),
        body: &[u8],
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        if self.streams.contains(key) {
            let mut reply = LocalReply::new(status, content_type, body);
            // An answer is about this moment, and is what it says it is.
            for (name, value) in
                [("cache-control", "no-cache, max-age=0"), ("x-content-type-options", "nosniff")]
            {
                reply.head.headers.append(name.as_bytes(), value.as_bytes());
            }
            self.send_local_reply(key, reply, &Cause::Admin, upstream, cx);
            self.end(key, Cause::Admin, upstream, cx);
        }
    }
}
