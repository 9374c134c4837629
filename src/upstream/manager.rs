//! The cluster manager of one worker: picks hosts, keeps the pools filled, makes and closes connections.
//!
//! What goes over a connection that carries an attempt is in `exchange`. Pools are per host and worker; circuit
//! breakers and the load of hosts are shared by all workers.

use super::attempt::{Ask, Attempt, AttemptKey, Begin, Event, Failure, OfStream, Peer, Requester, What};
use super::circuit::SharedClusters;
use super::client::{Carrier, Client, ClientKey, State};
use super::config::{ClusterConfig, ClusterId, ClusterTable, Protocol};
use super::connect::{self, Opening};
use super::introduction::Introduction;
use super::lb::Balancer;
use super::pool::{Place, Pool, Pools, Waiting};
use super::tcp::{Dialed, Line, LineKey};
use crate::io::{Alarm, Close, Cx, Layer, Notice, Owner, Rng, Task, Wake};
use crate::stats::{ClusterStats, HostStats};
use crate::tls::ClientTls;
use nuncio_codec::{Buffer, Version, h1};
use nuncio_reactor::{Address, RawKey, Slab, SlabKey};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The cluster subsystem of one worker.
#[derive(Debug)]
pub struct Upstream {
    pub(super) clusters: Vec<Cluster>,
    pub(super) shared: SharedClusters,
    pub(super) clients: Slab<ClientKey, Client>,
    pub(super) attempts: Slab<AttemptKey, Attempt>,
    pub(super) events: VecDeque<Event>,
    /// Raw connections.
    pub(super) lines: Slab<LineKey, Line>,
    pub(super) dialed: VecDeque<Dialed>,
    names: HashMap<Box<[u8]>, ClusterId>,
}

/// One cluster on one worker.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) config: Arc<ClusterConfig>,
    pub(super) tls: Option<ClientTls>,
    pub(super) balancer: Balancer,
    pub(super) pools: Pools,
}

/// How long a host may take none of what is left of a tunnel.
const FLUSH_PATIENCE: Duration = Duration::from_secs(60);

/// Who ended a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// This proxy.
    Us,
    /// The host.
    Them,
}

impl Upstream {
    /// Clusters without connections.
    pub fn new(table: &ClusterTable, shared: SharedClusters, rng: &mut Rng) -> Self {
        let clusters = table
            .clusters
            .iter()
            .map(|config| Cluster {
                config: Arc::clone(config),
                tls: config.tls.as_deref().map(ClientTls::new),
                balancer: Balancer::new(config, rng),
                pools: Pools::new(config.hosts.len()),
            })
            .collect();
        let names = table.clusters.iter().enumerate();
        let names =
            names.map(|(at, cluster)| (cluster.name.as_bytes().into(), ClusterId(at as u32))).collect();
        Self {
            clusters,
            shared,
            clients: Slab::new(),
            attempts: Slab::new(),
            events: VecDeque::new(),
            lines: Slab::new(),
            dialed: VecDeque::new(),
            names,
        }
    }

