//! The way down: what a stream sends to its client, and who is told to wait.

use super::header_rules;
use super::server_connection::resume;
use super::stream::StreamKey;
use super::{Http, Manager};
use crate::io::{Cx, Discourage};
use crate::upstream::Upstream;
use nuncio_codec::{Buffer, HeaderMap, Method, ResponseHead, Version};
use nuncio_reactor::Time;

/// Whether this response is to close its connection.
fn closes((how, since): (Discourage, Time), cx: &mut Cx<'_>) -> bool {
    match how {
        Discourage::No => false,
        Discourage::Always => true,
        Discourage::Gradually(over) => {
            let passed = cx.reactor.now().saturating_since(since).as_millis() as u64;
            passed >= cx.rng.below((over.as_millis() as u64).max(1))
        }
    }
}

impl Http {
    /// Begins the response: with what every response gets, and then to the codec.
    pub(super) fn send_headers(
        &mut self,
        key: StreamKey,
        mut head: ResponseHead,
        end: bool,
        cx: &mut Cx<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return };
        let manager = &self.managers[connection.manager.0 as usize];
        let config = &manager.config;
        let switched = stream.tunnel && head.status == 101;
        let date = self.date.at(cx.reactor.wall());
        header_rules::prepare_response(&mut head, &stream.request, switched, config, date);
        if connection.codec.keep_alive() && (self.draining || closes(manager.discourage, cx)) {
            connection.codec.set_close();
            let at = cx.reactor.now() + config.drain_timeout;
            if Self::begin_drain(connection, stream.connection, at, cx) || stream.wire.is_none() {
                cx.stats.inc(config.stats.downstream_cx_drain_close);
            }
        }
        let output = cx.io.output(connection.conn);
        let before = output.len();
        connection.codec.send_headers(stream.wire, &head, end, output);
        let sent = (output.len() - before) as u64;
        // As Envoy counts: with what the codec says about the connection.
        stream.about_connection = match (connection.codec.keep_alive(), stream.request.version) {
            (_, Version::H2) => 0,
            _ if head.status == 101 => b"connectionUpgrade".len(),
            _ if stream.tunnel && stream.request.method == Method::Connect => 0,
            (false, _) => b"connectionclose".len(),
            (true, Version::Http10) => b"connectionkeep-alive".len(),
            (true, _) => 0,
        } as u8;
        let stats = &config.stats;
        cx.stats.add(stats.downstream_cx_tx_bytes_total, sent);
        let (all, here) = match head.status / 100 {
            1 => (stats.downstream_rq_1xx, config.listener_stats.downstream_rq_1xx),
            2 => (stats.downstream_rq_2xx, config.listener_stats.downstream_rq_2xx),
            3 => (stats.downstream_rq_3xx, config.listener_stats.downstream_rq_3xx),
            4 => (stats.downstream_rq_4xx, config.listener_stats.downstream_rq_4xx),
            _ => (stats.downstream_rq_5xx, config.listener_stats.downstream_rq_5xx),
        };
        // What is above has no class of its own.
        if head.status < 600 {
            cx.stats.inc(all);
            cx.stats.inc(here);
        }
        let now = cx.reactor.now();
        stream.wire_sent += sent;
        stream.response = head;
        stream.response_started = true;
        stream.response_begin_at = Some(now);
        if end {
            stream.response_end = true;
            stream.response_end_at = Some(now);
        }
        if stream.is_tunnel() && stream.wire.is_none() {
            // What the client sent ahead waits in the input or in the socket.
            cx.reactor.defer(resume(stream.connection));
        }
    }

    /// Says whether more may be sent.
    pub(super) fn send_data(
        &mut self,
        key: StreamKey,
        data: &mut Buffer,
        end: bool,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(key) else { return true };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return true };
        // As in Envoy, a body that is not sent (HEAD) still counts what the client would have got.
        if stream.request.method != Method::Head {
            stream.response_bytes += data.len() as u64;
        }
        let output = cx.io.output(connection.conn);
        let before = output.len();
        let too_much = connection.codec.send_data(stream.wire, data, end, output);
        let sent = (output.len() - before) as u64;
        stream.wire_sent += sent;
        if end {
            stream.response_end = true;
            stream.response_end_at = Some(cx.reactor.now());
        }
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        cx.stats.add(stats.downstream_cx_tx_bytes_total, sent);
        let backed_up = cx.io.is_backed_up(connection.conn);
        if stream.wire.is_some() {
            stream.backed_up |= too_much;
            return !stream.backed_up;
        }
        connection.backed_up |= backed_up;
        !connection.backed_up
    }

    pub(super) fn send_trailers(&mut self, key: StreamKey, trailers: HeaderMap, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return };
        let output = cx.io.output(connection.conn);
        let before = output.len();
        connection.codec.send_trailers(stream.wire, &trailers, output);
        let sent = (output.len() - before) as u64;
        let stats = &self.managers[connection.manager.0 as usize].config.stats;
        cx.stats.add(stats.downstream_cx_tx_bytes_total, sent);
        stream.wire_sent += sent;
        stream.response_end = true;
        stream.response_end_at = Some(cx.reactor.now());
        stream.response_trailers = Some(trailers);
    }

    /// Passes an interim response on, if that is wanted; otherwise the client has had its `100 Continue` from us, and
    /// as in Envoy other interim responses end here.
    pub(super) fn send_informational(&mut self, key: StreamKey, head: &ResponseHead, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get(key) else { return };
        let Some(connection) = self.connections.get(stream.connection) else { return };
        if self.managers[connection.manager.0 as usize].config.proxy_100_continue {
            self.send_interim(key, head, cx);
        }
    }

    pub(super) fn send_continue(&mut self, key: StreamKey, cx: &mut Cx<'_>) {
        let head = ResponseHead { version: Version::Http11, status: 100, headers: HeaderMap::new() };
        self.send_interim(key, &head, cx);
    }

    fn send_interim(&mut self, key: StreamKey, head: &ResponseHead, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return };
        let output = cx.io.output(connection.conn);
        let before = output.len();
        connection.codec.send_informational(stream.wire, head, output);
        let sent = (output.len() - before) as u64;
        stream.wire_sent += sent;
        let Manager { config, .. } = &self.managers[connection.manager.0 as usize];
        cx.stats.add(config.stats.downstream_cx_tx_bytes_total, sent);
        cx.stats.inc(config.stats.downstream_rq_1xx);
        cx.stats.inc(config.stats.downstream_rq_completed);
        cx.stats.inc(config.listener_stats.downstream_rq_1xx);
        cx.stats.inc(config.listener_stats.downstream_rq_completed);
    }

    /// The upstream's half of a tunnel has ended and the client's has not: only our sending side is shut down.
    pub(super) fn half_close(&mut self, key: StreamKey, cx: &mut Cx<'_>) -> bool {
        let Some(stream) = self.streams.get(key) else { return false };
        let Some(connection) = self.connections.get(stream.connection) else { return false };
        let half = stream.is_tunnel() && !stream.request_end;
        // A stream of HTTP/2 has its end in the last frame.
        if half && stream.wire.is_none() {
            cx.io.finish(connection.conn);
        }
        half
    }

    /// The request's reader has caught up: read on.
    pub(super) fn resume_request(&mut self, key: StreamKey, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(stream.connection) else { return };
        if let Some(id) = stream.wire {
            if std::mem::take(&mut stream.paused) {
                let (connection, n) = (stream.connection, std::mem::take(&mut stream.unconsumed));
                let stats = &self.managers
                    [self.connections.get(connection).expect("just seen").manager.0 as usize]
                    .config
                    .stats;
                cx.stats.inc(stats.downstream_flow_control_resumed_reading_total);
                self.consume(connection, id, n, cx);
            }
            return;
        }
        if connection.paused {
            connection.paused = false;
            let stats = &self.managers[connection.manager.0 as usize].config.stats;
            cx.stats.inc(stats.downstream_flow_control_resumed_reading_total);
            cx.reactor.defer(resume(stream.connection));
        }
    }

    pub(super) fn pause_response(&self, key: StreamKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
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
}
