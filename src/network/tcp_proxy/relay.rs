//! Bytes from one connection to the other: reading, passing on, holding back, and passing on the end.

use super::super::session::{Kind, Session, SessionKey, resume};
use super::super::{Network, Side};
use super::{End, Haul, Up};
use crate::io::{Close, ConnKey, Cx, Read};
use crate::upstream::{AttemptKey, By, Upstream};

/// Most bytes read from one connection before others have their turn.
const READ_BUDGET: usize = 512 << 10;

/// What a round of reading came to.
enum Round {
    /// Nothing more for now.
    Rest,
    /// There may be more, when others have had their turn.
    More,
    /// The client has sent the first byte, for which the connection to the host has waited.
    Connect,
    /// The sender has finished.
    Finished,
    /// It is over.
    Over(End),
}

impl Network {
    /// Reads from one side until there is nothing more, the other is slow, or others must have their turn.
    pub(in crate::network) fn pump(
        &mut self,
        key: SessionKey,
        side: Side,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let round = match (&session.kind, side) {
            // The client's connection is closed: it has nothing more to say.
            (Kind::Tcp(tcp), Side::Down) if tcp.flushing => Round::Rest,
            (Kind::Tcp(tcp), _) => match (&tcp.up, side) {
                (Up::Open { conn, .. }, _) => {
                    let conn = *conn;
                    session.relay(side, conn, cx)
                }
                (Up::Tunnel { attempt, open: true }, Side::Down) => {
                    let attempt = *attempt;
                    return self.relay_fill_tunnel(key, attempt, upstream, cx);
                }
                (Up::Tunnel { attempt, open: true }, Side::Up) => {
                    let attempt = *attempt;
                    session.resume_tunnel(attempt, upstream, cx);
                    Round::Rest
                }
                (Up::None | Up::Dialing(_) | Up::Tunnel { .. }, Side::Down) => session.wait(cx),
                _ => Round::Rest,
            },
            _ => Round::Rest,
        };
        match round {
            Round::Rest => {}
            Round::More => cx.reactor.defer(resume(key)),
            Round::Connect => self.connect(key, upstream, cx),
            // What is left is looked at when this turn's output is written.
            Round::Finished => cx.reactor.defer(resume(key)),
            Round::Over(end) => self.end(key, end, upstream, cx),
        }
    }

    /// Both senders may have finished, and what they sent may have been written: closes what is done with.
    pub(in crate::network) fn check_end(
        &mut self,
        key: SessionKey,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) {
        let Some(Session { kind: Kind::Tcp(tcp), down, .. }) = self.sessions.get_mut(key) else { return };
        let down = *down;
        let by = tcp.ended_by;
        if let Up::Open { conn, line } = tcp.up
            && cx.io.is_finished(conn)
        {
            tcp.up = Up::Gone;
            upstream.hang_up(line, Close::Now, None, by, cx);
        }
        let host_done = matches!(tcp.up, Up::Gone);
        if tcp.flushing {
            if host_done {
                self.end(key, End::Complete, upstream, cx);
            }
        } else if cx.io.is_finished(down) {
            if host_done {
                self.end(key, End::Complete, upstream, cx);
            } else {
                tcp.flushing = true;
                let stats = &tcp.config.stats;
                cx.stats.inc(stats.upstream_flush_total);
                cx.stats.move_gauge(stats.upstream_flush_active, 1);
                self.close_down(key, Close::Now, upstream, cx);
            }
        }
    }
}

