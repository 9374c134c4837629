//! Network filters: what is done with the bytes of a connection that is not HTTP, and who is let in at all.
//!
//! A chain begins with filters that may turn a connection away (`chain`) and ends with one that owns it: the TCP proxy,
//! echo, a direct response, or the HTTP connection manager, which is a layer of its own and gets the connection from here
//! when the filters have let it in. [`Network`] holds the sessions of one worker.

mod chain;
mod cidr;
pub mod compile;
pub mod config;
mod info;
mod limit;
mod rate_limit;
mod rbac;
mod session;
mod set_filter_state;
pub mod tcp_proxy;
pub mod token_bucket;

pub use cidr::Cidr;
pub(crate) use info::is_wildcard;
pub use info::{ConnectionInfo, Entrance, Extra};
pub use limit::Place;
pub use rbac::{Denial, Guard};

use crate::access_log::{Log, Logger};
use crate::io::{ConnKey, Cx, Notice, Owner, Task};
use crate::stats::ListenerStats;
use crate::upstream::{Dialed, Upstream};
use chain::{Arrival, admit};
use config::{Filter, Terminal};
use nuncio_reactor::{Address, RawKey, Slab, SlabKey, Socket};
use session::{Session, SessionKey};
use std::sync::Arc;

/// A filter chain in [`Network`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ChainId(u32);

/// A filter chain on one worker.
#[derive(Debug)]
struct Chain {
    filters: Arc<[Filter]>,
    /// `None` if it is an HTTP connection manager.
    terminal: Option<Terminal>,
    listener: ListenerStats,
    /// High watermark of a connection's output, in bytes.
    buffer_limit: u32,
    logs: Vec<Log>,
    /// Where the listener is bound, if that is one address.
    local: Option<Address>,
    /// Name of the filter chain.
    name: String,
}

/// All sessions of one worker.
#[derive(Debug)]
pub struct Network {
    chains: Vec<Chain>,
    sessions: Slab<SessionKey, Session>,
    logger: Logger,
}

impl Network {
    /// No sessions.
    pub fn new(logger: Logger) -> Self {
        Self { chains: Vec::new(), sessions: Slab::new(), logger }
    }

    /// Adds a filter chain; without a terminal filter it ends in an HTTP connection manager.
    pub fn add_chain(
        &mut self,
        filters: &Arc<[Filter]>,
        terminal: Option<&Terminal>,
        entrance: &Entrance<'_>,
    ) -> ChainId {
        let logs = match terminal {
            Some(Terminal::TcpProxy(config)) => {
                config.access_log.iter().map(|log| self.logger.open(log)).collect()
            }
            _ => Vec::new(),
        };
        self.chains.push(Chain {
            filters: Arc::clone(filters),
            terminal: terminal.cloned(),
            listener: entrance.stats.clone(),
            buffer_limit: entrance.buffer_limit,
            logs,
            local: Some(entrance.local).filter(|local| !is_wildcard(local)).cloned(),
            name: entrance.filter_chain.to_owned(),
        });
        ChainId(self.chains.len() as u32 - 1)
    }

    /// Takes over an accepted connection. One that is for an HTTP connection manager is given back when the filters have
    /// let it in.
    pub fn accept(
        &mut self,
        socket: Socket,
        info: ConnectionInfo,
        chain: ChainId,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Option<(ConnKey, ConnectionInfo)> {
        let limit = self.chains[chain.0 as usize].buffer_limit;
        // A socket that cannot be registered is closed by being dropped.
        let conn = cx.io.adopt(socket, Owner::Nobody, limit, cx.reactor).ok()?;
        self.open(conn, info, chain, upstream, cx)
    }

    /// Runs a chain on a connection.
    pub(crate) fn open(
        &mut self,
        conn: ConnKey,
        mut info: ConnectionInfo,
        chain: ChainId,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Option<(ConnKey, ConnectionInfo)> {
        let at = &self.chains[chain.0 as usize];
        let own = if at.local.is_none() { cx.io.local_address(conn) } else { None };
        let arrival =
            Arrival { id: cx.io.id(conn), local: own.as_ref().or(at.local.as_ref()), filter_chain: &at.name };
        let admitted = admit(&at.filters, &mut info, &arrival, cx);
        if at.terminal.is_none() && admitted.is_ok() {
            return Some((conn, info));
        }
        self.begin((conn, info, own), chain, admitted, upstream, cx);
        None
    }

    /// Something happened on a socket of a session.
    pub fn on_socket(&mut self, owner: Owner, notice: &Notice, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        if let Notice::Ready = notice {
            match owner {
                Owner::Session(key) => self.pump_down(SessionKey::from_raw(key), upstream, cx),
                Owner::SessionUpstream(key) => {
                    self.pump(SessionKey::from_raw(key), Side::Up, upstream, cx);
                }
                _ => {}
            }
        }
    }

    /// A session asked to be looked at again.
    pub fn on_task(&mut self, task: Task, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.on_wake(SessionKey::from_raw(task.key), task.wake, upstream, cx);
    }

    /// A connection that a session has asked for is there, or is not to be.
    pub fn on_dialed(&mut self, event: Dialed, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.on_line(SessionKey::from_raw(event.requester), event, upstream, cx);
    }

    /// Ends everything at once.
    pub fn stop(&mut self, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        for key in self.sessions.keys() {
            self.stop_session(key, upstream, cx);
        }
    }

    /// Sessions that exist now.
    pub fn live(&self) -> usize {
        self.sessions.len()
    }

    /// The worker's access logs of sessions.
    pub fn logger(&mut self) -> &mut Logger {
        &mut self.logger
    }
}

/// Which connection of a session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Side {
    Down,
    Up,
}

/// What a new session begins with: its connection, what is known of it, and this end's address if the listener is not
/// bound to one address.
type Newcomer = (ConnKey, ConnectionInfo, Option<Address>);

/// The key of a session as others carry it.
fn raw(key: SessionKey) -> RawKey {
    key.raw()
}
