//! A session that goes through an HTTP proxy: it asks for a tunnel with CONNECT (or POST), and its bytes are the bodies
//! of that request and its response.

use super::super::session::{Kind, Session, SessionKey};
use super::super::view::view;
use super::super::{Network, Side};
use super::connect::{CONNECT_FAILED, LIMIT_EXCEEDED, NO_HEALTHY_HOST, hash};
use super::{End, Flow, Meters, Up};
use crate::io::{Cx, Read};
use crate::network::raw;
use crate::stream_info::Flag;
use crate::upstream::config::{ClusterId, Priority};
use crate::upstream::{Ask, AttemptKey, Begin, By, Event, Failure, Requester, Upstream, What};
use nuncio_codec::{Buffer, HeaderId, HeaderMap, Method, RequestHead, Version, is_field_value};

/// Most bytes read from the client before others have their turn.
const READ_BUDGET: usize = 512 << 10;

/// What came of asking for a tunnel.
pub(super) enum Asked {
    /// It is being asked for.
    Yes,
    /// It was not possible; another attempt may be made.
    Again,
    /// There is no more use in asking.
    Over(&'static str),
}

impl Network {
    /// Asks a cluster for a tunnel.
    pub(super) fn ask_for_tunnel(
        &mut self,
        key: SessionKey,
        cluster: ClusterId,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Asked {
        let Some(Session { kind: Kind::Tcp(tcp), info, .. }) = self.sessions.get_mut(key) else {
            return Asked::Over(CONNECT_FAILED);
        };
        let ask = Ask {
            cluster,
            priority: Priority::Default,
            internal: false,
            requester: Requester::Session(raw(key)),
            fresh: false,
            bulk: false,
            version: Version::Http11,
            client: Some(&info.provenance),
            head: None,
            hash: hash(&tcp.config.hash_policy, info),
        };
        match upstream.begin(ask, cx) {
            Begin::Ready(attempt) => {
                tcp.attempts += 1;
                tcp.up = Up::Tunnel { attempt, open: false };
                self.send_request(key, attempt, upstream, cx);
                Asked::Yes
            }
            Begin::Waiting(attempt) => {
                tcp.attempts += 1;
                tcp.up = Up::Tunnel { attempt, open: false };
                tcp.host = upstream.peer(attempt, cx).map(|peer| peer.host);
                Asked::Yes
            }
            Begin::Refused { failure: Failure::NoHealthyHost, .. } => {
                tcp.flags.add(Flag::NoHealthyUpstream);
                Asked::Over(NO_HEALTHY_HOST)
            }
            Begin::Refused { failure: Failure::Overflow, .. } => {
                tcp.flags.add(Flag::UpstreamOverflow);
                Asked::Over(LIMIT_EXCEEDED)
            }
            Begin::Refused { failure, host } => {
                tcp.attempts += 1;
                tcp.host = host.or(tcp.host);
                tcp.note_failure(failure);
                Asked::Again
            }
        }
    }

    /// Something happened to the tunnel.
    pub(in crate::network) fn on_tunnel(
        &mut self,
        key: SessionKey,
        event: Event,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(Session { kind: Kind::Tcp(tcp), .. }) = self.sessions.get_mut(key) else { return };
        let Up::Tunnel { attempt, open } = tcp.up else { return };
        if attempt != event.attempt {
            return;
        }
        tcp.framing.1 += event.received as u64;
        match event.what {
            What::Ready => self.send_request(key, attempt, upstream, cx),
            What::Informational(_) => {}
            What::Failed(_) if open => self.end(key, End::Reset(Side::Up), upstream, cx),
            What::Failed(failure) => {
                tcp.note_failure(failure);
                self.try_again(key, upstream, cx);
            }
            What::Headers { head, .. } if !(200..300).contains(&head.status) => {
                tcp.flags.add(Flag::UpstreamConnectionFailure);
                tcp.failure = Some(format!("tunnel_response:{}", head.status).into());
                upstream.abandon(attempt, cx);
                self.try_again(key, upstream, cx);
            }
            What::Headers { end, .. } => self.on_open(key, attempt, end, upstream, cx),
            What::Data { data, end } => self.on_tunnel_data(key, data, end, upstream, cx),
            What::Trailers(_) => self.on_tunnel_data(key, Buffer::new(), true, upstream, cx),
            What::Drained => {
                if tcp.down.paused {
                    tcp.down.paused = false;
                    cx.stats.inc(tcp.down.meters.resumed);
                }
                self.pump(key, Side::Down, upstream, cx);
            }
        }
    }

    /// Passes on what the client sends.
    pub(super) fn relay_fill_tunnel(
        &mut self,
        key: SessionKey,
        attempt: AttemptKey,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(Session { kind: Kind::Tcp(tcp), info, down, .. }) = self.sessions.get_mut(key) else {
            return;
        };
        let down = *down;
        let mut budget = READ_BUDGET;
        loop {
            if tcp.down.ended || tcp.down.paused {
                if cx.io.is_broken(down) {
                    self.end(key, End::Reset(Side::Down), upstream, cx);
                }
                return;
            }
            if budget == 0 {
                return cx.reactor.defer(super::super::session::resume(key));
            }
            let read = cx.io.read(down);
            if matches!(read, Read::Data(_) | Read::Eof)
                && info.is_guarded()
                && let Err(denial) = info.admit(down, cx)
            {
                return self.end(key, End::Denied(denial), upstream, cx);
            }
            match read {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    cx.stats.add(tcp.down.meters.received, n as u64);
                    tcp.received += n as u64;
                    tcp.last = cx.reactor.now();
                    tcp.fill_tunnel(down, attempt, false, upstream, cx);
                }
                Read::Empty => return,
                Read::Eof => {
                    tcp.down.ended = true;
                    tcp.ended_by = By::Us;
                    tcp.fill_tunnel(down, attempt, true, upstream, cx);
                    return self.after_half(key, cx);
                }
                Read::Failed => return self.end(key, End::Reset(Side::Down), upstream, cx),
            }
        }
    }

