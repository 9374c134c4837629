//! The slab of connections: reading, writing at the end of the turn, closing in stages.
//!
//! Sockets are registered once, edge-triggered, for both directions. Readiness is remembered here, so pausing a
//! reader is simply not calling [`Io::read`], and a read that came back short is not repeated to hear EAGAIN. What TLS
//! adds is in `secure`.

mod secure;
mod terms;

use super::task::{Layer, Reactor, Task, TokenKind, Wake};
use super::tls::Session;
use super::transport::Transport;
use crate::stats::Counter;
use nuncio_codec::{Buffer, Watermarks};
use nuncio_reactor::{
    Address, ConnectOptions, Keepalive, RawKey, Readiness, Slab, SlabKey, Socket, Time, TimerKey, slab_key,
};
use secure::{HANDSHAKES, Tls};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use terms::Patience;
pub use terms::{Close, Enrolment, Notice, Owner, Read};

slab_key! {
    /// A connection in [`Io`].
    pub struct ConnKey;
}

/// Smallest and largest amount asked for in one read, in bytes.
const READ_MIN: usize = 4 << 10;
const READ_MAX: usize = 256 << 10;
/// Largest amount asked for while a head is awaited.
const READ_HEAD: usize = 16 << 10;
/// What a closing connection that still sends may make us read and throw away, in bytes.
const LINGER_LIMIT: u32 = 1 << 20;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// In the TLS handshake.
    Securing,
    Open,
    Flushing,
    /// Flushing, then lingering.
    FlushingToLinger,
    Lingering,
    /// Left open for a while, to keep somebody waiting.
    Held,
    Dead,
}

#[derive(Debug)]
struct Connection {
    transport: Transport,
    /// TLS between the transport and the buffers.
    session: Option<Box<Session>>,
    /// It is we who connected.
    client: bool,
    /// The end of the time for the TLS handshake, and what counts if it comes.
    handshake_limit: Option<(TimerKey, Option<Counter>)>,
    owner: Owner,
    input: Buffer,
    output: Buffer,
    marks: Watermarks,
    phase: Phase,
    /// log2 of the next read's size.
    read_shift: u8,
    readable: bool,
    writable: bool,
    /// The peer has shut down its sending side; what it sent before may still be unread.
    peer_finished: bool,
    failed: bool,
    /// The system has reported an error; what came before it may still be unread.
    reset: bool,
    /// Listed in `Io::dirty`.
    dirty: bool,
    /// The owner is to be told when output falls below the low watermark.
    backed_up: bool,
    /// Our sending side is to be shut down once the output is written; then it is.
    finish: Finish,
    discarded: u32,
    /// Closing: how long it may take to get on, and what was unsent when it was last looked at.
    patience: Patience,
    unsent_before: u32,
    /// Its number in the process.
    id: u64,
    enrolment: Option<Enrolment>,
    /// When something of the output was last taken.
    written_at: Time,
    /// Was read before there was an owner for it, to whom it is still to come.
    early: Option<Box<Buffer>>,
    /// What its owner has read of it and what was written of the output, in bytes.
    received: u64,
    sent: u64,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Finish {
    No,
    Wanted,
    Done,
}

/// All connections of one worker.
#[derive(Debug, Default)]
pub struct Io {
    connections: Slab<ConnKey, Connection>,
    /// Have output to write or a shutdown to do.
    dirty: Vec<ConnKey>,
    /// Swapped with `dirty` during a flush.
    flushing: Vec<ConnKey>,
    dead: Vec<ConnKey>,
    /// What TLS needs; made for the first connection that has TLS.
    tls: Option<Tls>,
    /// Steps of TLS handshakes that are left in this turn.
    handshakes: u32,
    /// Bytes read since somebody asked.
    read: u64,
    /// Enrolments of connections that are gone.
    gone: Vec<Enrolment>,
    /// The number of the next connection, and how far apart the numbers of one worker are.
    next_id: u64,
    id_step: u64,
    #[cfg(test)]
    pub(crate) memory: Option<super::memory::Net>,
}

impl Io {
    /// No connections.
    pub fn new() -> Self {
        Self { handshakes: HANDSHAKES, ..Self::default() }
    }

