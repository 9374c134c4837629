//! One HTTP/2 connection, either side: its state, and what its owner may ask of it. What the peer says is in
//! `receive` and `headers`, what is said to it in `send`.

use super::flow::{ReceiveWindow, SendWindow};
use super::frame::{MAX_STREAM, setting};
use super::guard::Guard;
use super::hpack::{Decoder, Encoder};
use super::output::Output;
use super::priority::{Line, Turn};
use super::receive::{Block, Reading, Step};
use super::sniff::PREFACE;
use super::stream::{Receiving, Sending};
use super::streams::{Closed, Memory, Streams};
use super::{Cause, Code, Counters, Error, Event, PeerSettings, Settings, Side, StreamId};
use crate::Buffer;
use std::collections::VecDeque;
use std::marker::PhantomData;

/// The window of a connection until WINDOW_UPDATE, and the least of a stream that we offer.
const INITIAL_WINDOW: u32 = 65_535;

/// Codec of one connection.
#[derive(Debug)]
pub struct Connection<S> {
    pub(super) settings: Settings,
    pub(super) peer: PeerSettings,
    pub(super) counters: Counters,
    pub(super) guard: Guard,
    pub(super) output: Output,
    pub(super) streams: Streams,
    pub(super) memory: Memory,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    /// What stands in the input.
    pub(super) reading: Reading,
    /// A header block that is not complete.
    pub(super) block: Option<Box<Block>>,
    pub(super) receive_window: ReceiveWindow,
    pub(super) send_window: SendWindow,
    /// Streams that have something queued and a window for it, in the order of their turns.
    pub(super) ready: Line,
    /// Server: what a PRIORITY_UPDATE has last said of a stream that was not open yet.
    pub(super) foretold: Option<Turn>,
    /// Events that were not caused by the frame at hand.
    pub(super) events: VecDeque<Queued>,
    /// Bytes that all streams have queued.
    pub(super) queued: usize,
    /// Streams that are kept though both sides have ended.
    pub(super) lingering: usize,
    /// Server: the largest stream that was seen, and the largest that was not ignored. Client: the last one that was
    /// opened.
    pub(super) last_seen: u32,
    pub(super) last_taken: u32,
    /// The peer's SETTINGS have come, ours have been acknowledged.
    pub(super) settings_seen: bool,
    pub(super) settings_acked: bool,
    /// GOAWAY was announced, sent for good, received with this last stream.
    pub(super) drained: bool,
    pub(super) goaway_sent: bool,
    pub(super) goaway_received: Option<u32>,
    pub(super) failed: Option<Error>,
    pub(super) offender: Option<u32>,
    /// The caller's milliseconds.
    pub(super) now: u32,
    side: PhantomData<S>,
}

/// An event that waits to be polled.
#[derive(Copy, Clone, Debug)]
pub(super) enum Queued {
    Writable(u32),
    Flushed { id: u32, tag: u64 },
    LeftOut { id: u32, tag: u64 },
}

impl<S: Side> Connection<S> {
    /// A codec for a connection on which nothing has been received; writes this end's preface and SETTINGS.
    pub fn new(settings: Settings, out: &mut Buffer) -> Self {
        let largest = MAX_STREAM;
        let stream_window = settings.initial_stream_window_size.clamp(INITIAL_WINDOW, largest);
        let connection_window =
            settings.initial_connection_window_size.max(stream_window.saturating_add(stream_window / 2));
        let settings = Settings {
            initial_stream_window_size: stream_window,
            initial_connection_window_size: connection_window.min(largest),
            ..settings
        };
        let mut connection = Self {
            settings,
            peer: PeerSettings::default(),
            counters: Counters::default(),
            guard: Guard::default(),
            output: Output::new(settings.max_outbound_frames, settings.max_outbound_control_frames),
            streams: Streams::default(),
            memory: Memory::default(),
            encoder: Encoder::new(settings.hpack_table_size),
            decoder: Decoder::new(),
            reading: if S::SERVER { Reading::Preface } else { Reading::Frame },
            block: None,
            receive_window: ReceiveWindow::new(settings.initial_connection_window_size),
            send_window: SendWindow::new(INITIAL_WINDOW),
            ready: Line::default(),
            foretold: None,
            events: VecDeque::new(),
            queued: 0,
            lingering: 0,
            last_seen: 0,
            last_taken: 0,
            settings_seen: false,
            settings_acked: false,
            drained: false,
            goaway_sent: false,
            goaway_received: None,
            failed: None,
            offender: None,
            now: 0,
            side: PhantomData,
        };
        connection.send_preface(out);
        connection
    }