    /// There is a connection: asks for the tunnel.
    fn send_request(
        &mut self,
        key: SessionKey,
        attempt: AttemptKey,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let chain = &self.chains[session.chain.0 as usize];
        let Kind::Tcp(tcp) = &mut session.kind else { return };
        if let Some(peer) = upstream.peer(attempt, cx) {
            tcp.host = Some(peer.host);
            tcp.local = peer.local;
            tcp.up_id = peer.connection;
            tcp.tls = peer.tls;
        }
        let Some(config) = session.tunnel() else { return };
        let view = view(session, chain, "", upstream, cx);
        let mut target = Vec::new();
        config.hostname.write_value(&view, &mut target);
        // What is asked for may have been named by the client.
        if target.is_empty() || !is_field_value(&target) || target.iter().any(|byte| *byte <= b' ') {
            upstream.abandon(attempt, cx);
            return self.end(key, End::NotConnected(CONNECT_FAILED), upstream, cx);
        }
        let mut headers = HeaderMap::new();
        let method = if config.post.is_some() { Method::Post } else { Method::Connect };
        headers.append(b":method", if config.post.is_some() { b"POST" } else { b"CONNECT" });
        if let Some(path) = &config.post {
            headers.append(b":path", path);
            headers.append(b":scheme", b"http");
        }
        headers.append_id(HeaderId::AUTHORITY, &target);
        let mut head = RequestHead { version: Version::Http11, method, headers };
        config.headers.apply_to_request(&mut head, &view);
        let sent = upstream.send_headers(attempt, &head, false, cx);
        if let Some(Session { kind: Kind::Tcp(tcp), .. }) = self.sessions.get_mut(key) {
            tcp.framing.0 += sent;
        }
    }

