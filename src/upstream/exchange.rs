//! One exchange on an upstream connection: the request goes down, the response comes up as events.
//!
//! Reading is bounded per turn so that one large response cannot starve other connections. The exchange ends
//! with the response: if the request was complete by then the connection is free for the next one, otherwise it
//! is closed, since the rest of the request has no reader any more.

use super::attempt::{AttemptKey, Event, Failure, Peer, What};
use super::client::{ClientKey, State};
use super::config::{ClusterConfig, ClusterId};
use super::manager::{By, Upstream, millis};
use crate::io::{Close, Cx, Owner, Read, Task};
use crate::stats::CallerStats;
use nuncio_codec::h1::ResponseEvent;
use nuncio_codec::{Buffer, HeaderId, HeaderMap, RequestHead};
use nuncio_reactor::SlabKey;
use std::time::Duration;

/// Most bytes read from one connection before others have their turn.
const READ_BUDGET: usize = 512 << 10;

impl Upstream {
    /// Sends the head of a request; with `end` the whole request. The attempt must be ready. Says how many bytes
    /// that is on the wire.
    pub fn send_headers(
        &mut self,
        attempt: AttemptKey,
        head: &RequestHead,
        end: bool,
        cx: &mut Cx<'_>,
    ) -> u64 {
        let Some(key) = self.client_of(attempt) else { return 0 };
        let client = self.clients.get_mut(key).expect("bound connections live");
        let output = cx.io.output(client.conn);
        let before = output.len();
        if let Err(error) = client.codec.send_headers(head, end, output) {
            // Nothing was written, but what was to be sent is not fit to be sent to anybody.
            let failure = Failure::Protocol { details: error.details() };
            self.break_off(key, (failure, 0), By::Us, cx);
            return 0;
        }
        let sent = (output.len() - before) as u64;
        let stats = &self.clusters[client.cluster as usize].config.stats;
        cx.stats.add(stats.upstream_cx_tx_bytes_total, sent);
        sent
    }

    /// Sends a piece of the body, which is emptied. Says whether the caller may send more (if not,
    /// [`What::Drained`] follows), and how many bytes that was on the wire.
    pub fn send_data(
        &mut self,
        attempt: AttemptKey,
        data: &mut Buffer,
        end: bool,
        cx: &mut Cx<'_>,
    ) -> (bool, u64) {
        let Some(key) = self.client_of(attempt) else {
            data.clear();
            return (true, 0);
        };
        let client = self.clients.get_mut(key).expect("bound connections live");
        let output = cx.io.output(client.conn);
        let before = output.len();
        client.codec.send_data(data, end, output);
        let sent = (output.len() - before) as u64;
        let stats = &self.clusters[client.cluster as usize].config.stats;
        cx.stats.add(stats.upstream_cx_tx_bytes_total, sent);
        let backed_up = cx.io.is_backed_up(client.conn);
        if backed_up && !client.backed_up {
            cx.stats.inc(stats.upstream_flow_control_backed_up_total);
        }
        client.backed_up |= backed_up;
        let more = !client.backed_up;
        if end && client.codec.in_tunnel() {
            if client.half {
                self.on_complete(key, attempt, By::Us, cx);
            } else {
                cx.io.finish(client.conn);
            }
        }
        (more, sent)
    }

    /// Ends the request with trailers. Says how many bytes that were.
    pub fn send_trailers(&mut self, attempt: AttemptKey, trailers: &HeaderMap, cx: &mut Cx<'_>) -> u64 {
        let Some(key) = self.client_of(attempt) else { return 0 };
        let client = self.clients.get_mut(key).expect("bound connections live");
        let output = cx.io.output(client.conn);
        let before = output.len();
        client.codec.send_trailers(trailers, output);
        let sent = (output.len() - before) as u64;
        cx.stats.add(self.clusters[client.cluster as usize].config.stats.upstream_cx_tx_bytes_total, sent);
        sent
    }