    /// Picks a host and a connection to it for one try of a request.
    pub fn begin(&mut self, ask: Ask<'_>, cx: &mut Cx<'_>) -> Begin {
        let Ask { cluster: id, priority, internal, requester, fresh, bulk, version, client, head, hash } =
            ask;
        let cluster = &mut self.clusters[id.0 as usize];
        let shared = &self.shared.0[id.0 as usize];
        let stats = &cluster.config.stats;
        let Some(host) = cluster.balancer.pick(hash, shared, cx.rng) else {
            cx.stats.inc(stats.upstream_cx_none_healthy);
            cx.stats.inc(stats.lb_healthy_panic);
            return Begin::Refused { failure: Failure::NoHealthyHost, host: None };
        };
        let h2 = cluster.config.protocol.is_h2(version).unwrap_or_else(|| cluster.pools.guess(host as u32));
        let mut place = Place { host: host as u32, priority, h2, apart: None };
        let introduction = cluster.config.introduction.as_ref().zip(client);
        let name = cluster.config.naming.as_ref().zip(head).map(|(naming, head)| naming.name(head));
        if introduction.is_some() || name.is_some() {
            let ends = introduction.and_then(|(_, client)| Introduction::ends(client));
            place = cluster.pools.apart(place, name, ends, || {
                let mut header = Buffer::new();
                if let Some((introduction, client)) = introduction
                    && let Some(too_long) = introduction.write(client, &mut header)
                {
                    cx.stats.inc(too_long);
                }
                header.to_vec().into()
            });
        }
        // A tunnel gets a connection that nothing else is or was sent on: what a proxy makes of it after it has refused a
        // tunnel cannot be known.
        let fresh = fresh || (matches!(requester, Requester::Session(_)) && !place.h2);
        let stream = OfStream::default();
        let attempt = Attempt { requester, cluster: id.0, place, internal, bulk, client: None, stream };
        let shared = &shared.breakers[priority as usize];
        let pool = cluster.pools.at(place);
        if !fresh && let Some(client) = free(pool, place, &self.clients) {
            if !shared.requests.enter(shared.limits.max_requests) {
                cx.stats.inc(stats.upstream_rq_pending_overflow);
                cluster.pools.tidy(place);
                return Begin::Refused { failure: Failure::Overflow, host: Some(host as u32) };
            }
            if !place.h2 {
                pool.idle.pop();
            }
            let key = self.attempts.insert(attempt);
            self.attach(key, client, cx);
            return Begin::Ready(key);
        }
        if !shared.pending.enter(shared.limits.max_pending_requests) {
            cx.stats.inc(stats.upstream_rq_pending_overflow);
            cluster.pools.tidy(place);
            return Begin::Refused { failure: Failure::Overflow, host: None };
        }
        let key = self.attempts.insert(attempt);
        pool.waiting.push_back(Waiting { attempt: key, fresh });
        cx.stats.inc(stats.upstream_rq_pending_total);
        cx.stats.move_gauge(stats.upstream_rq_pending_active, 1);
        cx.stats.move_gauge(cluster.config.hosts[host].stats.rq_pending_active, 1);
        match self.fill(id.0, place, fresh, cx) {
            Ok(()) => Begin::Waiting(key),
            Err(failure) => {
                self.stop_waiting(key, cx);
                self.attempts.remove(key);
                Begin::Refused { failure, host: Some(host as u32) }
            }
        }
    }

    /// The next thing that happened to an attempt.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The cluster of this name.
    pub fn find(&self, name: &[u8]) -> Option<ClusterId> {
        self.names.get(name).copied()
    }

    /// The configuration of a cluster.
    pub fn cluster(&self, id: ClusterId) -> &ClusterConfig {
        &self.clusters[id.0 as usize].config
    }

    /// The host that an attempt goes to, and its connection if it has one.
    pub fn peer(&self, key: AttemptKey, cx: &Cx<'_>) -> Option<Peer> {
        let attempt = self.attempts.get(key)?;
        let client = attempt.client.and_then(|client| self.clients.get(client));
        Some(Peer {
            host: attempt.place.host,
            version: if attempt.place.h2 { Version::H2 } else { Version::Http11 },
            local: client.and_then(|client| client.local.clone()),
            tls: client.and_then(|client| client.tls.clone()),
            connection: client.map(|client| cx.io.id(client.conn)),
        })
    }

    /// Whether an attempt has neither failed nor come to its end.
    pub fn is_live(&self, key: AttemptKey) -> bool {
        self.attempts.contains(key)
    }

    /// Upstream connections and attempts that exist now.
    pub fn live(&self) -> (usize, usize) {
        (self.clients.len(), self.attempts.len() + self.lines.len())
    }

