//! The listener subsystem: listening sockets, and what happens to a connection before its first network filter.
//!
//! Each worker has its own sockets (SO_REUSEPORT), so accepting takes no coordination. Accepts are bounded per
//! turn so that a flood of new connections cannot starve those that are open. An accepted socket becomes a
//! connection of [`Io`](crate::io::Io) at once; listener filters, if there are any, look at its first bytes
//! (`arrival`); then a filter chain is chosen (`matcher`) and the connection comes up as [`Accepted`].

mod arrival;
mod bound;
pub mod compile;
pub mod config;
mod filters;
mod matcher;
mod shared;

pub use bound::Bound;
pub use matcher::Matcher;
pub use shared::{Colleagues, Shared};

use crate::access_log::{Log, Logger};
use crate::http::ManagerId;
use crate::io::{
    Close, ConnKey, Cx, Enrolment, Layer, Mail, Owner, Provenance, Reactor, Scope, Task, TokenKind, Wake,
};
use crate::network::ChainId;
use crate::stream_info::{Downstream, Flag, Occasion, SessionInfo, StreamInfo};
use crate::tls::ServerTls;
use arrival::{Arrival, ArrivalKey};
use config::{ListenerConfig, TransportSocket};
use nuncio_reactor::{Address, RawKey, Slab, SlabKey, Socket, Time, slab_key};
use shared::{Counts, Handed};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

slab_key! {
    /// A listening socket in [`Listeners`].
    struct ListenerKey;
}

/// How long accepting rests when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long it goes without saying so again.
const SILENCE: Duration = Duration::from_secs(60);

/// The listeners of one worker.
#[derive(Debug, Default)]
pub struct Listeners {
    listeners: Vec<Listener>,
    sockets: Slab<ListenerKey, Listening>,
    arrivals: Slab<ArrivalKey, Arrival>,
    accepted: VecDeque<Accepted>,
    /// Which listener has an address.
    by_address: HashMap<Address, u32>,
    shared: Shared,
    colleagues: Colleagues,
    logger: Option<Logger>,
}

/// A listener on one worker.
#[derive(Debug)]
struct Listener {
    config: Arc<ListenerConfig>,
    /// What its filter chains are on this worker, in the same order.
    chains: Vec<Entry>,
    /// Their TLS.
    tls: Vec<Option<ServerTls>>,
    /// What the workers count together.
    counts: Option<Arc<Counts>>,
    /// About connections that do not get as far as a filter chain; for the others, the chain writes.
    logs: Vec<Log>,
}

#[derive(Debug)]
struct Listening {
    socket: Socket,
    /// Its listener, by its place.
    listener: u32,
    /// Where it is bound, if that is the local address of what it accepts.
    local: Option<Address>,
    /// Addresses of IPv4 come as IPv6.
    dual: bool,
    /// Accepting has failed, and an alarm is set after which it is tried again.
    resting: bool,
    /// When that was last said.
    said: Option<Time>,
}

/// A connection that has got its filter chain.
#[derive(Debug)]
pub struct Accepted {
    /// It has no owner yet.
    pub conn: ConnKey,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Where it goes.
    pub entry: Entry,
}

/// Where the connections of a filter chain go.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// To an HTTP connection manager, without filters before it.
    Http(ManagerId),
    /// Through filters to an HTTP connection manager.
    FilteredHttp(ChainId, ManagerId),
    /// To network filters that end the chain themselves.
    Network(ChainId),
}

impl Listeners {
    /// Listeners of one of several workers, that count together.
    pub fn new(shared: Shared, colleagues: Colleagues) -> Self {
        Self { shared, colleagues, ..Self::default() }
    }

    /// Says where access logs go.
    pub fn log_to(&mut self, logger: Logger) {
        self.logger = Some(logger);
    }

    /// Hands over what is in the access logs.
    pub fn flush_logs(&mut self) {
        self.logger.iter_mut().for_each(Logger::flush);
    }

