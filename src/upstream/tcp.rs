//! Raw connections to hosts, for what carries bytes and not requests.
//!
//! Each session has a connection of its own: a host is picked, the connection is made, and then its bytes are the
//! session's business and only its accounts are kept here, until [`Upstream::hang_up`]. Counted as Envoy counts its TCP
//! pools: a session that waits is a pending request, one that has its connection is an active request.

use super::attempt::Failure;
use super::config::{ClusterId, Priority};
use super::connect::{Opening, connect};
use super::manager::{By, Cluster, Upstream, millis, reason};
use crate::io::{Alarm, Close, ConnKey, Cx, Layer, Notice, Owner, Provenance, Task, Wake};
use nuncio_codec::Buffer;
use nuncio_reactor::{Address, RawKey, SlabKey, Time, slab_key};
use std::time::Duration;

slab_key! {
    /// A raw connection in [`Upstream`], or one that is being made.
    pub struct LineKey;
}

/// What is asked for.
#[derive(Copy, Clone, Debug)]
pub struct Dial<'a> {
    /// Where to.
    pub cluster: ClusterId,
    /// Whoever is told what happens.
    pub requester: RawKey,
    /// What consistent balancing goes by.
    pub hash: Option<u64>,
    /// For whose connection it is, which a host may be told.
    pub client: Option<&'a Provenance>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// The limit of connections is reached: trying again is of no use.
    TooManyConnections,
    /// The cluster has no host that could be used.
    NoHealthyHost,
    /// The limit of pending requests is reached.
    TooManyPending,
    /// The host did not answer, or not in time.
    Host(u32, Failure),
}

/// What became of a connection that was asked for.
#[derive(Debug)]
pub struct Dialed {
    /// Whoever asked.
    pub requester: RawKey,
    /// Which one; with an error the key is dead.
    pub line: LineKey,
    /// The connection.
    pub outcome: Result<ConnKey, DialFailure>,
}

#[derive(Debug)]
pub(super) struct Line {
    conn: ConnKey,
    cluster: u32,
    host: u32,
    requester: RawKey,
    since: Time,
    /// Until when it must be there.
    deadline: Time,
    connected: bool,
    alarm: Alarm,
}

impl Upstream {
    /// Picks a host and starts a connection to it; [`Dialed`] follows. An error is at once.
    ///
    /// # Errors
    /// Why no connection could be started.
    pub fn dial(&mut self, dial: &Dial<'_>, cx: &mut Cx<'_>) -> Result<LineKey, DialFailure> {
        let Dial { cluster: id, requester, hash, client } = *dial;
        let Cluster { config, tls, balancer, .. } = &mut self.clusters[id.0 as usize];
        let shared = &self.shared.0[id.0 as usize];
        let breaker = &shared.breakers[Priority::Default as usize];
        let stats = &config.stats;
        if breaker.connections.now() >= breaker.limits.max_connections {
            cx.stats.inc(stats.upstream_cx_overflow);
            return Err(DialFailure::TooManyConnections);
        }
        let Some(host) = balancer.pick(hash, shared, cx.rng) else {
            cx.stats.inc(stats.upstream_cx_none_healthy);
            cx.stats.inc(stats.lb_healthy_panic);
            return Err(DialFailure::NoHealthyHost);
        };
        if !breaker.pending.enter(breaker.limits.max_pending_requests) {
            cx.stats.inc(stats.upstream_rq_pending_overflow);
            return Err(DialFailure::TooManyPending);
        }
        let of_host = &config.hosts[host].stats;
        cx.stats.inc(stats.upstream_rq_pending_total);
        cx.stats.inc(stats.upstream_cx_total);
        cx.stats.inc(of_host.cx_total);
        let mut header = Buffer::new();
        if let (Some(introduction), Some(client)) = (&config.introduction, client)
            && let Some(too_long) = introduction.write(client, &mut header)
        {
            cx.stats.inc(too_long);
        }
        let header = header.to_vec();
        let opening = Opening { header: &header, ..Opening::default() };
        let conn = match connect(config, host as u32, tls.as_mut(), &opening, cx) {
            Ok(conn) => conn,
            Err(failure) => {
                breaker.pending.leave();
                cx.stats.inc(stats.upstream_cx_connect_fail);
                cx.stats.inc(of_host.cx_connect_fail);
                cx.stats.inc(stats.upstream_rq_pending_failure_eject);
                cx.stats.inc(stats.upstream_cx_destroy);
                cx.stats.inc(stats.upstream_cx_destroy_remote);
                return Err(DialFailure::Host(host as u32, failure));
            }
        };
        breaker.connections.enter_anyway();
        cx.stats.move_gauge(stats.upstream_rq_pending_active, 1);
        cx.stats.move_gauge(of_host.rq_pending_active, 1);
        cx.stats.move_gauge(stats.upstream_cx_active, 1);
        cx.stats.move_gauge(of_host.cx_active, 1);
        let now = cx.reactor.now();
        let deadline = now + config.connect_timeout;
        let key = self.lines.insert(Line {
            conn,
            cluster: id.0,
            host: host as u32,
            requester,
            since: now,
            deadline,
            connected: false,
            alarm: Alarm::default(),
        });
        cx.io.set_owner(conn, Owner::Line(key.raw()));
        let line = self.lines.get_mut(key).expect("just inserted");
        line.alarm.by(deadline, alarm(key), cx.reactor);
        Ok(key)
    }