    /// Stops reading the response (its reader is slow).
    pub fn pause(&mut self, attempt: AttemptKey, cx: &mut Cx<'_>) {
        let Some(key) = self.client_of(attempt) else { return };
        let client = self.clients.get_mut(key).expect("bound connections live");
        if !client.paused {
            client.paused = true;
            let stats = &self.clusters[client.cluster as usize].config.stats;
            cx.stats.inc(stats.upstream_flow_control_paused_reading_total);
        }
    }

    /// Reads the response again.
    pub fn resume(&mut self, attempt: AttemptKey, cx: &mut Cx<'_>) {
        let Some(key) = self.client_of(attempt) else { return };
        let client = self.clients.get_mut(key).expect("bound connections live");
        if client.paused {
            client.paused = false;
            let stats = &self.clusters[client.cluster as usize].config.stats;
            cx.stats.inc(stats.upstream_flow_control_resumed_reading_total);
            cx.reactor
                .defer(Task::resume(Owner::Upstream(key.raw())).expect("upstream connections have an owner"));
        }
    }

    /// Gives up an attempt: nothing more is heard of it. A connection in use for it is closed.
    pub fn abandon(&mut self, attempt: AttemptKey, cx: &mut Cx<'_>) {
        let Some(state) = self.attempts.get(attempt) else { return };
        let (cluster, host, client) = (state.cluster, (state.host, state.priority), state.client);
        match client {
            None => {
                cx.stats.inc(self.stats(cluster).upstream_rq_cancelled);
                self.stop_waiting(attempt, cx);
            }
            Some(client) => {
                self.detach(cluster, host, cx);
                self.close(client, Close::Now, By::Us, cx);
            }
        }
        self.attempts.remove(attempt);
    }

    /// Counts the status that a request ended with: the host's own, or the one given in its place.
    pub fn charge(&self, cluster: ClusterId, internal: bool, status: u16, cx: &Cx<'_>) {
        let ClusterConfig { stats, callers, .. } = self.cluster(cluster);
        cx.stats.inc(stats.upstream_rq_completed);
        cx.stats.inc_status(stats.upstream_rq_code, status);
        cx.stats.inc(match status / 100 {
            1 => stats.upstream_rq_1xx,
            2 => stats.upstream_rq_2xx,
            3 => stats.upstream_rq_3xx,
            4 => stats.upstream_rq_4xx,
            5 => stats.upstream_rq_5xx,
            _ => stats.upstream_rq_unknown,
        });
        count_status(&callers[usize::from(internal)], status, cx);
    }

    /// Counts a request that ended without a response of the host: in time, or not.
    pub fn charge_failure(&self, cluster: ClusterId, peer: &Peer, in_time: bool, cx: &Cx<'_>) {
        let stats = self.host_stats(cluster.0, peer.host);
        cx.stats.inc(if in_time { stats.rq_error } else { stats.rq_timeout });
    }

    /// Counts how long a response took, from the end of the request to its own.
    pub fn charge_time(&self, cluster: ClusterId, internal: bool, took: Duration, cx: &Cx<'_>) {
        let ClusterConfig { stats, callers, .. } = self.cluster(cluster);
        cx.stats.record(stats.upstream_rq_time, millis(took));
        cx.stats.record(callers[usize::from(internal)].upstream_rq_time, millis(took));
    }

    fn client_of(&self, attempt: AttemptKey) -> Option<ClientKey> {
        self.attempts.get(attempt)?.client
    }

