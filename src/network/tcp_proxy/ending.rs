//! How a session ends: one reason, and what follows from it for both connections, the counters and the access log.

use super::super::chain::{DENIED, Refusal};
use super::super::session::{Kind, Session, SessionKey};
use super::super::{Denial, Network, Side};
use super::Up;
use crate::io::{Close, Cx};
use crate::stream_info::{CloseType, Flag};
use crate::upstream::{By, Upstream};
use std::time::Duration;

/// Why a session ends.
#[derive(Clone, Debug)]
pub(in crate::network) enum End {
    /// Both sides have finished, and everything is written.
    Complete,
    /// One side has broken off.
    Reset(Side),
    /// No byte for too long.
    Idle,
    /// It has lasted too long.
    Expired,
    /// There is no connection to a host; the reason.
    NotConnected(&'static str),
    /// A filter does not let through what the client sends.
    Denied(Denial),
    /// A filter does not let the client in.
    Refused(Refusal),
    /// The client has gone before there was anything to connect for.
    Abandoned,
    /// The process ends.
    Stopped,
}

const IDLE: &str = "tcp_session_idle_timeout";

/// What follows.
struct Row {
    down: Close,
    up: Close,
    by: By,
    flag: Flag,
    /// What is said about why we close.
    reason: &'static str,
    ended: (CloseType, CloseType),
}

impl End {
    fn row(&self) -> Row {
        let row = Row {
            down: Close::Now,
            up: Close::Now,
            by: By::Us,
            flag: Flag::None,
            reason: "",
            ended: (CloseType::Normal, CloseType::Normal),
        };
        match self {
            Self::Complete | Self::Abandoned | Self::Stopped => row,
            Self::Reset(Side::Down) => {
                Row { up: Close::Reset, ended: (CloseType::RemoteReset, CloseType::Normal), ..row }
            }
            Self::Reset(Side::Up) => Row {
                down: Close::Reset,
                by: By::Them,
                flag: Flag::UpstreamRemoteReset,
                ended: (CloseType::LocalReset, CloseType::RemoteReset),
                ..row
            },
            Self::Idle => Row { reason: IDLE, ..row },
            Self::Expired => {
                Row { reason: "max_connection_duration_reached", flag: Flag::DurationTimeout, ..row }
            }
            Self::NotConnected(reason) => Row { reason, ..row },
            Self::Denied(denial) => {
                Row { reason: DENIED, down: denial.delay.map_or(Close::Now, Close::After), ..row }
            }
            Self::Refused(Refusal { reason, flag, delay }) => {
                Row { reason, flag: *flag, down: delay.map_or(Close::Now, Close::After), ..row }
            }
        }
    }
}

impl Network {
    /// Ends a session.
    pub(in crate::network) fn end(
        &mut self,
        key: SessionKey,
        end: End,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(Session { kind: Kind::Tcp(tcp), .. }) = self.sessions.get_mut(key) else {
            return self.close_down(key, Close::Now, upstream, cx);
        };
        let row = end.row();
        let stats = &tcp.config.stats;
        match end {
            End::Idle => cx.stats.inc(stats.idle_timeout),
            End::Expired => cx.stats.inc(stats.max_downstream_connection_duration),
            End::Denied(denial) => tcp.termination = Some(denial.details),
            _ => {}
        }
        if row.flag != Flag::None {
            tcp.flags.add(row.flag);
        }
        tcp.ended = row.ended;
        tcp.reason.0 = row.reason;
        match std::mem::replace(&mut tcp.up, Up::Gone) {
            Up::Dialing(line) => {
                if row.reason == IDLE {
                    tcp.flags.add(Flag::UpstreamConnectionFailure);
                }
                upstream.cancel_dial(line, cx);
            }
            Up::Open { line, .. } => {
                tcp.reason.1 = row.reason;
                upstream.hang_up(line, row.up, None::<Duration>, row.by, cx);
            }
            Up::Tunnel { attempt, open } => {
                if !open && row.reason == IDLE {
                    tcp.flags.add(Flag::UpstreamConnectionFailure);
                }
                upstream.abandon(attempt, cx);
            }
            Up::None | Up::Gone => {}
        }
        if tcp.flushing {
            cx.stats.move_gauge(stats.upstream_flush_active, -1);
        } else {
            self.close_down(key, row.down, upstream, cx);
        }
        if let Some(mut session) = self.sessions.remove(key) {
            session.alarm.stop(cx.reactor);
        }
    }
}