    /// What all circuit breakers count at the moment.
    #[cfg(test)]
    pub(crate) fn let_in(&self) -> u32 {
        self.shared
            .0
            .iter()
            .map(|cluster| {
                let hosts: u32 = cluster.hosts.iter().map(super::circuit::Gate::now).sum();
                let breaker = |breaker: &super::circuit::Breaker| {
                    breaker.connections.now() + breaker.pending.now() + breaker.requests.now()
                };
                cluster.breakers.iter().map(breaker).sum::<u32>() + hosts
            })
            .sum()
    }

    /// Closes every connection that carries nothing, as at the end of a worker's life.
    pub fn close_idle(&mut self, cx: &mut Cx<'_>) {
        for key in self.clients.keys() {
            if self.clients.get(key).is_some_and(|client| matches!(client.state, State::Idle { .. })) {
                self.close(key, Close::Now, By::Us, cx);
            }
        }
    }

    /// Something happened on an upstream connection's socket.
    pub fn on_socket(&mut self, key: RawKey, notice: Notice, cx: &mut Cx<'_>) {
        let key = ClientKey::from_raw(key);
        match notice {
            Notice::Ready => self.pump(key, cx),
            Notice::Connected => self.on_connected(key, cx),
            Notice::ConnectFailed(error) => {
                self.on_connect_failed(key, Failure::ConnectFailed(reason("delayed", &error)), cx);
            }
            Notice::TlsFailed(why) => {
                self.on_connect_failed(key, Failure::ConnectFailed(String::from(why).into()), cx);
            }
        }
    }

    /// An upstream connection asked to be looked at again.
    pub fn on_task(&mut self, task: Task, cx: &mut Cx<'_>) {
        let key = ClientKey::from_raw(task.key);
        match task.wake {
            Wake::Resume => self.pump(key, cx),
            Wake::Alarm => self.on_alarm(key, cx),
        }
    }

    fn on_connected(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Cluster { config, pools, .. } = &mut self.clusters[client.cluster as usize];
        pools.at(client.place).connecting -= 1;
        let now = cx.reactor.now();
        cx.stats.record(config.stats.upstream_cx_connect_ms, millis(now - client.since));
        client.state = State::Idle { deadline: None };
        client.local = cx.io.local_address(client.conn);
        client.tls = cx.io.tls(client.conn).cloned();
        client.expires = config.max_connection_duration.map(|limit| now + limit);
        if let Some(expires) = client.expires {
            client.alarm.by(expires, alarm(key), cx.reactor);
        }
        let (conn, cluster) = (client.conn, client.cluster);
        let asked = config.protocol == Protocol::Auto;
        if asked {
            self.settle(key, cx);
        }
        let Some(place) = self.clients.get(key).map(|client| client.place) else { return };
        if place.h2 {
            self.begin_h2(key, cx);
        }
        self.give(key, cx);
        if place.h2 {
            self.make_more(cluster, place, cx);
        } else if asked {
            self.make_many(cluster, place, cx);
        }
        if cx.io.may_read(conn) {
            // The news that there is something to read, be it the end, came with the news of the connection.
            let resume = Task::resume(Owner::Upstream(key.raw()));
            cx.reactor.defer(resume.expect("upstream connections have an owner"));
        }
    }

    fn on_connect_failed(&mut self, key: ClientKey, failure: Failure, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get(key) else { return };
        let (cluster, place) = (client.cluster, client.place);
        let stats = self.stats(cluster);
        cx.stats.inc(stats.upstream_cx_connect_fail);
        cx.stats.inc(self.host_stats(cluster, place.host).cx_connect_fail);
        if failure == Failure::ConnectTimeout {
            cx.stats.inc(stats.upstream_cx_connect_timeout);
        }
        let eject = stats.upstream_rq_pending_failure_eject;
        self.close_quietly(
            key,
            Close::Now,
            if failure == Failure::ConnectTimeout { By::Us } else { By::Them },
            cx,
        );
        // As in Envoy: who waits for this host must not wait for ever behind one that does not answer.
        while let Some(attempt) = self.pool(cluster, place).next_waiting(false) {
            cx.stats.inc(eject);
            self.left_queue(cluster, place, cx);
            self.fail(attempt, failure.clone(), 0);
        }
        self.clusters[cluster as usize].pools.tidy(place);
    }