    /// Adds a listener at these addresses, whose filter chains are `chains` on this worker.
    pub fn add(&mut self, config: Arc<ListenerConfig>, addresses: &[Address], chains: Vec<Entry>) -> u32 {
        let listener = self.listeners.len() as u32;
        for address in addresses {
            self.by_address.insert(address.clone().canonical(), listener);
        }
        let tls = config.filter_chains.iter().map(|chain| match &chain.transport {
            TransportSocket::Raw => None,
            TransportSocket::Tls(context) => Some(ServerTls::new(context)),
        });
        let tls = tls.collect();
        let logs = match &mut self.logger {
            Some(logger) => config.access_log.iter().map(|log| logger.open(log)).collect(),
            None => Vec::new(),
        };
        let counts = self.shared.counts(listener);
        self.listeners.push(Listener { config, chains, tls, counts, logs });
        listener
    }

    /// Starts to accept on a socket of a listener, the one for its address at this place.
    ///
    /// # Errors
    /// If the socket cannot be registered with the reactor.
    pub fn listen(
        &mut self,
        listener: u32,
        place: usize,
        address: &Address,
        socket: Socket,
        reactor: &Reactor,
    ) -> io::Result<()> {
        let wildcard = matches!(address, Address::Inet(address) if address.ip().is_unspecified());
        let local = (!wildcard).then(|| address.clone().canonical());
        let dual = self.listeners[listener as usize].config.addresses[place].options.dual;
        let key =
            self.sockets.insert(Listening { socket, listener, local, dual, resting: false, said: None });
        let listening = self.sockets.get(key).expect("just inserted");
        reactor.register(&listening.socket, TokenKind::Listener(key.raw()).token())
    }

    /// The next connection that has got its filter chain.
    pub fn next_accepted(&mut self) -> Option<Accepted> {
        self.accepted.pop_front()
    }

