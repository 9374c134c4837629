//! The TLS session of a connection: from the first byte of the handshake to the last alert.

use super::super::transport::Transport;
use super::failure;
use super::handshake::{Handshaker, Step, Stepped, step};
use super::hello::{accepts, peek, session_id};
use super::record::{self, Broken, HEADER, Kind, MOST_OVERHEAD, MOST_PLAIN, Opener, Sealer};
use crate::stats::Block;
use crate::tls::config::{ClientStart, ServerStart};
use crate::tls::trace::{self, Staple, Trace};
use crate::tls::{Approach, ClientTls, ServerTls, TlsInfo, TlsStats};
use nuncio_codec::Buffer;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{Error, ExtractedSecrets, PeerIncompatible, ProtocolVersion};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::sync::Arc;

/// The oldest version that is spoken, as a ClientHello has it.
const OLDEST: u16 = 0x0303;
/// Most bytes that a peer may send for a handshake.
const MOST_HANDSHAKE: usize = 256 << 10;
/// Most bytes of one message after the handshake: a session ticket.
const MOST_MESSAGE: usize = 64 << 10;
/// So many records in a row that carry nothing are no accident.
const MOST_EMPTY: u8 = 32;
/// Room of the memory that connections of a worker share, for each direction.
const SCRATCH: usize = 128 << 10;
/// Least room for receiving: two records.
const LEAST_ROOM: usize = 2 * (MOST_PLAIN + 2048 + HEADER);
/// A piece of output below this size is put into one record with what follows.
const PIECE: usize = 1 << 10;
/// As much of what follows.
const GATHERED: usize = 4 << 10;

/// Memory for receiving and sending, which all connections of a worker use in turn.
pub(in super::super) struct Scratch {
    incoming: Box<[u8]>,
    outgoing: Box<[u8]>,
}

impl Scratch {
    pub(in super::super) fn new() -> Self {
        // Room for what a record is longer than its part of the output.
        Self { incoming: vec![0; SCRATCH].into(), outgoing: vec![0; SCRATCH + MOST_OVERHEAD].into() }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Scratch")
    }
}

/// A connection's TLS.
pub(in super::super) struct Session {
    stage: Stage,
    /// Ciphertext that is no whole record yet, or waits for its turn.
    incoming: Buffer,
    /// Ciphertext that the socket has not taken yet.
    outgoing: Buffer,
    counters: Arc<TlsStats>,
    info: Option<Arc<TlsInfo>>,
    /// Bytes received for the handshake.
    received: usize,
    /// What the ServerHello says.
    session_id: Vec<u8>,
    /// A part of a message after the handshake.
    message: Vec<u8>,
    /// Records in a row that carried nothing.
    empty: u8,
    /// The peer has said that it sends no more.
    ended: bool,
    /// The connection has ended without that.
    truncated: bool,
    /// We have said that we send no more.
    notified: bool,
    /// Why the session has failed.
    failure: Option<Box<str>>,
}

enum Stage {
    /// The ClientHello has not come whole.
    Hello(Box<ServerTls>),
    Server(Box<ServerHandshake>),
    Client(Box<ClientHandshake>),
    Open(Box<Open>),
    Broken,
}

struct ServerHandshake {
    connection: UnbufferedServerConnection,
    start: ServerStart,
    trace: Trace,
    wants_ocsp: bool,
}

struct ClientHandshake {
    connection: UnbufferedClientConnection,
    start: ClientStart,
    trace: Trace,
}

struct Open {
    opener: Opener,
    sealer: Sealer,
    rustls: Rustls,
    /// The peer has asked for new keys of ours.
    update: bool,
}

/// What rustls keeps of a connection whose handshake is done.
enum Rustls {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Hello(_) => "Hello",
            Stage::Server(_) | Stage::Client(_) => "Handshake",
            Stage::Open(_) => "Open",
            Stage::Broken => "Broken",
        };
        write!(out, "Session({stage})")
    }
}

/// Where a handshake stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Progress {
    Pending,
    Done,
    Failed,
}

/// What a read has brought.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Fill {
    /// Bytes added to the input.
    pub(in super::super) opened: usize,
    /// The socket is empty.
    pub(in super::super) drained: bool,
    /// Nothing more comes from the peer.
    pub(in super::super) ended: bool,
    /// The connection is of no more use.
    pub(in super::super) failed: bool,
}