    fn on_alarm(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.alarm.rang();
        let now = cx.reactor.now();
        let (cluster, state, expires) = (client.cluster, client.state, client.expires);
        match state {
            State::Connecting { deadline } if now >= deadline => {
                self.on_connect_failed(key, Failure::ConnectTimeout, cx);
            }
            State::Idle { deadline: Some(deadline) } if now >= deadline => {
                cx.stats.inc(self.stats(cluster).upstream_cx_idle_timeout);
                self.close(key, Close::Now, By::Us, cx);
            }
            State::Idle { .. } | State::Shared if self.watch_h2(key, cx) => {}
            State::Idle { .. } if expires.is_some_and(|expires| now >= expires) => {
                cx.stats.inc(self.stats(cluster).upstream_cx_max_duration_reached);
                self.close(key, Close::Now, By::Us, cx);
            }
            _ => {
                let Some(client) = self.clients.get_mut(key) else { return };
                let next = match (state, &client.carrier) {
                    (State::Connecting { deadline }, _) => Some(deadline),
                    (State::Idle { deadline }, Carrier::H1(_)) => deadline.into_iter().chain(expires).min(),
                    (State::Idle { deadline }, Carrier::H2(trunk)) => {
                        deadline.into_iter().chain(expires).chain(trunk.vigil.next()).min()
                    }
                    (State::Shared, Carrier::H2(trunk)) => trunk.vigil.next(),
                    // Armed again when the connection is free.
                    (State::Shared | State::Busy(_), _) => None,
                };
                if let Some(next) = next {
                    client.alarm.by(next, alarm(key), cx.reactor);
                }
            }
        }
    }

    /// Gives a free connection to who waits for one, or puts it into the pool.
    pub(super) fn give(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get(key) else { return };
        let (cluster, place) = (client.cluster as usize, client.place);
        while self.clients.get(key).is_some_and(Client::has_room) {
            let shared = &self.shared.0[cluster].breakers[place.priority as usize];
            let Cluster { config, pools, .. } = &mut self.clusters[cluster];
            let used = self.clients.get(key).is_some_and(|client| client.used);
            let Some(attempt) = pools.at(place).next_waiting(used) else { break };
            shared.pending.leave();
            cx.stats.move_gauge(config.stats.upstream_rq_pending_active, -1);
            cx.stats.move_gauge(config.hosts[place.host as usize].stats.rq_pending_active, -1);
            let requester = self.attempts.get(attempt).expect("waiting attempts live").requester;
            let what = if !shared.requests.enter(shared.limits.max_requests) {
                cx.stats.inc(config.stats.upstream_rq_pending_overflow);
                self.attempts.remove(attempt);
                What::Failed(Failure::Overflow)
            } else {
                self.attach(attempt, key, cx);
                What::Ready
            };
            self.events.push_back(Event { requester, attempt, what, received: 0 });
        }
        self.rest(key, cx);
    }

    /// A connection to which nobody was given rests in the pool; one of HTTP/2 is always there.
    fn rest(&mut self, key: ClientKey, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let place = client.place;
        let Cluster { config, pools, .. } = &mut self.clusters[client.cluster as usize];
        let pool = pools.at(place);
        let attached = match &client.carrier {
            Carrier::H1(_) if matches!(client.state, State::Busy(_)) => return,
            Carrier::H1(_) => 0,
            Carrier::H2(trunk) => trunk.attached,
        };
        if !place.h2 || !pool.idle.contains(&key) {
            pool.idle.push(key);
        }
        if attached > 0 {
            return;
        }
        let deadline = config.idle_timeout.map(|timeout| cx.reactor.now() + timeout);
        if let Some(next) = deadline.into_iter().chain(client.expires).min() {
            client.alarm.by(next, alarm(key), cx.reactor);
        }
        client.state = State::Idle { deadline };
        cx.io.rest(client.conn);
    }

