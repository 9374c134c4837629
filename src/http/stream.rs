//! One request and its response: the state machine between the downstream codec and the terminal filter.
//!
//! A stream begins with the request's head and ends exactly once, in [`Http::end`](super::Http::end), with a cause;
//! what is answered, logged and counted follows from the cause. Streams lie in a slab and their headers and bodies in
//! pooled memory, so a warm connection's next request allocates nothing.

use super::codec::Codec;
use super::config::{HcmConfig, Terminal, Underscores};
use super::forwarding::{Ends, with_port_zero};
use super::header_rules;
use super::server_connection::{DownstreamKey, ServerConnection, alarm};
use super::{AdminRequest, Http, Manager};
use crate::io::Cx;
use crate::router::config::RouteConfig;
use crate::router::{Cause, Exchange, Frame, Origin, Step, StreamLimits};
use crate::stream_info::{Bytes, Downstream, StreamInfo, Times};
use crate::upstream::{Event, Upstream};
use nuncio_codec::{Buffer, HeaderMap, Method, RequestHead, ResponseHead, Version, h1, h2};
use nuncio_reactor::{Address, SlabKey, Time, slab_key};
use std::time::SystemTime;

slab_key! {
    /// A stream in [`Http`].
    pub(super) struct StreamKey;
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) connection: DownstreamKey,
    /// HTTP/2: what it is called on the wire, and its place among the connection's streams.
    pub(super) wire: Option<h2::StreamId>,
    pub(super) place: u32,
    /// HTTP/2: the reader of the request is slow, and these bytes of it count against the window.
    pub(super) paused: bool,
    pub(super) unconsumed: usize,
    /// HTTP/2: the response's writer was told to wait.
    pub(super) backed_up: bool,
    pub(super) request: RequestHead,
    /// Empty until the response begins.
    pub(super) response: ResponseHead,
    pub(super) router: Exchange,
    /// Its number in the process.
    pub(super) id: u64,
    /// Who is taken for the client, if that is not who is connected.
    pub(super) client: Option<Address>,
    /// What the route says about time.
    limits: StreamLimits,
    pub(super) started: Time,
    pub(super) started_wall: SystemTime,
    /// Last sign of life in either direction.
    pub(super) moved: Time,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    /// Bytes of what the codec adds to the response's headers.
    pub(super) about_connection: u8,
    pub(super) wire_received: u64,
    pub(super) wire_sent: u64,
    pub(super) request_end_at: Option<Time>,
    pub(super) response_begin_at: Option<Time>,
    pub(super) response_end_at: Option<Time>,
    pub(super) request_trailers: Option<HeaderMap>,
    pub(super) response_trailers: Option<HeaderMap>,
    pub(super) request_end: bool,
    pub(super) response_started: bool,
    pub(super) response_end: bool,
    /// It asks for another protocol.
    asks_upgrade: bool,
    /// It asks for a tunnel, and the configuration has nothing against it.
    pub(super) admitted: bool,
    /// The same, and there is an upstream to ask.
    pub(super) tunnel: bool,
}

impl Stream {
    fn new(connection: DownstreamKey, request: RequestHead, cx: &mut Cx<'_>) -> Self {
        let now = cx.reactor.now();
        Self {
            connection,
            wire: None,
            place: 0,
            paused: false,
            unconsumed: 0,
            backed_up: false,
            request,
            response: ResponseHead { version: Version::Http11, status: 0, headers: HeaderMap::new() },
            router: Exchange::default(),
            id: cx.rng.bits(),
            client: None,
            limits: StreamLimits::default(),
            started: now,
            started_wall: cx.reactor.wall(),
            moved: now,
            request_bytes: 0,
            response_bytes: 0,
            about_connection: 0,
            wire_received: 0,
            wire_sent: 0,
            request_end_at: None,
            response_begin_at: None,
            response_end_at: None,
            request_trailers: None,
            response_trailers: None,
            request_end: false,
            response_started: false,
            response_end: false,
            asks_upgrade: false,
            admitted: false,
            tunnel: false,
        }
    }

