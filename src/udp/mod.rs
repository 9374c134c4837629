//! UDP listeners and the proxy behind them: sessions of datagrams.
//!
//! Each worker has its own socket on a listener's address (SO_REUSEPORT); the kernel hands all datagrams of one client
//! to the same worker, so sessions share nothing. A datagram of a client without a session begins one: a host is chosen
//! and a socket connected to it, whose datagrams go back to the client. A session ends when none came or went for the
//! idle time.
//!
//! Datagrams come in batches (`recvmmsg`) into memory that is there from the start. What goes to one host in a row and
//! is of one size is sent in one piece (GSO); what goes to clients is collected for one `sendmmsg` at the end of the
//! turn, and is sent from where it was received. Nothing is queued: what a socket does not take is dropped and counted,
//! as datagrams are.
//!
//! Session filters ([`filter`]) see a session before it begins and each of its datagrams, both ways.

pub mod compile;
pub mod config;
mod downstream;
pub mod filter;
mod record;
mod replies;
mod table;
mod upstream;

use crate::access_log::Logger;
use crate::io::{Alarm, Cx, Layer, Rng, Scope, Task, TokenKind, Wake};
use crate::upstream::Upstream;
use config::{UdpAddress, UdpListenerConfig};
use downstream::Arrivals;
use filter::Filters;
use nuncio_reactor::{BindOptions, ListenOptions, RawKey, Slab, SlabKey, Time, UdpSocket};
use record::Counts;
use replies::Replies;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use table::{Due, Entry, ListenerKey, SessionKey, Table};

/// While a worker drains, a session that is quiet for so long has ended, if its idle time is longer.
const QUIET: Duration = Duration::from_secs(5);

/// All UDP of one worker.
#[derive(Debug)]
pub struct Udp {
    listeners: Slab<ListenerKey, Listening>,
    sessions: Table<Session>,
    alarm: Alarm,
    arrivals: Arrivals,
    replies: Replies,
    /// The next session's number, and how far numbers of one worker are apart.
    next_id: (u64, u64),
    /// What is due; kept for its memory.
    due: Vec<Due>,
}

/// A listener's socket on this worker.
#[derive(Debug)]
struct Listening {
    socket: UdpSocket,
    config: Arc<UdpListenerConfig>,
    /// Where it is bound.
    address: SocketAddr,
    /// Sessions that came by it.
    sessions: usize,
    /// None begins any more.
    closing: bool,
    /// What is known of datagrams besides their senders is looked at.
    notes: bool,
    /// Datagrams that the kernel has lost, as far as that was counted, modulo 2^32.
    lost: u32,
    /// A timer is armed to look for more of them.
    watched: bool,
    since: Time,
    logs: record::Logs,
    /// Of all its sessions.
    counts: Counts,
}

/// A session, apart from what the table knows of it.
#[derive(Debug)]
struct Session {
    /// Connected to the host.
    socket: UdpSocket,
    /// Where it goes: a place in the proxy's `targets`, and the host.
    target: u32,
    host: u32,
    since: Time,
    /// Its number in the process.
    id: u64,
    /// The path to its host does not take segments.
    plain: bool,
    filters: Filters,
    counts: Counts,
}

/// A listener's sockets, bound: at each of its addresses one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// What they are for.
    pub config: Arc<UdpListenerConfig>,
    /// Where they really are.
    pub addresses: Vec<SocketAddr>,
    /// For each worker that has not taken its own: one for each address.
    sockets: Vec<Vec<UdpSocket>>,
}

impl Bound {
    /// Binds a listener for `workers` workers.
    ///
    /// # Errors
    /// Of the first socket that cannot be made, with its address.
    pub fn new(config: &Arc<UdpListenerConfig>, workers: usize) -> io::Result<Self> {
        let mut bound = Self {
            config: Arc::clone(config),
            addresses: Vec::new(),
            sockets: (0..workers).map(|_| Vec::new()).collect(),
        };
        for UdpAddress { address, options } in &config.addresses {
            let failed =
                |error: io::Error| io::Error::new(error.kind(), format!("cannot bind {address}: {error}"));
            bound.bind(*address, options).map_err(failed)?;
        }
        Ok(bound)
    }

