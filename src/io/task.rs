//! What the event loop carries for the layers: timer and deferred tasks, mail, tokens.
//!
//! A task names a layer, a key in that layer's slab, and which of its alarms it is. Layers resolve the key
//! when the task arrives; a key that has died in between finds nothing, which is how cancellation works.

use super::{ConnKey, Io, Owner, Rng};
use crate::stats::Block;
use nuncio_reactor::{RawKey, SlabKey, Token};
use std::time::Duration;

/// The event loop of a worker or of the main thread.
pub type Reactor = nuncio_reactor::Reactor<Task, Mail>;

/// What a layer's method may use of the layers below it.
#[derive(Debug)]
pub struct Cx<'a> {
    /// Clock, timers, deferred work.
    pub reactor: &'a mut Reactor,
    /// Connections.
    pub io: &'a mut Io,
    /// This thread's counters.
    pub stats: &'a Block,
    /// This thread's random numbers.
    pub rng: &'a mut Rng,
}

/// Which layer a task is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A connection that finishes without an owner.
    Io,
    /// A listener's accept queue.
    Listener,
    /// A downstream connection whose listener filters run.
    Arrival,
    /// A downstream HTTP connection.
    Downstream,
    /// An upstream HTTP connection.
    Upstream,
    /// A UDP listener's socket.
    UdpListener,
    /// A session of datagrams, or all of them.
    Udp,
    /// An upstream connection of a TCP session while it is being made.
    Line,
    /// A TCP session.
    Session,
    /// The worker or the server itself.
    Server,
}

/// Why a task comes back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Go on where a budget ended, or where something that was awaited has happened.
    Resume,
    /// A time that was asked for has come.
    Alarm,
}

/// Something to do later.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Who does it.
    pub layer: Layer,
    /// Why.
    pub wake: Wake,
    /// About what.
    pub key: RawKey,
}

impl Task {
    /// Asks the owner of a connection to look at it again.
    pub fn resume(owner: Owner) -> Option<Self> {
        Some(match owner {
            Owner::Downstream(key) => Self { layer: Layer::Downstream, wake: Wake::Resume, key },
            Owner::Upstream(key) => Self { layer: Layer::Upstream, wake: Wake::Resume, key },
            Owner::Session(key) | Owner::SessionUpstream(key) => {
                Self { layer: Layer::Session, wake: Wake::Resume, key }
            }
            Owner::Arrival(key) => Self { layer: Layer::Arrival, wake: Wake::Resume, key },
            Owner::Line(_) | Owner::Nobody => return None,
        })
    }

    /// The end of the time that a closing connection has.
    pub(super) fn close(key: ConnKey) -> Self {
        Self { layer: Layer::Io, wake: Wake::Alarm, key: key.raw() }
    }
}

/// Whether responses tell their clients to make a new connection for the next request, elsewhere if possible.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Discourage {
    /// They do not.
    #[default]
    No,
    /// All do.
    Always,
    /// More and more of them do, and all after this time (`--drain-strategy gradual`).
    Gradually(Duration),
}

/// Which listeners something is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those for inbound traffic.
    Inbound,
    /// Those whose connections are sent away when health checks are made to fail.
    Healthy,
}

/// What the main thread tells a worker, and what a worker answers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// To a worker: stop accepting, finish what is open.
    Drain,
    /// To a worker: stop accepting, and nothing else.
    StopAccepting(Scope),
    /// To a worker: how responses treat their connections from now on.
    CloseAfterResponse(Discourage, Scope),
    /// To a worker: others have accepted connections for it.
    Handed,
    /// To a worker: stop now.
    Stop,
    /// To main: this worker listens.
    Started(usize),
    /// To main: this worker accepts nothing any more.
    StoppedAccepting(usize),
    /// To main: this worker's thread ends.
    Stopped(usize),
}

/// What an I/O event is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A connection.
    Connection(ConnKey),
    /// A listening socket.
    Listener(RawKey),
    /// Something of the server itself.
    Server(RawKey),
    /// A UDP listener's socket.
    UdpListener(RawKey),
    /// The socket of a session of datagrams.
    UdpSession(RawKey),
}

const KINDS: u64 = 0b111 << 60;
const LISTENER: u64 = 1 << 60;
const UDP_LISTENER: u64 = 2 << 60;
const UDP_SESSION: u64 = 3 << 60;
const SERVER: u64 = 4 << 60;

impl TokenKind {
    /// As the reactor carries it.
    pub fn token(self) -> Token {
        Token(match self {
            Self::Connection(key) => key.raw().to_bits(),
            Self::Listener(key) => key.to_bits() | LISTENER,
            Self::Server(key) => key.to_bits() | SERVER,
            Self::UdpListener(key) => key.to_bits() | UDP_LISTENER,
            Self::UdpSession(key) => key.to_bits() | UDP_SESSION,
        })
    }

    /// From what the reactor gave back.
    pub fn of(token: Token) -> Self {
        let key = RawKey::from_bits(token.0 & !KINDS);
        match token.0 & KINDS {
            LISTENER => Self::Listener(key),
            UDP_LISTENER => Self::UdpListener(key),
            UDP_SESSION => Self::UdpSession(key),
            SERVER => Self::Server(key),
            _ => Self::Connection(ConnKey::from_raw(key)),
        }
    }
}