    /// Binds an attempt, already let in by the request breaker, to a connection that has room.
    fn attach(&mut self, attempt: AttemptKey, client: ClientKey, cx: &mut Cx<'_>) {
        let carrier = self.clients.get_mut(client).expect("pooled connections live");
        let bound = self.attempts.get_mut(attempt).expect("the attempt was just made or waits");
        let (cluster, place) = (bound.cluster as usize, bound.place);
        let config = &self.clusters[cluster].config;
        carrier.state = match &mut carrier.carrier {
            Carrier::H1(_) => {
                carrier.last |= matches!(bound.requester, Requester::Session(_));
                State::Busy(attempt)
            }
            Carrier::H2(trunk) => {
                if trunk.attached == 0 {
                    let (now, out) = (cx.reactor.now(), cx.io.output(carrier.conn));
                    let since = trunk.idle_since;
                    let answer = trunk.vigil.before_use(since, &config.http2, now, &mut trunk.codec, out);
                    if let Some(answer) = answer {
                        carrier.alarm.by(answer, alarm(client), cx.reactor);
                    }
                }
                trunk.attached += 1;
                trunk.unopened.push(attempt);
                State::Shared
            }
        };
        carrier.requests += 1;
        let requests = carrier.requests;
        bound.client = Some(client);
        carrier.bulk = bound.bulk;
        self.shared.0[cluster].hosts[place.host as usize].enter_anyway();
        if config.max_requests_per_connection.is_some_and(|limit| requests >= limit) {
            carrier.last = true;
            cx.stats.inc(config.stats.upstream_cx_max_requests);
        }
        let stats = &config.stats;
        cx.stats.inc(stats.upstream_rq_total);
        cx.stats.move_gauge(stats.upstream_rq_active, 1);
        let stats = &config.hosts[place.host as usize].stats;
        cx.stats.inc(stats.rq_total);
        cx.stats.move_gauge(stats.rq_active, 1);
    }

    /// Makes a connection of HTTP/2 for those who found no room on those that there are.
    pub(super) fn make_more(&mut self, cluster: u32, place: Place, cx: &mut Cx<'_>) {
        // While there is a connection to wait for, one that cannot be made is no failure.
        let _ = self.fill(cluster, place, false, cx);
    }

    /// Undoes [`Self::attach`]'s accounts.
    pub(super) fn detach(&mut self, cluster: u32, place: Place, cx: &mut Cx<'_>) {
        let shared = &self.shared.0[cluster as usize];
        shared.breakers[place.priority as usize].requests.leave();
        shared.hosts[place.host as usize].leave();
        cx.stats.move_gauge(self.stats(cluster).upstream_rq_active, -1);
        cx.stats.move_gauge(self.host_stats(cluster, place.host).rq_active, -1);
    }

    /// Ends an attempt that has no connection any more; `received` bytes came that cannot be understood.
    pub(super) fn fail(&mut self, attempt: AttemptKey, failure: Failure, received: usize) {
        if let Some(Attempt { requester, .. }) = self.attempts.remove(attempt) {
            self.events.push_back(Event { requester, attempt, what: What::Failed(failure), received });
        }
    }

    /// Takes an attempt out of its pool's queue.
    pub(super) fn stop_waiting(&mut self, key: AttemptKey, cx: &mut Cx<'_>) {
        let Some(attempt) = self.attempts.get(key) else { return };
        let (cluster, place) = (attempt.cluster, attempt.place);
        if self.pool(cluster, place).forget_waiting(key) {
            self.left_queue(cluster, place, cx);
            self.clusters[cluster as usize].pools.tidy(place);
        }
    }