impl Session {
    fn new(stage: Stage, counters: Arc<TlsStats>) -> Self {
        Self {
            stage,
            incoming: Buffer::new(),
            outgoing: Buffer::new(),
            counters,
            info: None,
            received: 0,
            session_id: Vec::new(),
            message: Vec::new(),
            empty: 0,
            ended: false,
            truncated: false,
            notified: false,
            failure: None,
        }
    }

    /// With a client; `incoming` has come from it already.
    pub(in super::super) fn server(tls: &ServerTls, incoming: Buffer) -> Self {
        let counters = tls.counters();
        let mut session = Self::new(Stage::Hello(Box::new(tls.clone())), counters);
        session.received = incoming.len();
        session.incoming = incoming;
        session
    }

    /// With a server that is called `name` if it has a name.
    ///
    /// # Errors
    /// Why it cannot even begin.
    pub(in super::super) fn client(
        tls: &mut ClientTls,
        approach: Approach,
        header: &[u8],
        ends: impl FnOnce() -> [Option<IpAddr>; 2],
    ) -> Result<Self, String> {
        let counters = tls.counters();
        let start = tls.start(approach, ends);
        let connection = start.connect().map_err(|error| failure::text(&error))?;
        let handshake = ClientHandshake { connection, start, trace: Trace::default() };
        let mut session = Self::new(Stage::Client(Box::new(handshake)), counters);
        session.outgoing.append(header);
        Ok(session)
    }

    /// What is known of it, once the handshake is done.
    pub(in super::super) fn info(&self) -> Option<&Arc<TlsInfo>> {
        self.info.as_ref()
    }