    /// What became of the next connection that was asked for.
    pub fn next_dialed(&mut self) -> Option<Dialed> {
        self.dialed.pop_front()
    }

    /// The host of a connection, by its place in the cluster.
    pub fn host_of(&self, line: LineKey) -> Option<u32> {
        self.lines.get(line).map(|line| line.host)
    }

    /// The address of a host.
    pub fn host_address(&self, cluster: ClusterId, host: u32) -> &Address {
        &self.cluster(cluster).hosts[host as usize].address
    }

    /// Ends a connection, or the attempt to make it.
    pub fn hang_up(&mut self, key: LineKey, how: Close, patience: Option<Duration>, by: By, cx: &mut Cx<'_>) {
        let Some(mut line) = self.lines.remove(key) else { return };
        line.alarm.stop(cx.reactor);
        cx.io.close(line.conn, how, patience, cx.reactor);
        let breaker = &self.shared.0[line.cluster as usize].breakers[Priority::Default as usize];
        breaker.connections.leave();
        let (stats, of_host) = (self.stats(line.cluster), self.host_stats(line.cluster, line.host));
        cx.stats.record(stats.upstream_cx_length_ms, millis(cx.reactor.now() - line.since));
        cx.stats.inc(stats.upstream_cx_destroy);
        cx.stats.move_gauge(stats.upstream_cx_active, -1);
        cx.stats.move_gauge(of_host.cx_active, -1);
        let (ended, with_request) = match by {
            By::Us => (stats.upstream_cx_destroy_local, stats.upstream_cx_destroy_local_with_active_rq),
            By::Them => (stats.upstream_cx_destroy_remote, stats.upstream_cx_destroy_remote_with_active_rq),
        };
        cx.stats.inc(ended);
        if line.connected {
            cx.stats.inc(stats.upstream_cx_destroy_with_active_rq);
            cx.stats.inc(with_request);
            cx.stats.move_gauge(stats.upstream_rq_active, -1);
            cx.stats.move_gauge(of_host.rq_active, -1);
            breaker.requests.leave();
            self.shared.0[line.cluster as usize].hosts[line.host as usize].leave();
        } else {
            cx.stats.move_gauge(stats.upstream_rq_pending_active, -1);
            cx.stats.move_gauge(of_host.rq_pending_active, -1);
            breaker.pending.leave();
        }
    }

