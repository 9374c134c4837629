//! The event loop with all its layers: what a worker runs, and what the main thread runs for the admin
//! interface.
//!
//! One turn: wait for events, hand each to the layer that it is for, carry what happened upstream to the
//! requests that wait for it, then write all output and free what has ended. Layers are separate fields, so a
//! layer gets the ones below it as arguments and can never call the ones above.

use crate::access_log::Logger;
use crate::http::{Entrance, Http};
use crate::io::{ConnKey, Io, Layer, Mail, Notice, Owner, Reactor, Rng, Scope, Task, TokenKind, Wake};
use crate::listener::config::{Direction, FilterChain, ListenerConfig, NetworkTerminal};
use crate::listener::{Accepted, Entry, Listeners};
use crate::network::{ConnectionInfo, Network};
use crate::stats::Block;
use crate::udp::Udp;
use crate::udp::config::UdpListenerConfig;
use crate::upstream::config::ClusterTable;
use crate::upstream::{Requester, SharedClusters, Upstream};
use nuncio_reactor::{Address, Event, RawKey, Readiness, Socket, UdpSocket};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The layers of one thread.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) reactor: Reactor,
    pub(super) io: Io,
    pub(super) listeners: Listeners,
    pub(super) http: Http,
    pub(super) network: Network,
    pub(super) upstream: Upstream,
    pub(super) udp: Udp,
    pub(super) stats: Block,
    pub(super) rng: Rng,
    batch: Vec<Event<Task, Mail>>,
}

/// What a turn brought for whoever runs the engine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// From another thread.
    Mail(Mail),
    /// From the system.
    Signal(i32),
    /// A time that was asked for with [`Layer::Server`].
    Alarm(RawKey),
    /// A source of the server's own has something to tell.
    Ready(RawKey),
}

/// Layers and the layers below them, borrowed apart.
macro_rules! cx {
    ($engine:expr) => {
        &mut crate::io::Cx {
            reactor: &mut $engine.reactor,
            io: &mut $engine.io,
            stats: &$engine.stats,
            rng: &mut $engine.rng,
        }
    };
}
pub(super) use cx;

impl Engine {
    pub(super) fn new(
        reactor: Reactor,
        clusters: &ClusterTable,
        shared: SharedClusters,
        stats: Block,
        logger: Logger,
        mut listeners: Listeners,
        mut rng: Rng,
    ) -> Self {
        listeners.log_to(logger.sibling());
        let upstream = Upstream::new(clusters, shared, &mut rng);
        let udp = Udp::new(&mut rng);
        let batch = reactor.batch();
        Self {
            reactor,
            io: Io::new(),
            listeners,
            network: Network::new(logger.sibling()),
            http: Http::new(logger),
            upstream,
            udp,
            stats,
            rng,
            batch,
        }
    }

    /// Adds a listener at these addresses; with one socket for each, or none.
    pub(super) fn add_listener(
        &mut self,
        config: &Arc<ListenerConfig>,
        addresses: &[Address],
        sockets: Vec<Socket>,
    ) -> io::Result<()> {
        let chains = config
            .filter_chains
            .iter()
            .map(|chain| {
                let entrance = Entrance {
                    buffer_limit: config.buffer_limit,
                    filter_chain: &chain.name,
                    connection_logs: &config.access_log,
                    secure: chain.is_secure(),
                    inbound: config.direction == Direction::Inbound,
                    drains_when_sick: config.drains_when_sick,
                };
                self.enter(chain, &entrance)
            })
            .collect();
        let listener = self.listeners.add(Arc::clone(config), addresses, chains);
        for (place, (address, socket)) in addresses.iter().zip(sockets).enumerate() {
            self.listeners.listen(listener, place, address, socket, &self.reactor)?;
        }
        Ok(())
    }

    /// Adds a UDP listener with its sockets on this thread.
    pub(super) fn add_udp_listener(
        &mut self,
        config: &Arc<UdpListenerConfig>,
        sockets: Vec<(SocketAddr, UdpSocket)>,
    ) -> io::Result<()> {
        for (address, socket) in sockets {
            self.udp.add((Arc::clone(config), address, socket), self.http.logger(), cx!(self))?;
        }
        Ok(())
    }

