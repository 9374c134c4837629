//! The router filter: takes a request that has passed all other filters, finds its route, and drives one
//! attempt upstream, or a second one where that is safe.
//!
//! It is the state of one request and is told what happens; it answers with a [`Step`] for the HTTP connection
//! manager. It never touches the downstream connection.

use super::config::{
    Action, ClusterChoice, Forward, MaxStreamDuration, Mutations, Redirect, RedirectPath, Route, RouteConfig,
    WeightedEntry,
};
use super::ending::Cause;
use super::table::{Found, RouteId};
use super::{hash_policy, rewrite};
use crate::formatter::is_grpc;
use crate::io::{Cx, Rng};
use crate::stats::HttpStats;
use crate::stream_info::{Downstream, Flag, Occasion, RouteInfo, StreamInfo, Times, UpstreamInfo};
use crate::upstream::config::{ClusterId, Priority};
use crate::upstream::{Ask, AttemptKey, Begin, Event, Failure, Peer, Requester, Upstream, What};
use nuncio_codec::{Buffer, HeaderId, HeaderMap, RequestHead, ResponseHead, h1};
use nuncio_reactor::{RawKey, Time};
use std::time::{Duration, SystemTime};

/// How often a request is sent again of which the upstream says that it was not processed.
const MAX_REPLAYS: u8 = 3;

/// What the connection manager must do next.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Wait,
    /// The upstream takes request body again.
    MoreBody,
    /// Pass on an interim response.
    Informational(ResponseHead),
    /// Begin the response; with `true` it is complete.
    Headers(ResponseHead, bool),
    /// Go on with the response; with `true` it is complete.
    Data(Buffer, bool),
    /// Complete the response.
    Trailers(HeaderMap),
    /// End the request for this cause, answering it if no response has begun.
    End(Cause),
}

/// What a caller may tell the router, and not the upstream.
const CONSUMED: [HeaderId; 9] = [
    HeaderId::X_ENVOY_RETRY_ON,
    HeaderId::X_ENVOY_RETRY_GRPC_ON,
    HeaderId::X_ENVOY_MAX_RETRIES,
    HeaderId::X_ENVOY_RETRIABLE_HEADER_NAMES,
    HeaderId::X_ENVOY_RETRIABLE_STATUS_CODES,
    HeaderId::X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
    HeaderId::X_ENVOY_IS_TIMEOUT_RETRY,
    HeaderId::X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS,
    HeaderId::X_ENVOY_UPSTREAM_STREAM_DURATION_MS,
];

/// The router's state for one request.
#[derive(Debug, Default)]
pub struct Exchange {
    found: Option<Found>,
    cluster: Option<ClusterId>,
    /// Which of the route's weighted clusters that is.
    entry: Option<u32>,
    attempt: Option<AttemptKey>,
    attempts: u32,
    /// The host of the last attempt.
    peer: Option<Peer>,
    /// The attempt has a connection and the head is sent.
    connected: bool,
    /// Its caller is internal.
    internal: bool,
    /// What follows the heads is a tunnel, if the upstream agrees.
    tunnel: bool,
    /// The request is complete.
    request_end: bool,
    /// Request body that waits for a connection.
    body: Buffer,
    trailers: Option<HeaderMap>,
    /// Some of the body has been given away and cannot be sent a second time.
    body_sent: bool,
    response_started: bool,
    /// A server error.
    response_failed: bool,
    replays: u8,
    timeout: Option<Duration>,
    /// The time-out is answered with 204 (`x-envoy-upstream-rq-timeout-alt-response`).
    timeout_is_empty: bool,
    deadline: Option<Time>,
    /// The end of the cluster's `max_stream_duration`.
    upstream_deadline: Option<Time>,
    /// When the request was complete, for x-envoy-upstream-service-time.
    sent_at: Option<Time>,
    first_sent: Option<Time>,
    last_sent: Option<Time>,
    first_received: Option<Time>,
    last_received: Option<Time>,
    wire_sent: u64,
    wire_received: u64,
    /// Why no connection could be made.
    transport_failure: Option<Box<str>>,
}

