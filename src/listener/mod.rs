//! The listener subsystem: listening sockets, and handing what they accept to a filter chain.
//!
//! Each worker has its own sockets (SO_REUSEPORT), so accepting takes no coordination. Accepts are bounded per
//! turn so that a flood of new connections cannot starve those that are open.

pub mod compile;
pub mod config;

use crate::http::{Entrance, ManagerId};
use crate::io::{Cx, Layer, Reactor, Task, TokenKind, Wake};
use crate::tls::ServerTls;
use config::{ListenerConfig, NetworkTerminal, TransportSocket};
use nuncio_reactor::{Address, ListenOptions, RawKey, Slab, SlabKey, Socket, slab_key};
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

/// The listening sockets of one worker.
#[derive(Debug, Default)]
pub struct Listeners {
    sockets: Slab<ListenerKey, Listening>,
}

#[derive(Debug)]
struct Listening {
    socket: Socket,
    manager: ManagerId,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket.
    pub socket: Socket,
    /// Who is connected.
    pub peer: Address,
    /// Where it goes.
    pub manager: ManagerId,
}

/// A listener's sockets, bound: one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// What they are for.
    pub config: Arc<ListenerConfig>,
    /// Where they really listen.
    pub address: Address,
    /// Indexed by worker.
    pub sockets: Vec<Socket>,
}

impl Bound {
    /// Binds a listener for `workers` workers.
    ///
    /// # Errors
    /// The first socket that cannot be made.
    pub fn new(config: &Arc<ListenerConfig>, workers: usize) -> io::Result<Self> {
        let options = ListenOptions {
            reuse_port: config.reuse_port,
            backlog: config.backlog,
            nodelay: true,
            mode: config.mode,
        };
        let first = Socket::listen(&config.address, &options)?;
        // With port 0 the kernel has chosen one: the others must listen on the same.
        let address = first.local_address()?;
        let mut sockets = vec![first];
        let shared = !config.reuse_port || matches!(address, Address::Unix(_));
        for _ in 1..workers {
            let next = if shared { sockets[0].try_clone()? } else { Socket::listen(&address, &options)? };
            sockets.push(next);
        }
        Ok(Self { config: Arc::clone(config), address, sockets })
    }
}

/// The HTTP connection manager's configuration at the end of a listener's filter chain.
pub fn http_config(config: &ListenerConfig) -> &Arc<crate::http::config::HcmConfig> {
    let NetworkTerminal::Http(http) = &config.filter_chain.terminal;
    http
}

/// What the connection manager at the end of a listener's filter chain must know of it.
pub fn entrance<'a>(config: &'a ListenerConfig, local: &'a Address) -> Entrance<'a> {
    Entrance {
        stats: &config.stats,
        buffer_limit: config.buffer_limit,
        local,
        filter_chain: &config.filter_chain.name,
        tls: match &config.filter_chain.transport {
            TransportSocket::Raw => None,
            TransportSocket::Tls(context) => Some(ServerTls::new(context)),
        },
        handshake_timeout: config.filter_chain.handshake_timeout,
    }
}

impl Listeners {
    /// Starts to accept on a socket, on behalf of `manager`.
    ///
    /// # Errors
    /// If the socket cannot be registered with the reactor.
    pub fn add(&mut self, socket: Socket, manager: ManagerId, cx: &mut Cx<'_>) -> io::Result<()> {
        let key = self.sockets.insert(Listening { socket, manager });
        let listening = self.sockets.get(key).expect("just inserted");
        cx.reactor.register(&listening.socket, TokenKind::Listener(key.raw()).token())
    }

    /// Accepts what waits on a socket into `accepted`, up to a bound; the rest comes back as a task.
    pub fn accept(&mut self, key: RawKey, accepted: &mut Vec<Accepted>, cx: &mut Cx<'_>) {
        let Some(listening) = self.sockets.get(ListenerKey::from_raw(key)) else { return };
        for _ in 0..ACCEPT_BATCH {
            match listening.socket.accept() {
                Ok((socket, peer)) => accepted.push(Accepted { socket, peer, manager: listening.manager }),
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

    /// Stops listening. What has been queued by the kernel is accepted first, since closing the socket would
    /// reset it.
    pub fn close(&mut self, accepted: &mut Vec<Accepted>, reactor: &Reactor) {
        for key in self.sockets.keys() {
            if let Some(Listening { socket, manager }) = self.sockets.remove(key) {
                while let Ok((socket, peer)) = socket.accept() {
                    accepted.push(Accepted { socket, peer, manager });
                }
                // A socket that workers share stays open with the others: it must not wake this one any more.
                if let Err(error) = reactor.deregister(&socket) {
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
