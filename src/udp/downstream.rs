//! Datagrams from clients: received in batches, each put into its session, sent on to the session's host.

use super::config::UdpListenerConfig;
use super::filter::{Ends, Filters};
use super::record::Counts;
use super::table::{Due, Flow, ListenerKey, SessionKey};
use super::{Session, Udp};
use crate::access_log::Logger;
use crate::io::{Cx, Layer, Task, TokenKind, Wake};
use crate::matching::Addresses;
use crate::stream_info::Flag;
use crate::upstream::Upstream;
use nuncio_reactor::{Address, Inbox, Notes, SlabKey, UdpConnectOptions, UdpSocket};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

/// Most datagrams that one call receives.
const BATCH: usize = 64;
/// Bytes for a batch where datagrams can be long.
const ROOM: usize = 512 << 10;
/// Most calls for one event; what is left waits for the next turn, so that clients do not starve hosts.
const BATCHES: usize = 16;
/// How long after datagrams have come it is looked whether some were lost.
const LOSSES: Duration = Duration::from_millis(200);
/// Most datagrams that are sent as one piece, and most bytes of it: what any kernel takes.
const SEGMENTS: usize = 64;
const SEGMENTS_BYTES: usize = 65_000;

/// The memory that datagrams of clients come into.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    inbox: Option<Inbox>,
    room: Box<[u8]>,
}

impl Arrivals {
    /// Makes room for datagrams of this length.
    pub(super) fn make_room(&mut self, longest: usize) {
        let size = (longest * BATCH).min(ROOM.max(longest));
        if self.room.len() < size {
            self.room = vec![0; size].into();
        }
        self.inbox.get_or_insert_with(|| Inbox::new(BATCH));
    }
}

/// What is known of a datagram that has arrived.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Arrival {
    peer: SocketAddr,
    local: Option<IpAddr>,
    /// Size of the segments that it is made of, or 0.
    segment: usize,
}

