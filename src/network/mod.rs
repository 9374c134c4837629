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
mod token_bucket;
mod view;

pub use cidr::Cidr;
pub use info::{ConnectionInfo, Extra};
pub use limit::Place;
pub use rbac::{Denial, Guard};
pub use token_bucket::{Settings as BucketSettings, TokenBucket};

use crate::access_log::config::AccessLogConfig;
use crate::access_log::{Log, Logger};
use crate::io::{ConnKey, Cx, Notice, Owner, Task};
use crate::upstream::{Dialed, Event, Upstream};
use chain::admit;
use config::{Filter, Terminal};
use nuncio_reactor::{RawKey, Slab, SlabKey};
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
    logs: Vec<Log>,
    /// Those of the listener.
    connection_logs: Vec<Log>,
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
        name: &str,
        connection_logs: &[AccessLogConfig],
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
            logs,
            connection_logs: connection_logs.iter().map(|log| self.logger.open(log)).collect(),
            name: name.to_owned(),
        });
        ChainId(self.chains.len() as u32 - 1)
    }

    /// Runs a chain on an accepted connection. One that is for an HTTP connection manager
    /// is given back when the filters have let it in.
    pub fn open(
        &mut self,
        conn: ConnKey,
        mut info: ConnectionInfo,
        chain: ChainId,
        upstream: &mut Upstream,
        cx: &mut Cx<'_>,
    ) -> Option<ConnectionInfo> {
        let at = &self.chains[chain.0 as usize];
        let admitted = admit(&at.filters, &mut info, (cx.io.id(conn), &at.name), cx);
        if at.terminal.is_none() && admitted.is_ok() {
            return Some(info);
        }
        self.begin(conn, info, (chain, admitted), upstream, cx);
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

    /// Something happened to a tunnel that a session goes through.
    pub fn on_upstream(&mut self, session: RawKey, event: Event, upstream: &mut Upstream, cx: &mut Cx<'_>) {
        self.on_tunnel(SessionKey::from_raw(session), event, upstream, cx);
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

/// The key of a session as others carry it.
fn raw(key: SessionKey) -> RawKey {
    key.raw()
}