    /// Accepts what waits on a socket, up to a bound; the rest comes back as a task.
    pub fn accept(&mut self, key: RawKey, wake: Wake, cx: &mut Cx<'_>) {
        let Some(listening) = self.sockets.get_mut(ListenerKey::from_raw(key)) else { return };
        if listening.resting && wake != Wake::Alarm {
            // Each connection that comes meanwhile is an edge: one alarm is enough for all of them.
            return;
        }
        listening.resting = false;
        let (listener, config) = (listening.listener, &self.listeners[listening.listener as usize].config);
        let (batch, counted) = (config.accept_batch, config.stats.connections_accepted_per_socket_event);
        let mut accepted = 0;
        let more = loop {
            if accepted == batch {
                break Some(None);
            }
            let Some(listening) = self.sockets.get(ListenerKey::from_raw(key)) else { return };
            match listening.socket.accept() {
                Ok((socket, peer)) => {
                    accepted += 1;
                    let (local, dual) = (listening.local.clone(), listening.dual);
                    self.arrive(listener, (local, dual), socket, peer, cx);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => break Some(Some(error)),
            }
        };
        cx.stats.record(counted, accepted as u64);
        match more {
            None => {}
            Some(None) => cx.reactor.defer(Task { layer: Layer::Listener, wake: Wake::Resume, key }),
            Some(Some(error)) => {
                // The edge has been seen and will not come again: look later.
                let Some(listening) = self.sockets.get_mut(ListenerKey::from_raw(key)) else { return };
                listening.resting = true;
                let now = cx.reactor.now();
                if listening.said.is_none_or(|said| now - said >= SILENCE) {
                    listening.said = Some(now);
                    let name = &self.listeners[listener as usize].config.name;
                    log::warn!(
                        "listener '{name}' cannot accept connections: {error}; trying again every {OUT_OF_FILES:?}"
                    );
                }
                cx.reactor.arm(OUT_OF_FILES, Task { layer: Layer::Listener, wake: Wake::Alarm, key });
            }
        }
    }

    /// A connection has been accepted: it is let in, and goes to the worker that it is for.
    fn arrive(
        &mut self,
        listener: u32,
        (local, dual): (Option<Address>, bool),
        socket: Socket,
        peer: Address,
        cx: &mut Cx<'_>,
    ) {
        // The system may have forgotten a connection that its client has reset: there is nobody to serve.
        let Some(local) = local.or_else(|| socket.local_address().ok()) else { return };
        let (peer, local) = if dual { (peer.canonical(), local.canonical()) } else { (peer, local) };
        let Listener { config, counts, .. } = &self.listeners[listener as usize];
        // Whoever is not let in is closed by being dropped.
        let global = self.shared.global.as_ref().filter(|_| !config.ignores_global_limit);
        if global.is_some_and(|global| !global.enter()) {
            return cx.stats.inc(config.stats.downstream_global_cx_overflow);
        }
        let global_counted = global.is_some();
        if let Some(counts) = counts {
            if counts.gate.as_ref().is_some_and(|gate| !gate.enter()) {
                global.inspect(|global| global.leave());
                return cx.stats.inc(config.stats.downstream_cx_overflow);
            }
            if counts.is_balanced() {
                let worker = counts.assign();
                if worker != self.colleagues.this {
                    let handed = Handed { socket, peer, local, global: global_counted };
                    if counts.leave(worker, handed) {
                        // A worker that is gone takes its connections with it.
                        let _ = self.colleagues.mail[worker].send(Mail::Handed);
                    }
                    return;
                }
            }
        }
        self.adopt(listener, Handed { socket, peer, local, global: global_counted }, cx);
    }

    /// Other workers have accepted connections for this one.
    pub fn collect(&mut self, cx: &mut Cx<'_>) {
        for listener in 0..self.listeners.len() as u32 {
            let Some(counts) = self.listeners[listener as usize].counts.clone() else { continue };
            for handed in counts.collect(self.colleagues.this) {
                self.adopt(listener, handed, cx);
            }
        }
    }

    /// Makes an accepted socket, which has been counted, a connection of this worker.
    fn adopt(&mut self, listener: u32, handed: Handed, cx: &mut Cx<'_>) {
        let Handed { socket, peer, local, global } = handed;
        let config = &self.listeners[listener as usize].config;
        let enrolment = Enrolment { listener, accepted: cx.reactor.now(), since: None, global };
        // A socket that cannot be registered is closed by being dropped.
        match cx.io.adopt(socket, Owner::Nobody, config.buffer_limit, cx.reactor) {
            Ok(conn) => {
                cx.io.enrol(conn, enrolment);
                self.begin(listener, conn, Provenance::direct(peer, local), false, cx);
            }
            Err(_) => self.discount(&enrolment),
        }
    }

    /// Chooses the filter chain of a connection.
    fn choose(&mut self, listener: u32, conn: ConnKey, provenance: Provenance, cx: &mut Cx<'_>) {
        let Listener { config, chains, tls, .. } = &self.listeners[listener as usize];
        let Some(chain) = config.matcher.find(&provenance) else {
            cx.stats.inc(config.stats.no_filter_chain_match);
            self.log(listener, conn, &provenance, true, cx);
            return refuse(conn, cx);
        };
        cx.stats.inc(config.stats.downstream_cx_total);
        cx.stats.move_gauge(config.stats.downstream_cx_active, 1);
        cx.io.begin_service(conn, cx.reactor.now());
        if let Some(tls) = &tls[chain as usize] {
            let limit = config.filter_chains[chain as usize].handshake_timeout;
            let late = config.stats.downstream_cx_transport_socket_connect_timeout;
            cx.io.secure(conn, tls, (limit, late), cx.stats, cx.reactor);
        }
        cx.io.hand_on(conn);
        self.accepted.push_back(Accepted { conn, provenance, entry: chains[chain as usize] });
    }

    /// Writes a line about a connection that ends before it has a filter chain: by our will if there is none for it.
    fn log(&mut self, listener: u32, conn: ConnKey, provenance: &Provenance, unmatched: bool, cx: &Cx<'_>) {
        let Listener { logs, .. } = &self.listeners[listener as usize];
        let Some(logger) = self.logger.as_mut().filter(|_| !logs.is_empty()) else { return };
        let (now, wall) = (cx.reactor.now(), cx.reactor.wall());
        let lasted = cx.io.accepted_at(conn).map_or(Duration::ZERO, |accepted| now - accepted);
        let mut session = SessionInfo { moment: Occasion::NotSet.name(), ..SessionInfo::default() };
        let mut details = "";
        if unmatched {
            session.flags.add(Flag::NoRouteFound);
            details = "filter_chain_not_found";
        }
        let downstream = Downstream::of(provenance, cx.io.id(conn), "", None);
        let times = (wall.checked_sub(lasted).unwrap_or(wall), wall);
        let info = StreamInfo::of_connection(downstream, times, lasted, session);
        logger.record(logs, &StreamInfo { details, ..info });
    }

    /// The listener of this worker that a connection to an address would come to.
    fn at(&self, address: &Address) -> Option<u32> {
        let Address::Inet(inet) = address else { return self.by_address.get(address).copied() };
        let wildcard =
            |ip: IpAddr| self.by_address.get(&Address::Inet(SocketAddr::new(ip, inet.port()))).copied();
        let exact = self.by_address.get(address).copied();
        let of_family = || if inet.is_ipv4() { wildcard(Ipv4Addr::UNSPECIFIED.into()) } else { None };
        let dual = |listener: &u32| {
            inet.is_ipv6()
                || self.listeners[*listener as usize].config.addresses.iter().any(|at| at.options.dual)
        };
        exact.or_else(of_family).or_else(|| wildcard(Ipv6Addr::UNSPECIFIED.into()).filter(dual))
    }

    /// A connection is gone.
    pub fn on_gone(&mut self, gone: Enrolment, cx: &mut Cx<'_>) {
        self.discount(&gone);
        if let Some(since) = gone.since {
            let stats = &self.listeners[gone.listener as usize].config.stats;
            cx.stats.inc(stats.downstream_cx_destroy);
            cx.stats.move_gauge(stats.downstream_cx_active, -1);
            cx.stats.record(stats.downstream_cx_length_ms, (cx.reactor.now() - since).as_millis() as u64);
        }
    }

    /// A connection counts no more.
    fn discount(&self, gone: &Enrolment) {
        if let Some(counts) = &self.listeners[gone.listener as usize].counts {
            counts.gate.iter().for_each(shared::Gate::leave);
            counts.count(self.colleagues.this, -1);
        }
        if gone.global {
            self.shared.global.iter().for_each(|global| global.leave());
        }
    }

    /// Stops listening. What has been queued by the kernel is accepted first, since closing the socket would
    /// reset it.
    pub fn close(&mut self, scope: Scope, cx: &mut Cx<'_>) {
        for key in self.sockets.keys() {
            let listener = self.sockets.get(key).map(|listening| listening.listener);
            if !listener.is_some_and(|listener| self.listeners[listener as usize].config.is_in(scope)) {
                continue;
            }
            if let Some(Listening { socket, listener, local, dual, .. }) = self.sockets.remove(key) {
                while let Ok((accepted, peer)) = socket.accept() {
                    self.arrive(listener, (local.clone(), dual), accepted, peer, cx);
                }
                // A socket that workers share stays open with the others: it must not wake this one any more.
                if let Err(error) = cx.reactor.deregister(&socket) {
                    log::warn!("a listening socket could not be deregistered: {error}");
                }
            }
        }
    }
}

/// Closes a connection that is not wanted. As if what was read had stayed in the system's buffer, it ends with a reset
/// if there was anything.
fn refuse(conn: ConnKey, cx: &mut Cx<'_>) {
    let how = if cx.io.input(conn).is_empty() { Close::Now } else { Close::Reset };
    cx.io.close(conn, how, None, cx.reactor);
}

/// Whether an error of accept(2) concerns only the connection that was to be accepted.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(libc::EPROTO | libc::EPERM))
}
