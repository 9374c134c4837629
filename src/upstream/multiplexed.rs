//! Many exchanges on one upstream connection of HTTP/2.
//!
//! An attempt opens its stream with the request's head and carries its key as the stream's tag, so that what comes back
//! finds it. A slow reader of a response holds back that stream's window only; an attempt that is given up resets its
//! stream and leaves the connection to the others.

use super::attempt::{Attempt, AttemptKey, Event, Failure, Parked, Upgrade, What};
use super::client::{Carrier, ClientKey, State, Trunk};
use super::http2::{self, Vigil, Watch};
use super::manager::{By, Cluster, Upstream, alarm};
use crate::io::{Close, Cx, Owner, Read, Task};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nuncio_codec::h2::{self, Code, OpenError, ResponseEvent};
use nuncio_codec::{Buffer, HeaderId, HeaderMap, Method, RequestHead, ResponseHead};
use nuncio_reactor::{RawKey, SlabKey};

/// Most bytes read from one connection before others have their turn.
const READ_BUDGET: usize = 512 << 10;
/// How much more than its limit the output of an upstream that does not read may hold before that upstream is not read
/// from either.
const UNREAD: usize = 2;

impl Upstream {
    /// A connection has been made on which HTTP/2 is spoken.
    pub(super) fn begin_h2(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Cluster { config, pools, .. } = &mut self.clusters[client.cluster as usize];
        let assumed = pools.at(client.place).assumed;
        let config = &config.http2;
        let now = cx.reactor.now();
        // Below the codec's own, so that whatever stops it is noticed here.
        cx.io.set_output_limit(client.conn, config.settings.output_limit / 2);
        let codec = h2::Client::new(config.settings, cx.io.output(client.conn));
        let vigil = Vigil::new(config, now, cx.rng);
        if let Some(next) = vigil.next() {
            client.alarm.by(next, alarm(key), cx.reactor);
        }
        client.carrier = Carrier::H2(Box::new(Trunk {
            codec,
            unopened: Vec::new(),
            attached: 0,
            settled: false,
            assumed,
            vigil,
            idle_since: now,
        }));
    }

    /// Sends the head of a request; says how many bytes that is on the wire.
    pub(super) fn open_stream(
        &mut self,
        attempt: AttemptKey,
        key: ClientKey,
        head: &RequestHead,
        end: bool,
        cx: &mut Cx<'_>,
    ) -> u64 {
        let Some((client, state)) = self.clients.get_mut(key).zip(self.attempts.get_mut(attempt)) else {
            return 0;
        };
        let Carrier::H2(trunk) = &mut client.carrier else { return 0 };
        let Some((head, upgrade)) = to_connect(head) else { return self.open(attempt, key, head, end, cx) };
        state.stream.upgrade = Some(Box::new(upgrade));
        if !trunk.settled {
            state.stream.parked = Some(Box::new(Parked { head, data: Buffer::new(), end: false }));
            return 0;
        }
        // The tunnel is open until one side ends it.
        self.open(attempt, key, &head, false, cx)
    }

    fn open(
        &mut self,
        attempt: AttemptKey,
        key: ClientKey,
        head: &RequestHead,
        end: bool,
        cx: &mut Cx<'_>,
    ) -> u64 {
        let Some((client, state)) = self.clients.get_mut(key).zip(self.attempts.get_mut(attempt)) else {
            return 0;
        };
        let Carrier::H2(trunk) = &mut client.carrier else { return 0 };
        let cluster = client.cluster;
        trunk.unopened.retain(|unopened| *unopened != attempt);
        let output = cx.io.output(client.conn);
        let before = output.len();
        state.stream.tunnel = head.method == Method::Connect;
        state.stream.request_end = end;
        match trunk.codec.open(head, end, attempt.raw().to_bits(), output) {
            Ok(id) => state.stream.id = Some(id),
            Err(error) => {
                let failure = match error {
                    OpenError::NoCapacity => Failure::Unprocessed,
                    OpenError::InvalidRequest => Failure::Protocol { details: "http2.invalid.header.field" },
                    OpenError::NoExtendedConnect => Failure::LocalReset,
                };
                self.end_attempt(attempt, key, cx);
                self.fail(attempt, failure, 0);
                self.after_attempt(key, cx);
                return 0;
            }
        }
        let sent = (output.len() - before) as u64;
        let config = &self.clusters[cluster as usize].config;
        cx.stats.add(config.stats.upstream_cx_tx_bytes_total, sent);
        cx.stats.move_gauge(config.http2_stats.streams_active, 1);
        sent
    }