    /// Why it has failed.
    pub(in super::super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The connection has ended, and the peer had not said that it would.
    pub(in super::super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Ciphertext that the socket has not taken.
    pub(in super::super) fn unsent(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether reading brings something without anything new in the socket.
    pub(in super::super) fn has_news(&self) -> bool {
        self.ended || !self.incoming.is_empty()
    }

    /// Goes on with the handshake with what the socket has to give.
    pub(in super::super) fn handshake(
        &mut self,
        transport: &Transport,
        (readable, peer_finished): (&mut bool, bool),
        ends: impl Fn() -> [Option<IpAddr>; 2],
        (scratch, stats): (&mut Scratch, &Block),
    ) -> Progress {
        loop {
            let mut have = self.take_incoming(scratch);
            let fresh = have > 0;
            let mut finished = false;
            if *readable {
                match receive(transport, &mut scratch.incoming[have..]) {
                    Ok(0) => finished = true,
                    Ok(n) => {
                        // An end that was announced must still be fetched.
                        *readable = n == scratch.incoming.len() - have || peer_finished;
                        have += n;
                        self.received += n;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => *readable = false,
                    Err(error) => {
                        self.break_off(Some(words(&error)));
                        return Progress::Failed;
                    }
                }
            } else if !fresh && !matches!(self.stage, Stage::Client(_)) {
                return Progress::Pending;
            }
            let progress = self.advance(&mut scratch.incoming[..have], &ends, stats);
            if progress != Progress::Pending {
                return progress;
            }
            if finished {
                self.break_off(None);
                return Progress::Failed;
            }
            if self.received > MOST_HANDSHAKE || self.incoming.len() > SCRATCH - LEAST_ROOM {
                stats.inc(self.counters.connection_error);
                self.break_off(Some("too long a handshake".into()));
                return Progress::Failed;
            }
            if !*readable {
                return Progress::Pending;
            }
        }
    }

    /// Moves what waits to the start of the shared memory; says how much it is.
    fn take_incoming(&mut self, scratch: &mut Scratch) -> usize {
        if self.incoming.is_empty() {
            return 0;
        }
        let n = self.incoming.copy_to(0, &mut scratch.incoming);
        self.incoming.drain(n);
        n
    }

    /// Goes on with the handshake with these bytes; what is left of them waits.
    fn advance(
        &mut self,
        bytes: &mut [u8],
        ends: &impl Fn() -> [Option<IpAddr>; 2],
        stats: &Block,
    ) -> Progress {
        if let Stage::Hello(tls) = &mut self.stage {
            let begun = peek(bytes, |hello| {
                let too_old =
                    hello.and_then(|hello| hello.highest_version()).is_some_and(|version| version < OLDEST);
                let wants_ocsp = hello.is_some_and(|hello| hello.wants_status());
                let accepts = |ours: &[_]| hello.is_none_or(|hello| accepts(&hello, ours));
                (hello.is_some(), too_old, wants_ocsp, tls.start(accepts, ends))
            });
            let Some((is_hello, too_old, wants_ocsp, start)) = begun else {
                self.keep(bytes);
                return Progress::Pending;
            };
            if !is_hello {
                // rustls will say what is wrong with it.
                self.failure = failure::of_http(bytes).map(Into::into);
            }
            if too_old {
                // rustls would first look for what only newer versions have, and miss that.
                self.outgoing.append(&record::TOO_OLD);
                return self.fail(&Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), stats);
            }
            if wants_ocsp {
                stats.inc(self.counters.ocsp_staple_requests);
            }
            match start.accept() {
                Ok(connection) => {
                    let handshake =
                        ServerHandshake { connection, start, trace: Trace::default(), wants_ocsp };
                    self.stage = Stage::Server(Box::new(handshake));
                }
                Err(error) => return self.fail(&error, stats),
            }
        }
        let stepped = match &mut self.stage {
            Stage::Server(handshake) => {
                trace::begin(handshake.wants_ocsp);
                let stepped = step(&mut handshake.connection, bytes, &mut self.outgoing);
                if let Some(id) = session_id(self.outgoing.front()) {
                    self.session_id = id.to_vec();
                }
                let seen = trace::take();
                handshake.trace.add(seen);
                if let Some(staple) = seen.staple {
                    stats.inc(match staple {
                        Staple::Shown => self.counters.ocsp_staple_responses,
                        Staple::Omitted => self.counters.ocsp_staple_omitted,
                        Staple::Missing => self.counters.ocsp_staple_failed,
                    });
                }
                stepped
            }
            Stage::Client(handshake) => {
                trace::begin(false);
                if let Some(id) = session_id(bytes) {
                    self.session_id = id.to_vec();
                }
                let stepped = step(&mut handshake.connection, bytes, &mut self.outgoing);
                handshake.trace.add(trace::take());
                stepped
            }
            _ => return Progress::Failed,
        };
        let Stepped { used, step } = stepped;
        self.keep(&bytes[used..]);
        match step {
            Step::Blocked => Progress::Pending,
            Step::Done => match self.open(stats) {
                Ok(()) => Progress::Done,
                Err(error) => self.fail(&error, stats),
            },
            Step::Failed(error) => self.fail(&error, stats),
        }
    }

    /// Keeps what came and is not used up.
    fn keep(&mut self, bytes: &[u8]) {
        debug_assert!(self.incoming.is_empty(), "it was taken before");
        self.incoming.append(bytes);
    }

    /// The handshake is done: from now on records are opened and sealed here.
    fn open(&mut self, stats: &Block) -> Result<(), Error> {
        let (info, negotiated, (version, secrets, rustls)) =
            match std::mem::replace(&mut self.stage, Stage::Broken) {
                Stage::Server(handshake) => {
                    let ServerHandshake { connection, start, trace, .. } = *handshake;
                    let (info, negotiated) = start.info(connection.common(), trace, &self.session_id);
                    let version = connection.common().protocol_version();
                    let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
                    (info, negotiated, (version, secrets, Rustls::Server(kernel)))
                }
                Stage::Client(handshake) => {
                    let ClientHandshake { connection, start, trace } = *handshake;
                    let (info, negotiated) = start.info(connection.common(), trace, &self.session_id);
                    let version = connection.common().protocol_version();
                    let (secrets, kernel) = connection.dangerous_into_kernel_connection()?;
                    (info, negotiated, (version, secrets, Rustls::Client(kernel)))
                }
                _ => return Err(Error::HandshakeNotComplete),
            };
        let version = version.ok_or(Error::HandshakeNotComplete)?;
        let ExtractedSecrets { tx, rx } = secrets;
        let keys = Opener::new(version, rx.0, &rx.1).zip(Sealer::new(version, tx.0, &tx.1));
        let (opener, sealer) = keys.ok_or(Error::HandshakeNotComplete)?;
        self.stage = Stage::Open(Box::new(Open { opener, sealer, rustls, update: false }));
        stats.inc(self.counters.handshake);
        if info.resumed {
            stats.inc(self.counters.session_reused);
        }
        if info.peer.is_empty() {
            stats.inc(self.counters.no_certificate);
        }
        if let Some(negotiated) = negotiated {
            self.counters.count(&negotiated, stats);
        }
        self.info = Some(Arc::new(info));
        self.session_id = Vec::new();
        Ok(())
    }

    fn fail(&mut self, error: &Error, stats: &Block) -> Progress {
        failure::count(error, &self.counters, stats);
        self.failure.get_or_insert_with(|| failure::text(error).into());
        self.stage = Stage::Broken;
        Progress::Failed
    }

    /// The connection ends in the middle of the handshake. A peer that ends it makes no error: some look only whether
    /// somebody listens.
    fn break_off(&mut self, why: Option<String>) {
        self.failure = why.map(Into::into);
        self.stage = Stage::Broken;
    }

    /// Receives once, if there is something, and opens what is whole into `input`.
    pub(in super::super) fn fill(
        &mut self,
        transport: &Transport,
        readable: bool,
        input: &mut Buffer,
        (scratch, stats): (&mut Scratch, &Block),
    ) -> Fill {
        let mut fill = Fill { ended: self.ended, ..Fill::default() };
        if self.ended {
            return fill;
        }
        let mut have = self.take_incoming(scratch);
        let room = scratch.incoming.len() - have;
        let mut finished = false;
        if readable && room > 0 {
            match receive(transport, &mut scratch.incoming[have..]) {
                Ok(0) => finished = true,
                Ok(n) => {
                    fill.drained = n < room;
                    have += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => fill.drained = true,
                Err(_) => fill.failed = true,
            }
        }
        let before = input.len();
        match self.open_records(&scratch.incoming[..have], input) {
            Ok(used) if !self.ended => self.incoming.append(&scratch.incoming[used..have]),
            Ok(_) => {}
            Err(broken) => {
                self.give_up(broken, stats);
                fill.failed = true;
            }
        }
        if finished && !self.ended {
            (self.ended, self.truncated) = (true, true);
        }
        fill.opened = input.len() - before;
        fill.ended = self.ended;
        fill
    }

    /// Opens all whole records; says how many bytes that were.
    fn open_records(&mut self, bytes: &[u8], input: &mut Buffer) -> Result<usize, Broken> {
        let mut used = 0;
        // What follows the end is nobody's.
        while !self.ended {
            let Some(length) = record::length(&bytes[used..])? else { break };
            let Some(bytes) = bytes.get(used..used + HEADER + length) else { break };
            used += bytes.len();
            let Stage::Open(open) = &mut self.stage else { return Err(Broken::Unexpected) };
            let mut control = None;
            let opener = &mut open.opener;
            let opened = input.try_append_with(opener.room(length), |room| {
                let (kind, n) = opener.open(bytes, room)?;
                if kind == Kind::Data {
                    return Ok(n);
                }
                control = Some((kind, room[..n].to_vec()));
                Ok(0)
            })?;
            match control {
                None if opened > 0 => self.empty = 0,
                None => self.on_nothing()?,
                Some((kind, content)) => self.on_control(kind, &content)?,
            }
        }
        Ok(used)
    }

    fn on_nothing(&mut self) -> Result<(), Broken> {
        self.empty += 1;
        if self.empty > MOST_EMPTY { Err(Broken::Flood) } else { Ok(()) }
    }

    /// Something that is not data has come.
    fn on_control(&mut self, kind: Kind, content: &[u8]) -> Result<(), Broken> {
        // A peer that sends only these keeps us busy for nothing.
        self.on_nothing()?;
        match (kind, content) {
            (Kind::Data, _) => Ok(()),
            // close_notify
            (Kind::Alert, [_, 0]) => {
                self.ended = true;
                Ok(())
            }
            (Kind::Alert, [level, description]) => {
                let warning = match &self.stage {
                    // In TLS 1.3 all others but user_canceled are fatal.
                    Stage::Open(open) if open.opener.is_tls13() => *description == 90,
                    _ => *level == 1,
                };
                if warning { Ok(()) } else { Err(Broken::Alert(*description)) }
            }
            (Kind::Alert, _) => Err(Broken::Malformed),
            (Kind::Handshake, []) => Err(Broken::Unexpected),
            (Kind::Handshake, content) => self.on_messages(content),
        }
    }

    /// Messages of a handshake, after the handshake.
    fn on_messages(&mut self, content: &[u8]) -> Result<(), Broken> {
        let Stage::Open(open) = &mut self.stage else { return Err(Broken::Unexpected) };
        self.message.extend_from_slice(content);
        let mut rest = &self.message[..];
        while let [kind, high, middle, low, body @ ..] = rest {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if length > MOST_MESSAGE {
                return Err(Broken::TooLong);
            }
            let Some((body, after)) = body.split_at_checked(length) else { break };
            match (*kind, &mut open.rustls) {
                // HelloRequest and ClientHello of TLS 1.2.
                (0 | 1, _) if !open.opener.is_tls13() => return Err(Broken::Renegotiation),
                // NewSessionTicket
                (4, Rustls::Client(kernel)) if open.opener.is_tls13() => {
                    kernel.handle_new_session_ticket(body).map_err(|_| Broken::Malformed)?;
                }
                // KeyUpdate: the next record has new keys, so nothing may follow in this one.
                (24, _) if open.opener.is_tls13() && after.is_empty() => {
                    let [request @ (0 | 1)] = *body else { return Err(Broken::Malformed) };
                    open.renew_opener()?;
                    // Several requests are one, so that nobody can make us queue answers (RFC 8446 section 4.6.3).
                    open.update |= request == 1;
                }
                _ => return Err(Broken::Unexpected),
            }
            rest = after;
        }
        if rest.is_empty() {
            // An idle connection keeps no memory for this.
            self.message = Vec::new();
        } else {
            let used = self.message.len() - rest.len();
            self.message.drain(..used);
        }
        Ok(())
    }

    /// What has come is not to be trusted: tells the peer, and that is all.
    fn give_up(&mut self, broken: Broken, stats: &Block) {
        stats.inc(self.counters.connection_error);
        self.failure = Some(format!("{broken:?}").into());
        if let (Stage::Open(open), Some(alert)) = (&mut self.stage, broken.alert()) {
            open.append(Kind::Alert, &[2, alert], &mut self.outgoing);
        }
        self.stage = Stage::Broken;
        self.notified = true;
    }

    /// Whether output can be sealed.
    pub(in super::super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Sends what waits, then seals and sends output, until all is sent or the socket takes no more. With `last` the
    /// end of the output is the end of what we send, and the peer is told so. Says whether the socket takes more.
    pub(in super::super) fn send(
        &mut self,
        transport: &Transport,
        output: &mut Buffer,
        last: bool,
        scratch: &mut Scratch,
    ) -> io::Result<bool> {
        loop {
            while !self.outgoing.is_empty() {
                let mut offered = 0;
                let sent = self.outgoing.write_with(|slices| {
                    offered = slices.iter().map(|slice| slice.len()).sum();
                    transport.send(slices)
                });
                match sent {
                    Ok(n) if n < offered => return Ok(false),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            let sealed = self.seal(output, last, &mut scratch.outgoing)?;
            if sealed == 0 {
                return Ok(true);
            }
            let bytes = &scratch.outgoing[..sealed];
            let sent = loop {
                match transport.send(&[io::IoSlice::new(bytes)]) {
                    Ok(n) => break n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break 0,
                    Err(error) => return Err(error),
                }
            };
            if sent < sealed {
                self.outgoing.append(&bytes[sent..]);
                return Ok(false);
            }
        }
    }

    /// Seals as much of the output as `out` has room for; says how much that is.
    fn seal(&mut self, output: &mut Buffer, last: bool, out: &mut [u8]) -> io::Result<usize> {
        let Stage::Open(open) = &mut self.stage else { return Ok(0) };
        let mut used = 0;
        if open.update && !self.notified {
            used += open.renew_sealer(out).ok_or(io::ErrorKind::ConnectionAborted)?;
            open.update = false;
        }
        while !output.is_empty() && !self.notified {
            let front = output.front().len();
            let want = match output.len() {
                all @ ..=GATHERED => all,
                _ if front >= PIECE => front.min(MOST_PLAIN),
                _ => GATHERED,
            };
            if out.len() - used < want + MOST_OVERHEAD {
                break;
            }
            let room = &mut out[used..];
            if open.sealer.is_worn() {
                // TLS 1.2 has no new keys without a new handshake: the connection has carried all that it can.
                used += open.renew_sealer(room).ok_or(io::ErrorKind::ConnectionAborted)?;
                continue;
            }
            let sealed = if want <= front {
                open.sealer.seal(Kind::Data, &output.front()[..want], room)
            } else {
                open.sealer.seal_gathered(Kind::Data, want, room, |room| {
                    output.copy_to(0, room);
                })
            };
            used += sealed.ok_or(io::ErrorKind::ConnectionAborted)?;
            output.drain(want);
        }
        if last && output.is_empty() && !self.notified && out.len() - used >= MOST_OVERHEAD + 2 {
            // close_notify
            let sealed = open.sealer.seal(Kind::Alert, &[1, 0], &mut out[used..]);
            used += sealed.ok_or(io::ErrorKind::ConnectionAborted)?;
            self.notified = true;
        }
        Ok(used)
    }

    /// Whether the peer has still to be told that we send no more.
    pub(in super::super) fn owes_farewell(&self) -> bool {
        self.is_open() && !self.notified
    }

    /// At the end of the connection: tells the peer, if that can be done at once. With `orderly` the end is the end of
    /// what we had to say.
    pub(in super::super) fn bid_farewell(
        &mut self,
        transport: &Transport,
        orderly: bool,
        scratch: &mut Scratch,
    ) {
        let last = orderly && self.outgoing.is_empty() && self.owes_farewell();
        if last || !self.is_open() {
            // Nobody is left to do anything about a failure.
            let _ = self.send(transport, &mut Buffer::new(), last, scratch);
        }
    }

    /// Whether there is something to send apart from the output.
    pub(in super::super) fn wants_to_send(&self) -> bool {
        !self.outgoing.is_empty() || matches!(&self.stage, Stage::Open(open) if open.update)
    }
}

impl Open {
    fn renew_opener(&mut self) -> Result<(), Broken> {
        let secrets = match &mut self.rustls {
            Rustls::Server(kernel) => kernel.update_rx_secret(),
            Rustls::Client(kernel) => kernel.update_rx_secret(),
        };
        let (sequence, secrets) = secrets.map_err(|_| Broken::Unexpected)?;
        self.opener = Opener::new(ProtocolVersion::TLSv1_3, sequence, &secrets).ok_or(Broken::Unexpected)?;
        Ok(())
    }

    /// Tells the peer that new keys follow, and takes them. Says how long that is in `out`; `None` if it cannot be.
    fn renew_sealer(&mut self, out: &mut [u8]) -> Option<usize> {
        if !self.opener.is_tls13() {
            return None;
        }
        let sealed = self.sealer.seal(Kind::Handshake, &[24, 0, 0, 1, 0], out)?;
        self.change_sealer()?;
        Some(sealed)
    }

    fn change_sealer(&mut self) -> Option<()> {
        let secrets = match &mut self.rustls {
            Rustls::Server(kernel) => kernel.update_tx_secret(),
            Rustls::Client(kernel) => kernel.update_tx_secret(),
        };
        let (sequence, secrets) = secrets.ok()?;
        self.sealer = Sealer::new(ProtocolVersion::TLSv1_3, sequence, &secrets)?;
        Some(())
    }

    fn append(&mut self, kind: Kind, content: &[u8], outgoing: &mut Buffer) {
        let sealer = &mut self.sealer;
        // A key that seals no more leaves nothing to say.
        let _ = outgoing.try_append_with(content.len() + MOST_OVERHEAD, |room| {
            sealer.seal(kind, content, room).ok_or(())
        });
    }
}

fn receive(transport: &Transport, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match transport.recv(&mut [IoSliceMut::new(room)]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The system's words, without Rust's number behind them.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
impl Session {
    /// Lets our key seal only so many records.
    pub(super) fn set_limit(&mut self, limit: u64) {
        if let Stage::Open(open) = &mut self.stage {
            open.sealer.set_limit(limit);
        }
    }

    /// Has the peer ask for new keys.
    pub(super) fn ask_for_update(&mut self) {
        if let Stage::Open(open) = &mut self.stage {
            // Asking is telling too: our own keys change with it.
            open.append(Kind::Handshake, &[24, 0, 0, 1, 1], &mut self.outgoing);
            open.change_sealer().expect("TLS 1.3");
        }
    }

    /// Sends something that is not data.
    pub(super) fn send_control(&mut self, kind: Kind, content: &[u8]) {
        if let Stage::Open(open) = &mut self.stage {
            open.append(kind, content, &mut self.outgoing);
        }
    }

    /// Whether it holds memory for anything but itself.
    pub(super) fn is_lean(&self) -> bool {
        self.incoming.is_empty() && self.outgoing.is_empty() && self.message.capacity() == 0
    }
}