    fn left_queue(&mut self, cluster: u32, place: Place, cx: &mut Cx<'_>) {
        self.shared.0[cluster as usize].breakers[place.priority as usize].pending.leave();
        cx.stats.move_gauge(self.stats(cluster).upstream_rq_pending_active, -1);
        cx.stats.move_gauge(self.host_stats(cluster, place.host).rq_pending_active, -1);
    }

    /// Makes a connection if those who wait need one. An error means that none could be started and that
    /// there is no other connection to wait for.
    fn fill(&mut self, cluster: u32, place: Place, fresh: bool, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let Place { host, priority, h2, .. } = place;
        let shared = &self.shared.0[cluster as usize].breakers[priority as usize];
        let Cluster { config, tls, pools, .. } = &mut self.clusters[cluster as usize];
        let pool = pools.at(place);
        let streams = config.http2.settings.max_concurrent_streams as usize;
        if !pool.wants_connection(if h2 { streams.clamp(1, pool.assumed) } else { 1 }) {
            return Ok(());
        }
        let total = pool.total;
        // A host may always have one connection, or a request could wait for ever.
        if !shared.connections.enter(shared.limits.max_connections) {
            cx.stats.inc(config.stats.upstream_cx_overflow);
            if total > 0 && !fresh {
                return Ok(());
            }
            shared.connections.enter_anyway();
        }
        cx.stats.inc(config.stats.upstream_cx_total);
        let of_host = &config.hosts[host as usize].stats;
        cx.stats.inc(of_host.cx_total);
        let (header, name) = pools.opening(place);
        let opening = Opening { name, protocols: connect::protocols(config.protocol, place), header };
        let conn = match connect::connect(config, host, tls.as_mut(), &opening, cx) {
            Ok(conn) => conn,
            Err(failure) => {
                shared.connections.leave();
                cx.stats.inc(config.stats.upstream_cx_connect_fail);
                cx.stats.inc(of_host.cx_connect_fail);
                return if total > 0 { Ok(()) } else { Err(failure) };
            }
        };
        let pool = pools.at(place);
        let deadline = cx.reactor.now() + config.connect_timeout;
        let key = self.clients.insert(Client {
            conn,
            cluster,
            place,
            local: None,
            tls: None,
            state: State::Connecting { deadline },
            carrier: Carrier::H1(h1::Client::new(config.http1)),
            alarm: Alarm::default(),
            used: false,
            requests: 0,
            last: false,
            half: false,
            since: cx.reactor.now(),
            expires: None,
            paused: false,
            bulk: false,
            backed_up: false,
        });
        cx.io.set_owner(conn, Owner::Upstream(key.raw()));
        let client = self.clients.get_mut(key).expect("just inserted");
        client.alarm.by(deadline, alarm(key), cx.reactor);
        pool.connecting += 1;
        pool.total += 1;
        let stats = &config.stats;
        match (config.protocol, h2) {
            // Known when it is there.
            (Protocol::Auto, _) => {}
            (_, true) => cx.stats.inc(stats.upstream_cx_http2_total),
            (_, false) => cx.stats.inc(stats.upstream_cx_http1_total),
        }
        cx.stats.move_gauge(config.stats.upstream_cx_active, 1);
        cx.stats.move_gauge(config.hosts[host as usize].stats.cx_active, 1);
        Ok(())
    }

    /// Closes a connection, and makes another if somebody still waits for one.
    pub(super) fn close(&mut self, key: ClientKey, how: Close, by: By, cx: &mut Cx<'_>) {
        let Some(client) = self.clients.get(key) else { return };
        let (cluster, place) = (client.cluster, client.place);
        self.close_quietly(key, how, by, cx);
        if let Err(failure) = self.fill(cluster, place, false, cx) {
            while let Some(attempt) = self.pool(cluster, place).next_waiting(false) {
                self.left_queue(cluster, place, cx);
                self.fail(attempt, failure.clone(), 0);
            }
        }
        self.clusters[cluster as usize].pools.tidy(place);
    }