    fn end_request(&mut self, now: Time) {
        self.request_end = true;
        self.request_end_at = Some(now);
    }

    /// Whether it is a tunnel, of which one half may end before the other.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel
            && self.response_started
            && match self.request.method {
                Method::Connect => (200..300).contains(&self.response.status),
                _ => self.response.status == 101,
            }
    }

    /// All that is known about it but why and when it ended.
    pub(super) fn info<'a>(
        &'a self,
        routes: &'a RouteConfig,
        origin: &Origin<'a>,
        upstream: &'a Upstream,
    ) -> StreamInfo<'a> {
        let since = |time: Option<Time>| time.map(|time| time.saturating_since(self.started));
        let router = self.router.info(routes, origin, &self.request, upstream);
        StreamInfo {
            request_trailers: self.request_trailers.as_ref(),
            response: self.response_started.then_some(&self.response),
            response_trailers: self.response_trailers.as_ref(),
            times: Times {
                request_end: since(self.request_end_at),
                response_begin: since(self.response_begin_at),
                response_end: since(self.response_end_at),
                ..self.router.times(self.started)
            },
            bytes: Bytes {
                received: self.request_bytes,
                sent: self.response_bytes,
                request_headers: self.request_header_bytes(),
                response_headers: self.response_header_bytes(),
                downstream_wire_received: self.wire_received,
                downstream_wire_sent: self.wire_sent,
                ..router.bytes
            },
            ..router
        }
    }

    /// As Envoy counts: it leaves the `connection` that goes with an `upgrade` in the map.
    fn request_header_bytes(&self) -> u64 {
        let about_connection = if self.asks_upgrade { b"connectionUpgrade".len() } else { 0 };
        (self.request.headers.byte_size() + about_connection) as u64
    }

    /// As Envoy counts: with `:status`.
    fn response_header_bytes(&self) -> u64 {
        if !self.response_started {
            return 0;
        }
        let size = self.response.headers.byte_size() + b":status200".len();
        (size + usize::from(self.about_connection)) as u64
    }

    /// Where the request comes from.
    pub(super) fn origin<'a>(&'a self, connection: &'a ServerConnection, manager: &'a Manager) -> Origin<'a> {
        origin((self.started_wall, self.id, self.request_bytes, self.client.as_ref()), connection, manager)
    }
}

/// The same, for when parts of the stream are borrowed otherwise: its start, its number, how
/// much of its body has come, its client.
pub(super) fn origin<'a>(
    (start, stream_id, received, client): (SystemTime, u64, u64, Option<&'a Address>),
    connection: &'a ServerConnection,
    manager: &'a Manager,
) -> Origin<'a> {
    let downstream = Downstream {
        local: Some(connection.info.provenance.local()),
        direct_remote: Some(&connection.info.provenance.peer),
        remote: client.or(Some(connection.info.provenance.remote())),
        connection_id: connection.id,
        filter_chain: &manager.filter_chain,
        tls: connection.tls.as_deref(),
        transport_failure: "",
        server_name: connection.info.provenance.server_name(),
        filter_state: connection.info.filter_state(),
        provenance: Some(&connection.info.provenance),
    };
    Origin { start, stream_id, received, downstream }
}

/// What the router needs to know during a call about a stream.
macro_rules! frame {
    ($manager:expr, $connection:expr, $stream:ident, $key:expr, $bulk:expr) => {
        frame(
            $manager,
            $key,
            $bulk,
            origin(
                ($stream.started_wall, $stream.id, $stream.request_bytes, $stream.client.as_ref()),
                $connection,
                $manager,
            ),
        )
    };
}