    /// The attempt to get a tunnel has failed.
    fn try_again(&mut self, key: SessionKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(Session { kind: Kind::Tcp(tcp), alarm, .. }) = self.sessions.get_mut(key) else { return };
        tcp.up = Up::None;
        if tcp.rest(cx) {
            let at = tcp.retry_at.expect("it rests");
            return alarm.by(at, super::super::session::alarm(key), cx.reactor);
        }
        self.connect(key, upstream, cx);
    }

    /// The tunnel is open.
    fn on_open(
        &mut self,
        key: SessionKey,
        attempt: AttemptKey,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(Session { kind: Kind::Tcp(tcp), down, .. }) = self.sessions.get_mut(key) else { return };
        let down = *down;
        tcp.up = Up::Tunnel { attempt, open: true };
        tcp.last = cx.reactor.now();
        let stats = &upstream.cluster(tcp.cluster.expect("it was asked")).stats;
        tcp.back = Flow::new(Meters {
            sent: tcp.config.stats.downstream_cx_tx_bytes_total,
            paused: stats.upstream_flow_control_paused_reading_total,
            resumed: stats.upstream_flow_control_resumed_reading_total,
            ..tcp.back.meters
        });
        // What the client has sent meanwhile.
        let ended = tcp.down.ended;
        if ended || !cx.io.input(down).is_empty() {
            tcp.fill_tunnel(down, attempt, ended, upstream, cx);
        }
        if tcp.config.log_connected {
            self.log(key, "TcpUpstreamConnected", upstream, cx);
        }
        if end {
            self.on_tunnel_data(key, Buffer::new(), true, upstream, cx);
        }
        self.pump(key, Side::Down, upstream, cx);
    }

    /// The host has sent something.
    fn on_tunnel_data(
        &mut self,
        key: SessionKey,
        mut data: Buffer,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(Session { kind: Kind::Tcp(tcp), down, .. }) = self.sessions.get_mut(key) else { return };
        let Up::Tunnel { attempt, .. } = tcp.up else { return };
        let n = data.len() as u64;
        if n > 0 && !tcp.flushing {
            tcp.last = cx.reactor.now();
            tcp.back.passed += n;
            // The wire's bytes are counted as a whole.
            tcp.framing.1 = tcp.framing.1.saturating_sub(n);
            cx.stats.add(tcp.back.meters.sent, n);
            cx.io.output(*down).move_all(&mut data);
            if cx.io.is_backed_up(*down) && !tcp.back.paused {
                tcp.back.paused = true;
                upstream.pause(attempt, cx);
            }
        }
        if end {
            tcp.back.ended = true;
            tcp.ended_by = By::Them;
            // An answer to a POST that is complete before the request is: nobody reads the rest.
            tcp.down.ended |= upstream.peer(attempt, cx).is_none();
            cx.io.finish(*down);
            self.after_half(key, cx);
        }
    }

    /// One half of the tunnel has ended. Once both have, what is left of it is the cluster manager's business.
    fn after_half(&mut self, key: SessionKey, cx: &mut Cx<'_>) {
        let Some(Session { kind: Kind::Tcp(tcp), .. }) = self.sessions.get_mut(key) else { return };
        if tcp.has_ended() {
            tcp.up = Up::Gone;
        }
        cx.reactor.defer(super::super::session::resume(key));
    }
}

impl super::Tcp {
    /// Gives the tunnel what was read from the client.
    fn fill_tunnel(
        &mut self,
        down: crate::io::ConnKey,
        attempt: AttemptKey,
        end: bool,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let mut data = std::mem::take(cx.io.input(down));
        let n = data.len() as u64;
        let (more, sent) = upstream.send_data(attempt, &mut data, end, cx);
        self.down.passed += n;
        self.framing.0 += sent.saturating_sub(n);
        if !more && !end {
            self.down.paused = true;
            cx.stats.inc(self.down.meters.paused);
        }
    }
}