/// What stays the same during one call into the router.
pub struct Frame<'a> {
    /// The route configuration that this request was frozen on.
    pub routes: &'a RouteConfig,
    /// Where requests are counted.
    pub stats: &'a HttpStats,
    /// `suppress_envoy_headers`.
    pub suppress_envoy_headers: bool,
    /// Most bytes of body kept while there is no connection.
    pub buffer_limit: usize,
    /// Who the upstream's events are for.
    pub requester: RawKey,
    /// The response may be passed on in bytes that are not in memory.
    pub bulk: bool,
    /// What header values may tell of the request's origin.
    pub origin: Origin<'a>,
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// When its head had arrived.
    pub start: SystemTime,
    /// Its number in the process.
    pub stream_id: u64,
    /// How much of its body has come.
    pub received: u64,
    /// The connection that it came on.
    pub downstream: Downstream<'a>,
}

/// What a route says about its streams; `None` is "as the connection manager says".
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamLimits {
    /// `RouteAction.idle_timeout`.
    pub idle: Option<Option<Duration>>,
    /// `RouteAction.max_stream_duration`, with `grpc-timeout` where that counts.
    pub duration: Option<Option<Duration>>,
}

impl Exchange {
    /// Finds the route of a request, once.
    pub fn route(&mut self, routes: &RouteConfig, head: &RequestHead) {
        self.found = Some(routes.find(head));
    }

    /// What the route says about time.
    pub fn limits(&self, routes: &RouteConfig, head: &RequestHead) -> StreamLimits {
        match self.forwarding(routes) {
            None => StreamLimits::default(),
            Some(forward) => StreamLimits {
                idle: forward.idle_timeout,
                duration: max_duration(&forward.max_stream_duration, head),
            },
        }
    }

    /// Whether the route says that an upgrade is allowed or not; the protocol in lower case.
    pub fn allows_upgrade(&self, routes: &RouteConfig, protocol: &[u8]) -> Option<bool> {
        let upgrades = &self.forwarding(routes)?.upgrades;
        upgrades.iter().find(|(name, _)| **name == *protocol).map(|(_, enabled)| *enabled)
    }

    /// Whether nothing was found for the request.
    pub fn is_lost(&self) -> bool {
        self.found == Some(Found::Nothing)
    }

    /// Whether there is a route to a cluster.
    pub fn is_forwarding(&self, routes: &RouteConfig) -> bool {
        self.forwarding(routes).is_some()
    }