    /// Numbers connections from `first` in steps of `step`, so that no two workers give the same number.
    pub fn number(&mut self, first: u64, step: u64) {
        (self.next_id, self.id_step) = (first, step);
    }

    /// The number of a connection in the process; 0 if it is gone.
    pub fn id(&self, key: ConnKey) -> u64 {
        self.connections.get(key).map_or(0, |connection| connection.id)
    }

    /// This end's address; `None` if the system does not know it any more.
    pub fn local_address(&self, key: ConnKey) -> Option<Address> {
        match &self.connections.get(key)?.transport {
            Transport::Raw(socket) => socket.local_address().ok(),
            #[cfg(test)]
            Transport::Memory(_) => None,
        }
    }

    /// Shuts our sending side down once all output is written; reading goes on.
    pub fn finish(&mut self, key: ConnKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && connection.finish == Finish::No
        {
            connection.finish = Finish::Wanted;
            if !connection.dirty {
                connection.dirty = true;
                self.dirty.push(key);
            }
        }
    }

    /// Takes over an accepted socket. `limit` is the high watermark of its output in bytes, 0 for none.
    ///
    /// # Errors
    /// If the socket cannot be registered with the reactor.
    pub fn adopt(
        &mut self,
        socket: Socket,
        owner: Owner,
        limit: u32,
        reactor: &mut Reactor,
    ) -> io::Result<ConnKey> {
        // An accepted socket can be written to; whether it can be read the reactor will tell.
        let connection = Connection::new(Transport::Raw(socket), owner, limit, Phase::Open);
        self.insert(connection, reactor)
    }

    /// Starts a connection, with probes if asked for; the owner gets [`Notice::Connected`] or [`Notice::ConnectFailed`].
    ///
    /// # Errors
    /// If it fails at once.
    pub fn connect(
        &mut self,
        address: &Address,
        keepalive: Option<Keepalive>,
        owner: Owner,
        limit: u32,
        reactor: &mut Reactor,
    ) -> io::Result<ConnKey> {
        #[cfg(test)]
        if let Some(net) = &mut self.memory {
            let end = net.dial(address)?;
            let key = self.insert_memory(end, owner, limit, Phase::Connecting);
            self.memory.as_mut().expect("just used").dialed(key);
            return Ok(key);
        }
        let socket = Socket::connect(address, &ConnectOptions { nodelay: true, keepalive })?;
        self.insert(Connection::new(Transport::Raw(socket), owner, limit, Phase::Connecting), reactor)
    }

    #[cfg(test)]
    pub(crate) fn adopt_memory(&mut self, end: super::memory::End, owner: Owner, limit: u32) -> ConnKey {
        self.insert_memory(end, owner, limit, Phase::Open)
    }

    #[cfg(test)]
    fn insert_memory(&mut self, end: super::memory::End, owner: Owner, limit: u32, phase: Phase) -> ConnKey {
        let connection = self.numbered(Connection::new(Transport::Memory(end), owner, limit, phase));
        self.connections.insert(connection)
    }

    fn insert(&mut self, connection: Connection, reactor: &mut Reactor) -> io::Result<ConnKey> {
        let connection = self.numbered(connection);
        let key = self.connections.insert(connection);
        if let Transport::Raw(socket) = &self.connections.get(key).expect("just inserted").transport
            && let Err(error) = reactor.register(socket, TokenKind::Connection(key).token())
        {
            self.connections.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    fn numbered(&mut self, connection: Connection) -> Connection {
        let id = self.next_id;
        self.next_id += self.id_step;
        Connection { id, ..connection }
    }

    /// Says where a connection is counted: [`Self::next_gone`] gives it back when the connection is gone.
    pub fn enrol(&mut self, key: ConnKey, enrolment: Enrolment) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.enrolment = Some(enrolment);
        }
    }