    /// Adds a filter chain; what comes to it is served.
    pub(super) fn enter(&mut self, chain: &FilterChain, entrance: &Entrance<'_>) -> Entry {
        let filters = &chain.filters;
        match &chain.terminal {
            NetworkTerminal::Http(http) => {
                let manager = self.http.add_manager(http, entrance);
                if filters.is_empty() {
                    return Entry::Http(manager);
                }
                Entry::FilteredHttp(
                    self.network.add_chain(filters, None, &chain.name, entrance.connection_logs),
                    manager,
                )
            }
            NetworkTerminal::Network(terminal) => Entry::Network(self.network.add_chain(
                filters,
                Some(terminal),
                &chain.name,
                entrance.connection_logs,
            )),
        }
    }

    /// Runs one turn, and says how much there was to do. What is not for the layers is appended to `outside`.
    ///
    /// # Errors
    /// If waiting for events fails, which leaves nothing to go on with.
    pub(super) fn turn(&mut self, outside: &mut Vec<Outside>) -> io::Result<usize> {
        let mut batch = std::mem::take(&mut self.batch);
        self.reactor.turn(&mut batch)?;
        let events = batch.len();
        for event in batch.drain(..) {
            match event {
                Event::Io { token, ready } => match TokenKind::of(token) {
                    TokenKind::Server(key) => outside.push(Outside::Ready(key)),
                    token => self.on_io(token, ready),
                },
                Event::Timer(task) | Event::Deferred(task) => match task.layer {
                    Layer::Server => outside.push(Outside::Alarm(task.key)),
                    _ => self.on_task(task),
                },
                Event::Mail(mail) => outside.push(Outside::Mail(mail)),
                Event::Signal(signal) => outside.push(Outside::Signal(signal)),
            }
            self.settle();
        }
        self.batch = batch;
        self.finish_turn();
        Ok(events)
    }

    /// Writes what the turn produced and frees what ended in it.
    pub(super) fn finish_turn(&mut self) {
        self.settle();
        self.udp.flush(cx!(self));
        self.io.flush(&mut self.reactor);
        self.io.reap();
        while let Some(gone) = self.io.next_gone() {
            self.listeners.on_gone(gone, cx!(self));
        }
    }

    pub(super) fn on_io(&mut self, token: TokenKind, ready: Readiness) {
        match token {
            TokenKind::Listener(key) => self.accept(key, Wake::Resume),
            TokenKind::Server(_) => {}
            TokenKind::UdpListener(key) => {
                self.udp.on_listener(key, &mut self.upstream, self.http.logger(), cx!(self));
            }
            TokenKind::UdpSession(key) => self.udp.on_session(key, cx!(self)),
            TokenKind::Connection(key) => {
                if let Some((owner, notice)) = self.io.on_ready(key, ready, &mut self.reactor) {
                    self.on_socket(owner, notice);
                }
            }
        }
    }

    fn on_socket(&mut self, owner: Owner, notice: Notice) {
        match owner {
            Owner::Downstream(key) => self.http.on_socket(key, &notice, &mut self.upstream, cx!(self)),
            Owner::Upstream(key) => self.upstream.on_socket(key, notice, cx!(self)),
            Owner::Session(_) | Owner::SessionUpstream(_) => {
                self.network.on_socket(owner, &notice, &mut self.upstream, cx!(self));
            }
            Owner::Line(key) => self.upstream.on_line_socket(key, notice, cx!(self)),
            Owner::Arrival(key) => {
                self.listeners.on_socket(key, cx!(self));
                self.hand_over();
            }
            Owner::Nobody => {}
        }
    }

