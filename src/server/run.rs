//! The main thread: starts the workers, serves the admin interface, and sees the process to its end.
//!
//! SIGTERM and SIGINT drain: accepting stops, open requests are finished, then the process exits with 0. A second
//! signal, or the end of `--drain-time-s`, ends it at once.

use super::certificates::{self, Certificates};
use super::engine::{Engine, Outside, cx};
use super::memory::{Memory, Reclaim};
use super::snapshot::Snapshot;
use super::stops::Stops;
use super::worker;
use crate::access_log::{Flusher, Logger, Settings, Tally};
use crate::admin::{self, Action};
use crate::io::{Discourage, Layer, Mail, Reactor, Rng, Scope, Task, Wake};
use crate::listener::{Bound, Colleagues, Listeners, Shared};
use crate::stats::{Block, Collector, Sinks};
use crate::udp;
use crate::upstream::{SharedClusters, config::ClusterTable};
use nuncio_reactor::{Address, Options as ReactorOptions, RawKey, Sender};
use serde_json::{Map, Value};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How a server is run, apart from its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads; at least 1.
    pub concurrency: usize,
    /// How long open requests may go on after SIGTERM. Default 600 s.
    pub drain_time: Duration,
    /// How a graceful drain of listeners treats connections meanwhile. Default gradual.
    pub drain_strategy: DrainStrategy,
    /// When access log lines are written.
    pub access_log: Settings,
    /// The command line, for `/server_info`.
    pub command_line: Map<String, Value>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 1,
            drain_time: Duration::from_secs(600),
            drain_strategy: DrainStrategy::default(),
            access_log: Settings::default(),
            command_line: Map::new(),
        }
    }
}

/// `--drain-strategy`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum DrainStrategy {
    /// More and more responses close their connections.
    #[default]
    Gradual,
    /// All do at once.
    Immediate,
}

/// A server that listens and whose workers run.
#[derive(Debug)]
pub struct Server {
    snapshot: Arc<Snapshot>,
    options: Options,
    engine: Engine,
    workers: Vec<Worker>,
    stats: Collector,
    shared: SharedClusters,
    sinks: Sinks,
    flusher: Option<Flusher>,
    certificates: Certificates,
    listeners: Vec<(String, Address)>,
    admin: Option<Address>,
    started: Instant,
    started_wall: SystemTime,
    state: State,
    /// An operator wants health checks to fail.
    looks_sick: bool,
    stops: Stops,
    /// Which listeners a graceful drain will close.
    drained: Scope,
    /// Those whose sockets are open still, by their places.
    listening: Vec<bool>,
}

#[derive(Debug)]
struct Worker {
    mail: Sender<Mail>,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Live,
    Draining,
}

/// A server that did not end as it should.
#[derive(Debug)]
pub struct ShutdownError(String);

impl fmt::Display for ShutdownError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ShutdownError {}

/// The end of the time that a graceful drain gives listeners.
const END_OF_LISTENING: Task =
    Task { layer: Layer::Server, wake: Wake::Alarm, key: RawKey::from_bits(4 << 32) };
/// The task that updates what only main knows: uptime and memory.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