impl Udp {
    /// Receives from clients until nothing is left, or until others should have their turn.
    pub(super) fn receive(
        &mut self,
        key: ListenerKey,
        upstream: &mut Upstream,
        logger: &mut Logger,
        cx: &mut Cx<'_>,
    ) {
        if let Some(listening) = self.listeners.get_mut(key)
            && !std::mem::replace(&mut listening.watched, true)
        {
            cx.reactor.arm(LOSSES, Task { layer: Layer::UdpListener, wake: Wake::Alarm, key: key.raw() });
        }
        for _ in 0..BATCHES {
            let Some(listening) = self.listeners.get(key) else { return };
            let Arrivals { inbox: Some(inbox), room } = &mut self.arrivals else { return };
            let longest = listening.config.receive.longest;
            let most = BATCH.min(room.len() / longest);
            match inbox.receive(&listening.socket, room, (longest, BATCH), listening.notes) {
                Ok(count) => {
                    self.deliver(key, count, upstream, logger, cx);
                    if count < most {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::debug!("cannot receive from clients: {error}");
                    cx.stats.inc(listening.config.proxy.stats.downstream_sess_rx_errors);
                }
            }
        }
        cx.reactor.defer(Task { layer: Layer::UdpListener, wake: Wake::Resume, key: key.raw() });
    }

    /// Counts what the kernel has lost since this was last looked at, for want of room.
    pub(super) fn count_lost(&mut self, key: ListenerKey, cx: &mut Cx<'_>) {
        let Some(listening) = self.listeners.get_mut(key) else { return };
        listening.watched = false;
        if let Ok(lost) = listening.socket.lost() {
            let more = lost.wrapping_sub(listening.lost);
            listening.lost = lost;
            cx.stats.add(listening.config.stats.downstream_rx_datagram_dropped, more.into());
        }
    }

    /// Hands a batch over, run by run: datagrams in a row from one client.
    fn deliver(
        &mut self,
        key: ListenerKey,
        count: usize,
        upstream: &mut Upstream,
        logger: &mut Logger,
        cx: &mut Cx<'_>,
    ) {
        let mut run: Option<(Arrival, usize)> = None;
        for at in 0..count {
            let arrival = self.look(key, at, cx);
            if let Some((before, start)) = run {
                if before.segment == 0 && arrival == Some(before) {
                    continue;
                }
                self.on_run(key, before, start..at, upstream, logger, cx);
            }
            run = arrival.map(|arrival| (arrival, at));
        }
        if let Some((arrival, start)) = run {
            self.on_run(key, arrival, start..count, upstream, logger, cx);
        }
    }

    /// What the n-th datagram is; nothing if it cannot be used, which is counted.
    fn look(&self, key: ListenerKey, at: usize, cx: &mut Cx<'_>) -> Option<Arrival> {
        let inbox = self.arrivals.inbox.as_ref()?;
        let Notes { local, segment } = inbox.notes(at);
        if inbox.is_truncated(at) {
            cx.stats.inc(self.listeners.get(key)?.config.stats.downstream_rx_datagram_dropped);
            return None;
        }
        Some(Arrival { peer: inbox.peer(at)?, local, segment })
    }

    /// Puts datagrams of one client into its session, which may begin with them.
    fn on_run(
        &mut self,
        listener: ListenerKey,
        arrival: Arrival,
        run: Range<usize>,
        upstream: &mut Upstream,
        logger: &mut Logger,
        cx: &mut Cx<'_>,
    ) {
        let Some(listening) = self.listeners.get(listener) else { return };
        let flow = Flow { peer: arrival.peer, local: arrival.local, listener, host: None };
        if listening.config.proxy.per_packet {
            for at in run {
                self.on_balanced(flow, at, arrival.segment, upstream, logger, cx);
            }
            return;
        }
        if let Some(session) = self.sessions.find(&flow) {
            return self.forward(session, run, arrival.segment, cx);
        }
        // Each datagram tries by itself: so each is counted.
        for at in run.clone() {
            let Some(target) = self.route(&flow, cx) else { continue };
            if let Some(session) = self.open(flow, target, None, upstream, logger, cx) {
                return self.forward(session, at..run.end, arrival.segment, cx);
            }
        }
    }

    /// Puts one datagram, or one piece of segments, into the session of its client with a host that is chosen for it.
    fn on_balanced(
        &mut self,
        flow: Flow,
        at: usize,
        segment: usize,
        upstream: &mut Upstream,
        logger: &mut Logger,
        cx: &mut Cx<'_>,
    ) {
        let Some(target) = self.route(&flow, cx) else { return };
        let Some(listening) = self.listeners.get(flow.listener) else { return };
        let cluster = listening.config.proxy.targets[target as usize].cluster;
        let hash = listening.config.proxy.hash_of(flow.peer.ip());
        let Some(host) = upstream.choose_host(cluster, hash, cx) else { return };
        let flow = Flow { host: Some(host), ..flow };
        let session = match self.sessions.find(&flow) {
            Some(session) => Some(session),
            None => self.open(flow, target, Some(host), upstream, logger, cx),
        };
        if let Some(session) = session {
            self.forward(session, at..at + 1, segment, cx);
        }
    }

    /// Where a client's datagrams go: a place in the proxy's targets. That there is none is counted.
    fn route(&self, flow: &Flow, cx: &mut Cx<'_>) -> Option<u32> {
        let listening = self.listeners.get(flow.listener)?;
        let UdpListenerConfig { proxy, stats, .. } = &*listening.config;
        if listening.closing {
            cx.stats.inc(stats.downstream_rx_datagram_dropped);
            return None;
        }
        if let Some(target) = proxy.routes.constant() {
            return Some(*target);
        }
        let (destination, source) = listening.addresses(flow);
        let found = proxy.routes.find(&Addresses { source, destination });
        if found.is_none() {
            cx.stats.inc(proxy.stats.downstream_sess_no_route);
        }
        found.copied()
    }

    /// Begins a session. That none is possible is counted.
    fn open(
        &mut self,
        flow: Flow,
        target: u32,
        host: Option<u32>,
        upstream: &mut Upstream,
        logger: &mut Logger,
        cx: &mut Cx<'_>,
    ) -> Option<SessionKey> {
        let listening = self.listeners.get(flow.listener)?;
        let config = std::sync::Arc::clone(&listening.config);
        let (proxy, target_config) = (&config.proxy, &config.proxy.targets[target as usize]);
        let cluster = target_config.cluster;
        let host = match host {
            Some(host) => host,
            None => upstream.choose_host(cluster, proxy.hash_of(flow.peer.ip()), cx)?,
        };
        let filters = Filters::begin(&proxy.session_filters, || {
            let (destination, client) = listening.addresses(&flow);
            Ends { client, destination }
        })?;
        cx.stats.inc(proxy.stats.downstream_sess_total);
        let id = self.next_id();
        let listening = self.listeners.get_mut(flow.listener)?;
        if !upstream.enter_session(cluster) {
            cx.stats.inc(target_config.cluster_stats.upstream_cx_overflow);
            let name = &upstream.cluster(cluster).name;
            listening.log_refused(&flow, (Flag::UpstreamOverflow, name, id), logger, cx);
            return None;
        }
        let socket = match connect(proxy, &flow, upstream.host(cluster, host).map(|host| &host.address)) {
            Ok(socket) => socket,
            Err(error) => {
                log::debug!("no session with a host: {error}");
                upstream.leave_session(cluster);
                cx.stats.inc(target_config.stats.sess_tx_errors);
                let name = &upstream.cluster(cluster).name;
                listening.log_refused(&flow, (Flag::UpstreamConnectionFailure, name, id), logger, cx);
                return None;
            }
        };
        let now = cx.reactor.now();
        let session = Session {
            socket,
            target,
            host,
            since: now,
            id,
            plain: false,
            filters,
            counts: Counts::default(),
        };
        let key = self.sessions.insert(flow, now, proxy.idle_timeout, session);
        listening.sessions += 1;
        cx.stats.move_gauge(proxy.stats.downstream_sess_active, 1);
        let socket = &self.sessions.get(key).expect("just inserted").value.socket;
        if let Err(error) = cx.reactor.register_reader(socket, TokenKind::UdpSession(key.raw()).token()) {
            log::warn!("a session's socket cannot be watched: {error}");
            cx.stats.inc(target_config.stats.sess_rx_errors);
            self.end(key, upstream, logger, cx);
            return None;
        }
        if let Some(interval) = proxy.log_interval.filter(|_| !proxy.access_log.is_empty()) {
            self.sessions.arm(now + interval, Due::Log(key));
        }
        self.set_alarm(cx);
        Some(key)
    }

    /// Sends datagrams of a batch to a session's host.
    fn forward(&mut self, key: SessionKey, run: Range<usize>, segment: usize, cx: &mut Cx<'_>) {
        let Self { sessions, listeners, arrivals, .. } = self;
        let (Some(entry), Some(inbox)) = (sessions.get_mut(key), &arrivals.inbox) else { return };
        let Some(listening) = listeners.get_mut(entry.flow.listener) else { return };
        entry.last = cx.reactor.now();
        let session = &mut entry.value;
        let data = |at: usize| &arrivals.room[inbox.range(at)];
        let proxy = &listening.config.proxy;
        let target = &proxy.targets[session.target as usize];
        let mut sent = Sent::default();
        let (mut bytes, mut datagrams) = (0, 0);
        if !session.filters.is_empty() {
            for data in run.map(data) {
                for datagram in data.chunks(if segment > 0 { segment } else { data.len().max(1) }) {
                    bytes += datagram.len();
                    datagrams += 1;
                    if session.filters.on_datagram(datagram) {
                        session.send(datagram, &mut sent);
                    }
                }
            }
        } else if segment > 0 {
            let data = data(run.start);
            (bytes, datagrams) = (data.len(), data.len().div_ceil(segment));
            session.send_segments(data, segment, &mut sent);
        } else {
            let mut at = run.start;
            while at < run.end {
                let group = if session.plain { 1 } else { group(at..run.end, |at| data(at).len()) };
                let mut pieces = [IoSlice::new(&[]); SEGMENTS];
                for (piece, at) in pieces.iter_mut().zip(at..at + group) {
                    *piece = IoSlice::new(data(at));
                    bytes += piece.len();
                }
                datagrams += group;
                session.send_group(&pieces[..group], &mut sent);
                at += group;
            }
        }
        let (bytes, datagrams) = (bytes as u64, datagrams as u64);
        for counts in [&mut session.counts, &mut listening.counts] {
            counts.received += bytes;
            counts.received_datagrams += datagrams;
        }
        cx.stats.add(proxy.stats.downstream_sess_rx_bytes, bytes);
        cx.stats.add(proxy.stats.downstream_sess_rx_datagrams, datagrams);
        cx.stats.add(target.stats.sess_tx_datagrams, sent.datagrams);
        cx.stats.add(target.cluster_stats.upstream_cx_tx_bytes_total, sent.bytes);
        if sent.errors > 0 || sent.refused > 0 {
            cx.stats.add(target.stats.sess_tx_errors, sent.errors);
            cx.stats.add(target.stats.sess_rx_errors, sent.refused);
        }
    }
}

/// How many datagrams from the start of a run can go as one piece: all of one size, but for the last, which may be
/// shorter.
fn group(run: Range<usize>, length: impl Fn(usize) -> usize) -> usize {
    let size = length(run.start);
    let mut bytes = size;
    let mut count = 1;
    for next in (run.start + 1..run.end).map(length) {
        bytes += next;
        if size == 0 || next == 0 || next > size || bytes > SEGMENTS_BYTES || count == SEGMENTS {
            break;
        }
        count += 1;
        if next < size {
            break;
        }
    }
    count
}

/// A socket to a session's host.
fn connect(
    proxy: &super::config::UdpProxyConfig,
    flow: &Flow,
    host: Option<&Address>,
) -> io::Result<UdpSocket> {
    let Some(Address::Inet(host)) = host else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "datagrams go to IP addresses only"));
    };
    let options = UdpConnectOptions {
        segments: proxy.receive.segments,
        source: proxy.original_source.then_some(flow.peer.ip().to_canonical()),
    };
    UdpSocket::connect(*host, &options)
}