    /// The upstream's SETTINGS are there: what waited for them can go.
    fn open_parked(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some((trunk, _)) = self.trunk(key) else { return };
        for attempt in trunk.unopened.clone() {
            let Some(state) = self.attempts.get_mut(attempt) else { continue };
            let Some(mut parked) = state.stream.parked.take() else { continue };
            self.open(attempt, key, &parked.head, false, cx);
            if !parked.data.is_empty() || parked.end {
                self.send_on_stream(attempt, key, &mut parked.data, parked.end, cx);
                self.tell(attempt, What::Drained, 0);
            }
        }
    }

    /// Sends a piece of the body; says whether the caller may send more, and how many bytes went out.
    pub(super) fn send_on_stream(
        &mut self,
        attempt: AttemptKey,
        key: ClientKey,
        data: &mut Buffer,
        end: bool,
        cx: &mut Cx<'_>,
    ) -> (bool, u64) {
        let Some((client, state)) = self.clients.get_mut(key).zip(self.attempts.get_mut(attempt)) else {
            data.clear();
            return (true, 0);
        };
        let (Carrier::H2(trunk), Some(id)) = (&mut client.carrier, state.stream.id) else {
            let Some(parked) = &mut state.stream.parked else {
                data.clear();
                return (true, 0);
            };
            parked.data.move_all(data);
            parked.end |= end;
            return (false, 0);
        };
        let stats = &self.clusters[client.cluster as usize].config.stats;
        let output = cx.io.output(client.conn);
        let (before, length) = (output.len(), data.len());
        let sent = trunk.codec.send_data(id, data, end, output);
        let written = (output.len() - before) as u64;
        cx.stats.add(stats.upstream_cx_tx_bytes_total, written);
        // Marks the connection, so that it comes back when its output has been written.
        cx.io.is_backed_up(client.conn);
        if sent.pause {
            cx.stats.inc(stats.upstream_flow_control_backed_up_total);
        }
        state.stream.request_end |= end;
        let over = end && state.stream.response_end;
        if over {
            self.complete(attempt, key, cx);
        }
        (!sent.pause, written.max(length as u64))
    }

    /// Ends a request with trailers; says how many bytes those were.
    pub(super) fn end_on_stream(
        &mut self,
        attempt: AttemptKey,
        key: ClientKey,
        trailers: &HeaderMap,
        cx: &mut Cx<'_>,
    ) -> u64 {
        let Some((client, state)) = self.clients.get_mut(key).zip(self.attempts.get_mut(attempt)) else {
            return 0;
        };
        let (Carrier::H2(trunk), Some(id)) = (&mut client.carrier, state.stream.id) else { return 0 };
        let output = cx.io.output(client.conn);
        let before = output.len();
        trunk.codec.send_trailers(id, trailers, output);
        let written = (output.len() - before) as u64;
        cx.stats.add(self.clusters[client.cluster as usize].config.stats.upstream_cx_tx_bytes_total, written);
        state.stream.request_end = true;
        if state.stream.response_end {
            self.complete(attempt, key, cx);
        }
        written
    }

    /// The reader of a response has caught up.
    pub(super) fn resume_stream(&mut self, attempt: AttemptKey, key: ClientKey, cx: &mut Cx<'_>) {
        let Some((client, state)) = self.clients.get_mut(key).zip(self.attempts.get_mut(attempt)) else {
            return;
        };
        let (Carrier::H2(trunk), Some(id)) = (&mut client.carrier, state.stream.id) else { return };
        if std::mem::take(&mut state.stream.paused) {
            let n = std::mem::take(&mut state.stream.unconsumed);
            trunk.codec.consume(id, n, cx.io.output(client.conn));
            let stats = &self.clusters[client.cluster as usize].config.stats;
            cx.stats.inc(stats.upstream_flow_control_resumed_reading_total);
        }
    }

