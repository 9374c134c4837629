//! The router filter: takes a request that has passed all other filters, finds its route, and drives one
//! attempt upstream, or a second one where that is safe.
//!
//! It is the state of one request and is told what happens; it answers with a [`Step`] for the HTTP connection
//! manager. It never touches the downstream connection.

use super::config::{Action, ClusterChoice, Forward, Route, RouteConfig};
use super::ending::Cause;
use super::rewrite;
use super::table::RouteId;
use crate::io::{Cx, Rng};
use crate::stats::HttpStats;
use crate::upstream::config::ClusterId;
use crate::upstream::{AttemptKey, Begin, Event, Failure, Upstream, What};
use nuncio_codec::{Buffer, HeaderId, HeaderMap, RequestHead, ResponseHead};
use nuncio_reactor::{Address, RawKey, Time};
use std::time::Duration;

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

/// The router's state for one request.
#[derive(Debug, Default)]
pub struct Exchange {
    route: Option<RouteId>,
    cluster: Option<ClusterId>,
    attempt: Option<AttemptKey>,
    /// The host of the last attempt, for the access log.
    host: Option<Address>,
    /// The attempt has a connection and the head is sent.
    connected: bool,
    /// The request is complete.
    request_end: bool,
    /// Request body that waits for a connection.
    body: Buffer,
    trailers: Option<HeaderMap>,
    /// Some of the body has been given away and cannot be sent a second time.
    body_sent: bool,
    response_started: bool,
    replayed: bool,
    timeout: Option<Duration>,
    deadline: Option<Time>,
    /// When the request was complete, for x-envoy-upstream-service-time.
    sent_at: Option<Time>,
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
}