    fn close_quietly(&mut self, key: ClientKey, how: Close, by: By, cx: &mut Cx<'_>) {
        let Some(mut client) = self.clients.remove(key) else { return };
        client.alarm.stop(cx.reactor);
        cx.io.close(client.conn, how, Some(FLUSH_PATIENCE), cx.reactor);
        let place = client.place;
        self.shared.0[client.cluster as usize].breakers[place.priority as usize].connections.leave();
        let Cluster { config, pools, .. } = &mut self.clusters[client.cluster as usize];
        let pool = pools.at(place);
        pool.total -= 1;
        let stats = &config.stats;
        cx.stats.record(stats.upstream_cx_length_ms, millis(cx.reactor.now() - client.since));
        cx.stats.record(stats.upstream_rq_per_cx, client.requests.into());
        cx.stats.inc(stats.upstream_cx_destroy);
        cx.stats.move_gauge(stats.upstream_cx_active, -1);
        cx.stats.move_gauge(config.hosts[place.host as usize].stats.cx_active, -1);
        let (ended, with_request) = match by {
            By::Us => (stats.upstream_cx_destroy_local, stats.upstream_cx_destroy_local_with_active_rq),
            By::Them => (stats.upstream_cx_destroy_remote, stats.upstream_cx_destroy_remote_with_active_rq),
        };
        cx.stats.inc(ended);
        match client.state {
            State::Connecting { .. } => pool.connecting -= 1,
            State::Idle { .. } => pool.forget_idle(key),
            State::Busy(_) | State::Shared => {
                pool.forget_idle(key);
                cx.stats.inc(stats.upstream_cx_destroy_with_active_rq);
                cx.stats.inc(with_request);
            }
        }
    }

    pub(super) fn pool(&mut self, cluster: u32, place: Place) -> &mut Pool {
        self.clusters[cluster as usize].pools.at(place)
    }

    /// A connection of HTTP/2 that takes no new streams.
    pub(super) fn retire(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get(key) {
            let (cluster, place) = (client.cluster, client.place);
            self.pool(cluster, place).forget_idle(key);
        }
    }

    pub(super) fn stats(&self, cluster: u32) -> &ClusterStats {
        &self.clusters[cluster as usize].config.stats
    }

    /// Where a host counts.
    pub(super) fn host_stats(&self, cluster: u32, host: u32) -> &HostStats {
        &self.clusters[cluster as usize].config.hosts[host as usize].stats
    }
}

/// A connection that can take one more attempt.
fn free(pool: &Pool, place: Place, clients: &Slab<ClientKey, Client>) -> Option<ClientKey> {
    if place.h2 {
        let has_room = |key: &&ClientKey| clients.get(**key).is_some_and(Client::has_room);
        return pool.idle.iter().find(has_room).copied();
    }
    pool.idle.last().copied()
}

/// Whole milliseconds, as histograms count.
pub(super) fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

pub(super) fn alarm(key: ClientKey) -> Task {
    Task { layer: Layer::Upstream, wake: Wake::Alarm, key: key.raw() }
}

/// Envoy's words for a connection that could not even be begun.
pub(super) fn immediate(error: &io::Error, address: &Address) -> Cow<'static, str> {
    format!("{}|remote address:{address}", reason("immediate", error)).into()
}

/// Envoy's words for a connection that could not be made.
pub(super) fn reason(when: &str, error: &io::Error) -> Cow<'static, str> {
    let text = error.to_string();
    // The system's words, without Rust's number behind them.
    let words = text.split(" (os error").next().unwrap_or_default();
    format!("{when} connect error: {words}").into()
}