    /// Nobody wants the response any more.
    pub(super) fn abandon_stream(&mut self, attempt: AttemptKey, key: ClientKey, cx: &mut Cx<'_>) {
        if let Some(state) = self.attempts.get(attempt) {
            cx.stats.inc(self.stats(state.cluster).upstream_rq_tx_reset);
        }
        self.reset(attempt, key, Code::CANCEL, cx);
        self.end_attempt(attempt, key, cx);
        self.attempts.remove(attempt);
        self.after_attempt(key, cx);
    }

    fn reset(&mut self, attempt: AttemptKey, key: ClientKey, code: Code, cx: &mut Cx<'_>) {
        let Some((client, state)) = self.clients.get_mut(key).zip(self.attempts.get(attempt)) else { return };
        if let (Carrier::H2(trunk), Some(id)) = (&mut client.carrier, state.stream.id) {
            trunk.codec.reset(id, code, cx.io.output(client.conn));
            let config = &self.clusters[client.cluster as usize].config;
            http2::count(trunk.codec.take_counters(), &config.http2_stats, cx.stats);
        }
    }

    /// Takes an attempt off its connection's accounts.
    fn end_attempt(&mut self, attempt: AttemptKey, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(state) = self.attempts.get(attempt) else { return };
        let (cluster, place, opened) = (state.cluster, state.place, state.stream.id.is_some());
        self.detach(cluster, place, cx);
        if opened {
            cx.stats.move_gauge(self.clusters[cluster as usize].config.http2_stats.streams_active, -1);
        }
        if let Some(client) = self.clients.get_mut(key)
            && let Carrier::H2(trunk) = &mut client.carrier
        {
            trunk.attached -= 1;
            trunk.unopened.retain(|unopened| *unopened != attempt);
        }
    }

    /// An attempt has left its connection: others may have its place, or the connection ends with it.
    fn after_attempt(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Carrier::H2(trunk) = &mut client.carrier else { return };
        client.used = true;
        let now = cx.reactor.now();
        let expired = client.expires.is_some_and(|expires| now >= expires);
        if trunk.attached == 0 {
            trunk.idle_since = now;
        }
        let (cluster, place, attached) = (client.cluster, client.place, trunk.attached);
        if client.last || expired || trunk.codec.is_draining() {
            if attached == 0 {
                if expired {
                    cx.stats.inc(self.stats(cluster).upstream_cx_max_duration_reached);
                }
                return self.say_goodbye(key, Code::NO_ERROR, cx);
            }
            client.last = true;
            self.retire(key);
            return self.make_more(cluster, place, cx);
        }
        self.give(key, cx);
    }

    /// Ends a connection that carries nothing.
    fn say_goodbye(&mut self, key: ClientKey, code: Code, cx: &mut Cx<'_>) {
        if let Some(client) = self.clients.get_mut(key)
            && let Carrier::H2(trunk) = &mut client.carrier
        {
            trunk.codec.goaway(code, cx.io.output(client.conn));
            client.state = State::Idle { deadline: None };
        }
        self.close(key, Close::Flush, By::Us, cx);
    }