    /// A connection is another listener's from now on.
    pub fn re_enrol(&mut self, key: ConnKey, listener: u32) {
        if let Some(enrolment) = self.connections.get_mut(key).and_then(|found| found.enrolment.as_mut()) {
            enrolment.listener = listener;
        }
    }

    /// The network filters of a connection begin.
    pub fn begin_service(&mut self, key: ConnKey, now: Time) {
        if let Some(enrolment) = self.connections.get_mut(key).and_then(|found| found.enrolment.as_mut()) {
            enrolment.since = Some(now);
        }
    }

    /// Changes the high watermark of a connection's output, in bytes, 0 for none.
    pub fn set_limit(&mut self, key: ConnKey, limit: u32) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.marks = Watermarks::new(limit as usize);
            connection.marks.update(connection.output.len());
        }
    }

    /// Where a connection wanted to go before the kernel redirected it to this machine.
    pub fn original_destination(&self, key: ConnKey) -> Option<SocketAddr> {
        match &self.connections.get(key)?.transport {
            Transport::Raw(socket) => socket.original_destination(),
            #[cfg(test)]
            Transport::Memory(_) => None,
        }
    }

    /// Gives the owner of a connection a task to look at it, if there may be something to read: for a new owner, since
    /// the news has gone to the one before.
    pub fn rouse(&mut self, key: ConnKey, reactor: &mut Reactor) {
        if let Some(connection) = self.connections.get(key)
            && connection.phase != Phase::Securing
            && (connection.readable || connection.early.is_some())
            && let Some(task) = Task::resume(connection.owner)
        {
            reactor.defer(task);
        }
    }

    /// What was read already is read once more, by the owner that the connection gets now.
    pub fn hand_on(&mut self, key: ConnKey) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.received = 0;
            if !connection.input.is_empty() {
                connection.early = Some(Box::new(std::mem::take(&mut connection.input)));
            }
        }
    }

    /// When a connection was accepted, if it was.
    pub fn accepted_at(&self, key: ConnKey) -> Option<Time> {
        Some(self.connections.get(key)?.enrolment?.accepted)
    }

    /// What the owner of a connection has read of it and what it has given it to send, in bytes.
    pub fn traffic(&self, key: ConnKey) -> (u64, u64) {
        let traffic =
            |connection: &Connection| (connection.received, connection.sent + connection.output.len() as u64);
        self.connections.get(key).map(traffic).unwrap_or_default()
    }

    /// How many bytes have been read since this was last asked.
    pub fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// The enrolment of a connection that [`Self::reap`] has freed.
    pub fn next_gone(&mut self) -> Option<Enrolment> {
        self.gone.pop()
    }

    /// Changes who is told.
    pub fn set_owner(&mut self, key: ConnKey, owner: Owner) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.owner = owner;
        }
    }

    /// Takes note of an I/O event; says whom it concerns and what it means to them.
    pub fn on_ready(
        &mut self,
        key: ConnKey,
        ready: Readiness,
        reactor: &mut Reactor,
    ) -> Option<(Owner, Notice)> {
        let connection = self.connections.get_mut(key)?;
        connection.readable |= ready.is_readable() || ready.is_read_closed() || ready.is_error();
        connection.peer_finished |= ready.is_read_closed();
        connection.reset |= ready.is_error() && connection.phase == Phase::Open;
        if ready.is_writable() && !connection.writable {
            connection.writable = true;
            if connection.wants_to_send() && !connection.dirty {
                connection.dirty = true;
                self.dirty.push(key);
            }
        }
        match connection.phase {
            Phase::Connecting => {
                if let Err(error) = connection.transport.take_error() {
                    return Some((connection.owner, Notice::ConnectFailed(error)));
                }
                if !connection.writable {
                    return None;
                }
                if connection.session.is_some() {
                    connection.phase = Phase::Securing;
                    return self.shake_hands(key, reactor);
                }
                connection.phase = Phase::Open;
                Some((connection.owner, Notice::Connected))
            }
            Phase::Securing => self.shake_hands(key, reactor),
            Phase::Open => Some((connection.owner, Notice::Ready)),
            Phase::Lingering => {
                self.discard(key);
                None
            }
            Phase::Flushing | Phase::FlushingToLinger | Phase::Held => {
                let gone = connection.phase == Phase::Held && ready.is_read_closed();
                if ready.is_error() || gone {
                    self.bury(key);
                }
                None
            }
            Phase::Dead => None,
        }
    }

    /// Reads once, as much as seems useful, into the input.
    pub fn read(&mut self, key: ConnKey) -> Read {
        self.read_up_to(key, READ_MAX)
    }

    /// Reads once like [`Self::read`], but no more than the head of a message takes: of the body it may turn out that it
    /// need not be brought into memory.
    pub fn read_head(&mut self, key: ConnKey) -> Read {
        self.read_up_to(key, READ_HEAD)
    }

    fn read_up_to(&mut self, key: ConnKey, most: usize) -> Read {
        let Some(connection) = self.connections.get_mut(key) else { return Read::Failed };
        if let Some(early) = connection.early.take() {
            connection.input = *early;
            let read = Read::Data(connection.input.len());
            connection.count(read);
            return read;
        }
        if connection.failed {
            return Read::Failed;
        }
        if !connection.readable || connection.phase != Phase::Open {
            return Read::Empty;
        }
        let Some(tls) = self.tls.as_mut().filter(|_| connection.session.is_some()) else {
            let read = connection.read(most);
            self.read += connection.count(read);
            return read;
        };
        let read = connection.read_session(tls);
        self.read += connection.count(read);
        if connection.wants_to_send() && !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
        read
    }

    /// Reads like [`Self::read`], but large amounts without bringing them into memory, at most `most` bytes then. What is
    /// read must go to a connection that is [plain](Self::is_plain), as it is.
    pub fn read_bulk(&mut self, key: ConnKey, most: u64) -> Read {
        match self.connections.get_mut(key) {
            Some(connection)
                if connection.readable
                    && connection.early.is_none()
                    && connection.phase == Phase::Open
                    && !connection.failed
                    && connection.session.is_none() =>
            {
                let read = connection.read_bulk(most);
                self.read += connection.count(read);
                read
            }
            _ => self.read(key),
        }
    }

    /// Whether output goes out as it is, so that it need not be in memory.
    pub fn is_plain(&self, key: ConnKey) -> bool {
        self.connections
            .get(key)
            .is_some_and(|connection| connection.session.is_none() && connection.transport.is_plain())
    }

    /// What was read and not yet consumed.
    ///
    /// # Panics
    /// If the connection is gone; its owner keeps the key only while it owns it.
    #[inline]
    pub fn input(&mut self, key: ConnKey) -> &mut Buffer {
        &mut self.connections.get_mut(key).expect("the owner's connection lives").input
    }

    /// What will be written at the end of the turn: append to it.
    ///
    /// # Panics
    /// If the connection is gone; its owner keeps the key only while it owns it.
    #[inline]
    pub fn output(&mut self, key: ConnKey) -> &mut Buffer {
        let connection = self.connections.get_mut(key).expect("the owner's connection lives");
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
        &mut connection.output
    }

    /// Moves everything that was read from one connection to the output of another; says how much that was.
    ///
    /// # Panics
    /// If one of them is gone; their owner keeps the keys only while it owns them.
    #[inline]
    pub fn forward(&mut self, from: ConnKey, to: ConnKey) -> usize {
        let mut moved = std::mem::take(self.input(from));
        let n = moved.len();
        if n > 0 {
            self.output(to).move_all(&mut moved);
        }
        n
    }

    /// Whether our sending side is shut down, as [`Self::finish`] has asked for.
    pub fn is_finished(&self, key: ConnKey) -> bool {
        self.connections.get(key).is_some_and(|connection| connection.finish == Finish::Done)
    }

    /// Both buffers of a connection at once: what was read, and what will be written.
    ///
    /// # Panics
    /// If the connection is gone; its owner keeps the key only while it owns it.
    #[inline]
    pub fn buffers(&mut self, key: ConnKey) -> (&mut Buffer, &mut Buffer) {
        let connection = self.connections.get_mut(key).expect("the owner's connection lives");
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
        (&mut connection.input, &mut connection.output)
    }

    /// Changes the high watermark of the output, in bytes.
    pub fn set_output_limit(&mut self, key: ConnKey, limit: usize) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.marks = Watermarks::new(limit);
        }
    }

    /// When the peer has last taken something of the output.
    pub fn written_at(&self, key: ConnKey) -> Time {
        self.connections.get(key).map_or(Time::ZERO, |connection| connection.written_at)
    }

    /// Bytes that wait to be written.
    pub fn unsent(&self, key: ConnKey) -> usize {
        self.connections.get(key).map_or(0, Connection::unsent)
    }

    /// Whether more output than the high watermark waits. The owner then gets a [`Task`] to resume once it
    /// has fallen below the low watermark.
    #[inline]
    pub fn is_backed_up(&mut self, key: ConnKey) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        connection.marks.update(connection.output.len());
        let above = connection.marks.is_above();
        connection.backed_up |= above;
        above
    }

    /// Whether the connection is known to be broken, as by a reset from the peer.
    pub fn is_broken(&self, key: ConnKey) -> bool {
        self.connections.get(key).is_none_or(|connection| connection.failed || connection.reset)
    }

    /// Whether the peer may have sent something that was not read.
    pub fn may_read(&self, key: ConnKey) -> bool {
        self.connections
            .get(key)
            .is_some_and(|connection| connection.readable || connection.failed || connection.early.is_some())
    }

    /// Gives back memory that a waiting connection does not need.
    pub fn rest(&mut self, key: ConnKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && !connection.input.is_empty()
        {
            connection.input.compact();
        }
    }

    /// Ends a connection; its owner hears nothing more of it. As long as output is left ([`Close::Flush`],
    /// [`Close::Linger`]) some of it must be taken within every `patience`, and then the peer must close within it;
    /// `None` means no time-out.
    pub fn close(&mut self, key: ConnKey, how: Close, patience: Option<Duration>, reactor: &mut Reactor) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.owner = Owner::Nobody;
        connection.input.clear();
        connection.early = None;
        let unmade = matches!(connection.phase, Phase::Connecting | Phase::Securing);
        let how = if connection.failed || unmade { Close::Now } else { how };
        match how {
            Close::Now => self.bury(key),
            Close::Reset => {
                connection.session = None;
                connection.transport.reset_on_close();
                self.bury(key);
            }
            Close::After(delay) => {
                connection.phase = Phase::Held;
                connection.output.clear();
                connection.patience = Patience::of(delay);
                connection.unsent_before = 0;
                reactor.arm(delay, Task::close(key));
            }
            Close::Flush if connection.unsent() == 0 => self.bury(key),
            Close::Flush | Close::Linger => {
                connection.phase =
                    if how == Close::Flush { Phase::Flushing } else { Phase::FlushingToLinger };
                if !connection.dirty {
                    connection.dirty = true;
                    self.dirty.push(key);
                }
                if let Some(patience) = patience {
                    connection.patience = Patience::of(patience);
                    connection.unsent_before = connection.left();
                    reactor.arm(patience, Task::close(key));
                }
            }
        }
    }

    /// The patience with a closing connection has ended, unless it has got on meanwhile; or the time for a TLS
    /// handshake has, which its owner must hear.
    pub fn on_close_alarm(&mut self, key: RawKey, reactor: &mut Reactor) -> Option<(Owner, Notice)> {
        let key = SlabKey::from_raw(key);
        let connection = self.connections.get_mut(key)?;
        if connection.phase == Phase::Securing {
            if let (Some((_, Some(late))), Some(tls)) = (connection.handshake_limit.take(), &self.tls) {
                tls.stats.inc(late);
            }
            connection.phase = Phase::Open;
            connection.failed = true;
            return Some((connection.owner, Notice::Ready));
        }
        let left = connection.left();
        if left < connection.unsent_before {
            connection.unsent_before = left;
            reactor.arm(connection.patience.time(), Task::close(key));
        } else {
            self.bury(key);
        }
        None
    }

    /// Writes what this turn appended: one vectored write for each connection, repeated only while a large
    /// output is taken whole.
    pub fn flush(&mut self, reactor: &mut Reactor) {
        self.handshakes = HANDSHAKES;
        std::mem::swap(&mut self.dirty, &mut self.flushing);
        let mut flushing = std::mem::take(&mut self.flushing);
        for key in flushing.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.dirty = false;
            if matches!(connection.phase, Phase::Dead | Phase::Connecting | Phase::Held) {
                continue;
            }
            let (before, plain) = (connection.unsent(), connection.output.len());
            match &mut self.tls {
                Some(tls) if connection.session.is_some() => connection.write_session(tls),
                _ => connection.write(),
            }
            let after = connection.output.len();
            if after < before {
                connection.written_at = reactor.now();
                connection.sent += (plain - after) as u64;
            }
            connection.marks.update(connection.output.len());
            let drained = connection.backed_up && !connection.marks.is_above();
            let empty = connection.unsent() == 0;
            match connection.phase {
                Phase::Securing if connection.failed => {
                    reactor.defer(Task { layer: Layer::Io, wake: Wake::Resume, key: key.raw() });
                }
                Phase::Flushing if empty || connection.failed => self.bury(key),
                Phase::FlushingToLinger if connection.failed => self.bury(key),
                Phase::FlushingToLinger if empty => {
                    if connection.transport.shutdown_write().is_err() {
                        self.bury(key);
                    } else {
                        connection.phase = Phase::Lingering;
                        self.discard(key);
                    }
                }
                Phase::Open if empty && connection.finish == Finish::Wanted && !connection.failed => {
                    connection.finish = Finish::Done;
                    connection.backed_up &= !drained;
                    // A connection that cannot be shut down any more is broken, which reading will show.
                    let broken = connection.transport.shutdown_write().is_err();
                    let awaited = matches!(connection.owner, Owner::Session(_) | Owner::SessionUpstream(_));
                    if (drained || broken || awaited)
                        && let Some(task) = Task::resume(connection.owner)
                    {
                        reactor.defer(task);
                    }
                }
                Phase::Open if connection.failed || drained => {
                    connection.backed_up = false;
                    if let Some(task) = Task::resume(connection.owner) {
                        reactor.defer(task);
                    }
                }
                _ => {}
            }
        }
        self.flushing = flushing;
    }

    /// Frees the connections that ended in this turn.
    pub fn reap(&mut self) {
        for key in self.dead.drain(..) {
            let gone = self.connections.remove(key).and_then(|connection| connection.enrolment);
            self.gone.extend(gone);
        }
    }

    /// How many connections there are, closing ones included.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn bury(&mut self, key: ConnKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.phase != Phase::Dead {
            if let (Some(session), Some(tls)) = (&mut connection.session, &mut self.tls) {
                let orderly = connection.output.is_empty()
                    && !connection.failed
                    && !connection.reset
                    && !connection.peer_finished;
                session.bid_farewell(&connection.transport, orderly, &mut tls.scratch);
            }
            connection.phase = Phase::Dead;
            connection.output.clear();
            self.dead.push(key);
        }
    }

    /// Reads and throws away what a lingering peer still sends.
    fn discard(&mut self, key: ConnKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        while connection.readable {
            match connection.read(READ_MAX) {
                Read::Data(n) => {
                    connection.input.clear();
                    connection.discarded += n as u32;
                    if connection.discarded > LINGER_LIMIT {
                        return self.bury(key);
                    }
                }
                Read::Empty => return,
                Read::Eof | Read::Failed => return self.bury(key),
            }
        }
    }
}

