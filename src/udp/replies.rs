//! Datagrams on their way to clients: collected over a turn, sent in one call from where they were received.

use super::Listening;
use super::config::Receive;
use super::downstream::is_about_segments;
use super::filter::Filters;
use super::table::{Flow, ListenerKey, SessionKey, Table};
use crate::io::Cx;
use nuncio_reactor::{Datagram, Inbox, Outbox, Slab, UdpSocket};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Most datagrams, or pieces of segments, that are collected.
const BATCH: usize = 64;
/// Bytes for what is collected, at least.
const ROOM: usize = 256 << 10;
/// Most that one call receives from one host.
const FROM_HOST: usize = 16;

/// What is collected for the clients of one listener.
#[derive(Debug, Default)]
pub(super) struct Replies {
    boxes: Option<(Inbox, Outbox)>,
    room: Box<[u8]>,
    /// How much of the room is in use.
    used: usize,
    listener: Option<ListenerKey>,
    letters: Vec<Letter>,
}

/// A datagram, or a piece of segments.
#[derive(Copy, Clone, Debug)]
struct Letter {
    /// Where it is in the room.
    start: usize,
    length: usize,
    /// Size of its segments, or 0.
    segment: usize,
    session: SessionKey,
    to: SocketAddr,
    from: Option<IpAddr>,
}

/// What one call has received.
#[derive(Copy, Clone, Debug)]
pub(super) struct Received {
    count: usize,
    asked: usize,
    slot: usize,
}

impl Received {
    /// Whether there was no more.
    pub(super) fn is_last(self) -> bool {
        self.count < self.asked
    }
}

/// What was collected.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
    /// Too long.
    pub(super) dropped: u64,
}

