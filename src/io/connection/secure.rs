//! TLS on a connection: its handshake, and reading and writing through it.

use super::{ConnKey, Connection, Finish, Io, Notice, Owner, Phase, Read};
use crate::io::task::{Layer, Reactor, Task, Wake};
use crate::io::tls::{Progress, Scratch, Session};
use crate::stats::{Block, Counter};
use crate::tls::{ClientTls, ServerTls, TlsInfo};
use nuncio_reactor::{RawKey, SlabKey};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;

/// Most steps of TLS handshakes in one turn: each is a good part of a millisecond.
pub(super) const HANDSHAKES: u32 = 16;

/// What all connections with TLS share.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) scratch: Scratch,
    pub(super) stats: Block,
}

impl Io {
    /// Begins TLS as a server on an accepted connection; what was read already is a part of it. The owner hears of it
    /// when the handshake is done or has failed, at the latest after `limit`, which `late` counts.
    pub fn secure(
        &mut self,
        key: ConnKey,
        tls: &ServerTls,
        (limit, late): (Option<Duration>, Counter),
        stats: &Block,
        reactor: &mut Reactor,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        self.tls.get_or_insert_with(|| Tls { scratch: Scratch::new(), stats: stats.clone() });
        let incoming = std::mem::take(&mut connection.input);
        if connection.readable || !incoming.is_empty() {
            // The news of what has come has gone to whoever owned it before.
            reactor.defer(Task { layer: Layer::Io, wake: Wake::Resume, key: key.raw() });
        }
        connection.session = Some(Box::new(Session::server(tls, incoming)));
        connection.phase = Phase::Securing;
        connection.handshake_limit = limit.map(|limit| (reactor.arm(limit, Task::close(key)), Some(late)));
    }

    /// Has TLS begin, as a client, as soon as a connection that is being made is there. [`Notice::Connected`] comes when
    /// its handshake is done. `name` is whom the server is asked for. Output that there is already goes before it, as it
    /// is.
    ///
    /// # Errors
    /// Why it cannot even begin.
    pub fn secure_client(
        &mut self,
        key: ConnKey,
        tls: &mut ClientTls,
        name: Option<ServerName<'static>>,
        stats: &Block,
    ) -> Result<(), String> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        self.tls.get_or_insert_with(|| Tls { scratch: Scratch::new(), stats: stats.clone() });
        let mut session = Session::client(tls, name, || connection.transport.ends())?;
        session.begin_with(std::mem::take(&mut connection.output));
        connection.session = Some(Box::new(session));
        Ok(())
    }

    /// What is known of a connection's TLS, once its handshake is done.
    pub fn tls(&self, key: ConnKey) -> Option<&Arc<TlsInfo>> {
        self.connections.get(key)?.session.as_ref()?.info()
    }

    /// Why a connection's TLS has failed; empty if it has not.
    pub fn tls_failure(&self, key: ConnKey) -> &str {
        let session = self.connections.get(key).and_then(|connection| connection.session.as_ref());
        session.and_then(|session| session.failure()).unwrap_or_default()
    }

    /// Whether the peer's end of a TLS connection came without a word: what came before may not be all.
    pub fn is_truncated(&self, key: ConnKey) -> bool {
        let session = self.connections.get(key).and_then(|connection| connection.session.as_ref());
        session.is_some_and(|session| session.is_truncated())
    }

    /// Goes on with a TLS handshake, unless others must have their turn.
    pub(super) fn shake_hands(&mut self, key: ConnKey, reactor: &mut Reactor) -> Option<(Owner, Notice)> {
        let connection = self.connections.get_mut(key)?;
        let Some(left) = self.handshakes.checked_sub(1) else {
            reactor.defer(Task { layer: Layer::Io, wake: Wake::Resume, key: key.raw() });
            return None;
        };
        self.handshakes = left;
        let Tls { scratch, stats } = self.tls.as_mut()?;
        let Connection { session: Some(session), transport, readable, peer_finished, failed, .. } =
            connection
        else {
            return None;
        };
        let progress = if *failed {
            Progress::Failed
        } else {
            session.handshake(transport, (readable, *peer_finished), || transport.ends(), (scratch, stats))
        };
        let news = session.has_news();
        if session.wants_to_send() && !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
        if progress == Progress::Pending {
            return None;
        }
        if let Some((timer, _)) = connection.handshake_limit.take() {
            reactor.cancel(timer);
        }
        connection.phase = Phase::Open;
        if progress == Progress::Done {
            connection.readable |= news;
            return Some((
                connection.owner,
                if connection.client { Notice::Connected } else { Notice::Ready },
            ));
        }
        connection.failed = true;
        let notice = if connection.client {
            let failure = connection.session.as_ref().and_then(|session| session.failure());
            Notice::TlsFailed(failure.unwrap_or_default().into())
        } else {
            Notice::Ready
        };
        Some((connection.owner, notice))
    }

    /// A connection that was put off has its turn.
    pub fn on_resume(&mut self, key: RawKey, reactor: &mut Reactor) -> Option<(Owner, Notice)> {
        let key = SlabKey::from_raw(key);
        let securing =
            self.connections.get(key).is_some_and(|connection| connection.phase == Phase::Securing);
        if securing { self.shake_hands(key, reactor) } else { None }
    }
}

impl Connection {
    /// Reads through TLS.
    pub(super) fn read_session(&mut self, tls: &mut Tls) -> Read {
        let Self { session: Some(session), transport, readable, peer_finished, input, failed, .. } = self
        else {
            return Read::Failed;
        };
        loop {
            let fill = session.fill(transport, true, input, (&mut tls.scratch, &tls.stats));
            // An end that was announced must still be fetched; one that has come is told again and again.
            *readable = !fill.drained || *peer_finished || fill.ended;
            *failed |= fill.failed;
            return match fill {
                _ if fill.opened > 0 => Read::Data(fill.opened),
                _ if fill.failed => Read::Failed,
                _ if fill.ended => Read::Eof,
                _ if fill.drained => Read::Empty,
                // Half a record, or a message for TLS itself.
                _ => continue,
            };
        }
    }

    /// Writes through TLS.
    pub(super) fn write_session(&mut self, tls: &mut Tls) {
        let last = match self.phase {
            Phase::Flushing | Phase::FlushingToLinger => true,
            _ => self.finish == Finish::Wanted,
        };
        let Self { session: Some(session), transport, output, writable, failed, .. } = self else { return };
        if *writable && !*failed {
            match session.send(transport, output, last, &mut tls.scratch) {
                Ok(more) => *writable = more,
                Err(_) => {
                    *failed = true;
                    output.clear();
                }
            }
        }
    }
}