impl Server {
    /// Binds everything and starts the workers.
    ///
    /// # Errors
    /// Names what could not be bound, opened or started; nothing keeps running then.
    pub fn start(snapshot: Snapshot, options: Options) -> io::Result<Self> {
        let started = Instant::now();
        let snapshot = Arc::new(snapshot);
        nuncio_reactor::return_large_blocks();
        match nuncio_reactor::raise_descriptors() {
            Ok(limit) => log::debug!("up to {limit} descriptors may be open"),
            Err(error) => log::warn!("the limit of open descriptors cannot be raised: {error}"),
        }
        let concurrency = options.concurrency.max(1);
        // Signals are blocked before any thread starts, so that they all come to this one.
        let mut reactor = Reactor::new(ReactorOptions::default())?;
        reactor.watch_signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGHUP])?;
        let bound = snapshot
            .listeners
            .iter()
            .map(|config| {
                Bound::new(config, concurrency).map_err(|error| {
                    io::Error::new(error.kind(), format!("cannot bind listener '{}' to {error}", config.name))
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        let udp = snapshot
            .udp_listeners
            .iter()
            .map(|config| {
                udp::Bound::new(config, concurrency).map_err(|error| {
                    io::Error::new(error.kind(), format!("UDP listener '{}': {error}", config.name))
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        let udp_logs = snapshot
            .udp_listeners
            .iter()
            .flat_map(|listener| listener.proxy.access_log.iter().chain(&listener.proxy.proxy_access_log));
        let admin_log = snapshot.admin.iter().flat_map(|admin| &admin.access_log);
        let chains = snapshot.listeners.iter().flat_map(|listener| &listener.filter_chains);
        let listener_logs = snapshot.listeners.iter().flat_map(|listener| &listener.access_log);
        let logs = chains.flat_map(|chain| chain.terminal.access_log()).chain(listener_logs);
        let flusher =
            Flusher::start(options.access_log, logs.chain(udp_logs).chain(admin_log).map(|log| &log.sink))?;
        let blocks: Vec<_> = (0..=concurrency).map(|_| Block::new(&snapshot.registry)).collect();
        let counts = Shared::new(&snapshot.listeners, snapshot.connection_limit, concurrency);
        // Block 0 is main's own.
        let engine = Engine::new(
            reactor,
            &ClusterTable::default(),
            SharedClusters::new(&ClusterTable::default()),
            blocks[0].clone(),
            Logger::new(flusher.handle()),
            Listeners::new(counts.without_listeners(), Colleagues::default()),
            Rng::new(),
        );
        let count = snapshot.listeners.len() + snapshot.udp_listeners.len();
        let mut server = Self {
            listeners: {
                let (mut tcp, mut udp) = (bound.iter(), udp.iter());
                let protos = snapshot.bootstrap.static_resources.iter().flat_map(|all| &all.listeners);
                // In configuration order.
                let one = |proto| -> Vec<(String, Address)> {
                    if udp::compile::is_udp(proto) {
                        let Some(udp) = udp.next() else { return Vec::new() };
                        let addresses = udp.addresses.iter();
                        return addresses.map(|at| (udp.config.name.clone(), Address::Inet(*at))).collect();
                    }
                    let Some(bound) = tcp.next() else { return Vec::new() };
                    bound.addresses.iter().map(|at| (bound.config.name.clone(), at.clone())).collect()
                };
                protos.flat_map(one).collect()
            },
            shared: SharedClusters::new(&snapshot.clusters),
            sinks: Sinks::open(&snapshot.stats.sinks)?,
            stats: Collector::new(&snapshot.registry, blocks),
            certificates: Certificates::new(&snapshot, &engine.reactor),
            snapshot,
            options,
            engine,
            workers: Vec::new(),
            flusher: Some(flusher),
            admin: None,
            started,
            started_wall: SystemTime::now(),
            state: State::Live,
            looks_sick: false,
            stops: Stops::new(concurrency),
            drained: Scope::All,
            listening: vec![true; count],
        };
        server.start_admin()?;
        server.start_workers(concurrency, bound, udp, &counts)?;
        server.count_start(concurrency);
        Ok(server)
    }

    /// Where each listener really listens, by name.
    pub fn listeners(&self) -> &[(String, Address)] {
        &self.listeners
    }

    /// Where the admin interface really listens.
    pub fn admin_address(&self) -> Option<&Address> {
        self.admin.as_ref()
    }

    /// Another thread's means to end the server as a signal would.
    pub fn stopper(&self) -> Sender<Mail> {
        self.engine.reactor.mailbox()
    }

    fn start_admin(&mut self) -> io::Result<()> {
        let Some(config) = &self.snapshot.admin else { return Ok(()) };
        let listener = admin::listener(config, &self.snapshot);
        let mut bound = Bound::new(&listener, 1).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot bind the admin interface to {error}"))
        })?;
        let address = &bound.addresses[0];
        if !admin::is_private(address) {
            log::warn!("the admin interface at {address} can be reached from other machines");
        }
        let sockets = bound.take();
        self.engine.add_listener(&listener, &bound.addresses, sockets)?;
        self.admin = bound.addresses.pop();
        Ok(())
    }

    fn start_workers(
        &mut self,
        concurrency: usize,
        mut bound: Vec<Bound>,
        mut udp: Vec<udp::Bound>,
        counts: &Shared,
    ) -> io::Result<()> {
        let reactors = (0..concurrency)
            .map(|_| Reactor::new(ReactorOptions::default()))
            .collect::<io::Result<Vec<_>>>()?;
        let colleagues: Arc<[_]> = reactors.iter().map(Reactor::mailbox).collect();
        for (index, reactor) in reactors.into_iter().enumerate() {
            let mail = colleagues[index].clone();
            let listeners = bound
                .iter_mut()
                .map(|bound| (Arc::clone(&bound.config), bound.addresses.clone(), bound.take()))
                .collect();
            let udp = udp.iter_mut().map(|bound| (Arc::clone(&bound.config), bound.take())).collect();
            let flusher = self.flusher.as_ref().expect("the flusher outlives the workers");
            let plan = worker::Plan {
                index,
                reactor,
                listeners,
                counts: counts.clone(),
                colleagues: Arc::clone(&colleagues),
                udp,
                clusters: self.snapshot.clusters.clone(),
                shared: self.shared.clone(),
                stats: self.stats.blocks()[index + 1].clone(),
                logger: Logger::new(flusher.handle()),
                main: self.engine.reactor.mailbox(),
            };
            let main = self.engine.reactor.mailbox();
            let thread = std::thread::Builder::new().name(format!("worker_{index}")).spawn(move || {
                // Whatever ends a worker, also a panic, main must hear of it.
                let _farewell = Farewell { index, main };
                worker::run(plan)
            })?;
            self.workers.push(Worker { mail, thread });
        }
        Ok(())
    }

    fn count_start(&self, concurrency: usize) {
        let (stats, server) = (&self.stats.blocks()[0], &self.snapshot.server_stats);
        stats.set_gauge(server.concurrency, concurrency as u64);
        stats.set_gauge(server.live, 1);
        stats.set_gauge(server.hot_restart_generation, 1);
        stats.record(server.initialization_time_ms, self.started.elapsed().as_millis() as u64);
        self.certificates.count(stats);
        let manager = &self.snapshot.listener_manager_stats;
        let listeners = self.listening.len() as u64;
        stats.add(manager.listener_added, listeners);
        stats.add(manager.listener_create_success, listeners * concurrency as u64);
        stats.set_gauge(manager.total_listeners_active, listeners);
        stats.set_gauge(manager.workers_started, 1);
        let clusters = &self.snapshot.cluster_manager_stats;
        stats.add(clusters.cluster_added, self.snapshot.clusters.clusters.len() as u64);
        stats.set_gauge(clusters.active_clusters, self.snapshot.clusters.clusters.len() as u64);
        for cluster in &self.snapshot.clusters.clusters {
            stats.inc(cluster.stats.membership_change);
            stats.set_gauge(cluster.stats.membership_degraded, 0);
            stats.set_gauge(cluster.stats.membership_excluded, 0);
            for (gauge, value) in &cluster.lb_gauges {
                stats.set_gauge(*gauge, *value);
            }
            stats.set_gauge(cluster.stats.membership_total, cluster.hosts.len() as u64);
            stats.set_gauge(cluster.stats.membership_healthy, cluster.hosts.len() as u64);
        }
    }

    /// Serves until the process is told to end.
    ///
    /// # Errors
    /// If a worker died.
    pub fn run(mut self) -> Result<(), ShutdownError> {
        nuncio_reactor::give_back_memory();
        let mut reclaim = Reclaim::new(Memory::now().anonymous);
        let housekeeping = Task { layer: Layer::Server, wake: Wake::Alarm, key: RawKey::from_bits(1 << 32) };
        let flush = Task { layer: Layer::Server, wake: Wake::Alarm, key: RawKey::from_bits(3 << 32) };
        let interval = self.snapshot.stats.flush_interval;
        self.engine.reactor.arm(interval, flush);
        let end_of_drain = Task { layer: Layer::Server, wake: Wake::Alarm, key: RawKey::from_bits(2 << 32) };
        self.engine.reactor.defer(housekeeping);
        let mut outside = Vec::new();
        let mut stopped = 0;
        loop {
            self.engine.turn(&mut outside).map_err(|error| ShutdownError(format!("main thread: {error}")))?;
            for event in std::mem::take(&mut outside) {
                match event {
                    Outside::Signal(libc::SIGTERM | libc::SIGINT) | Outside::Mail(Mail::Drain) => {
                        if self.state == State::Draining {
                            log::warn!("told to end a second time: ending at once");
                            return self.finish();
                        }
                        self.drain();
                        self.engine.reactor.arm(self.options.drain_time, end_of_drain);
                    }
                    Outside::Signal(libc::SIGUSR1) => {
                        self.reopen_logs();
                    }
                    Outside::Alarm(key) if key == end_of_drain.key => {
                        log::warn!("open requests did not end within the drain time: ending them");
                        return self.finish();
                    }
                    Outside::Alarm(key) if key == END_OF_LISTENING.key => self.stop_accepting(self.drained),
                    Outside::Ready(key) if key == certificates::CHANGED => {
                        self.certificates.on_change(&mut self.engine.reactor);
                    }
                    Outside::Alarm(key) if key == certificates::CHANGED => {
                        self.certificates.reload(&self.stats.blocks()[0]);
                    }
                    Outside::Alarm(key) if key == flush.key => {
                        self.flush_stats();
                        self.engine.reactor.arm(interval, flush);
                    }
                    Outside::Alarm(_) => {
                        give_back(&mut reclaim);
                        self.housekeep();
                        self.engine.reactor.arm(HOUSEKEEPING, housekeeping);
                    }
                    Outside::Mail(Mail::Stop) => return self.finish(),
                    Outside::Mail(Mail::StoppedAccepting(index)) => self.stopped_accepting(index),
                    Outside::Mail(Mail::Stopped(index)) => {
                        stopped += 1;
                        if self.state != State::Draining {
                            log::error!("worker {index} has ended: ending the process");
                            return self.finish();
                        }
                        if stopped == self.workers.len() {
                            return self.finish();
                        }
                    }
                    Outside::Mail(_) | Outside::Signal(_) | Outside::Ready(_) => {}
                }
            }
            if self.answer_admin() {
                // The answer to /quitquitquit leaves before the end.
                self.engine.finish_turn();
                return self.finish();
            }
        }
    }

    fn drain(&mut self) {
        log::info!("draining: no new connections, open requests are finished");
        self.state = State::Draining;
        let (stats, server) = (&self.stats.blocks()[0], &self.snapshot.server_stats);
        stats.set_gauge(server.live, 0);
        stats.set_gauge(server.state, 1);
        let manager = &self.snapshot.listener_manager_stats;
        stats.set_gauge(manager.total_listeners_active, 0);
        stats.set_gauge(manager.total_listeners_draining, self.listening.len() as u64);
        self.listening.fill(false);
        // No client is sent away before all sockets are closed: it must not come back to one of them.
        self.stops.order(0);
        self.tell_workers(Mail::StopAccepting(Scope::All));
    }

    fn stopped_accepting(&mut self, worker: usize) {
        if let Some(listeners) = self.stops.obeyed(worker) {
            self.stats.blocks()[0].add(self.snapshot.listener_manager_stats.listener_stopped, listeners);
            if self.state == State::Draining && self.stops.is_done() {
                self.tell_workers(Mail::Drain);
            }
        }
    }

    /// Answers what was asked of the admin interface; true when the process is to end.
    fn answer_admin(&mut self) -> bool {
        let mut quit = false;
        while let Some(request) = self.engine.http.next_admin_request() {
            self.housekeep();
            let memory = Memory::now();
            let view = admin::View {
                snapshot: &self.snapshot,
                listeners: &self.listeners,
                stats: self.stats.merged(&self.snapshot.registry, &self.snapshot.stats.matcher),
                collector: &self.stats,
                command_line: &self.options.command_line,
                uptime: self.started.elapsed(),
                started: self.started_wall,
                live: self.state == State::Live && !self.looks_sick,
                memory: (memory.resident, memory.anonymous),
            };
            let reply = admin::answer(&request.method, &request.path, &view);
            if let Some(action) = reply.action {
                quit |= action == Action::Quit;
                self.act(action);
            }
            let engine = &mut self.engine;
            engine.http.answer(
                request.stream,
                reply.status,
                reply.content_type,
                reply.body,
                &mut engine.upstream,
                cx!(engine),
            );
        }
        self.engine.finish_turn();
        quit
    }

    /// Does what an operator wants.
    fn act(&mut self, action: Action) {
        match action {
            // The caller ends the process once the answer has left.
            Action::Quit => {}
            Action::ResetCounters => self.stats.reset_counters(&self.snapshot.registry),
            Action::ReopenLogs => self.reopen_logs(),
            Action::SetLogLevel(level) => log::set_max_level(level),
            Action::LookSick(sick) => {
                self.looks_sick = sick;
                let (stats, server) = (&self.stats.blocks()[0], &self.snapshot.server_stats);
                stats.set_gauge(server.live, u64::from(self.state == State::Live && !sick));
            }
            Action::DrainListeners { skip_exit: true, .. } => {}
            Action::DrainListeners { graceful: true, scope, .. } => {
                self.drained = scope;
                self.engine.reactor.arm(self.options.drain_time, END_OF_LISTENING);
            }
            Action::DrainListeners { scope, .. } => self.stop_accepting(scope),
        }
        let gradual = match self.options.drain_strategy {
            DrainStrategy::Gradual => Discourage::Gradually(self.options.drain_time),
            DrainStrategy::Immediate => Discourage::Always,
        };
        if let Some((how, scope)) = action.discourages(gradual) {
            self.tell_workers(Mail::CloseAfterResponse(how, scope));
        }
    }

    fn reopen_logs(&self) {
        log::info!("reopening access logs");
        super::logging::reopen();
        if let Some(flusher) = &self.flusher {
            flusher.handle().reopen();
        }
    }

    /// Closes some listeners; the process and its open connections go on.
    fn stop_accepting(&mut self, scope: Scope) {
        let mut stopped = 0;
        let (streams, datagrams) = (&self.snapshot.listeners, &self.snapshot.udp_listeners);
        let is_in = streams.iter().map(|listener| listener.is_in(scope));
        let is_in = is_in.chain(datagrams.iter().map(|listener| listener.is_in(scope)));
        for (listening, is_in) in self.listening.iter_mut().zip(is_in) {
            if *listening && is_in {
                *listening = false;
                stopped += 1;
            }
        }
        if stopped > 0 {
            log::info!("{stopped} listeners are closed: no new connections");
            let (stats, manager) = (&self.stats.blocks()[0], &self.snapshot.listener_manager_stats);
            let open = self.listening.iter().filter(|listening| **listening).count();
            stats.set_gauge(manager.total_listeners_active, open as u64);
            self.stops.order(stopped);
            self.tell_workers(Mail::StopAccepting(scope));
        }
    }

    fn tell_workers(&self, mail: Mail) {
        for worker in &self.workers {
            // A worker that is gone has said so.
            let _ = worker.mail.send(mail);
        }
    }

    /// Ends an interval of the histograms and feeds the sinks.
    fn flush_stats(&mut self) {
        self.stats.end_interval();
        if !self.sinks.is_empty() {
            self.housekeep();
            let (snapshot, stats) = (&self.snapshot, &self.snapshot.stats);
            let lost = self.sinks.send(&self.stats.merged(&snapshot.registry, &stats.matcher), stats);
            self.stats.blocks()[0].add(snapshot.server_stats.dropped_stat_datagrams, lost);
        }
    }

    fn housekeep(&mut self) {
        let (stats, server) = (&self.stats.blocks()[0], &self.snapshot.server_stats);
        stats.set_gauge(server.uptime, self.started.elapsed().as_secs());
        // No certificate, none that expires: what Envoy shows then.
        let days = self.certificates.days_left().unwrap_or(u64::from(u32::MAX));
        stats.set_gauge(server.days_until_first_cert_expiring, days);
        let seconds = self.certificates.ocsp_seconds_left().unwrap_or(0);
        stats.set_gauge(server.seconds_until_first_ocsp_response_expiring, seconds);
        self.shared.show(&self.snapshot.clusters, stats);
        let memory = Memory::now();
        stats.set_gauge(server.memory_physical_size, memory.resident);
        stats.set_gauge(server.memory_heap_size, memory.anonymous);
        stats.set_gauge(server.memory_allocated, memory.anonymous);
        let connections = self
            .snapshot
            .listeners
            .iter()
            .map(|listener| {
                self.stats
                    .blocks()
                    .iter()
                    .map(|block| block.gauge(listener.stats.downstream_cx_active))
                    .sum::<i64>()
            })
            .sum::<i64>();
        stats.set_gauge(server.total_connections, connections.max(0) as u64);
        self.engine.http.logger().flush();
        if let Some(flusher) = &self.flusher {
            self.count_logs(flusher.handle().tally());
        }
    }

    /// What the flusher has done since the last time.
    fn count_logs(&self, tally: &Tally) {
        let (stats, names) = (&self.stats.blocks()[0], &self.snapshot.filesystem_stats);
        for (counter, count) in [
            (names.write_buffered, &tally.lines),
            (names.flushed_by_timer, &tally.by_timer),
            (names.write_completed, &tally.written),
            (names.write_failed, &tally.failed),
            (names.write_dropped, &tally.dropped),
            (names.reopen_failed, &tally.unopened),
        ] {
            stats.add(counter, count.swap(0, Relaxed));
        }
        stats.set_gauge(names.write_total_buffered, tally.waiting.load(Relaxed));
    }

    /// Stops what still runs and waits for it.
    fn finish(mut self) -> Result<(), ShutdownError> {
        self.engine.stop();
        let mut result = Ok(());
        for worker in &self.workers {
            let _ = worker.mail.send(Mail::Stop);
        }
        for (index, worker) in self.workers.drain(..).enumerate() {
            result = match worker.thread.join() {
                Ok(Ok(())) => result,
                Ok(Err(error)) => Err(ShutdownError(format!("worker {index}: {error}"))),
                Err(_) => Err(ShutdownError(format!("worker {index} has panicked"))),
            };
        }
        // What was counted since the last interval must not be lost.
        self.flush_stats();
        self.engine.http.logger().flush();
        if let Some(flusher) = self.flusher.take() {
            flusher.stop();
        }
        log::info!("exiting");
        result
    }
}

/// Gives memory back that a rush has left behind.
fn give_back(reclaim: &mut Reclaim) {
    let given = reclaim.look(Memory::now().anonymous, || {
        nuncio_reactor::give_back_heap();
        Memory::now().anonymous
    });
    if let Some(bytes) = given {
        log::debug!("gave {bytes} bytes of freed memory back to the system");
    }
}

/// Tells main that a worker's thread ends, however it ends.
struct Farewell {
    index: usize,
    main: Sender<Mail>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.main.send(Mail::Stopped(self.index));
    }
}