    fn send_preface(&mut self, out: &mut Buffer) {
        let settings = self.settings;
        if !S::SERVER {
            self.output.raw(PREFACE, out);
        }
        let mut payload = [0; 6 * 4];
        let mut length = 0;
        let mut put = |name: u16, value: u32| {
            payload[length..length + 2].copy_from_slice(&name.to_be_bytes());
            payload[length + 2..length + 6].copy_from_slice(&value.to_be_bytes());
            length += 6;
        };
        if settings.hpack_table_size != super::hpack::DEFAULT_TABLE_SIZE {
            put(setting::HEADER_TABLE_SIZE, settings.hpack_table_size);
        }
        if S::SERVER {
            put(setting::MAX_CONCURRENT_STREAMS, settings.max_concurrent_streams);
            if settings.allow_connect {
                put(setting::ENABLE_CONNECT_PROTOCOL, 1);
            }
        } else {
            put(setting::ENABLE_PUSH, 0);
        }
        put(setting::INITIAL_WINDOW_SIZE, settings.initial_stream_window_size);
        self.output.settings(&payload[..length], out);
        let more = settings.initial_connection_window_size - INITIAL_WINDOW;
        if more > 0 {
            self.output.window_update(0, more, out);
        }
    }

    /// The next event; `None` if more input or room is needed. Writes what has to be answered, and as much of what is
    /// queued as may go. Call it until it returns `None`.
    ///
    /// # Errors
    /// The peer broke the protocol or overdid it. GOAWAY has been written; asking again returns the same error.
    pub fn poll(&mut self, input: &mut Buffer, out: &mut Buffer) -> Result<Option<Event<S::Head>>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.output.note(out);
        self.advance(input, out).map_err(|error| self.fail(error, out))
    }

    fn advance(&mut self, input: &mut Buffer, out: &mut Buffer) -> Result<Option<Event<S::Head>>, Error> {
        loop {
            if let Some(event) = self.queued_event() {
                return Ok(Some(event));
            }
            self.output.check(&mut self.counters)?;
            match self.step(input, out)? {
                Step::Event(event) => return Ok(Some(event)),
                Step::On => {}
                Step::Wait => break,
            }
        }
        self.flush(out);
        debug_assert!(self.is_consistent());
        Ok(self.queued_event())
    }

    /// The connection's accounts are the sums of its streams'.
    fn is_consistent(&self) -> bool {
        let streams = || self.streams.iter();
        let held: u64 = streams().map(|stream| u64::from(stream.receive_window.held())).sum();
        held == u64::from(self.receive_window.held())
            && self.receive_window.is_conserved()
            && streams().all(|stream| stream.receive_window.is_conserved())
            && self.queued == streams().map(|stream| stream.queue.len()).sum::<usize>()
            && self.lingering == streams().filter(|stream| stream.is_closed()).count()
            && self.ready.len() == streams().filter(|stream| stream.ready).count()
            && streams()
                .all(|stream| stream.queue.is_empty() || stream.ready || stream.send_window.available() == 0)
    }

    fn queued_event(&mut self) -> Option<Event<S::Head>> {
        loop {
            match self.events.pop_front()? {
                Queued::Writable(id) => {
                    // Its owner may have given it up since.
                    if let Some(stream) = self.streams.get(id) {
                        return Some(Event::Writable { id: StreamId(id), tag: stream.tag });
                    }
                }
                Queued::Flushed { id, tag } => return Some(Event::Flushed { id: StreamId(id), tag }),
                Queued::LeftOut { id, tag } => {
                    let (id, code) = (StreamId(id), Code::REFUSED_STREAM);
                    return Some(Event::Reset { id, tag, code, cause: Cause::GoAway });
                }
            }
        }
    }

    fn fail(&mut self, error: Error, out: &mut Buffer) -> Error {
        if let Error::Malformed(_) = error {
            self.counters.rx_messaging_error += 1;
        }
        self.failed = Some(error);
        // As in Envoy, the last word about an error does not count among the GOAWAYs.
        self.output.goaway(if S::SERVER { self.last_taken } else { 0 }, error.code(), out);
        self.goaway_sent = true;
        // The streams stay for their owner to see, their memory does not.
        for stream in self.streams.iter_mut() {
            stream.queue.clear();
            stream.trailers = None;
        }
        self.ready.clear();
        self.events.clear();
        self.block = None;
        self.queued = 0;
        error
    }

    fn send_goaway(&mut self, last: u32, code: Code, out: &mut Buffer) {
        self.counters.goaway_sent += 1;
        self.output.goaway(last, code, out);
    }

    /// The coarse clock of [`Settings::premature_reset_min_stream_lifetime`], in milliseconds from anywhere; it may
    /// wrap. To be set before `poll`. If it never is, every reset counts as early.
    pub fn set_time(&mut self, milliseconds: u32) {
        self.now = milliseconds;
    }

    /// Gives a stream the tag that its events carry.
    pub fn set_tag(&mut self, id: StreamId, tag: u64) {
        if let Some(stream) = self.streams.get_mut(id.0) {
            stream.tag = tag;
        }
    }

    /// The stream's tag; `None` if it is gone.
    pub fn tag(&self, id: StreamId) -> Option<u64> {
        self.streams.get(id.0).map(|stream| stream.tag)
    }

    /// The stream is given up: what is queued is dropped, and unless both sides have ended it RST_STREAM is written.
    /// The stream is gone; no further event mentions it.
    pub fn reset(&mut self, id: StreamId, code: Code, out: &mut Buffer) {
        if let Some(stream) = self.streams.get(id.0) {
            if stream.is_closed() {
                self.close(id.0, Closed::Ended, out);
            } else {
                self.send_reset(id.0, code, out);
                self.close(id.0, Closed::ResetByUs, out);
            }
        }
    }

    pub(super) fn send_reset(&mut self, id: u32, code: Code, out: &mut Buffer) {
        if self.failed.is_none() {
            self.counters.tx_reset += 1;
            self.output.rst_stream(id, code, out);
        }
    }

    /// The owner has got rid of `n` bytes of `Data`: the peer may send as many more. Bytes need not be consumed one
    /// event at a time. A response of which bytes are not consumed keeps its stream (and its share of the connection's
    /// window) until they are, or until [`reset`](Self::reset).
    pub fn consume(&mut self, id: StreamId, n: usize, out: &mut Buffer) {
        if self.failed.is_some() {
            return;
        }
        let Some(stream) = self.streams.get_mut(id.0) else { return };
        let n = stream.receive_window.consume(n);
        let closed = stream.is_closed() && stream.receive_window.held() == 0;
        if stream.receiving != Receiving::Ended
            && let Some(increment) = stream.receive_window.update()
        {
            self.output.window_update(id.0, increment, out);
        }
        self.release(n, out);
        if closed {
            self.close(id.0, Closed::Ended, out);
        }
    }

    /// `n` bytes that have come are off the connection's window.
    pub(super) fn release(&mut self, n: u32, out: &mut Buffer) {
        self.receive_window.consume(n as usize);
        if self.failed.is_none()
            && let Some(increment) = self.receive_window.update_shared()
        {
            self.output.window_update(0, increment, out);
        }
    }

    /// Forgets a stream. The connection gets back what the stream held of its window.
    pub(super) fn close(&mut self, id: u32, how: Closed, out: &mut Buffer) {
        let Some(stream) = self.streams.remove(id) else { return };
        if stream.is_closed() {
            self.lingering -= 1;
        }
        if stream.ready {
            self.ready.remove(id);
        }
        self.queued -= stream.queue.len();
        self.guard.closed();
        self.memory.close(id, how);
        self.release(stream.receive_window.held(), out);
    }

    /// A side of the stream has just ended; if the other has too, the stream is closed, but kept while its owner has
    /// to consume a response.
    pub(super) fn close_if_ended(&mut self, id: u32, out: &mut Buffer) {
        let Some(stream) = self.streams.get(id).filter(|stream| stream.is_closed()) else { return };
        self.lingering += 1;
        if S::SERVER || stream.receive_window.held() == 0 {
            self.close(id, Closed::Ended, out);
        }
    }

    /// Announces the end (RFC 9113 section 6.8): GOAWAY with the largest identifier. Streams are still taken until
    /// [`goaway`](Self::goaway), which is to follow after a round trip at least.
    pub fn drain(&mut self, out: &mut Buffer) {
        if !self.drained && !self.goaway_sent {
            self.drained = true;
            // As in Envoy, the announcement does not count.
            self.output.goaway(MAX_STREAM, Code::NO_ERROR, out);
        }
    }

    /// Final GOAWAY: streams that are open go on, no new ones are taken. Close when [`live`](Self::live) is 0 and `out` is
    /// written.
    pub fn goaway(&mut self, code: Code, out: &mut Buffer) {
        if !self.goaway_sent {
            self.goaway_sent = true;
            self.send_goaway(if S::SERVER { self.last_taken } else { 0 }, code, out);
        }
    }

    /// Sends a PING, which comes back as [`Event::Pong`].
    pub fn ping(&mut self, payload: u64, out: &mut Buffer) {
        if self.failed.is_none() {
            self.output.ping(false, payload.to_be_bytes(), out);
        }
    }

    /// The streams that are not gone, with their tags, in no order.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, u64)> {
        self.streams.iter().map(|stream| (StreamId(stream.id), stream.tag))
    }

    /// How many streams are open: those that both sides have ended do not count, even if their bytes are not consumed.
    pub fn live(&self) -> usize {
        self.streams.len() - self.lingering
    }

    /// Whether no new streams should be opened: GOAWAY was sent or received (the announcement counts), or the
    /// connection failed, or identifiers are used up.
    pub fn is_draining(&self) -> bool {
        self.drained
            || self.goaway_sent
            || self.goaway_received.is_some()
            || self.failed.is_some()
            || self.last_seen >= MAX_STREAM
    }

    /// Whether the final GOAWAY was sent.
    pub fn goaway_sent(&self) -> bool {
        self.goaway_sent
    }

    /// Bytes that all streams have queued.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether what this stream has queued waits for the peer to open a window (and not for room in the output): what a
    /// time limit on stalled streams needs to know.
    pub fn is_stalled(&self, id: StreamId) -> bool {
        self.streams.get(id.0).is_some_and(|stream| {
            !stream.queue.is_empty()
                && (stream.send_window.available() == 0 || self.send_window.available() == 0)
        })
    }

    /// Bytes that this stream has queued.
    pub fn queued_on(&self, id: StreamId) -> usize {
        self.streams.get(id.0).map_or(0, |stream| stream.queue.len())
    }

    /// The peer has ended its message on this stream, or the stream is gone.
    pub fn receive_complete(&self, id: StreamId) -> bool {
        self.streams.get(id.0).is_none_or(|stream| stream.receiving == Receiving::Ended)
    }

    /// Our message on this stream is in the output to its end, or the stream is gone.
    pub fn send_complete(&self, id: StreamId) -> bool {
        self.streams.get(id.0).is_none_or(|stream| stream.sending == Sending::Ended)
    }

    /// The peer's SETTINGS.
    pub fn peer(&self) -> &PeerSettings {
        &self.peer
    }

    /// The peer has taken note of our SETTINGS.
    pub fn settings_acked(&self) -> bool {
        self.settings_acked
    }

    /// The stream whose malformed message made the connection fail, if that is how it failed. On a server it is one
    /// that was not reported, unless it has a [`tag`](Self::tag).
    pub fn offender(&self) -> Option<StreamId> {
        self.offender.map(StreamId)
    }

    /// What has been counted since the last call.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }
}
