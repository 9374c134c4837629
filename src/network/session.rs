//! A connection that a filter chain owns: its beginning, its time limits, its end. And the two filters that answer by
//! themselves, echo and direct response.

use super::chain::{DENIED, Refusal};
use super::config::Terminal;
use super::tcp_proxy::{End, Tcp, config::Tunnel};
use super::{ChainId, ConnectionInfo, Network, Side};
use crate::io::{Alarm, Close, ConnKey, Cx, Layer, Owner, Read, Task, Wake};
use crate::stream_info::{Flag, Flags};
use crate::upstream::Upstream;
use nuncio_reactor::{SlabKey, Time, slab_key};
use std::time::{Duration, SystemTime};

slab_key! {
    /// A session in [`Network`].
    pub(super) struct SessionKey;
}

/// Most bytes read from one connection before others have their turn.
const READ_BUDGET: usize = 512 << 10;
/// How long a client may take none of what it is sent when its connection is being closed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client that has got its direct response may leave the connection open.
const GRACE: Duration = Duration::from_secs(1);

/// A connection that a filter chain owns.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) chain: ChainId,
    pub(super) info: ConnectionInfo,
    /// Its number in the process.
    pub(super) id: u64,
    pub(super) down: ConnKey,
    /// When it was accepted.
    pub(super) opened: Time,
    pub(super) started: SystemTime,
    pub(super) alarm: Alarm,
    pub(super) kind: Kind,
    /// Why it ended, for the access log; the TCP proxy has more to say.
    pub(super) outcome: Outcome,
}

/// Why a session ended, in words.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Outcome {
    /// `%RESPONSE_CODE_DETAILS%`.
    pub(super) details: &'static str,
    /// Why we closed the connection.
    pub(super) reason: &'static str,
    pub(super) flags: Flags,
    pub(super) reset: bool,
}

/// What ends the chain.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all sessions are the TCP proxy's, and they lie in a slab"
)]
pub(super) enum Kind {
    /// It is only being turned away.
    Nothing,
    /// Sends back what comes.
    Echo,
    /// Passes it on.
    Tcp(Box<Tcp>),
}

impl Session {
    /// Whether both senders of a session of the TCP proxy have finished.
    pub(super) fn has_ended(&self) -> bool {
        matches!(&self.kind, Kind::Tcp(tcp) if tcp.has_ended())
    }

    /// How the TCP proxy goes through an HTTP proxy, if it does.
    pub(super) fn tunnel(&self) -> Option<&Tunnel> {
        match &self.kind {
            Kind::Tcp(tcp) => tcp.tunnel(),
            _ => None,
        }
    }
}

impl Network {
    /// Starts a session, or turns its connection away.
    pub(super) fn begin(
        &mut self,
        down: ConnKey,
        info: ConnectionInfo,
        (id, admitted): (ChainId, Result<(), Refusal>),
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let chain = &self.chains[id.0 as usize];
        let now = cx.reactor.now();
        let opened = cx.io.accepted_at(down).unwrap_or(now);
        let wall = cx.reactor.wall();
        let kind = match &chain.terminal {
            Some(Terminal::TcpProxy(config)) => Kind::Tcp(Box::new(Tcp::new(config, cx))),
            Some(Terminal::Echo) => Kind::Echo,
            Some(Terminal::DirectResponse(_)) | None => Kind::Nothing,
        };
        let direct = match (&chain.terminal, &admitted) {
            (Some(Terminal::DirectResponse(response)), Ok(())) => Some(response.clone()),
            _ => None,
        };
        let key = self.sessions.insert(Session {
            chain: id,
            info,
            id: cx.io.id(down),
            down,
            opened,
            started: wall.checked_sub(now - opened).unwrap_or(wall),
            alarm: Alarm::default(),
            kind,
            outcome: Outcome::default(),
        });
        cx.io.set_owner(down, Owner::Session(key.raw()));
        if let Err(refusal) = admitted {
            return self.refuse(key, refusal, upstream, cx);
        }
        if let Some(response) = direct {
            cx.io.output(down).append(&response);
            if let Some(session) = self.sessions.get_mut(key) {
                session.outcome.details = "direct_response";
            }
            // What the client sends must not destroy the answer by a reset.
            return self.close_down(key, Close::Linger, upstream, cx);
        }
        self.start_tcp(key, upstream, cx);
    }