/// What became of datagrams to a host.
#[derive(Copy, Clone, Debug, Default)]
struct Sent {
    datagrams: u64,
    bytes: u64,
    errors: u64,
    /// Times that the host's system has said before that nobody listens there.
    refused: u64,
}

impl Session {
    /// Sends datagrams that can go as one piece.
    fn send_group(&mut self, pieces: &[IoSlice<'_>], sent: &mut Sent) {
        if let [one] = pieces {
            return self.send(one, sent);
        }
        let size = pieces.first().map_or(0, |piece| piece.len());
        match retried(sent, || self.socket.send_pieces(pieces, size)) {
            Ok(()) => {
                sent.datagrams += pieces.len() as u64;
                sent.bytes += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
            }
            Err(error) => {
                self.plain |= is_about_segments(&error);
                for piece in pieces {
                    self.send(piece, sent);
                }
            }
        }
    }

    /// Sends datagrams that lie one behind the other.
    fn send_segments(&mut self, data: &[u8], size: usize, sent: &mut Sent) {
        let per_piece = (SEGMENTS_BYTES / size).clamp(1, SEGMENTS);
        for part in data.chunks(size * per_piece) {
            if self.plain || part.len() <= size {
                part.chunks(size).for_each(|datagram| self.send(datagram, sent));
                continue;
            }
            match retried(sent, || self.socket.send_pieces(&[IoSlice::new(part)], size)) {
                Ok(()) => {
                    sent.datagrams += part.len().div_ceil(size) as u64;
                    sent.bytes += part.len() as u64;
                }
                Err(error) => {
                    self.plain |= is_about_segments(&error);
                    part.chunks(size).for_each(|datagram| self.send(datagram, sent));
                }
            }
        }
    }

    fn send(&mut self, data: &[u8], sent: &mut Sent) {
        match retried(sent, || self.socket.send(data)) {
            Ok(()) => {
                sent.datagrams += 1;
                sent.bytes += data.len() as u64;
            }
            Err(_) => sent.errors += 1,
        }
    }
}

/// Sends; a second time if the first was told of the fate of a datagram before.
fn retried(sent: &mut Sent, mut send: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    match send() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            sent.refused += 1;
            send()
        }
        result => result,
    }
}

/// Whether datagrams may well go one by one where they did not go as segments: the path or the device does not take
/// them.
pub(super) fn is_about_segments(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::EMSGSIZE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_of_one_size_but_for_its_end() {
        for (lengths, wanted) in [
            (&[5][..], 1),
            (&[5, 5, 5], 3),
            (&[5, 5, 3, 5], 3),
            (&[5, 6, 5], 1),
            (&[5, 5, 6], 2),
            (&[0, 0, 0], 1),
            (&[5, 0, 5], 1),
            (&[5, 5, 0], 2),
            (&[1; 100], SEGMENTS),
            (&[1400; 100], 46),
            (&[65_507, 65_507], 1),
        ] {
            assert_eq!(group(0..lengths.len(), |at| lengths[at]), wanted, "{lengths:?}");
        }
    }
}