impl Connection {
    fn new(transport: Transport, owner: Owner, limit: u32, phase: Phase) -> Self {
        Self {
            transport,
            session: None,
            client: phase == Phase::Connecting,
            handshake_limit: None,
            owner,
            input: Buffer::new(),
            output: Buffer::new(),
            marks: Watermarks::new(limit as usize),
            phase,
            read_shift: READ_MIN.trailing_zeros() as u8,
            readable: false,
            // A new connection can be written to; while it connects nothing is.
            writable: phase != Phase::Connecting,
            peer_finished: false,
            failed: false,
            reset: false,
            dirty: false,
            backed_up: false,
            finish: Finish::No,
            discarded: 0,
            patience: Patience::default(),
            unsent_before: 0,
            id: 0,
            enrolment: None,
            written_at: Time::ZERO,
            early: None,
            received: 0,
            sent: 0,
        }
    }

    fn count(&mut self, read: Read) -> u64 {
        let Read::Data(n) = read else { return 0 };
        self.received += n as u64;
        n as u64
    }

    /// Bytes that wait to be written.
    fn unsent(&self) -> usize {
        self.output.len() + self.session.as_ref().map_or(0, |session| session.unsent())
    }

    /// The same, for the patience with a closing connection, which none has with so much that this cannot count it.
    fn left(&self) -> u32 {
        u32::try_from(self.unsent()).unwrap_or(u32::MAX)
    }