    fn refuse(&mut self, key: SessionKey, refusal: Refusal, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Kind::Tcp(_) = session.kind {
            return self.end(key, End::Refused(refusal), upstream, cx);
        }
        session.outcome.reason = refusal.reason;
        if refusal.flag != Flag::None {
            session.outcome.flags.add(refusal.flag);
        }
        self.close_down(key, refusal.delay.map_or(Close::Now, Close::After), upstream, cx);
    }

    /// The client has sent something, or something has changed for it.
    pub(super) fn pump_down(&mut self, key: SessionKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        match self.sessions.get(key).map(|session| &session.kind) {
            Some(Kind::Tcp(_)) => self.pump(key, Side::Down, upstream, cx),
            Some(Kind::Echo) => self.echo(key, upstream, cx),
            Some(Kind::Nothing) | None => {}
        }
    }

    /// A session is to be looked at again.
    pub(super) fn on_wake(&mut self, key: SessionKey, wake: Wake, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        match (wake, self.sessions.get(key).map(|session| &session.kind)) {
            (Wake::Resume, Some(Kind::Tcp(tcp))) if tcp.has_ended() => self.check_end(key, upstream, cx),
            (Wake::Resume, Some(Kind::Tcp(_))) => {
                self.pump(key, Side::Down, upstream, cx);
                self.pump(key, Side::Up, upstream, cx);
            }
            (Wake::Resume, Some(Kind::Echo)) => self.echo(key, upstream, cx),
            (Wake::Alarm, Some(Kind::Tcp(_))) => self.on_alarm(key, upstream, cx),
            _ => {}
        }
    }

    pub(super) fn stop_session(&mut self, key: SessionKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.end(key, End::Stopped, upstream, cx);
    }

    /// Closes the client's connection and accounts for it. A session of the TCP proxy stays, for its other half.
    pub(super) fn close_down(
        &mut self,
        key: SessionKey,
        how: Close,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        self.log(key, "TcpConnectionEnd", upstream, cx);
        self.log_connection(key, upstream, cx);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let patience = if how == Close::Linger { GRACE } else { PATIENCE };
        cx.io.close(session.down, how, Some(patience), cx.reactor);
        // What the connection has taken of limits is given back now.
        session.info.extra = None;
        if !matches!(session.kind, Kind::Tcp(_)) {
            self.sessions.remove(key);
        }
    }

    /// Sends back what comes, the end too.
    fn echo(&mut self, key: SessionKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let down = session.down;
        let mut budget = READ_BUDGET;
        let how = loop {
            if cx.io.is_finished(down) {
                break Close::Now;
            }
            if cx.io.is_backed_up(down) {
                if cx.io.is_broken(down) {
                    break Close::Now;
                }
                return;
            }
            if budget == 0 {
                return cx.reactor.defer(resume(key));
            }
            let read = cx.io.read(down);
            if matches!(read, Read::Data(_) | Read::Eof)
                && session.info.is_guarded()
                && let Err(denial) = session.info.admit(down, cx)
            {
                session.outcome.reason = DENIED;
                session.info.extra().denial = Some(denial.details);
                break denial.delay.map_or(Close::Now, Close::After);
            }
            match read {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    cx.io.forward(down, down);
                }
                Read::Empty => return,
                Read::Eof => return cx.io.finish(down),
                Read::Failed => {
                    session.outcome.reset = true;
                    break Close::Now;
                }
            }
        };
        self.close_down(key, how, upstream, cx);
    }
}

pub(super) fn alarm(key: SessionKey) -> Task {
    Task { layer: Layer::Session, wake: Wake::Alarm, key: key.raw() }
}

pub(super) fn resume(key: SessionKey) -> Task {
    Task { layer: Layer::Session, wake: Wake::Resume, key: key.raw() }
}