impl Http {
    /// A request's head has arrived.
    pub(super) fn on_request(
        &mut self,
        connection: DownstreamKey,
        head: RequestHead,
        (mut end, id): (bool, Option<h2::StreamId>),
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let key = self.begin_stream(connection, head, id, cx);
        let stream = self.streams.get_mut(key).expect("just begun");
        let server = self.connections.get_mut(connection).expect("a request comes from a live connection");
        let manager = &self.managers[server.manager.0 as usize];
        let config = &manager.config;
        if end {
            stream.end_request(stream.started);
        }
        count_underscores(&stream.request, config, cx);
        if let Some(cause) =
            header_rules::check(&mut stream.request, config, Some(server.info.provenance.local()))
        {
            return self.refuse(key, cause, upstream, cx);
        }
        let expects = header_rules::take_expectation(&mut stream.request, config.proxy_100_continue);
        let mut upgrade = header_rules::upgrade(&stream.request).map(<[u8]>::to_vec);
        if let Some(protocol) = &mut upgrade {
            if config.ignored_upgrades.iter().any(|ignored| ignored.matches(protocol)) {
                server.codec.decline_upgrade();
                end = true;
                stream.end_request(stream.started);
                upgrade = None;
            } else {
                protocol.make_ascii_lowercase();
            }
        }
        stream.asks_upgrade = upgrade.is_some() && stream.request.method != Method::Connect;
        let ends = Ends {
            local: Some(server.info.provenance.local()),
            peer: server.info.provenance.remote(),
            secure: manager.secure,
            tls: server.tls.as_deref(),
        };
        let client =
            header_rules::prepare_request(&mut stream.request, upgrade.is_some(), ends, config, cx.rng);
        stream.client = client.address.map(with_port_zero);
        if let Terminal::Router(_) = config.terminal {
            stream.router.route(&config.routes, &stream.request);
            stream.limits = stream.router.limits(&config.routes, &stream.request);
        }
        if let Some(protocol) = upgrade
            && let Err(cause) = admit_upgrade(stream, &protocol, config)
        {
            return self.refuse(key, cause, upstream, cx);
        }
        if stream.asks_upgrade || stream.request.method == Method::Connect {
            stream.admitted = true;
            cx.stats.inc(config.stats.downstream_cx_upgrades_total);
            cx.stats.move_gauge(config.stats.downstream_cx_upgrades_active, 1);
        }
        if expects && !end {
            self.send_continue(key, cx);
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
            Cause::NoRoute => {
                // As if the router had seen it.
                cx.stats.inc(stats.rq_total);
                cx.stats.inc(stats.no_route);
            }
            Cause::PathNormalization | Cause::FragmentInPath => {
                cx.stats.inc(stats.downstream_rq_failed_path_normalization);
            }
            Cause::NormalizedPath { .. } => {
                cx.stats.inc(stats.downstream_rq_redirected_with_normalized_path);
            }
            _ => {}
        }
        // As Envoy decides; and what follows a refused tunnel is not HTTP.
        if connect
            || matches!(
                cause,
                Cause::MissingHost
                    | Cause::UpgradeRefused
                    | Cause::NoRoute
                    | Cause::Underscore { .. }
                    | Cause::PathNormalization
                    | Cause::FragmentInPath
            )
        {
            connection.codec.set_close();
        }
        if connect && stream.wire.is_some() {
            let config = &self.managers[connection.manager.0 as usize].config;
            let at = cx.reactor.now() + config.drain_timeout;
            Self::begin_drain(connection, stream.connection, at, cx);
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
                let tunnel = stream.tunnel;
                let frame = frame!(
                    manager,
                    connection,
                    stream,
                    key,
                    stream.wire.is_none() && cx.io.is_plain(connection.conn)
                );
                stream.router.on_headers(&frame, &mut stream.request, (end, tunnel), upstream, cx)
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
        key: StreamKey,
        mut data: Buffer,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(server) = self.connections.get_mut(stream.connection) else { return };
        let manager = &self.managers[server.manager.0 as usize];
        stream.request_bytes += data.len() as u64;
        stream.moved = cx.reactor.now();
        if end {
            stream.end_request(stream.moved);
        }
        match &manager.config.terminal {
            Terminal::Router(_) => {
                let frame = frame!(manager, server, stream, key, false);
                let more = stream.router.on_data(&frame, &mut data, end, upstream, cx);
                if !more && !end {
                    cx.stats.inc(manager.config.stats.downstream_flow_control_paused_reading_total);
                    match server.codec {
                        Codec::H1(_) => server.paused = true,
                        Codec::H2(_) => stream.paused = true,
                    }
                }
            }
            Terminal::Admin if end => self.ask_admin(key),
            Terminal::Admin => {}
        }
        if !end {
            return;
        }
        if self.streams.get(key).is_some_and(|stream| stream.response_end) {
            // The second half of a tunnel.
            return self.end(key, Cause::Complete, upstream, cx);
        }
        self.arm(key, cx);
    }

    /// The request's trailers, which end it.
    pub(super) fn on_request_trailers(
        &mut self,
        key: StreamKey,
        trailers: HeaderMap,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(server) = self.connections.get(stream.connection) else { return };
        stream.end_request(cx.reactor.now());
        stream.request_trailers = Some(trailers.clone());
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
        let frame = frame!(
            manager,
            connection,
            stream,
            key,
            stream.wire.is_none() && cx.io.is_plain(connection.conn)
        );
        let step = stream.router.on_upstream(&frame, event, &stream.request, upstream, cx);
        self.take(key, step, upstream, cx);
    }

    fn take(&mut self, key: StreamKey, step: Step, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        match step {
            Step::Wait => {}
            Step::MoreBody => {
                self.resume_request(key, cx);
                // A time limit of the cluster's may have begun to run.
                self.arm(key, cx);
            }
            Step::Informational(head) => self.send_informational(key, &head, cx),
            Step::Headers(head, end) => {
                self.send_headers(key, head, end, cx);
                if end {
                    self.end(key, Cause::Complete, upstream, cx);
                }
            }
            Step::Data(mut data, end) => {
                if !self.send_data(key, &mut data, end, cx) && !end {
                    self.pause_response(key, upstream, cx);
                }
                if end && !self.half_close(key, cx) {
                    self.end(key, Cause::Complete, upstream, cx);
                }
            }
            Step::Trailers(trailers) => {
                self.send_trailers(key, trailers, cx);
                self.end(key, Cause::Complete, upstream, cx);
            }
            Step::End(cause) => self.end(key, cause, upstream, cx),
        }
    }

    pub(super) fn begin_stream(
        &mut self,
        connection: DownstreamKey,
        request: RequestHead,
        id: Option<h2::StreamId>,
        cx: &mut Cx<'_>,
    ) -> StreamKey {
        let mut stream = Stream::new(connection, request, cx);
        stream.wire_received = std::mem::take(&mut self.pending_wire);
        let key = self.streams.insert(stream);
        let server = self.connections.get_mut(connection).expect("a request comes from a live connection");
        server.requests += 1;
        let config = &self.managers[server.manager.0 as usize].config;
        let stats = &config.stats;
        cx.stats.inc(stats.downstream_rq_total);
        match (&mut server.codec, id) {
            (Codec::H2(multiplex), Some(id)) => {
                multiplex.codec.set_tag(id, key.raw().to_bits());
                let stream = self.streams.get_mut(key).expect("just inserted");
                stream.wire = Some(id);
                stream.place = multiplex.streams.len() as u32;
                multiplex.streams.push(key);
                cx.stats.inc(stats.downstream_rq_http2_total);
                cx.stats.move_gauge(config.http2_stats.streams_active, 1);
            }
            _ => {
                server.stream = Some(key);
                cx.stats.inc(stats.downstream_rq_http1_total);
            }
        }
        cx.stats.move_gauge(stats.downstream_rq_active, 1);
        if config.max_requests_per_connection.is_some_and(|limit| server.requests >= limit) {
            server.codec.set_close();
            let at = cx.reactor.now() + config.drain_timeout;
            if Self::begin_drain(server, connection, at, cx) || id.is_none() {
                cx.stats.inc(config.stats.downstream_cx_max_requests_reached);
            }
        }
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
        if let Some(connection) = self.connections.get_mut(key) {
            connection.garbled = true;
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
                self.begin_stream(key, head, None, cx)
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
            Cause::StreamIdle { .. } => cx.stats.inc(stats.downstream_rq_idle_timeout),
            Cause::RequestTimeout => cx.stats.inc(stats.downstream_rq_timeout),
            Cause::MaxDuration { .. } => cx.stats.inc(stats.downstream_rq_max_duration_reached),
            Cause::RouteTimeout { .. } | Cause::UpstreamMaxDuration { .. } => {
                stream.router.on_timeout(&cause, upstream, cx);
            }
            _ => {}
        }
        self.end(key, cause, upstream, cx);
    }

    /// The next time limit of a stream, or the one that has passed.
    pub(super) fn check_stream_deadlines(&self, key: StreamKey, now: Time) -> Result<Option<Time>, Cause> {
        let Some(stream) = self.streams.get(key) else { return Ok(None) };
        let Some(connection) = self.connections.get(stream.connection) else { return Ok(None) };
        let config = &self.managers[connection.manager.0 as usize].config;
        let idle = stream.limits.idle.unwrap_or(config.stream_idle_timeout);
        let whole = stream.limits.duration.unwrap_or(config.max_stream_duration);
        let request = config.request_timeout.filter(|_| !stream.request_end);
        let [route, cluster] = stream.router.deadlines();
        let mut next = None;
        for (deadline, cause) in [
            route,
            cluster,
            (request.map(|limit| stream.started + limit), Cause::RequestTimeout),
            (
                whole.map(|limit| stream.started + limit),
                Cause::MaxDuration { request_end: stream.request_end },
            ),
            (idle.map(|limit| stream.moved + limit), Cause::StreamIdle { request_end: stream.request_end }),
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

    fn ask_admin(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key) else { return };
        self.admin.push_back(AdminRequest {
            stream: key.raw(),
            method: String::from_utf8_lossy(stream.request.method_bytes()).into_owned(),
            path: String::from_utf8_lossy(stream.request.path()).into_owned(),
        });
    }
}

/// Whether an upgrade is allowed: by the route, or else by the connection manager. A route that does not go
/// upstream answers it like any request.
fn admit_upgrade(stream: &mut Stream, protocol: &[u8], config: &HcmConfig) -> Result<(), Cause> {
    let connect = stream.request.method == Method::Connect;
    let forwarding = stream.router.is_forwarding(&config.routes);
    if connect && !forwarding {
        return Err(Cause::NoRoute);
    }
    let by_route = stream.router.allows_upgrade(&config.routes, protocol);
    if !by_route.unwrap_or_else(|| config.allows_upgrade(protocol)) {
        return Err(if stream.router.is_lost() { Cause::NoRoute } else { Cause::UpgradeRefused });
    }
    stream.tunnel = forwarding;
    Ok(())
}

fn count_underscores(request: &RequestHead, config: &HcmConfig, cx: &Cx<'_>) {
    let h2 = request.version == Version::H2;
    let counter = match (config.underscores, h2) {
        (Underscores::Allow, _) => return,
        (Underscores::Reject, false) => config.codec_stats.requests_rejected_with_underscores_in_headers,
        (Underscores::Drop, false) => config.codec_stats.dropped_headers_with_underscores,
        (Underscores::Reject, true) => config.http2_stats.requests_rejected_with_underscores_in_headers,
        (Underscores::Drop, true) => config.http2_stats.dropped_headers_with_underscores,
    };
    let count = request.headers.iter().filter(|header| header.name.contains(&b'_')).count();
    if count > 0 {
        cx.stats.add(counter, if config.underscores == Underscores::Reject { 1 } else { count as u64 });
    }
}

fn frame<'a>(manager: &'a Manager, key: StreamKey, bulk: bool, origin: Origin<'a>) -> Frame<'a> {
    Frame {
        routes: &manager.config.routes,
        stats: &manager.config.stats,
        suppress_envoy_headers: manager.config.suppresses_envoy_headers(),
        buffer_limit: manager.buffer_limit as usize,
        requester: key.raw(),
        bulk,
        origin,
    }
}
