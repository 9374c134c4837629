//! The time limits of a session, and when it starts.

use super::super::Network;
use super::super::session::{Kind, Session, SessionKey, alarm};
use super::config::TcpProxyConfig;
use super::{End, Flow, Meters, Tcp, Up};
use crate::io::Cx;
use crate::stream_info::{CloseType, Flags};
use crate::upstream::{By, Upstream};
use nuncio_reactor::Time;
use std::sync::Arc;

impl Tcp {
    /// A session that has just begun.
    pub(in crate::network) fn new(config: &Arc<TcpProxyConfig>, cx: &mut Cx<'_>) -> Self {
        let stats = &config.stats;
        cx.stats.inc(stats.downstream_cx_total);
        let now = cx.reactor.now();
        let max_duration = config.max_duration.map(|duration| {
            let jitter = config.max_duration_jitter * (cx.rng.below(1 << 32) as f64 / (1u64 << 32) as f64);
            duration + duration.mul_f64(jitter)
        });
        // The host's counters are known when there is a host.
        let meters = Meters {
            received: stats.downstream_cx_rx_bytes_total,
            sent: stats.downstream_cx_tx_bytes_total,
            paused: stats.downstream_flow_control_paused_reading_total,
            resumed: stats.downstream_flow_control_resumed_reading_total,
        };
        Self {
            config: Arc::clone(config),
            up: Up::None,
            cluster: None,
            host: None,
            local: None,
            up_id: None,
            tls: None,
            attempts: 0,
            failure: None,
            flags: Flags::default(),
            down: Flow::new(meters),
            back: Flow::new(meters),
            framing: (0, 0),
            received: 0,
            waits_for_data: config.connect_on_data,
            last: now,
            expires: max_duration.map(|duration| now + duration),
            next_line: config.log_interval.map(|interval| now + interval),
            retry_at: None,
            flushing: false,
            ended: (CloseType::Normal, CloseType::Normal),
            ended_by: By::Us,
            reason: ("", ""),
            termination: None,
        }
    }

    /// When the next time limit may be reached.
    fn next_limit(&self) -> Option<Time> {
        let idle = self.config.idle_timeout.map(|timeout| self.last + timeout);
        let client = [self.expires, self.next_line, self.retry_at].into_iter().filter(|_| !self.flushing);
        client.flatten().chain(idle).min()
    }
}

impl Network {
    /// Starts what a new session of the TCP proxy does.
    pub(in crate::network) fn start_tcp(
        &mut self,
        key: SessionKey,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(Session { kind: Kind::Tcp(tcp), alarm, .. }) = self.sessions.get_mut(key) else { return };
        if let Some(next) = tcp.next_limit() {
            alarm.by(next, self::alarm(key), cx.reactor);
        }
        if !tcp.waits_for_data {
            self.connect(key, upstream, cx);
        }
    }

    /// A time limit may have been reached.
    pub(in crate::network) fn on_alarm(&mut self, key: SessionKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.alarm.rang();
        let Kind::Tcp(tcp) = &mut session.kind else { return };
        let now = cx.reactor.now();
        let reached = |limit: Option<Time>| limit.is_some_and(|limit| now >= limit);
        if reached(tcp.expires) && !tcp.flushing {
            return self.end(key, End::Expired, upstream, cx);
        }
        if reached(tcp.config.idle_timeout.map(|timeout| tcp.last + timeout)) {
            // Nothing was read, but a slow reader may have taken something of what waits for it.
            let host = match tcp.up {
                Up::Open { conn, .. } => cx.io.written_at(conn),
                Up::Tunnel { attempt, open: true } => upstream.written_at(attempt, cx).unwrap_or(Time::ZERO),
                _ => Time::ZERO,
            };
            let taken = host.max(cx.io.written_at(session.down));
            if taken <= tcp.last {
                return self.end(key, End::Idle, upstream, cx);
            }
            tcp.last = taken;
        }
        let (retry, line) = (reached(tcp.retry_at), reached(tcp.next_line) && !tcp.flushing);
        if line {
            tcp.next_line = tcp.config.log_interval.map(|interval| now + interval);
        }
        if line {
            self.log(key, "TcpPeriodic", upstream, cx);
        }
        if retry {
            self.connect(key, upstream, cx);
        }
        if let Some(Session { kind: Kind::Tcp(tcp), alarm, .. }) = self.sessions.get_mut(key)
            && let Some(next) = tcp.next_limit()
        {
            alarm.by(next, self::alarm(key), cx.reactor);
        }
    }
}