impl Session {
    /// Passes on what one side sends.
    fn relay(&mut self, side: Side, up: ConnKey, cx: &mut Cx<'_>) -> Round {
        let Self { kind: Kind::Tcp(tcp), down, info, .. } = self else { return Round::Rest };
        let down = *down;
        let (from, to, flow) = match side {
            Side::Down => (down, up, &mut tcp.down),
            Side::Up => (up, down, &mut tcp.back),
        };
        // Filters see what is read only if it is in memory; and so does what cannot be sent as it is.
        let plain = matches!(flow.haul, Haul::Splice(_))
            && !(side == Side::Down && info.is_guarded())
            && cx.io.is_plain(to);
        let mut budget = READ_BUDGET;
        loop {
            if flow.ended || cx.io.is_backed_up(to) {
                if !flow.ended && !flow.paused {
                    flow.paused = true;
                    cx.stats.inc(flow.meters.paused);
                }
                // Nothing is read, so a reset must be noticed in another way.
                return if cx.io.is_broken(from) { Round::Over(End::Reset(side)) } else { Round::Rest };
            }
            if flow.paused {
                flow.paused = false;
                cx.stats.inc(flow.meters.resumed);
            }
            if budget == 0 {
                return Round::More;
            }
            let read = if plain { cx.io.read_bulk(from, budget as u64) } else { cx.io.read(from) };
            match read {
                Read::Data(n) => {
                    budget = budget.saturating_sub(n);
                    flow.haul.note(n);
                    cx.stats.add(flow.meters.received, n as u64);
                    tcp.last = cx.reactor.now();
                    if side == Side::Down {
                        tcp.received += n as u64;
                        if info.is_guarded()
                            && let Err(denial) = info.admit(down, cx)
                        {
                            return Round::Over(End::Denied(denial));
                        }
                    }
                    let passed = cx.io.forward(from, to) as u64;
                    flow.passed += passed;
                    cx.stats.add(flow.meters.sent, passed);
                }
                Read::Empty => return Round::Rest,
                Read::Eof => {
                    if side == Side::Down
                        && info.is_guarded()
                        && let Err(denial) = info.admit(down, cx)
                    {
                        return Round::Over(End::Denied(denial));
                    }
                    flow.ended = true;
                    tcp.ended_by = if side == Side::Up { By::Them } else { By::Us };
                    cx.io.finish(to);
                    return Round::Finished;
                }
                Read::Failed => return Round::Over(End::Reset(side)),
            }
        }
    }

    /// The client has taken what was held back: the tunnel is read again.
    fn resume_tunnel(&mut self, attempt: AttemptKey, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        let Self { kind: Kind::Tcp(tcp), down, .. } = self else { return };
        if tcp.back.paused && !cx.io.is_backed_up(*down) {
            tcp.back.paused = false;
            upstream.resume(attempt, cx);
        }
    }

    /// There is no connection to a host yet: reads as much as may come early.
    fn wait(&mut self, cx: &mut Cx<'_>) -> Round {
        let Self { kind: Kind::Tcp(tcp), down, info, .. } = self else { return Round::Rest };
        let down = *down;
        let waits = tcp.waits_for_data;
        let mut round = Round::Rest;
        while let Some(most) = tcp.config.max_early_data
            && !tcp.down.ended
            && cx.io.input(down).len() < most.max(usize::from(waits))
        {
            match cx.io.read(down) {
                Read::Data(n) => {
                    if tcp.received == 0 {
                        cx.stats.inc(tcp.config.stats.early_data_received_count_total);
                    }
                    cx.stats.add(tcp.down.meters.received, n as u64);
                    tcp.received += n as u64;
                    tcp.last = cx.reactor.now();
                    if info.is_guarded()
                        && let Err(denial) = info.admit(down, cx)
                    {
                        return Round::Over(End::Denied(denial));
                    }
                    if std::mem::take(&mut tcp.waits_for_data) {
                        round = Round::Connect;
                    }
                }
                Read::Empty => break,
                // Nothing came, and nothing will: there is nothing to connect for.
                Read::Eof if tcp.waits_for_data => return Round::Over(End::Abandoned),
                Read::Eof => tcp.down.ended = true,
                Read::Failed => return Round::Over(End::Reset(Side::Down)),
            }
        }
        if cx.io.is_broken(down) { Round::Over(End::Reset(Side::Down)) } else { round }
    }
}