    fn wants_to_send(&self) -> bool {
        !self.output.is_empty() || self.session.as_ref().is_some_and(|session| session.wants_to_send())
    }

    fn read(&mut self, most: usize) -> Read {
        let usual = 1usize << self.read_shift;
        let want = usual.min(most);
        let mut offered = 0;
        let result = self.input.read_with(want, |room| {
            offered = room.iter().map(|slice| slice.len()).sum();
            loop {
                match self.transport.recv(room) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        });
        match result {
            Ok(0) => Read::Eof,
            Ok(n) => {
                // Edge-triggered: a short read has emptied the socket, and what comes later makes a new
                // event. Only an end that was announced before must still be fetched.
                if n < offered && !self.peer_finished {
                    self.readable = false;
                }
                if n >= usual && usual < READ_MAX {
                    self.read_shift += 1;
                } else if n < want / 4 && usual > READ_MIN {
                    self.read_shift -= 1;
                }
                Read::Data(n)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Read::Empty
            }
            Err(_) => {
                self.failed = true;
                Read::Failed
            }
        }
    }

    fn read_bulk(&mut self, most: u64) -> Read {
        if !self.input.is_empty() {
            return self.read(READ_MAX);
        }
        match self.transport.recv_bulk(most) {
            Some(Ok((0, _))) => Read::Eof,
            Some(Ok((n, lane))) => {
                self.input.append_foreign(n, Box::new(lane));
                Read::Data(n)
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Read::Empty
            }
            // No more pipes, perhaps: memory will do, and shows what is wrong with the socket.
            Some(Err(_)) | None => self.read(READ_MAX),
        }
    }

    fn write(&mut self) {
        while self.writable && !self.output.is_empty() {
            let mut offered = 0;
            let all = self.output.len();
            let result = if let Some((lane, length)) = self.output.front_foreign() {
                offered = length;
                self.transport.send_bulk(lane, all > length).inspect(|n| self.output.drain(*n))
            } else {
                self.output.write_with(|slices| {
                    offered = slices.iter().map(|slice| slice.len()).sum();
                    self.transport.send(slices)
                })
            };
            match result {
                Ok(n) if n < offered => self.writable = false,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(_) => {
                    self.failed = true;
                    self.output.clear();
                }
            }
        }
    }
}
