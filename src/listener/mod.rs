//! The listener subsystem: listening sockets, and what happens to a connection before its first network filter.
//!
//! Each worker has its own sockets (SO_REUSEPORT), so accepting takes no coordination. Accepts are bounded per
//! turn so that a flood of new connections cannot starve those that are open. An accepted socket becomes a
//! connection of [`Io`](crate::io::Io) at once; listener filters, if there are any, look at its first bytes; then a filter chain is
//! chosen and the connection comes up as [`Accepted`].

mod bound;
pub mod compile;
pub mod config;
mod matcher;

pub use bound::Bound;
pub use matcher::Matcher;

use crate::http::ManagerId;
use crate::io::{Close, ConnKey, Cx, Enrolment, Layer, Owner, Provenance, Reactor, Task, TokenKind, Wake};
use crate::network::ChainId;
use config::ListenerConfig;
use nuncio_reactor::{Address, RawKey, Slab, SlabKey, Socket, slab_key};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

slab_key! {
    /// A listening socket in [`Listeners`].
    struct ListenerKey;
}

/// Most connections accepted from one socket before others have their turn.
const ACCEPT_BATCH: usize = 64;
/// How long accepting rests when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// The listeners of one worker.
#[derive(Debug, Default)]
pub struct Listeners {
    listeners: Vec<Listener>,
    sockets: Slab<ListenerKey, Listening>,
    accepted: VecDeque<Accepted>,
}

/// A listener on one worker.
#[derive(Debug)]
struct Listener {
    config: Arc<ListenerConfig>,
    /// What its filter chains are on this worker, in the same order.
    chains: Vec<Entry>,
}

#[derive(Debug)]
struct Listening {
    socket: Socket,
    /// Its listener, by its place.
    listener: u32,
    /// Where it is bound, if that is the local address of what it accepts.
    local: Option<Address>,
}

/// A connection that has got its filter chain.
#[derive(Debug)]
pub struct Accepted {
    /// It has no owner yet; it may have input already.
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
    /// Adds a listener whose filter chains are `chains` on this worker.
    pub fn add(&mut self, config: Arc<ListenerConfig>, chains: Vec<Entry>) -> u32 {
        self.listeners.push(Listener { config, chains });
        self.listeners.len() as u32 - 1
    }

    /// Starts to accept on a socket of a listener, which is bound to `address`.
    ///
    /// # Errors
    /// If the socket cannot be registered with the reactor.
    pub fn listen(
        &mut self,
        listener: u32,
        address: &Address,
        socket: Socket,
        reactor: &Reactor,
    ) -> io::Result<()> {
        let wildcard = matches!(address, Address::Inet(address) if address.ip().is_unspecified());
        let local = (!wildcard).then(|| address.clone());
        let key = self.sockets.insert(Listening { socket, listener, local });
        let listening = self.sockets.get(key).expect("just inserted");
        reactor.register(&listening.socket, TokenKind::Listener(key.raw()).token())
    }

    /// The next connection that has got its filter chain.
    pub fn next_accepted(&mut self) -> Option<Accepted> {
        self.accepted.pop_front()
    }

    /// Accepts what waits on a socket, up to a bound; the rest comes back as a task.
    pub fn accept(&mut self, key: RawKey, cx: &mut Cx<'_>) {
        for _ in 0..ACCEPT_BATCH {
            let Some(listening) = self.sockets.get(ListenerKey::from_raw(key)) else { return };
            match listening.socket.accept() {
                Ok((socket, peer)) => {
                    let (listener, local) = (listening.listener, listening.local.clone());
                    self.arrive(listener, local, socket, peer, cx);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => {
                    // The edge has been seen and will not come again: look later.
                    log::warn!("cannot accept connections: {error}; trying again in {OUT_OF_FILES:?}");
                    cx.reactor.arm(OUT_OF_FILES, Task { layer: Layer::Listener, wake: Wake::Alarm, key });
                    return;
                }
            }
        }
        cx.reactor.defer(Task { layer: Layer::Listener, wake: Wake::Resume, key });
    }

    /// A connection has been accepted.
    fn arrive(
        &mut self,
        listener: u32,
        local: Option<Address>,
        socket: Socket,
        peer: Address,
        cx: &mut Cx<'_>,
    ) {
        // The system may have forgotten a connection that its client has reset: there is nobody to serve.
        let Some(local) = local.or_else(|| socket.local_address().ok()) else { return };
        let config = &self.listeners[listener as usize].config;
        // A socket that cannot be registered is closed by being dropped.
        if let Ok(conn) = cx.io.adopt(socket, Owner::Nobody, config.buffer_limit, cx.reactor) {
            self.choose(listener, conn, Provenance::direct(peer, local), cx);
        }
    }

    /// Chooses the filter chain of a connection.
    fn choose(&mut self, listener: u32, conn: ConnKey, provenance: Provenance, cx: &mut Cx<'_>) {
        let Listener { config, chains } = &self.listeners[listener as usize];
        let Some(chain) = config.matcher.find(&provenance) else {
            cx.stats.inc(config.stats.no_filter_chain_match);
            return cx.io.close(conn, Close::Now, None, cx.reactor);
        };
        cx.stats.inc(config.stats.downstream_cx_total);
        cx.stats.move_gauge(config.stats.downstream_cx_active, 1);
        cx.io.enrol(conn, Enrolment { listener, since: cx.reactor.now() });
        self.accepted.push_back(Accepted { conn, provenance, entry: chains[chain as usize] });
    }

    /// A connection that has had a filter chain is gone.
    pub fn on_gone(&mut self, gone: Enrolment, cx: &mut Cx<'_>) {
        let stats = &self.listeners[gone.listener as usize].config.stats;
        cx.stats.inc(stats.downstream_cx_destroy);
        cx.stats.move_gauge(stats.downstream_cx_active, -1);
        let lived = (cx.reactor.now() - gone.since).as_millis() as u64;
        cx.stats.record(stats.downstream_cx_length_ms, lived);
    }

    /// Stops listening. What has been queued by the kernel is accepted first, since closing the socket would
    /// reset it.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        for key in self.sockets.keys() {
            if let Some(Listening { socket, listener, local }) = self.sockets.remove(key) {
                while let Ok((accepted, peer)) = socket.accept() {
                    self.arrive(listener, local.clone(), accepted, peer, cx);
                }
                // A socket that workers share stays open with the others: it must not wake this one any more.
                if let Err(error) = cx.reactor.deregister(&socket) {
                    log::warn!("a listening socket could not be deregistered: {error}");
                }
            }
        }
    }
}

/// Whether an error of accept(2) concerns only the connection that was to be accepted.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(libc::EPROTO | libc::EPERM))
}
