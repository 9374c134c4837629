//! One exchange on an upstream connection: the request goes down, the response comes up as events. What is different
//! with HTTP/2 is in `multiplexed`.
//!
//! Reading is bounded per turn so that one large response cannot starve other connections. The exchange ends
//! with the response: if the request was complete by then the connection is free for the next one, otherwise it
//! is closed, since the rest of the request has no reader any more.

use super::attempt::{Attempt, AttemptKey, Event, Failure, Peer, Requester, What};
use super::client::{Carrier, ClientKey, State};
use super::config::{ClusterConfig, ClusterId};
use super::manager::{By, Upstream, millis};
use crate::io::{BULK, Close, Cx, Owner, Read, Task};
use crate::stats::CallerStats;
use nuncio_codec::h1::ResponseEvent;
use nuncio_codec::{Buffer, HeaderId, HeaderMap, RequestHead, ResponseHead};
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
        let Carrier::H1(codec) = &mut client.carrier else {
            return self.open_stream(attempt, key, head, end, cx);
        };
        let output = cx.io.output(client.conn);
        let before = output.len();
        if let Err(error) = codec.send_headers(head, end, output) {
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
        let Carrier::H1(codec) = &mut client.carrier else {
            return self.send_on_stream(attempt, key, data, end, cx);
        };
        let output = cx.io.output(client.conn);
        let before = output.len();
        codec.send_data(data, end, output);
        let sent = (output.len() - before) as u64;
        let stats = &self.clusters[client.cluster as usize].config.stats;
        cx.stats.add(stats.upstream_cx_tx_bytes_total, sent);
        let backed_up = cx.io.is_backed_up(client.conn);
        if backed_up && !client.backed_up {
            cx.stats.inc(stats.upstream_flow_control_backed_up_total);
        }
        client.backed_up |= backed_up;
        let more = !client.backed_up;
        if end && codec.in_tunnel() {
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
        let Carrier::H1(codec) = &mut client.carrier else {
            return self.end_on_stream(attempt, key, trailers, cx);
        };
        let output = cx.io.output(client.conn);
        let before = output.len();
        codec.send_trailers(trailers, output);
        let sent = (output.len() - before) as u64;
        cx.stats.add(self.clusters[client.cluster as usize].config.stats.upstream_cx_tx_bytes_total, sent);
        sent
    }

    /// Stops reading the response (its reader is slow).
    pub fn pause(&mut self, attempt: AttemptKey, cx: &mut Cx<'_>) {
        let Some(key) = self.client_of(attempt) else { return };
        let client = self.clients.get_mut(key).expect("bound connections live");
        let paused = match (&client.carrier, self.attempts.get_mut(attempt)) {
            (Carrier::H2(_), Some(attempt)) => &mut attempt.stream.paused,
            _ => &mut client.paused,
        };
        if !std::mem::replace(paused, true) {
            let stats = &self.clusters[client.cluster as usize].config.stats;
            cx.stats.inc(stats.upstream_flow_control_paused_reading_total);
        }
    }

    /// Reads the response again.
    pub fn resume(&mut self, attempt: AttemptKey, cx: &mut Cx<'_>) {
        let Some(key) = self.client_of(attempt) else { return };
        let client = self.clients.get_mut(key).expect("bound connections live");
        if let Carrier::H2(_) = client.carrier {
            return self.resume_stream(attempt, key, cx);
        }
        if client.paused {
            client.paused = false;
            let stats = &self.clusters[client.cluster as usize].config.stats;
            cx.stats.inc(stats.upstream_flow_control_resumed_reading_total);
            cx.reactor
                .defer(Task::resume(Owner::Upstream(key.raw())).expect("upstream connections have an owner"));
        }
    }

    /// Whether the request's body may come as bytes that are not in memory.
    pub fn takes_bulk(&self, attempt: AttemptKey, cx: &Cx<'_>) -> bool {
        let client = self.client_of(attempt).and_then(|key| self.clients.get(key));
        client.is_some_and(|client| !client.place.h2 && cx.io.is_plain(client.conn))
    }

    /// Gives up an attempt: nothing more is heard of it. A connection in use for it is closed.
    pub fn abandon(&mut self, attempt: AttemptKey, cx: &mut Cx<'_>) {
        let Some(state) = self.attempts.get(attempt) else { return };
        let (cluster, place, client) = (state.cluster, state.place, state.client);
        match client {
            None => {
                cx.stats.inc(self.stats(cluster).upstream_rq_cancelled);
                self.stop_waiting(attempt, cx);
            }
            Some(client) if place.h2 => self.abandon_stream(attempt, client, cx),
            Some(client) => {
                self.detach(cluster, place, cx);
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

    pub(super) fn client_of(&self, attempt: AttemptKey) -> Option<ClientKey> {
        self.attempts.get(attempt)?.client
    }

    /// Reads and parses until there is nothing more, the reader is slow, or others must have their turn.
    pub(super) fn pump(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        if self.clients.get(key).is_some_and(|client| matches!(client.carrier, Carrier::H2(_))) {
            return self.pump_h2(key, cx);
        }
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
            let left = match &client.carrier {
                Carrier::H1(codec) if client.bulk => codec.plain_left(),
                _ => 0,
            };
            let read = if left < BULK { cx.io.read(client.conn) } else { cx.io.read_bulk(client.conn, left) };
            match read {
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
            let Carrier::H1(codec) = &mut client.carrier else { return true };
            let input = cx.io.input(client.conn);
            if input.is_empty() {
                return true;
            }
            let before = input.len();
            match codec.poll(input) {
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
        let bound = self.attempts.get(attempt).expect("a busy connection has its attempt");
        let requester = bound.requester;
        let (what, end) = match event {
            ResponseEvent::Informational { head } => {
                self.on_interim(attempt, head.status, cx);
                (What::Informational(head), false)
            }
            ResponseEvent::Headers { head, end } => {
                self.on_head(attempt, &head, cx);
                (What::Headers { head, end }, end)
            }
            ResponseEvent::Data { data, end } => (What::Data { data, end }, end),
            ResponseEvent::Trailers { trailers } => (What::Trailers(trailers), true),
        };
        self.events.push_back(Event { requester, attempt, what, received });
        if end {
            let client = self.clients.get_mut(key).expect("the caller has just used it");
            if client.h1().is_some_and(|codec| codec.in_tunnel() && !codec.request_complete()) {
                client.half = true;
            } else {
                self.on_complete(key, attempt, by, cx);
            }
        }
    }

    /// Counts an interim response.
    pub(super) fn on_interim(&self, attempt: AttemptKey, status: u16, cx: &Cx<'_>) {
        let Some(Attempt { cluster, internal, requester, .. }) = self.attempts.get(attempt) else { return };
        if let Requester::Stream(_) = requester {
            self.charge(ClusterId(*cluster), *internal, status, cx);
        }
    }

    /// Counts a response.
    pub(super) fn on_head(&self, attempt: AttemptKey, head: &ResponseHead, cx: &Cx<'_>) {
        let Some(Attempt { cluster, internal, place, requester, .. }) = self.attempts.get(attempt) else {
            return;
        };
        // The answer about a tunnel is no answer to a request.
        let Requester::Stream(_) = requester else { return };
        let cluster = ClusterId(*cluster);
        self.charge(cluster, *internal, head.status, cx);
        let stats = self.host_stats(cluster.0, place.host);
        cx.stats.inc(if head.status >= 500 { stats.rq_error } else { stats.rq_success });
        if head.headers.get(HeaderId::X_ENVOY_UPSTREAM_CANARY) == Some(b"true") {
            count_status(&self.cluster(cluster).canary, head.status, cx);
        }
    }

    /// The response is complete: the attempt is over, the connection may be used again.
    fn on_complete(&mut self, key: ClientKey, attempt: AttemptKey, by: By, cx: &mut Cx<'_>) {
        self.attempts.remove(attempt);
        let client = self.clients.get_mut(key).expect("the caller has just used it");
        let (cluster, place) = (client.cluster, client.place);
        client.used = true;
        client.paused = false;
        client.backed_up = false;
        let expired = client.expires.is_some_and(|expires| cx.reactor.now() >= expires);
        let (conn, last) = (client.conn, client.last);
        let Carrier::H1(codec) = &client.carrier else { return };
        let (keep_alive, tunnel) = (codec.keep_alive(), codec.in_tunnel());
        let reusable = keep_alive && codec.is_idle() && !last && !expired;
        // An answer before the end of the request: the connection ends with half a request on it.
        let early = !codec.request_complete();
        if !early {
            client.state = State::Idle { deadline: None };
        }
        self.detach(cluster, place, cx);
        // The rest of a tunnel's other half may still be on its way.
        let how = if tunnel { Close::Flush } else { Close::Now };
        if !reusable {
            if keep_alive && expired {
                cx.stats.inc(self.stats(cluster).upstream_cx_max_duration_reached);
            } else if !keep_alive && !tunnel && !early && by == By::Us {
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
        // Where only the end of the connection ends a body, TLS tells whether that end is the upstream's.
        let cut = cx.io.is_truncated(client.conn);
        let Some(codec) = client.h1() else { return };
        let started = codec.response_started();
        let cut = cut && !codec.in_tunnel();
        let failure = match codec.finish() {
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
        let (cluster, place) = (client.cluster, client.place);
        if let Failure::Protocol { .. } = failure {
            cx.stats.inc(self.stats(cluster).upstream_cx_protocol_error);
        }
        if let State::Busy(attempt) = client.state {
            self.detach(cluster, place, cx);
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