impl Exchange {
    /// A request's head has arrived; with `end` the whole request.
    pub fn on_headers(
        &mut self,
        frame: &Frame<'_>,
        head: &mut RequestHead,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Step {
        cx.stats.inc(frame.stats.rq_total);
        let Some(id) = frame.routes.find(head) else {
            cx.stats.inc(frame.stats.no_route);
            return Step::End(Cause::NoRoute);
        };
        self.route = Some(id);
        let route = frame.routes.route(id);
        match &route.action {
            Action::Direct(direct) => {
                cx.stats.inc(frame.stats.rq_direct_response);
                Step::End(Cause::Direct { status: direct.status, body: direct.body.clone() })
            }
            Action::Redirect(redirect) => {
                // Envoy counts both kinds of answer here.
                cx.stats.inc(frame.stats.rq_direct_response);
                let location = rewrite::location(route, redirect, head);
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
        self.cluster = Some(choose(&forward.cluster, cx.rng));
        self.timeout = forward.timeout;
        rewrite::rewrite(route, forward, head);
        if !frame.suppress_envoy_headers
            && let Some(timeout) = forward.timeout
        {
            set_number(head, HeaderId::X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, timeout.as_millis() as u64);
        }
        if end {
            self.on_request_end(cx);
        }
        self.begin(frame, head, false, upstream, cx)
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
                upstream.send_data(attempt, data, end, cx)
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
            Some(attempt) if self.connected => upstream.send_trailers(attempt, &trailers, cx),
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
        match event.what {
            What::Ready => {
                self.send(head, upstream, cx);
                Step::MoreBody
            }
            What::Drained => Step::MoreBody,
            What::Informational(head) => Step::Informational(head),
            What::Headers { mut head, end } => {
                self.response_started = true;
                if end {
                    self.attempt = None;
                }
                if !frame.suppress_envoy_headers
                    && let Some(sent_at) = self.sent_at
                {
                    let millis = (cx.reactor.now() - sent_at).as_millis() as u64;
                    let mut digits = [0; 20];
                    head.headers.set(HeaderId::X_ENVOY_UPSTREAM_SERVICE_TIME, decimal(millis, &mut digits));
                }
                Step::Headers(head, end)
            }
            What::Data { data, end } => {
                if end {
                    self.attempt = None;
                }
                Step::Data(data, end)
            }
            What::Trailers(trailers) => {
                self.attempt = None;
                Step::Trailers(trailers)
            }
            What::Failed(failure) => {
                self.attempt = None;
                self.on_failure(frame, failure, head, upstream, cx)
            }
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
            return Step::End(Cause::UpstreamAfterStart(failure));
        }
        // The reuse race: the upstream closed the kept connection while this request was on its way. Sending
        // it again is safe if it may be repeated and nothing of it is lost.
        if failure == (Failure::Terminated { reused: true })
            && !self.replayed
            && !self.body_sent
            && head.method.is_idempotent()
        {
            self.replayed = true;
            self.connected = false;
            let stats = &upstream.cluster(self.cluster.expect("an attempt has a cluster")).stats;
            cx.stats.inc(stats.upstream_rq_retry);
            return self.begin(frame, head, true, upstream, cx);
        }
        self.refuse(failure, upstream, cx)
    }

    fn refuse(&mut self, failure: Failure, upstream: &mut Upstream, cx: &mut Cx<'_>) -> Step {
        let cause = Cause::Upstream(failure);
        self.charge(&cause, upstream, cx);
        Step::End(cause)
    }

    fn charge(&self, cause: &Cause, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(cluster) = self.cluster {
            upstream.charge(cluster, cause.row().status, cx);
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
        match upstream.begin(cluster, frame.requester, fresh, cx) {
            Begin::Ready(attempt) => {
                self.attempt = Some(attempt);
                self.host = upstream.host_address(attempt).cloned();
                self.send(head, upstream, cx);
                Step::Wait
            }
            Begin::Waiting(attempt) => {
                self.attempt = Some(attempt);
                self.host = upstream.host_address(attempt).cloned();
                Step::Wait
            }
            Begin::Refused { failure, host } => {
                self.host = host;
                self.refuse(failure, upstream, cx)
            }
        }
    }

    /// There is a connection: everything that has waited for it goes out.
    fn send(&mut self, head: &RequestHead, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let attempt = self.attempt.expect("called with an attempt");
        self.connected = true;
        let has_body = !self.body.is_empty();
        let trailers = self.trailers.take();
        let end = self.request_end && trailers.is_none();
        upstream.send_headers(attempt, head, end && !has_body, cx);
        if has_body {
            self.body_sent = true;
            upstream.send_data(attempt, &mut self.body, end, cx);
        }
        if let Some(trailers) = trailers {
            self.body_sent = true;
            upstream.send_trailers(attempt, &trailers, cx);
        }
    }

    fn on_request_end(&mut self, cx: &mut Cx<'_>) {
        let now = cx.reactor.now();
        self.request_end = true;
        self.sent_at = Some(now);
        self.deadline = self.timeout.map(|timeout| now + timeout);
    }

    /// Takes note that the route's time-out has passed.
    pub fn on_timeout(&mut self, upstream: &mut Upstream, cx: &mut Cx<'_>) -> Cause {
        if let Some(cluster) = self.cluster {
            cx.stats.inc(upstream.cluster(cluster).stats.upstream_rq_timeout);
            if !self.response_started {
                self.charge(&Cause::RouteTimeout, upstream, cx);
            }
        }
        Cause::RouteTimeout
    }

    /// Ends whatever is still going on upstream.
    pub fn abandon(&mut self, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Some(attempt) = self.attempt.take() {
            upstream.abandon(attempt, cx);
        }
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

    /// When the response must be complete.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The route that was taken.
    pub fn route(&self) -> Option<RouteId> {
        self.route
    }

    /// The cluster that was chosen.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The host of the last attempt.
    pub fn host(&self) -> Option<&Address> {
        self.host.as_ref()
    }
}

fn choose(choice: &ClusterChoice, rng: &mut Rng) -> ClusterId {
    match choice {
        ClusterChoice::One(cluster) => *cluster,
        ClusterChoice::Weighted { total, entries } => {
            let mut ticket = rng.below(*total);
            for &(weight, cluster) in entries {
                match ticket.checked_sub(u64::from(weight)) {
                    Some(rest) => ticket = rest,
                    None => return cluster,
                }
            }
            // The total is the sum of the weights, so a ticket below it is always used up before.
            entries.last().expect("weighted clusters are not empty").1
        }
    }
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
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 15_000, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn weights_are_kept() {
        let choice =
            ClusterChoice::Weighted { total: 10, entries: vec![(9, ClusterId(0)), (1, ClusterId(1))] };
        let mut rng = Rng::seeded(3);
        let second = (0..10_000).filter(|_| choose(&choice, &mut rng) == ClusterId(1)).count();
        assert!((800..1200).contains(&second), "{second}");
    }
}