    /// Reads, parses and writes until there is nothing more, the upstream does not read, or others must have their turn.
    pub(super) fn pump_h2(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let mut budget = READ_BUDGET;
        loop {
            if !self.parse_h2(key, cx) {
                return;
            }
            let Some(client) = self.clients.get_mut(key) else { return };
            let (cluster, conn) = (client.cluster, client.conn);
            let config = &self.clusters[cluster as usize].config;
            if cx.io.is_backed_up(conn) && cx.io.unsent(conn) > UNREAD * config.http2.settings.output_limit {
                if cx.io.is_broken(conn) {
                    self.break_all(key, &Failure::Terminated { reused: false }, By::Them, cx);
                }
                return;
            }
            if budget == 0 {
                let resume = Task::resume(Owner::Upstream(key.raw()));
                cx.reactor.defer(resume.expect("upstream connections have an owner"));
                return;
            }
            match cx.io.read(conn) {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    cx.stats.add(config.stats.upstream_cx_rx_bytes_total, n as u64);
                }
                Read::Empty => return cx.io.rest(conn),
                Read::Eof | Read::Failed => {
                    let reused = client.used;
                    return self.break_all(key, &Failure::Terminated { reused }, By::Them, cx);
                }
            }
        }
    }

    /// Turns what was read into events. False when the connection is gone.
    fn parse_h2(&mut self, key: ClientKey, cx: &mut Cx<'_>) -> bool {
        loop {
            let Some(client) = self.clients.get_mut(key) else { return false };
            let config = &self.clusters[client.cluster as usize].config;
            let Carrier::H2(trunk) = &mut client.carrier else { return false };
            let (input, output) = cx.io.buffers(client.conn);
            let before = output.len();
            let event = trunk.codec.poll(input, output);
            let written = output.len() - before;
            if written > 0 {
                cx.stats.add(config.stats.upstream_cx_tx_bytes_total, written as u64);
            }
            match event {
                Ok(Some(event)) => self.on_h2(key, event, cx),
                Ok(None) => {
                    http2::count(trunk.codec.take_counters(), &config.http2_stats, cx.stats);
                    return true;
                }
                Err(error) => {
                    http2::count(trunk.codec.take_counters(), &config.http2_stats, cx.stats);
                    log::debug!("connection {}: HTTP/2: {error}", cx.io.id(client.conn));
                    cx.stats.inc(config.stats.upstream_cx_protocol_error);
                    self.break_all(key, &Failure::Protocol { details: error.details() }, By::Us, cx);
                    return false;
                }
            }
        }
    }

    fn on_h2(&mut self, key: ClientKey, event: ResponseEvent, cx: &mut Cx<'_>) {
        match event {
            ResponseEvent::Informational { tag, head, .. } => {
                let attempt = attempt_of(tag);
                self.on_interim(attempt, head.status, cx);
                let size = head.headers.byte_size();
                self.tell(attempt, What::Informational(head), size);
            }
            ResponseEvent::Headers { tag, mut head, end, .. } => {
                let attempt = attempt_of(tag);
                let Some(state) = self.attempts.get_mut(attempt) else { return };
                state.stream.response_started = true;
                let success = (200..300).contains(&head.status);
                state.stream.tunnel &= success;
                if let (true, Some(upgrade)) = (success, &state.stream.upgrade) {
                    to_switching(&mut head, upgrade);
                }
                self.on_head(attempt, &head, cx);
                let size = head.headers.byte_size();
                self.tell(attempt, What::Headers { head, end }, size);
                if end {
                    self.on_response_end(attempt, key, cx);
                }
            }
            ResponseEvent::Data { id, tag, data, end } => {
                let (attempt, n) = (attempt_of(tag), data.len());
                let waits = self.attempts.get_mut(attempt).is_some_and(|state| {
                    let stream = &mut state.stream;
                    stream.unconsumed += if stream.paused { n } else { 0 };
                    stream.paused
                });
                if !waits
                    && let Some(client) = self.clients.get_mut(key)
                    && let Carrier::H2(trunk) = &mut client.carrier
                {
                    trunk.codec.consume(id, n, cx.io.output(client.conn));
                }
                self.tell(attempt, What::Data { data, end }, n);
                if end {
                    self.on_response_end(attempt, key, cx);
                }
            }
            ResponseEvent::Trailers { tag, trailers, .. } => {
                let attempt = attempt_of(tag);
                let size = trailers.byte_size();
                self.tell(attempt, What::Trailers(trailers), size);
                self.on_response_end(attempt, key, cx);
            }
            ResponseEvent::Reset { tag, code, cause, .. } => {
                self.on_reset(attempt_of(tag), key, (code, cause), cx)
            }
            ResponseEvent::Writable { tag, .. } => {
                let attempt = attempt_of(tag);
                if let Some(state) = self.attempts.get(attempt) {
                    cx.stats.inc(self.stats(state.cluster).upstream_flow_control_drained_total);
                    self.tell(attempt, What::Drained, 0);
                }
            }
            ResponseEvent::GoAway { .. } => {
                let Some(client) = self.clients.get_mut(key) else { return };
                let cluster = client.cluster;
                if !std::mem::replace(&mut client.last, true) {
                    cx.stats.inc(self.stats(cluster).upstream_cx_close_notify);
                    self.retire(key);
                }
                self.leave_if_over(key, cx);
            }
            ResponseEvent::Settings => {
                if let Some((trunk, ..)) = self.trunk(key) {
                    trunk.settled = true;
                    let streams = trunk.codec.peer().max_concurrent_streams;
                    if let Some(client) = self.clients.get(key) {
                        let (cluster, place) = (client.cluster, client.place);
                        self.pool(cluster, place).learn(streams);
                    }
                }
                self.open_parked(key, cx);
                self.after_settings(key, cx);
            }
            ResponseEvent::SettingsAck => {
                if let Some((trunk, ..)) = self.trunk(key) {
                    trunk.vigil.on_settings_ack();
                }
            }
            ResponseEvent::Pong { payload } => {
                let now = cx.reactor.now();
                let Some(client) = self.clients.get_mut(key) else { return };
                let config = &self.clusters[client.cluster as usize].config.http2;
                if let Carrier::H2(trunk) = &mut client.carrier {
                    trunk.vigil.on_pong(payload, config, now, cx.rng);
                    if let Some(next) = trunk.vigil.next() {
                        client.alarm.by(next, alarm(key), cx.reactor);
                    }
                }
            }
            // These are a server's.
            ResponseEvent::TooLarge { .. }
            | ResponseEvent::Refused { .. }
            | ResponseEvent::Flushed { .. } => {}
        }
    }

    fn trunk(&mut self, key: ClientKey) -> Option<(&mut Trunk, u32)> {
        let client = self.clients.get_mut(key)?;
        match &mut client.carrier {
            Carrier::H2(trunk) => Some((trunk, client.cluster)),
            Carrier::H1(_) => None,
        }
    }

    fn tell(&mut self, attempt: AttemptKey, what: What, received: usize) {
        if let Some(Attempt { requester, .. }) = self.attempts.get(attempt) {
            self.events.push_back(Event { requester: *requester, attempt, what, received });
        }
    }

    /// The upstream allows other numbers of streams now.
    fn after_settings(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get(key) else { return };
        let (cluster, place) = (client.cluster, client.place);
        if !matches!(client.state, State::Connecting { .. }) && !client.last {
            self.give(key, cx);
            self.make_more(cluster, place, cx);
        }
    }

    /// A connection that takes no new streams ends with its last attempt.
    fn leave_if_over(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        match self.trunk(key) {
            Some((trunk, _)) if trunk.attached == 0 => self.say_goodbye(key, Code::NO_ERROR, cx),
            Some((_, cluster)) => {
                let place = self.clients.get(key).expect("just seen").place;
                self.make_more(cluster, place, cx);
            }
            None => {}
        }
    }

    /// The response is complete. So is the attempt, unless it is a tunnel of which the other half goes on.
    fn on_response_end(&mut self, attempt: AttemptKey, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(state) = self.attempts.get_mut(attempt) else { return };
        state.stream.response_end = true;
        if state.stream.tunnel && !state.stream.request_end {
            return;
        }
        if !state.stream.request_end {
            // What is left of the request has no reader.
            self.reset(attempt, key, Code::NO_ERROR, cx);
        }
        self.complete(attempt, key, cx);
    }

    fn complete(&mut self, attempt: AttemptKey, key: ClientKey, cx: &mut Cx<'_>) {
        if let Some((client, state)) = self.clients.get_mut(key).zip(self.attempts.get_mut(attempt))
            && let (Carrier::H2(trunk), Some(id)) = (&mut client.carrier, state.stream.id)
        {
            // Whoever was slow to read the response has it all now.
            let n = std::mem::take(&mut state.stream.unconsumed);
            trunk.codec.consume(id, n, cx.io.output(client.conn));
        }
        self.end_attempt(attempt, key, cx);
        self.attempts.remove(attempt);
        self.after_attempt(key, cx);
    }

    fn on_reset(
        &mut self,
        attempt: AttemptKey,
        key: ClientKey,
        (code, cause): (Code, h2::Cause),
        cx: &mut Cx<'_>,
    ) {
        if !self.attempts.contains(attempt) {
            return;
        }
        let failure = match cause {
            _ if h2::is_unprocessed(code, cause) => Failure::Unprocessed,
            h2::Cause::Peer | h2::Cause::GoAway => Failure::RemoteReset,
            cause => Failure::Protocol { details: cause.details() },
        };
        if let Some(state) = self.attempts.get(attempt) {
            let stats = self.stats(state.cluster);
            match failure {
                Failure::RemoteReset => cx.stats.inc(stats.upstream_rq_rx_reset),
                Failure::Protocol { .. } => cx.stats.inc(stats.upstream_rq_tx_reset),
                _ => {}
            }
        }
        self.end_attempt(attempt, key, cx);
        self.fail(attempt, failure, 0);
        self.after_attempt(key, cx);
    }

    /// The connection is of no more use, and neither are the attempts that it carries.
    fn break_all(&mut self, key: ClientKey, failure: &Failure, by: By, cx: &mut Cx<'_>) {
        let Some((trunk, _)) = self.trunk(key) else { return };
        let mut attempts = std::mem::take(&mut trunk.unopened);
        attempts.extend(trunk.codec.streams().map(|(_, tag)| attempt_of(tag)));
        for attempt in attempts {
            let Some(state) = self.attempts.get(attempt) else { continue };
            let failure = match failure {
                Failure::Terminated { reused } => {
                    Failure::Terminated { reused: *reused && !state.stream.response_started }
                }
                other => other.clone(),
            };
            let stats = self.stats(state.cluster);
            cx.stats.inc(if by == By::Us {
                stats.upstream_rq_tx_reset
            } else {
                stats.upstream_rq_pending_failure_eject
            });
            self.end_attempt(attempt, key, cx);
            self.fail(attempt, failure, 0);
        }
        // As in Envoy, whose requests are gone before it closes a connection itself.
        if let (By::Us, Some(client)) = (by, self.clients.get_mut(key)) {
            client.state = State::Idle { deadline: None };
        }
        let how = if by == By::Us { Close::Flush } else { Close::Now };
        self.close(key, how, by, cx);
    }

    /// What time has made of a connection of HTTP/2; true when it has ended.
    pub(super) fn watch_h2(&mut self, key: ClientKey, cx: &mut Cx<'_>) -> bool {
        let now = cx.reactor.now();
        let Some(client) = self.clients.get_mut(key) else { return true };
        let config = &self.clusters[client.cluster as usize].config;
        let Carrier::H2(trunk) = &mut client.carrier else { return false };
        let out = cx.io.output(client.conn);
        let code = match trunk.vigil.watch(&config.http2, now, &mut trunk.codec, out) {
            Watch::Until(_) => return false,
            Watch::Dead => {
                cx.stats.inc(config.http2_stats.keepalive_timeout);
                Code::NO_ERROR
            }
            Watch::Unsettled => {
                cx.stats.inc(config.http2_stats.settings_timeout);
                Code::SETTINGS_TIMEOUT
            }
        };
        trunk.codec.goaway(code, out);
        self.break_all(key, &Failure::Terminated { reused: false }, By::Us, cx);
        true
    }
}