    /// Ends the attempt to make a connection because nobody wants it any more.
    pub fn cancel_dial(&mut self, key: LineKey, cx: &mut Cx<'_>) {
        if let Some(line) = self.lines.get(key) {
            cx.stats.inc(self.stats(line.cluster).upstream_rq_cancelled);
            self.hang_up(key, Close::Now, None, By::Us, cx);
        }
    }

    /// Something happened on a connection that is being made.
    pub fn on_line_socket(&mut self, key: RawKey, notice: Notice, cx: &mut Cx<'_>) {
        let key = LineKey::from_raw(key);
        match notice {
            Notice::Connected => self.on_line_connected(key, cx),
            Notice::ConnectFailed(error) => {
                self.on_line_failed(key, Failure::ConnectFailed(reason("delayed", &error)), cx);
            }
            Notice::TlsFailed(why) => {
                self.on_line_failed(key, Failure::ConnectFailed(String::from(why).into()), cx);
            }
            // What a new connection has to say waits for its owner.
            Notice::Ready => {}
        }
    }

    /// The time to make a connection may be over.
    pub fn on_line_task(&mut self, task: Task, cx: &mut Cx<'_>) {
        let key = LineKey::from_raw(task.key);
        let Some(line) = self.lines.get_mut(key) else { return };
        line.alarm.rang();
        if line.connected {
            return;
        }
        if cx.reactor.now() >= line.deadline {
            self.on_line_failed(key, Failure::ConnectTimeout, cx);
        } else {
            line.alarm.by(line.deadline, alarm(key), cx.reactor);
        }
    }

    fn on_line_connected(&mut self, key: LineKey, cx: &mut Cx<'_>) {
        let Some(line) = self.lines.get_mut(key) else { return };
        line.connected = true;
        line.alarm.stop(cx.reactor);
        let (conn, requester, since) = (line.conn, line.requester, line.since);
        let (cluster, host) = (line.cluster, line.host);
        let shared = &self.shared.0[cluster as usize];
        let breaker = &shared.breakers[Priority::Default as usize];
        breaker.pending.leave();
        // As in Envoy, sessions count as requests, but the limit of requests does not stop them.
        breaker.requests.enter_anyway();
        shared.hosts[host as usize].enter_anyway();
        let (stats, of_host) = (self.stats(cluster), self.host_stats(cluster, host));
        cx.stats.record(stats.upstream_cx_connect_ms, millis(cx.reactor.now() - since));
        cx.stats.move_gauge(stats.upstream_rq_pending_active, -1);
        cx.stats.move_gauge(of_host.rq_pending_active, -1);
        cx.stats.inc(stats.upstream_rq_total);
        cx.stats.inc(of_host.rq_total);
        cx.stats.move_gauge(stats.upstream_rq_active, 1);
        cx.stats.move_gauge(of_host.rq_active, 1);
        self.dialed.push_back(Dialed { requester, line: key, outcome: Ok(conn) });
    }

    fn on_line_failed(&mut self, key: LineKey, failure: Failure, cx: &mut Cx<'_>) {
        let Some(line) = self.lines.get(key) else { return };
        let (requester, host) = (line.requester, line.host);
        let stats = self.stats(line.cluster);
        cx.stats.inc(stats.upstream_cx_connect_fail);
        cx.stats.inc(self.host_stats(line.cluster, host).cx_connect_fail);
        cx.stats.inc(stats.upstream_rq_pending_failure_eject);
        let by = if failure == Failure::ConnectTimeout {
            cx.stats.inc(stats.upstream_cx_connect_timeout);
            By::Us
        } else {
            By::Them
        };
        self.hang_up(key, Close::Now, None, by, cx);
        let outcome = Err(DialFailure::Host(host, failure));
        self.dialed.push_back(Dialed { requester, line: key, outcome });
    }
}

fn alarm(key: LineKey) -> Task {
    Task { layer: Layer::Line, wake: Wake::Alarm, key: key.raw() }
}