    pub(super) fn on_task(&mut self, task: Task) {
        match task.layer {
            Layer::Io => {
                let told = match task.wake {
                    Wake::Alarm => self.io.on_close_alarm(task.key, &mut self.reactor),
                    Wake::Resume => self.io.on_resume(task.key, &mut self.reactor),
                };
                if let Some((owner, notice)) = told {
                    self.on_socket(owner, notice);
                }
            }
            Layer::Listener => self.accept(task.key, task.wake),
            Layer::Downstream => self.http.on_task(task, &mut self.upstream, cx!(self)),
            Layer::Upstream => self.upstream.on_task(task, cx!(self)),
            Layer::Session => self.network.on_task(task, &mut self.upstream, cx!(self)),
            Layer::Line => self.upstream.on_line_task(task, cx!(self)),
            Layer::Arrival => {
                self.listeners.on_task(task, cx!(self));
                self.hand_over();
            }
            Layer::UdpListener | Layer::Udp => {
                self.udp.on_task(task, &mut self.upstream, self.http.logger(), cx!(self));
            }
            Layer::Server => {}
        }
    }

    /// Carries what happened upstream to the requests, until nothing more happens.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(event) = self.upstream.next_event() {
                match event.requester {
                    Requester::Stream(key) => {
                        self.http.on_upstream(key, event, &mut self.upstream, cx!(self))
                    }
                    Requester::Session(key) => {
                        self.network.on_upstream(key, event, &mut self.upstream, cx!(self));
                    }
                }
            } else if let Some(event) = self.upstream.next_dialed() {
                self.network.on_dialed(event, &mut self.upstream, cx!(self));
            } else {
                return;
            }
        }
    }

    fn accept(&mut self, key: RawKey, wake: Wake) {
        self.listeners.accept(key, wake, cx!(self));
        self.hand_over();
    }

    /// Serves what other workers have accepted for this one.
    pub(super) fn collect(&mut self) {
        self.listeners.collect(cx!(self));
        self.hand_over();
    }

    /// Closes the listening sockets; what they have queued is served.
    pub(super) fn stop_accepting(&mut self, scope: Scope) {
        self.listeners.close(scope, cx!(self));
        self.hand_over();
        self.udp.stop_accepting(scope, self.http.logger(), cx!(self));
    }

    /// Stops accepting; what is open goes on until it is finished.
    pub(super) fn drain(&mut self) {
        self.stop_accepting(Scope::All);
        self.listeners.drain(false, cx!(self));
        self.http.drain(&mut self.upstream, cx!(self));
    }

    /// Ends everything at once.
    pub(super) fn stop(&mut self) {
        self.stop_accepting(Scope::All);
        self.listeners.drain(true, cx!(self));
        self.http.stop(&mut self.upstream, cx!(self));
        self.udp.stop(&self.upstream, self.http.logger(), cx!(self));
        self.network.stop(&mut self.upstream, cx!(self));
        self.upstream.close_idle(cx!(self));
        self.finish_turn();
    }

    /// Whether no session of datagrams goes on and no connection is still being closed; pooled upstream connections do not count.
    pub(super) fn nothing_closes(&self) -> bool {
        self.udp.live() == 0 && self.io.len() <= self.upstream.live().0
    }

    fn hand_over(&mut self) {
        while let Some(Accepted { conn, provenance, entry }) = self.listeners.next_accepted() {
            self.admit(conn, provenance.into(), entry);
            self.io.rouse(conn, &mut self.reactor);
        }
    }

    /// Starts a filter chain on a connection.
    pub(super) fn admit(&mut self, conn: ConnKey, info: ConnectionInfo, entry: Entry) {
        let (chain, manager) = match entry {
            Entry::Http(manager) => return self.http.open(conn, info, manager, cx!(self)),
            Entry::FilteredHttp(chain, manager) => (chain, Some(manager)),
            Entry::Network(chain) => (chain, None),
        };
        let admitted = self.network.open(conn, info, chain, &mut self.upstream, cx!(self));
        if let (Some(info), Some(manager)) = (admitted, manager) {
            self.http.open(conn, info, manager, cx!(self));
        }
    }

    /// Whether there are access logs to be handed over now and then.
    pub(super) fn logs_anything(&mut self) -> bool {
        // A log of a listener is one of its filter chains too.
        self.http.logger().is_used() || self.network.logger().is_used()
    }

    /// Hands over what is in the access logs.
    pub(super) fn flush_logs(&mut self) {
        self.http.logger().flush();
        self.network.logger().flush();
        self.listeners.flush_logs();
    }
}