impl Replies {
    /// Makes room for datagrams of this length.
    pub(super) fn make_room(&mut self, longest: usize) {
        let size = ROOM.max(longest * 2);
        if self.room.len() < size {
            self.room = vec![0; size].into();
        }
        self.boxes.get_or_insert_with(|| (Inbox::connected(FROM_HOST), Outbox::new(BATCH)));
        self.letters.reserve(BATCH);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Whether some datagrams of this length for clients of this listener can be collected besides what there is.
    pub(super) fn takes(&self, listener: ListenerKey, longest: usize) -> bool {
        self.letters.is_empty()
            || self.listener == Some(listener)
                && BATCH - self.letters.len() >= 2
                && self.room.len() - self.used >= longest * 2
    }

    /// Receives from a host, in one call, behind what there is; room was made sure of with [`Self::takes`].
    pub(super) fn receive(&mut self, socket: &UdpSocket, how: &Receive, most: usize) -> io::Result<Received> {
        let slot = how.longest;
        let Some((inbox, _)) = &mut self.boxes else { return Err(io::ErrorKind::WouldBlock.into()) };
        let room = &mut self.room[self.used..];
        let asked = most.min(BATCH - self.letters.len()).min(room.len() / slot);
        let count = inbox.receive(socket, room, (slot, asked), how.segments)?;
        Ok(Received { count, asked, slot })
    }

    /// Collects what the last call has received for the client of a session.
    pub(super) fn collect(
        &mut self,
        received: Received,
        session: SessionKey,
        flow: &Flow,
        filters: &mut Filters,
    ) -> Totals {
        let mut totals = Totals::default();
        let Some((inbox, _)) = &self.boxes else { return totals };
        self.listener = Some(flow.listener);
        let base = self.used;
        for at in 0..received.count {
            let range = inbox.range(at);
            if inbox.is_truncated(at) {
                totals.dropped += 1;
                continue;
            }
            let (start, length) = (base + range.start, range.len());
            let segment = inbox.notes(at).segment;
            // A piece of one segment is a datagram.
            let segment = if segment < length { segment } else { 0 };
            if !filters.is_empty() {
                // Each by itself, since some may stay behind.
                let size = if segment == 0 { length.max(1) } else { segment };
                for at in (0..length.max(1)).step_by(size) {
                    let (start, length) = (start + at, size.min(length - at));
                    if filters.on_answer(&self.room[start..start + length]) {
                        totals.datagrams += 1;
                        totals.bytes += length as u64;
                        let (to, from) = (flow.peer, flow.local);
                        self.letters.push(Letter { start, length, segment: 0, session, to, from });
                    }
                }
                self.used = start + length;
                continue;
            }
            totals.datagrams += if segment == 0 { 1 } else { length.div_ceil(segment) as u64 };
            totals.bytes += length as u64;
            self.letters.push(Letter { start, length, segment, session, to: flow.peer, from: flow.local });
            self.used = start + length;
        }
        debug_assert!(self.used <= base + received.count * received.slot);
        totals
    }

    /// Sends everything.
    pub(super) fn flush(
        &mut self,
        listeners: &mut Slab<ListenerKey, Listening>,
        sessions: &mut Table<super::Session>,
        cx: &mut Cx<'_>,
    ) {
        let listening = self.listener.take().and_then(|key| listeners.get_mut(key));
        if let (Some(listening), Some((_, outbox))) = (listening, &mut self.boxes) {
            let room = &self.room[..];
            let (mut bytes, mut datagrams, mut failed) = (0, 0, 0);
            let mut left = &self.letters[..];
            while let Some(first) = left.first() {
                let letters = left.iter().map(|letter| letter.datagram(room));
                let went = match outbox.send(&listening.socket, letters) {
                    Ok(went) => went.max(1),
                    Err(error) => {
                        let errors = first.send_apart(&error, outbox, listening, room);
                        failed += errors.1;
                        if let Some(entry) = sessions.get_mut(first.session) {
                            let counts = &mut entry.value.counts;
                            counts.sent -= errors.0;
                            counts.sent_datagrams -= errors.1;
                            counts.send_errors += errors.1;
                        }
                        bytes -= errors.0 as i64;
                        datagrams -= errors.1 as i64;
                        1
                    }
                };
                for letter in &left[..went] {
                    bytes += letter.length as i64;
                    datagrams += letter.count() as i64;
                }
                left = &left[went..];
            }
            let (bytes, datagrams) = (bytes as u64, datagrams as u64);
            listening.counts.sent += bytes;
            listening.counts.sent_datagrams += datagrams;
            let stats = &listening.config.proxy.stats;
            cx.stats.add(stats.downstream_sess_tx_bytes, bytes);
            cx.stats.add(stats.downstream_sess_tx_datagrams, datagrams);
            if failed > 0 {
                listening.counts.send_errors += failed;
                cx.stats.add(stats.downstream_sess_tx_errors, failed);
            }
        }
        self.letters.clear();
        self.used = 0;
    }
}

impl Letter {
    fn datagram(self, room: &[u8]) -> Datagram<'_> {
        let Self { start, length, segment, to, from, .. } = self;
        Datagram { data: &room[start..start + length], to: Some(to), from, segment }
    }

    /// How many datagrams it is.
    fn count(self) -> u64 {
        if self.segment == 0 { 1 } else { self.length.div_ceil(self.segment) as u64 }
    }

    /// After it has failed: sends its segments one by one, if that may help. Says how many bytes and datagrams were
    /// not sent.
    fn send_apart(
        self,
        error: &io::Error,
        outbox: &mut Outbox,
        listening: &Listening,
        room: &[u8],
    ) -> (u64, u64) {
        if self.segment == 0 || !is_about_segments(error) {
            return (self.length as u64, self.count());
        }
        let (mut bytes, mut datagrams) = (0, 0);
        for data in self.datagram(room).data.chunks(self.segment) {
            let datagram = Datagram { data, to: Some(self.to), from: self.from, segment: 0 };
            if outbox.send(&listening.socket, [datagram].into_iter()).is_err() {
                bytes += data.len() as u64;
                datagrams += 1;
            }
        }
        (bytes, datagrams)
    }
}