    fn found_route<'a>(&self, routes: &'a RouteConfig) -> Option<(RouteId, &'a Route)> {
        match self.found {
            Some(Found::Route(id)) => Some((id, routes.route(id))),
            _ => None,
        }
    }

    fn forwarding<'a>(&self, routes: &'a RouteConfig) -> Option<&'a Forward> {
        match &self.found_route(routes)?.1.action {
            Action::Forward(forward) => Some(forward),
            _ => None,
        }
    }

    /// A request's head has arrived; with `end` the whole request. With `tunnel` it asks for one.
    pub fn on_headers(
        &mut self,
        frame: &Frame<'_>,
        head: &mut RequestHead,
        (end, tunnel): (bool, bool),
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Step {
        cx.stats.inc(frame.stats.rq_total);
        self.tunnel = tunnel;
        self.internal = head.headers.contains(HeaderId::X_ENVOY_INTERNAL);
        let route = match self.found.get_or_insert_with(|| frame.routes.find(head)) {
            Found::Route(id) => frame.routes.route(*id),
            Found::NeedsTls => {
                cx.stats.inc(frame.stats.rq_direct_response);
                return Step::End(Cause::Redirect { status: 301, location: rewrite::to_tls(head) });
            }
            Found::Nothing => {
                cx.stats.inc(frame.stats.no_route);
                return Step::End(Cause::NoRoute);
            }
        };
        match &route.action {
            Action::Direct(direct) => {
                cx.stats.inc(frame.stats.rq_direct_response);
                let tells = direct.status == 201 || direct.status / 100 == 3;
                let location = tells.then(|| rewrite::location(route, &Redirect::default(), head));
                Step::End(Cause::Direct { status: direct.status, location, body: direct.body.clone() })
            }
            Action::Redirect(redirect) => {
                cx.stats.inc(frame.stats.rq_direct_response);
                // Envoy counts both kinds of answer here.
                let location = rewrite::location(route, redirect, head);
                if matches!(redirect.path, RedirectPath::Prefix(_) | RedirectPath::Regex(_)) {
                    // As in Envoy, the request itself is rewritten too, for the access log.
                    rewrite::replace_path(head, rewrite::path_of(&location));
                }
                Step::End(Cause::Redirect { status: redirect.status, location })
            }
            Action::Forward(forward) => self.forward(frame, (route, forward), head, end, upstream, cx),
        }
    }

    fn forward(
        &mut self,
        frame: &Frame<'_>,
        (route, forward): (&Route, &Forward),
        head: &mut RequestHead,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Step {
        match choose(&forward.cluster, head, cx.rng) {
            Ok((cluster, entry)) => (self.cluster, self.entry) = (Some(cluster), entry),
            Err(status) => {
                cx.stats.inc(frame.stats.no_cluster);
                return Step::End(Cause::NoCluster { status });
            }
        }
        self.timeout = forward.timeout;
        if let Some(text) = head.headers.get(HeaderId::X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS) {
            // Only internal clients can say so: it is taken out of other requests.
            let millis = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
            self.timeout = millis.map_or(self.timeout, |millis| {
                (millis > 0).then(|| Duration::from_millis(millis.min(u64::from(u32::MAX))))
            });
            head.headers.remove(HeaderId::X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS);
        }
        self.timeout_is_empty = head.headers.remove(HeaderId::X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE);
        if !frame.suppress_envoy_headers
            && let Some(timeout) = self.timeout
        {
            set_number(head, HeaderId::X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, timeout.as_millis() as u64);
        }
        cap_grpc_timeout(&forward.max_stream_duration, head);
        for id in CONSUMED {
            head.headers.remove(id);
        }
        self.change_request(frame, head, upstream);
        if let Some(host) = self.weighted(forward).and_then(|entry| entry.host_rewrite.as_deref()) {
            // As in Envoy, without a trace of the old one.
            head.headers.set(HeaderId::AUTHORITY, host);
        }
        rewrite::rewrite(route, forward, !frame.suppress_envoy_headers, head);
        if end {
            self.on_request_end(cx);
        }
        self.begin(frame, head, false, upstream, cx)
    }

    fn weighted<'a>(&self, forward: &'a Forward) -> Option<&'a WeightedEntry> {
        match (&forward.cluster, self.entry) {
            (ClusterChoice::Weighted { entries, .. }, Some(at)) => entries.get(at as usize),
            _ => None,
        }
    }

    /// The header changes that apply, in their order: those of a weighted cluster first, then from the route to
    /// the route configuration, unless that is turned round.
    fn mutations<'a>(&self, routes: &'a RouteConfig) -> impl Iterator<Item = &'a Mutations> + use<'a> {
        let found = self.found_route(routes);
        let weighted = self.forwarding(routes).and_then(|forward| self.weighted(forward));
        let levels = found.map(|(id, route)| {
            let mut levels = [&route.mutations, &routes.virtual_host(id).mutations, &routes.mutations];
            if routes.most_specific_wins {
                levels.reverse();
            }
            levels
        });
        weighted.map(|entry| &entry.mutations).into_iter().chain(levels.into_iter().flatten())
    }

    fn change_request(&self, frame: &Frame<'_>, head: &mut RequestHead, upstream: &Upstream) {
        if !frame.routes.mutates {
            return;
        }
        for mutations in self.mutations(frame.routes) {
            if !mutations.request.is_empty() {
                let nothing =
                    RequestHead { version: head.version, method: head.method, headers: HeaderMap::new() };
                let info = self.info(frame.routes, &frame.origin, &nothing, upstream);
                mutations.request.apply_to_request(head, &info);
            }
        }
    }

    /// Makes the changes that the route asks for on a response, the upstream's or our own.
    pub fn change_response(&self, routes: &RouteConfig, head: &mut ResponseHead, info: &StreamInfo<'_>) {
        for mutations in self.mutations(routes) {
            if !mutations.response.is_empty() {
                mutations.response.apply_to_response(head, info);
            }
        }
    }

    /// The cluster of a request that was ended before one was asked for, if there was no choice.
    fn only_cluster(&self, routes: &RouteConfig) -> Option<ClusterId> {
        match self.forwarding(routes)?.cluster {
            ClusterChoice::One(cluster) => Some(cluster),
            _ => None,
        }
    }

    /// The view of the request as far as it has come here; what only the connection manager knows is for it to
    /// fill in.
    pub fn info<'a>(
        &'a self,
        routes: &'a RouteConfig,
        origin: &Origin<'a>,
        request: &'a RequestHead,
        upstream: &'a Upstream,
    ) -> StreamInfo<'a> {
        let route = self
            .found_route(routes)
            .map(|(id, route)| RouteInfo { name: &route.name, virtual_host: &routes.virtual_host(id).name });
        let peer = self.peer.as_ref();
        let host = self
            .cluster
            .zip(peer)
            .map(|(cluster, peer)| &upstream.cluster(cluster).hosts[peer.host as usize]);
        StreamInfo {
            occasion: Occasion::DownstreamEnd,
            metadata: None,
            request,
            request_trailers: None,
            response: None,
            response_trailers: None,
            start: origin.start,
            now: origin.start,
            times: Times::default(),
            bytes: crate::stream_info::Bytes {
                received: origin.received,
                upstream_wire_sent: self.wire_sent,
                upstream_wire_received: self.wire_received,
                ..Default::default()
            },
            flag: Flag::None,
            details: "",
            local_reply_body: b"",
            stream_id: origin.stream_id,
            downstream: origin.downstream.clone(),
            route,
            upstream: self.cluster.or_else(|| self.only_cluster(routes)).map(|cluster| UpstreamInfo {
                cluster: &upstream.cluster(cluster).name,
                host: host.map(|host| &host.address),
                hostname: host.map_or("", |host| &host.hostname),
                local: peer.and_then(|peer| peer.local.as_ref()),
                connection_id: peer.and_then(|peer| peer.connection),
                attempts: self.attempts,
                transport_failure: self.transport_failure.as_deref().unwrap_or_default(),
                protocol: peer.and_then(|peer| peer.connection.map(|_| peer.version)),
                tls: peer.and_then(|peer| peer.tls.as_deref()),
            }),
            session: None,
        }
    }

    /// The router's milestones, counted from `start`.
    pub fn times(&self, start: Time) -> Times {
        let since = |time: Option<Time>| time.map(|time| time.saturating_since(start));
        Times {
            upstream_first_sent: since(self.first_sent),
            upstream_last_sent: since(self.last_sent),
            upstream_first_received: since(self.first_received),
            upstream_last_received: since(self.last_received),
            ..Times::default()
        }
    }

    /// A piece of the request's body. Says whether more may come; if not, [`Step::MoreBody`] follows.
    pub fn on_data(
        &mut self,
        frame: &Frame<'_>,
        data: &mut Buffer,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> bool {
        if end {
            self.on_request_end(cx);
        }
        match self.attempt {
            Some(attempt) if self.connected => {
                self.body_sent |= !data.is_empty();
                let (more, sent) = upstream.send_data(attempt, data, end, cx);
                self.on_sent(sent, end, cx);
                if end && self.tunnel && self.last_received.is_some() {
                    // The second half of a tunnel: the attempt is over.
                    self.attempt = None;
                }
                more
            }
            _ => {
                self.body.move_all(data);
                frame.buffer_limit == 0 || self.body.len() < frame.buffer_limit
            }
        }
    }

    /// The request's trailers, which end it.
    pub fn on_trailers(&mut self, trailers: HeaderMap, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.on_request_end(cx);
        match self.attempt {
            Some(attempt) if self.connected => {
                let sent = upstream.send_trailers(attempt, &trailers, cx);
                self.on_sent(sent, true, cx);
            }
            _ => self.trailers = Some(trailers),
        }
    }

    /// Something happened upstream.
    pub fn on_upstream(
        &mut self,
        frame: &Frame<'_>,
        event: Event,
        head: &RequestHead,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Step {
        if self.attempt != Some(event.attempt) {
            // It belongs to an attempt that was given up.
            return Step::Wait;
        }
        self.wire_received += event.received as u64;
        match event.what {
            What::Ready => {
                self.peer = upstream.peer(event.attempt, cx);
                self.send(head, upstream, cx);
                Step::MoreBody
            }
            What::Drained => Step::MoreBody,
            What::Informational(head) => Step::Informational(head),
            What::Headers { head: mut response, end } => {
                self.response_started = true;
                self.response_failed = response.status / 100 == 5;
                self.first_received = Some(cx.reactor.now());
                self.on_received(end, upstream, cx);
                let switched = self.tunnel && response.status == 101;
                h1::strip_hop_by_hop(&mut response.headers, switched);
                if !frame.suppress_envoy_headers
                    && let Some(sent_at) = self.sent_at
                {
                    let millis = (cx.reactor.now() - sent_at).as_millis() as u64;
                    let mut digits = [0; 20];
                    let digits = decimal(millis, &mut digits);
                    response.headers.set(HeaderId::X_ENVOY_UPSTREAM_SERVICE_TIME, digits);
                }
                if frame.routes.mutates {
                    let info = self.info(frame.routes, &frame.origin, head, upstream);
                    let info = StreamInfo { details: "via_upstream", ..info };
                    self.change_response(frame.routes, &mut response, &info);
                }
                Step::Headers(response, end)
            }
            What::Data { data, end } => {
                self.on_received(end, upstream, cx);
                Step::Data(data, end)
            }
            What::Trailers(trailers) => {
                self.on_received(true, upstream, cx);
                Step::Trailers(trailers)
            }
            What::Failed(failure) => {
                self.attempt = None;
                self.on_failure(frame, failure, head, upstream, cx)
            }
        }
    }

    /// Takes note of a piece of the response. With its end the attempt is over, except that the other half of a
    /// tunnel may still be open.
    fn on_received(&mut self, end: bool, upstream: &Upstream, cx: &Cx<'_>) {
        if end {
            let now = cx.reactor.now();
            self.last_received = Some(now);
            if let (Some(cluster), Some(sent_at)) = (self.cluster, self.sent_at) {
                upstream.charge_time(cluster, self.internal, now - sent_at, cx);
            }
            if !self.tunnel || self.request_end {
                self.attempt = None;
            }
        }
    }

    fn on_sent(&mut self, bytes: u64, end: bool, cx: &Cx<'_>) {
        self.wire_sent += bytes;
        if end {
            self.last_sent = Some(cx.reactor.now());
        }
    }

    fn on_failure(
        &mut self,
        frame: &Frame<'_>,
        failure: Failure,
        head: &RequestHead,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Step {
        if self.response_started {
            // As in Envoy, which waits for the end only if it is of gRPC, to know whether it is a success.
            if !self.response_failed && is_grpc(head) {
                cx.stats.inc(frame.stats.rq_reset_after_downstream_response_started);
            }
            return Step::End(Cause::UpstreamAfterStart(failure));
        }
        // The reuse race: the upstream closed the kept connection while this request was on its way. Sending
        // it again is safe if it may be repeated and nothing of it is lost.
        let may_repeat = match failure {
            Failure::Terminated { reused } => reused && self.replays == 0 && head.method.is_idempotent(),
            // The upstream says so itself; but it must not say so for ever.
            Failure::Unprocessed => self.replays < MAX_REPLAYS,
            _ => false,
        };
        if may_repeat && !self.body_sent {
            self.replays += 1;
            self.connected = false;
            let stats = &upstream.cluster(self.cluster.expect("an attempt has a cluster")).stats;
            cx.stats.inc(stats.upstream_rq_retry);
            // What the upstream says of one stream says nothing against its connections.
            let fresh = failure != Failure::Unprocessed;
            return self.begin(frame, head, fresh, upstream, cx);
        }
        self.refuse(failure, upstream, cx)
    }

    fn refuse(&mut self, failure: Failure, upstream: &mut Upstream, cx: &mut Cx<'_>) -> Step {
        if let Failure::ConnectFailed(text) = &failure {
            self.transport_failure = Some(text.as_ref().into());
        }
        let cause = Cause::Upstream(failure);
        self.charge(&cause, upstream, cx);
        Step::End(cause)
    }

    fn charge(&self, cause: &Cause, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(cluster) = self.cluster {
            upstream.charge(cluster, self.internal, cause.row().status, cx);
            if let Some(peer) = &self.peer {
                upstream.charge_failure(cluster, peer, !matches!(cause, Cause::RouteTimeout { .. }), cx);
            }
        }
    }

    fn begin(
        &mut self,
        frame: &Frame<'_>,
        head: &RequestHead,
        fresh: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Step {
        let cluster = self.cluster.expect("the route has chosen");
        let forward = self.forwarding(frame.routes);
        let priority = forward.map_or(Priority::Default, |forward| forward.priority);
        let policies = forward.map_or(&[][..], |forward| &forward.hash_policy);
        let hash = hash_policy::hash(
            policies,
            head,
            (frame.origin.downstream.remote, frame.origin.downstream.filter_state),
        );
        self.attempts += 1;
        let ask = Ask {
            cluster,
            priority,
            internal: self.internal,
            requester: Requester::Stream(frame.requester),
            fresh,
            bulk: frame.bulk,
            version: head.version,
            client: frame.origin.downstream.provenance,
            head: Some(head),
            hash,
        };
        match upstream.begin(ask, cx) {
            Begin::Ready(attempt) => {
                self.attempt = Some(attempt);
                self.peer = upstream.peer(attempt, cx);
                self.send(head, upstream, cx);
                Step::Wait
            }
            Begin::Waiting(attempt) => {
                self.attempt = Some(attempt);
                self.peer = upstream.peer(attempt, cx);
                Step::Wait
            }
            Begin::Refused { failure, host } => {
                self.peer = host.map(|host| Peer {
                    host,
                    local: None,
                    connection: None,
                    version: head.version,
                    tls: None,
                });
                self.refuse(failure, upstream, cx)
            }
        }
    }

    /// There is a connection: everything that has waited for it goes out.
    fn send(&mut self, head: &RequestHead, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let attempt = self.attempt.expect("called with an attempt");
        self.connected = true;
        let now = cx.reactor.now();
        self.first_sent = Some(now);
        let cluster = upstream.cluster(self.cluster.expect("an attempt has a cluster"));
        self.upstream_deadline = cluster.max_stream_duration.map(|limit| now + limit);
        let has_body = !self.body.is_empty();
        let end = self.request_end && self.trailers.is_none();
        let mut sent = upstream.send_headers(attempt, head, end && !has_body, cx);
        if !upstream.is_live(attempt) {
            // Nothing was sent: the failure is on its way, and what waits may be sent to somebody else.
            self.connected = false;
            return;
        }
        let trailers = self.trailers.take();
        if has_body {
            self.body_sent = true;
            sent += upstream.send_data(attempt, &mut self.body, end, cx).1;
        }
        if let Some(trailers) = trailers {
            self.body_sent = true;
            sent += upstream.send_trailers(attempt, &trailers, cx);
        }
        self.on_sent(sent, self.request_end, cx);
    }

    fn on_request_end(&mut self, cx: &mut Cx<'_>) {
        let now = cx.reactor.now();
        self.request_end = true;
        self.sent_at = Some(now);
        if !self.tunnel {
            self.deadline = self.timeout.map(|timeout| now + timeout);
        }
    }

    /// The router's next time limit, and what its end means.
    pub fn deadlines(&self) -> [(Option<Time>, Cause); 2] {
        [
            (self.deadline, Cause::RouteTimeout { empty: self.timeout_is_empty }),
            (self.upstream_deadline, Cause::UpstreamMaxDuration { request_end: self.request_end }),
        ]
    }

    /// Takes note that one of [`Self::deadlines`] has passed.
    pub fn on_timeout(&mut self, cause: &Cause, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(cluster) = self.cluster {
            let stats = &upstream.cluster(cluster).stats;
            cx.stats.inc(match cause {
                Cause::UpstreamMaxDuration { .. } => stats.upstream_rq_max_duration_reached,
                _ => stats.upstream_rq_timeout,
            });
            if !self.response_started && matches!(cause, Cause::RouteTimeout { .. }) {
                self.charge(cause, upstream, cx);
            }
        }
    }

    /// Ends whatever is still going on upstream.
    pub fn abandon(&mut self, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(attempt) = self.attempt.take() {
            upstream.abandon(attempt, cx);
        }
    }

    /// Whether the request's body may come as bytes that are not in memory.
    pub fn takes_bulk(&self, upstream: &Upstream, cx: &Cx<'_>) -> bool {
        self.connected && self.attempt.is_some_and(|attempt| upstream.takes_bulk(attempt, cx))
    }

    /// The reader of the response is slow.
    pub fn pause(&self, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(attempt) = self.attempt {
            upstream.pause(attempt, cx);
        }
    }

    /// The reader of the response has caught up.
    pub fn resume(&self, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(attempt) = self.attempt {
            upstream.resume(attempt, cx);
        }
    }
}

/// The cluster for a request, and which entry of a weighted choice that is; or the status that says that there
/// is none.
fn choose(
    choice: &ClusterChoice,
    head: &RequestHead,
    rng: &mut Rng,
) -> Result<(ClusterId, Option<u32>), u16> {
    match choice {
        ClusterChoice::One(cluster) => Ok((*cluster, None)),
        ClusterChoice::Header { name, known, not_found } => {
            let named = head.headers.get_key(name).and_then(|value| known.get(value));
            named.map(|cluster| (*cluster, None)).ok_or(*not_found)
        }
        ClusterChoice::Weighted { total, entries } => {
            let mut ticket = rng.below(*total);
            for (at, entry) in entries.iter().enumerate() {
                match ticket.checked_sub(u64::from(entry.weight)) {
                    Some(rest) => ticket = rest,
                    None => return Ok((entry.cluster, Some(at as u32))),
                }
            }
            // The total is the sum of the weights, so a ticket below it is always used up before.
            let last = entries.len() - 1;
            Ok((entries[last].cluster, Some(last as u32)))
        }
    }
}

/// The longest time for a stream that a route gives it.
fn max_duration(limits: &MaxStreamDuration, head: &RequestHead) -> Option<Option<Duration>> {
    let Some(cap) = limits.grpc_max else { return limits.max };
    let Some(asked) = head.headers.get(HeaderId::GRPC_TIMEOUT).and_then(grpc_timeout) else {
        return limits.max;
    };
    let capped = cap.map_or(asked, |cap| asked.min(cap));
    Some(Some(capped.saturating_sub(limits.grpc_offset)))
}

/// A `grpc-timeout` above what the route allows is lowered to that.
fn cap_grpc_timeout(limits: &MaxStreamDuration, head: &mut RequestHead) {
    let Some(Some(cap)) = limits.grpc_max else { return };
    if head.headers.get(HeaderId::GRPC_TIMEOUT).and_then(grpc_timeout).is_some_and(|asked| asked > cap) {
        let text = format!("{}m", cap.as_millis());
        head.headers.set(HeaderId::GRPC_TIMEOUT, text.as_bytes());
    }
}

/// A `grpc-timeout` (gRPC over HTTP2, "Timeout"): up to 8 digits and a unit; rounded up to milliseconds.
fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    let millis = match unit {
        b'H' => count * 3_600_000,
        b'M' => count * 60_000,
        b'S' => count * 1000,
        b'm' => count,
        b'u' => count.div_ceil(1000),
        b'n' => count.div_ceil(1_000_000),
        _ => return None,
    };
    Some(Duration::from_millis(millis))
}

fn set_number(head: &mut RequestHead, id: HeaderId, number: u64) {
    let mut digits = [0; 20];
    head.headers.set(id, decimal(number, &mut digits));
}

/// The decimal digits of a number, without an allocation.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::WeightedEntry;
    use super::*;
    use nuncio_codec::{HeaderKey, Method, Version};

    fn head() -> RequestHead {
        RequestHead { version: Version::Http11, method: Method::Get, headers: HeaderMap::new() }
    }

    #[test]
    fn a_header_names_the_cluster() {
        let name = HeaderKey::new("x-cluster").expect("a name");
        let known = std::iter::once((b"a"[..].into(), ClusterId(7))).collect();
        let choice = ClusterChoice::Header { name, known, not_found: 404 };
        let mut head = head();
        let mut rng = Rng::seeded(3);
        assert_eq!(choose(&choice, &head, &mut rng), Err(404));
        head.headers.append(b"x-cluster", b"b");
        assert_eq!(choose(&choice, &head, &mut rng), Err(404));
        head.headers.set_key(&HeaderKey::new("x-cluster").expect("a name"), b"a");
        assert_eq!(choose(&choice, &head, &mut rng), Ok((ClusterId(7), None)));
    }

    #[test]
    fn grpc_timeouts() {
        for (text, millis) in [
            ("5S", Some(5000)),
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("17m", Some(17)),
            ("1001u", Some(2)),
            ("1n", Some(1)),
            ("", None),
            ("S", None),
            ("5", None),
            ("5s", None),
            ("123456789S", None),
        ] {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(grpc_timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 15_000, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }

    fn entry(weight: u32, cluster: u32) -> WeightedEntry {
        let cluster = ClusterId(cluster);
        WeightedEntry { weight, cluster, mutations: Mutations::default(), host_rewrite: None }
    }

    #[test]
    fn weights_are_kept() {
        let choice = ClusterChoice::Weighted { total: 10, entries: vec![entry(9, 0), entry(1, 1)] };
        let mut rng = Rng::seeded(3);
        let head = head();
        let second = (0..10_000).filter(|_| choose(&choice, &head, &mut rng) == Ok((ClusterId(1), Some(1))));
        let second = second.count();
        assert!((800..1200).contains(&second), "{second}");
    }
}