    /// Reads and parses until there is nothing more, the reader is slow, or others must have their turn.
    pub(super) fn pump(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        self.tell_drained(key, cx);
        let mut budget = READ_BUDGET;
        loop {
            if !self.parse(key, cx) {
                return;
            }
            let Some(client) = self.clients.get_mut(key) else { return };
            if client.half {
                // Nothing more comes but the news that the connection is broken.
                if cx.io.is_broken(client.conn) {
                    let failure = client.terminated();
                    self.break_off(key, (failure, 0), By::Them, cx);
                }
                return;
            }
            if client.paused {
                return;
            }
            if budget == 0 {
                let resume = Task::resume(Owner::Upstream(key.raw()));
                cx.reactor.defer(resume.expect("upstream connections have an owner"));
                return;
            }
            let cluster = client.cluster;
            match cx.io.read(client.conn) {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    cx.stats.add(self.stats(cluster).upstream_cx_rx_bytes_total, n as u64);
                }
                Read::Empty => return,
                Read::Eof => return self.on_eof(key, cx),
                Read::Failed => {
                    let failure = client.terminated();
                    return self.break_off(key, (failure, 0), By::Them, cx);
                }
            }
        }
    }

    /// Turns what was read into events. False when the connection is gone.
    fn parse(&mut self, key: ClientKey, cx: &mut Cx<'_>) -> bool {
        loop {
            let Some(client) = self.clients.get_mut(key) else { return false };
            if matches!(client.state, State::Connecting { .. }) {
                return true;
            }
            let input = cx.io.input(client.conn);
            if input.is_empty() {
                return true;
            }
            let before = input.len();
            match client.codec.poll(input) {
                Ok(Some(event)) => {
                    let received = before - input.len();
                    self.on_response(key, event, (received, By::Us), cx);
                }
                Ok(None) => return true,
                Err(error) => {
                    let failure = Failure::Protocol { details: error.details() };
                    self.break_off(key, (failure, before), By::Us, cx);
                    return false;
                }
            }
        }
    }

    fn on_response(
        &mut self,
        key: ClientKey,
        event: ResponseEvent,
        (received, by): (usize, By),
        cx: &mut Cx<'_>,
    ) {
        let Some(client) = self.clients.get(key) else { return };
        let State::Busy(attempt) = client.state else { return };
        let (cluster, host) = (ClusterId(client.cluster), client.host);
        let bound = self.attempts.get(attempt).expect("a busy connection has its attempt");
        let (requester, internal) = (bound.requester, bound.internal);
        let (what, end) = match event {
            ResponseEvent::Informational { head } => {
                self.charge(cluster, internal, head.status, cx);
                (What::Informational(head), false)
            }
            ResponseEvent::Headers { head, end } => {
                self.charge(cluster, internal, head.status, cx);
                let stats = self.host_stats(cluster.0, host);
                cx.stats.inc(if head.status >= 500 { stats.rq_error } else { stats.rq_success });
                if head.headers.get(HeaderId::X_ENVOY_UPSTREAM_CANARY) == Some(b"true") {
                    count_status(&self.cluster(cluster).canary, head.status, cx);
                }
                (What::Headers { head, end }, end)
            }
            ResponseEvent::Data { data, end } => (What::Data { data, end }, end),
            ResponseEvent::Trailers { trailers } => (What::Trailers(trailers), true),
        };
        self.events.push_back(Event { requester, attempt, what, received });
        if end {
            let client = self.clients.get_mut(key).expect("the caller has just used it");
            if client.codec.in_tunnel() && !client.codec.request_complete() {
                client.half = true;
            } else {
                self.on_complete(key, attempt, by, cx);
            }
        }
    }

    /// The response is complete: the attempt is over, the connection may be used again.
    fn on_complete(&mut self, key: ClientKey, attempt: AttemptKey, by: By, cx: &mut Cx<'_>) {
        self.attempts.remove(attempt);
        let client = self.clients.get_mut(key).expect("the caller has just used it");
        let (cluster, host) = (client.cluster, (client.host, client.priority));
        client.used = true;
        client.paused = false;
        client.backed_up = false;
        let expired = client.expires.is_some_and(|expires| cx.reactor.now() >= expires);
        let reusable = client.codec.keep_alive() && client.codec.is_idle() && !client.last && !expired;
        let conn = client.conn;
        self.detach(cluster, host, cx);
        let client = self.clients.get_mut(key).expect("detaching touches only accounts");
        // An answer before the end of the request: the connection ends with half a request on it.
        let early = !client.codec.request_complete();
        if !early {
            client.state = State::Idle { deadline: None };
        }
        // The rest of a tunnel's other half may still be on its way.
        let how = if client.codec.in_tunnel() { Close::Flush } else { Close::Now };
        if !reusable {
            if client.codec.keep_alive() && expired {
                cx.stats.inc(self.stats(cluster).upstream_cx_max_duration_reached);
            } else if !client.codec.keep_alive() && !client.codec.in_tunnel() && !early && by == By::Us {
                cx.stats.inc(self.stats(cluster).upstream_cx_close_notify);
            }
            self.close(key, how, by, cx);
        } else if cx.io.input(conn).is_empty() {
            self.give(key, cx);
        } else {
            // Bytes that belong to no response: whoever sent them, nothing after them can be trusted.
            cx.stats.inc(self.stats(cluster).upstream_cx_protocol_error);
            self.close(key, Close::Now, By::Us, cx);
        }
    }

    fn on_eof(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let terminated = client.terminated();
        let started = client.codec.response_started();
        // Where only the end of the connection ends a body, TLS tells whether that end is the upstream's.
        let cut = cx.io.is_truncated(client.conn) && !client.codec.in_tunnel();
        let failure = match client.codec.finish() {
            Ok(Some(_)) if cut => Failure::Terminated { reused: false },
            Ok(Some(event)) => {
                // The end of the connection is the end of the response; of a tunnel it is only one half.
                self.on_response(key, event, (0, By::Them), cx);
                if self.clients.get(key).is_some_and(|client| client.half) {
                    return;
                }
                terminated
            }
            // As in Envoy, a response that breaks off in the middle is a breach of the protocol.
            Err(error) if started => Failure::Protocol { details: error.details() },
            Ok(None) | Err(_) => terminated,
        };
        // What cannot be understood any more.
        let rest = self.clients.get(key).map_or(0, |client| cx.io.input(client.conn).len());
        self.break_off(key, (failure, rest), By::Them, cx);
    }

    /// The connection is of no more use, and neither is the attempt that it may carry.
    fn break_off(&mut self, key: ClientKey, (failure, received): (Failure, usize), by: By, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get(key) else { return };
        let (cluster, host) = (client.cluster, (client.host, client.priority));
        if let Failure::Protocol { .. } = failure {
            cx.stats.inc(self.stats(cluster).upstream_cx_protocol_error);
        }
        if let State::Busy(attempt) = client.state {
            self.detach(cluster, host, cx);
            self.fail(attempt, failure, received);
        }
        self.close(key, Close::Now, by, cx);
    }

    fn tell_drained(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !client.backed_up || cx.io.is_backed_up(client.conn) {
            return;
        }
        client.backed_up = false;
        if let State::Busy(attempt) = client.state
            && let Some(state) = self.attempts.get(attempt)
        {
            let event = Event { requester: state.requester, attempt, what: What::Drained, received: 0 };
            cx.stats.inc(self.stats(state.cluster).upstream_flow_control_drained_total);
            self.events.push_back(event);
        }
    }
}

/// Counts a status among those of some requests.
fn count_status(some: &CallerStats, status: u16, cx: &Cx<'_>) {
    cx.stats.inc(some.upstream_rq_completed);
    cx.stats.inc_status(some.upstream_rq_code, status);
    cx.stats.inc(match status / 100 {
        1 => some.upstream_rq_1xx,
        2 => some.upstream_rq_2xx,
        3 => some.upstream_rq_3xx,
        4 => some.upstream_rq_4xx,
        5 => some.upstream_rq_5xx,
        _ => some.upstream_rq_unknown,
    });
}