fn attempt_of(tag: u64) -> AttemptKey {
    AttemptKey::from_raw(RawKey::from_bits(tag))
}

/// An upgrade of HTTP/1 as HTTP/2 has it: an extended CONNECT (RFC 8441), and what was asked for.
fn to_connect(head: &RequestHead) -> Option<(RequestHead, Upgrade)> {
    let protocol = head.headers.get(HeaderId::UPGRADE)?.to_vec();
    let key = head.headers.get(HeaderId::SEC_WEBSOCKET_KEY).map(<[u8]>::to_vec);
    let mut headers = HeaderMap::new();
    headers.append_id(HeaderId::METHOD, b"CONNECT");
    headers.append_id(HeaderId::PROTOCOL, &protocol);
    for header in head.headers.iter() {
        if !matches!(
            header.id,
            HeaderId::METHOD | HeaderId::UPGRADE | HeaderId::CONNECTION | HeaderId::CONTENT_LENGTH
        ) {
            headers.append(header.name, header.value);
        }
    }
    Some((RequestHead { version: head.version, method: Method::Connect, headers }, Upgrade { protocol, key }))
}

/// The answer to such a request as HTTP/1 has it.
fn to_switching(head: &mut ResponseHead, Upgrade { protocol, key }: &Upgrade) {
    head.status = 101;
    head.headers.append_id(HeaderId::UPGRADE, protocol);
    head.headers.append_id(HeaderId::CONNECTION, b"upgrade");
    // A server of RFC 8441 does not send it (section 5), and a client of RFC 6455 does not go on without it.
    if let Some(key) = key
        && protocol.eq_ignore_ascii_case(b"websocket")
        && head.headers.get(HeaderId::SEC_WEBSOCKET_ACCEPT).is_none()
    {
        let text = [key.trim_ascii(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
        let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text));
        head.headers.append_id(HeaderId::SEC_WEBSOCKET_ACCEPT, accept.as_bytes());
    }
}