    fn bind(&mut self, mut address: SocketAddr, general: &ListenOptions) -> io::Result<()> {
        if !general.reuse_port && self.sockets.len() > 1 {
            // On one socket the workers would tear sessions apart.
            let why =
                "several workers need a socket each: leave out enable_reuse_port, or use --concurrency 1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let options = BindOptions {
            local: is_wildcard(address),
            // Where each datagram goes by itself they had better come by themselves.
            segments: self.config.receive.segments && !self.config.proxy.per_packet,
        };
        for sockets in &mut self.sockets {
            let socket = UdpSocket::bind(address, general, &options)?;
            // With port 0 the kernel has chosen one: the others must have the same.
            address = socket.local_address()?;
            sockets.push(socket);
        }
        self.addresses.push(address);
        Ok(())
    }

    /// One worker's sockets, each with its address.
    pub fn take(&mut self) -> Vec<(SocketAddr, UdpSocket)> {
        let sockets = self.sockets.pop().unwrap_or_default();
        self.addresses.iter().copied().zip(sockets).collect()
    }
}

/// Whether datagrams to a socket that is bound here may have been sent to any of several addresses.
fn is_wildcard(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_unspecified()
}

impl Udp {
    /// Without listeners; takes no memory.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            listeners: Slab::new(),
            sessions: Table::new([rng.bits(), rng.bits()]),
            alarm: Alarm::default(),
            arrivals: Arrivals::default(),
            replies: Replies::default(),
            next_id: (0, 1),
            due: Vec::new(),
        }
    }

    /// Numbers sessions so that no two of `workers` workers give one number.
    pub fn number(&mut self, worker: u64, workers: u64) {
        self.next_id = (worker, workers.max(1));
    }

    fn next_id(&mut self) -> u64 {
        let (id, step) = self.next_id;
        self.next_id.0 += step;
        id
    }

    /// Starts to serve a listener's socket.
    ///
    /// # Errors
    /// If the socket cannot be registered with the reactor.
    pub fn add(
        &mut self,
        (config, address, socket): (Arc<UdpListenerConfig>, SocketAddr, UdpSocket),
        logger: &mut Logger,
        cx: &mut Cx<'_>,
    ) -> io::Result<()> {
        self.arrivals.make_room(config.receive.longest);
        self.replies.make_room(config.proxy.receive.longest);
        let logs = record::Logs::open(&config.proxy, logger);
        let since = cx.reactor.now();
        let counts = Counts::default();
        let notes = is_wildcard(address) || config.receive.segments;
        let listening = Listening {
            socket,
            config,
            address,
            sessions: 0,
            closing: false,
            notes,
            lost: 0,
            watched: false,
            since,
            logs,
            counts,
        };
        let key = self.listeners.insert(listening);
        let listening = self.listeners.get(key).expect("just inserted");
        cx.reactor.register_reader(&listening.socket, TokenKind::UdpListener(key.raw()).token())
    }

    /// Number of sessions.
    pub fn live(&self) -> usize {
        self.sessions.len()
    }

    /// Something happened on a listener's socket.
    pub fn on_listener(
        &mut self,
        key: RawKey,
        upstream: &mut Upstream,
        logger: &mut Logger,
        cx: &mut Cx<'_>,
    ) {
        self.receive(ListenerKey::from_raw(key), upstream, logger, cx);
    }

    /// Something happened on a session's socket.
    pub fn on_session(&mut self, key: RawKey, cx: &mut Cx<'_>) {
        self.receive_answers(SessionKey::from_raw(key), cx);
    }

    /// Something that was asked for is due: a time, or a socket has more to give.
    pub fn on_task(&mut self, task: Task, upstream: &mut Upstream, logger: &mut Logger, cx: &mut Cx<'_>) {
        match (task.layer, task.wake) {
            (Layer::UdpListener, Wake::Resume) => self.on_listener(task.key, upstream, logger, cx),
            (Layer::UdpListener, Wake::Alarm) => self.count_lost(ListenerKey::from_raw(task.key), cx),
            (_, Wake::Resume) => self.on_session(task.key, cx),
            (_, Wake::Alarm) => self.on_alarm(upstream, logger, cx),
        }
    }

    /// Sends what the turn has collected for clients.
    #[inline]
    pub fn flush(&mut self, cx: &mut Cx<'_>) {
        if !self.replies.is_empty() {
            self.replies.flush(&mut self.listeners, &mut self.sessions, cx);
        }
    }

    /// From now on no session begins at some listeners; those that there are go on until they are quiet. Listeners
    /// without sessions close.
    pub fn stop_accepting(&mut self, scope: Scope, logger: &mut Logger, cx: &mut Cx<'_>) {
        let mut stopped = false;
        for (_, listening) in self.listeners.iter_mut().filter(|(_, listening)| listening.config.is_in(scope))
        {
            stopped |= !std::mem::replace(&mut listening.closing, true);
        }
        if !stopped {
            return;
        }
        for key in self.sessions.keys() {
            if let Some(entry) = self.sessions.get(key) {
                let end = entry.last + QUIET;
                self.sessions.arm(end, Due::Idle(key));
            }
        }
        for key in self.listeners.keys() {
            self.close_if_done(key, logger, cx);
        }
        self.set_alarm(cx);
    }

    /// Ends everything at once.
    pub fn stop(&mut self, upstream: &Upstream, logger: &mut Logger, cx: &mut Cx<'_>) {
        self.flush(cx);
        for (_, listening) in self.listeners.iter_mut() {
            listening.closing = true;
        }
        for key in self.sessions.keys() {
            self.end(key, upstream, logger, cx);
        }
        for key in self.listeners.keys() {
            self.close_if_done(key, logger, cx);
        }
    }

    fn on_alarm(&mut self, upstream: &Upstream, logger: &mut Logger, cx: &mut Cx<'_>) {
        self.alarm.rang();
        let mut due = std::mem::take(&mut self.due);
        let Self { sessions, listeners, .. } = self;
        let idle = |entry: &Entry<Session>| match listeners.get(entry.flow.listener) {
            None => Duration::ZERO,
            Some(listening) if listening.closing => listening.config.proxy.idle_timeout.min(QUIET),
            Some(listening) => listening.config.proxy.idle_timeout,
        };
        sessions.expire(cx.reactor.now(), idle, &mut due);
        for what in due.drain(..) {
            match what {
                Due::Idle(key) => {
                    if let Some(listening) = self.listening_of(key) {
                        cx.stats.inc(listening.config.proxy.stats.idle_timeout);
                    }
                    self.end(key, upstream, logger, cx);
                }
                Due::Log(key) => self.log_interval(key, upstream, logger, cx),
            }
        }
        self.due = due;
        if self.sessions.shrink() {
            self.due = Vec::new();
        }
        self.set_alarm(cx);
    }

    fn listening_of(&self, key: SessionKey) -> Option<&Listening> {
        self.listeners.get(self.sessions.get(key)?.flow.listener)
    }

    /// Makes sure that the earliest deadline of a session is noticed.
    fn set_alarm(&mut self, cx: &mut Cx<'_>) {
        if let Some(deadline) = self.sessions.next_deadline() {
            let task = Task { layer: Layer::Udp, wake: Wake::Alarm, key: RawKey::from_bits(0) };
            self.alarm.by(deadline, task, cx.reactor);
        }
    }

    /// The one place where a session ends.
    fn end(&mut self, key: SessionKey, upstream: &Upstream, logger: &mut Logger, cx: &mut Cx<'_>) {
        let Some(entry) = self.sessions.remove(key) else { return };
        let Some(listening) = self.listeners.get_mut(entry.flow.listener) else { return };
        listening.sessions -= 1;
        let proxy = &listening.config.proxy;
        cx.stats.move_gauge(proxy.stats.downstream_sess_active, -1);
        upstream.leave_session(proxy.targets[entry.value.target as usize].cluster);
        listening.log_end(&entry, upstream, logger, cx);
        self.close_if_done(entry.flow.listener, logger, cx);
    }

    /// Closes a listener that has no sessions and is to have none.
    fn close_if_done(&mut self, key: ListenerKey, logger: &mut Logger, cx: &mut Cx<'_>) {
        if self.listeners.get(key).is_some_and(|listening| listening.closing && listening.sessions == 0) {
            // What its last session has sent is not lost with it.
            self.flush(cx);
            self.count_lost(key, cx);
            if let Some(listening) = self.listeners.remove(key) {
                listening.log_proxy(logger, cx);
            }
        }
    }
}
