//! Frames that come in, except for the fields of header blocks.

use super::connection::Queued;
use super::frame::{FrameHeader, HEADER, MAX_PAYLOAD, MAX_WINDOW, flag, kind, setting};
use super::priority::Turn;
use super::sniff::PREFACE;
use super::stream::{Receiving, Sending};
use super::streams::Closed;
use super::{Cause, Code, Connection, Error, Event, Malformed, Side, StreamId};
use crate::Buffer;

/// Consecutive DATA frames of a stream become one event up to this size.
const JOINED: usize = 64 << 10;

/// What stands at the front of the input.
#[derive(Copy, Clone, Debug)]
pub(super) enum Reading {
    /// The client's preface.
    Preface,
    /// A frame.
    Frame,
    /// The rest of a DATA frame's bytes.
    Data(Piece),
    /// This many bytes of no interest.
    Skip(u32),
}

/// A DATA frame of which the header has been dealt with.
#[derive(Copy, Clone, Debug)]
pub(super) struct Piece {
    id: u32,
    /// Bytes still to come.
    left: u32,
    /// Padding behind them.
    padding: u32,
    end: bool,
}

/// A header block in pieces.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) head: BlockHead,
    pub(super) bytes: Buffer,
    pub(super) frames: u32,
}

/// What the HEADERS frame says of its block.
#[derive(Copy, Clone, Debug)]
pub(super) struct BlockHead {
    pub(super) id: u32,
    pub(super) end: bool,
    pub(super) self_dependent: bool,
}

/// What came of looking at the input.
#[derive(Debug)]
pub(super) enum Step<Head> {
    Event(Event<Head>),
    /// Something was taken off it; there may be more.
    On,
    /// More of it is needed.
    Wait,
}

/// What a stream's identifier stands for in a frame.
pub(super) enum Target {
    /// An open stream, or one that only one side has ended.
    Open,
    /// A stream that is gone; how, if that is known.
    Gone(Option<Closed>),
    /// One that was never opened.
    Idle,
}

impl<S: Side> Connection<S> {
    pub(super) fn step(&mut self, input: &mut Buffer, out: &mut Buffer) -> Result<Step<S::Head>, Error> {
        match self.reading {
            Reading::Frame => self.frame(input, out),
            Reading::Data(piece) => Ok(self.piece(piece, input, out)),
            Reading::Skip(left) => {
                let n = (left as usize).min(input.len());
                input.drain(n);
                let left = left - n as u32;
                self.reading = if left > 0 { Reading::Skip(left) } else { Reading::Frame };
                Ok(if left > 0 { Step::Wait } else { Step::On })
            }
            Reading::Preface => {
                let mut first = [0; PREFACE.len()];
                let n = input.copy_to(0, &mut first);
                if first[..n] != PREFACE[..n] {
                    return Err(Error::Preface);
                }
                if n < first.len() {
                    return Ok(Step::Wait);
                }
                input.drain(n);
                self.reading = Reading::Frame;
                Ok(Step::On)
            }
        }
    }

    fn frame(&mut self, input: &mut Buffer, out: &mut Buffer) -> Result<Step<S::Head>, Error> {
        let Some(header) = FrameHeader::peek(input) else { return Ok(Step::Wait) };
        if !self.settings_seen && (header.kind != kind::SETTINGS || header.has(flag::ACK)) {
            return Err(Error::Preface);
        }
        if header.length > MAX_PAYLOAD {
            return Err(Error::FrameSize);
        }
        if let Some(block) = &self.block
            && (header.kind != kind::CONTINUATION || header.stream != block.head.id)
        {
            return Err(Error::Continuation);
        }
        match header.kind {
            kind::DATA => return self.on_data(header, input, out),
            kind::HEADERS..=kind::CONTINUATION | kind::PRIORITY_UPDATE => {}
            _ => {
                // Unknown ones are passed over (RFC 9113 section 5.5).
                input.drain(HEADER);
                self.reading = Reading::Skip(header.length);
                return Ok(Step::On);
            }
        }
        let length = HEADER + header.length as usize;
        if input.len() < length {
            return Ok(Step::Wait);
        }
        match header.kind {
            kind::HEADERS => return self.on_headers(header, input, out),
            kind::CONTINUATION => return self.on_continuation(header, input, out),
            kind::SETTINGS => return self.on_settings(header, input, out),
            kind::PUSH_PROMISE => return Err(Error::Push),
            kind::PRIORITY_UPDATE => return self.on_priority_update(header, input),
            _ => {}
        }
        // The others are short, but for what GOAWAY adds.
        let mut payload = [0; 8];
        let n = input.copy_to(HEADER, &mut payload).min(header.length as usize);
        input.drain(length);
        let payload = &payload[..n];
        match header.kind {
            kind::PRIORITY => self.on_priority(header, payload, out),
            kind::RST_STREAM => self.on_rst_stream(header, payload, out),
            kind::PING => self.on_ping(header, payload, out),
            kind::GOAWAY => self.on_goaway(header, payload, out),
            _ => self.on_window_update(header, payload, out),
        }
    }

    /// What `id`, which is not 0, stands for.
    pub(super) fn target(&self, id: u32) -> Target {
        match self.streams.get(id) {
            Some(stream) if !stream.is_closed() => Target::Open,
            Some(_) => Target::Gone(Some(Closed::Ended)),
            // Streams have odd numbers: nobody pushes.
            None if id.is_multiple_of(2) || id > self.last_seen => Target::Idle,
            None => Target::Gone(self.memory.recall(id)),
        }
    }

    /// Whether the stream was opened by a client that had not heard our GOAWAY: whatever comes for it is ignored.
    pub(super) fn is_left_out(&self, id: u32) -> bool {
        S::SERVER && self.goaway_sent && id > self.last_taken
    }

    fn on_data(
        &mut self,
        header: FrameHeader,
        input: &mut Buffer,
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let FrameHeader { length, stream: id, .. } = header;
        let (mut before, mut padding) = (0, 0);
        if header.has(flag::PADDED) {
            if length == 0 {
                return Err(Error::FrameSize);
            }
            let Some(n) = input.byte(HEADER) else { return Ok(Step::Wait) };
            (before, padding) = (1, u32::from(n));
            if padding >= length {
                return Err(Error::Padding);
            }
        }
        if id == 0 {
            return Err(Error::UnexpectedFrame);
        }
        let end = header.has(flag::END_STREAM);
        let content = length - before - padding;
        self.guard.payload(content == 0 && !end, &self.settings, &mut self.counters)?;
        let target = self.target(id);
        if let Target::Idle = target {
            return Err(Error::UnexpectedFrame);
        }
        self.receive_window.receive(length).map_err(|_| Error::FlowControl)?;
        input.drain(HEADER + before as usize);

        let fault = match target {
            Target::Open => match self.take_data(id, length, content, end) {
                Ok(true) => {
                    if before + padding > 0 {
                        self.consume(StreamId(id), (before + padding) as usize, out);
                    }
                    return Ok(self.piece(Piece { id, left: content, padding, end }, input, out));
                }
                Ok(false) => None,
                Err(cause) => Some(cause),
            },
            _ if self.is_left_out(id) => None,
            Target::Gone(Some(Closed::Ended | Closed::Skipped)) => return Err(Error::StreamClosed),
            Target::Gone(Some(Closed::ResetByUs)) => {
                self.late_data(id, content, end, out);
                None
            }
            Target::Gone(Some(Closed::ResetByPeer) | None) | Target::Idle => {
                self.send_reset(id, Code::STREAM_CLOSED, out);
                None
            }
        };
        // Nobody wants it.
        self.reading = Reading::Skip(length - before);
        self.release(length, out);
        match fault {
            Some(cause) => self.stream_error(id, cause, out).map(Step::Event),
            None => Ok(Step::On),
        }
    }

    /// Accounts for a DATA frame on an open stream; `false` if it is to be thrown away.
    fn take_data(&mut self, id: u32, length: u32, content: u32, end: bool) -> Result<bool, Cause> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(false) };
        match stream.receiving {
            Receiving::Ended => return Err(Cause::StreamClosed),
            Receiving::Head => return Err(Cause::Malformed(Malformed::Messaging)),
            Receiving::Discard => {
                if end {
                    stream.receiving = Receiving::Ended;
                }
                return Ok(false);
            }
            Receiving::Body => {}
        }
        if !stream.receive_window.allows(length) {
            return Err(Cause::FlowControl);
        }
        let received = stream.received + u64::from(content);
        if stream.announced.is_some_and(|length| received > length || (end && received != length)) {
            return Err(Cause::Malformed(Malformed::Messaging));
        }
        stream.received = received;
        stream.receive_window.receive(length).map_err(|_| Cause::FlowControl)?;
        Ok(true)
    }

    /// Hands on what there is of a DATA frame, and of those that follow it.
    fn piece(&mut self, mut piece: Piece, input: &mut Buffer, out: &mut Buffer) -> Step<S::Head> {
        let Some(stream) = self.streams.get_mut(piece.id) else {
            // Its owner has given it up in the middle.
            self.reading = Reading::Skip(piece.left + piece.padding);
            return Step::On;
        };
        let tag = stream.tag;
        let mut data = Buffer::new();
        loop {
            let n = (piece.left as usize).min(input.len());
            data.move_from(input, n);
            piece.left -= n as u32;
            if piece.left > 0 || piece.end || piece.padding > 0 || data.len() >= JOINED {
                break;
            }
            match self.joinable(&piece, input) {
                Some(next) => piece = next,
                None => break,
            }
        }
        let ended = piece.left == 0 && piece.end;
        self.reading = match piece {
            Piece { left: 1.., .. } => Reading::Data(piece),
            Piece { padding: 1.., .. } => Reading::Skip(piece.padding),
            _ => Reading::Frame,
        };
        if ended {
            self.end_receiving(piece.id, out);
        }
        let id = StreamId(piece.id);
        match (data.is_empty(), ended) {
            (true, false) if piece.left > 0 => Step::Wait,
            (true, false) => Step::On,
            (_, end) => Step::Event(Event::Data { id, tag, data, end }),
        }
    }

    /// Another DATA frame of the same stream, with nothing wrong and nothing special about it; it is begun.
    fn joinable(&mut self, piece: &Piece, input: &mut Buffer) -> Option<Piece> {
        let header = FrameHeader::peek(input)?;
        let FrameHeader { length, kind, flags, stream: id } = header;
        let plain = kind == kind::DATA && id == piece.id && flags & flag::PADDED == 0;
        if !plain || !(1..=MAX_PAYLOAD).contains(&length) || !self.receive_window.allows(length) {
            return None;
        }
        let end = header.has(flag::END_STREAM);
        if !self.take_data(id, length, length, end).unwrap_or(false) {
            return None;
        }
        // Both windows were seen to allow it.
        self.receive_window.receive(length).ok()?;
        self.guard.payload(false, &self.settings, &mut self.counters).ok()?;
        input.drain(HEADER);
        Some(Piece { id, left: length, padding: 0, end })
    }

    /// The peer's message is complete.
    pub(super) fn end_receiving(&mut self, id: u32, out: &mut Buffer) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.receiving = Receiving::Ended;
            self.close_if_ended(id, out);
        }
    }

    /// The peer did something wrong on an open stream, which ends it.
    pub(super) fn stream_error(
        &mut self,
        id: u32,
        cause: Cause,
        out: &mut Buffer,
    ) -> Result<Event<S::Head>, Error> {
        if let Cause::Malformed(_) = cause {
            self.counters.rx_messaging_error += 1;
        }
        let (tag, opened) = self.streams.get(id).map_or((0, self.now), |stream| (stream.tag, stream.opened));
        self.send_reset(id, cause.code(), out);
        self.count_reset(opened)?;
        self.close(id, Closed::ResetByUs, out);
        Ok(Event::Reset { id: StreamId(id), tag, code: cause.code(), cause })
    }

    /// A stream was reset through the peer's doing.
    pub(super) fn count_reset(&mut self, opened: u32) -> Result<(), Error> {
        if !S::SERVER {
            return Ok(());
        }
        self.guard.reset(self.now.wrapping_sub(opened), &self.settings, &mut self.counters)
    }

    fn on_priority(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        if header.stream == 0 {
            return Err(Error::UnexpectedFrame);
        }
        self.guard.priority(&self.settings, &mut self.counters)?;
        let (cause, error) = if header.length != 5 {
            (Cause::FrameSize, Error::FrameSize)
        } else if number(payload) & !(1 << 31) == header.stream {
            (Cause::SelfDependency, Error::SelfDependency)
        } else {
            return Ok(Step::On);
        };
        match self.target(header.stream) {
            Target::Open => self.stream_error(header.stream, cause, out).map(Step::Event),
            // There is no stream that could be reset.
            _ => Err(error),
        }
    }

    fn on_rst_stream(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let id = header.stream;
        if id == 0 {
            return Err(Error::UnexpectedFrame);
        }
        if header.length != 4 {
            return Err(Error::FrameSize);
        }
        match self.target(id) {
            Target::Idle => return Err(Error::UnexpectedFrame),
            Target::Gone(_) => {
                self.memory.reset_answered(id);
                return Ok(Step::On);
            }
            Target::Open => {}
        }
        self.counters.rx_reset += 1;
        let Some(stream) = self.streams.get(id) else { return Ok(Step::On) };
        let (tag, opened) = (stream.tag, stream.opened);
        let done = stream.receiving == Receiving::Ended;
        let code = Code(number(payload));
        if !S::SERVER && done && code == Code::NO_ERROR {
            // The response is complete, only the rest of the request is not wanted (RFC 9113 section 8.1).
            self.stop_sending(id, out);
            return Ok(Step::On);
        }
        self.count_reset(opened)?;
        self.close(id, Closed::ResetByPeer, out);
        Ok(Step::Event(Event::Reset { id: StreamId(id), tag, code, cause: Cause::Peer }))
    }

    /// What is queued is dropped, and our side counts as ended.
    fn stop_sending(&mut self, id: u32, out: &mut Buffer) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        self.queued -= stream.queue.len();
        stream.queue.clear();
        stream.trailers = None;
        stream.sending = Sending::Ended;
        if std::mem::take(&mut stream.ready) {
            self.ready.remove(id);
        }
        self.close_if_ended(id, out);
    }

    fn on_ping(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        if header.stream != 0 {
            return Err(Error::UnexpectedFrame);
        }
        if header.length != 8 {
            return Err(Error::FrameSize);
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(payload);
        if header.has(flag::ACK) {
            return Ok(Step::Event(Event::Pong { payload: u64::from_be_bytes(bytes) }));
        }
        self.output.ping(true, bytes, out);
        Ok(Step::On)
    }

    fn on_goaway(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        if header.stream != 0 {
            return Err(Error::UnexpectedFrame);
        }
        if header.length < 8 {
            return Err(Error::FrameSize);
        }
        let last = number(payload) & !(1 << 31);
        let code = Code(number(&payload[4..]));
        // It cannot promise what it has denied (RFC 9113 section 6.8).
        if self.goaway_received.is_some_and(|before| last > before) {
            return Err(Error::StreamId);
        }
        self.goaway_received = Some(last);
        if !S::SERVER {
            for stream in self.streams.iter().filter(|stream| stream.id > last && !stream.is_closed()) {
                self.events.push_back(Queued::LeftOut { id: stream.id, tag: stream.tag });
            }
            for at in 0..self.events.len() {
                if let Queued::LeftOut { id, .. } = self.events[at] {
                    self.close(id, Closed::ResetByPeer, out);
                }
            }
        }
        Ok(Step::Event(Event::GoAway { last: StreamId(last), code }))
    }

    fn on_window_update(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let id = header.stream;
        if header.length != 4 {
            return Err(Error::FrameSize);
        }
        self.guard.window_update(&self.settings, &mut self.counters)?;
        let increment = number(payload) & !(1 << 31);
        if id == 0 {
            if increment == 0 {
                return Err(Error::ZeroIncrement);
            }
            self.send_window.shift(increment.into()).map_err(|_| Error::WindowOverflow)?;
            return Ok(Step::On);
        }
        match self.target(id) {
            Target::Idle => return Err(Error::UnexpectedFrame),
            Target::Gone(_) => {
                self.late_window_update(id, increment, out);
                return Ok(Step::On);
            }
            Target::Open => {}
        }
        if increment == 0 {
            return self.stream_error(id, Cause::ZeroIncrement, out).map(Step::Event);
        }
        let Some(stream) = self.streams.get_mut(id) else { return Ok(Step::On) };
        if stream.send_window.shift(increment.into()).is_err() {
            return self.stream_error(id, Cause::WindowOverflow, out).map(Step::Event);
        }
        self.make_ready(id);
        Ok(Step::On)
    }

    fn on_settings(
        &mut self,
        header: FrameHeader,
        input: &mut Buffer,
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        if header.stream != 0 {
            return Err(Error::UnexpectedFrame);
        }
        if header.has(flag::ACK) {
            if header.length != 0 {
                return Err(Error::FrameSize);
            }
            input.drain(HEADER);
            if self.settings_acked {
                return Ok(Step::On);
            }
            self.settings_acked = true;
            self.decoder.set_limit(self.settings.hpack_table_size);
            return Ok(Step::Event(Event::SettingsAck));
        }
        if !header.length.is_multiple_of(6) {
            return Err(Error::FrameSize);
        }
        let length = HEADER + header.length as usize;
        let mut window = self.peer.initial_window_size;
        for entry in input.linearize(length)[HEADER..].chunks_exact(6) {
            let name = u16::from_be_bytes([entry[0], entry[1]]);
            let value = number(&entry[2..]);
            match name {
                setting::HEADER_TABLE_SIZE => {
                    self.peer.header_table_size = value;
                    self.encoder.set_limit(value.min(self.settings.hpack_table_size));
                }
                // A server may not even allow what it cannot use (RFC 9113 section 6.5.2).
                setting::ENABLE_PUSH if value > u32::from(S::SERVER) => return Err(Error::Setting),
                setting::MAX_CONCURRENT_STREAMS => self.peer.max_concurrent_streams = value,
                setting::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => return Err(Error::SettingsWindow),
                setting::INITIAL_WINDOW_SIZE => window = value,
                setting::MAX_FRAME_SIZE if !(MAX_PAYLOAD..1 << 24).contains(&value) => {
                    return Err(Error::Setting);
                }
                setting::MAX_FRAME_SIZE => self.peer.max_frame_size = value,
                setting::MAX_HEADER_LIST_SIZE => self.peer.max_header_list_size = value,
                setting::ENABLE_CONNECT_PROTOCOL => {
                    if value > 1 || (value == 0 && self.peer.enable_connect_protocol) {
                        return Err(Error::Setting);
                    }
                    self.peer.enable_connect_protocol = value == 1;
                }
                // It says what is so anyway: the priorities of RFC 7540 are not looked at (RFC 9218 section 2.1).
                setting::NO_RFC7540_PRIORITIES if value > 1 => return Err(Error::Setting),
                _ => {}
            }
        }
        input.drain(length);
        self.settings_seen = true;
        self.output.settings_ack(out);
        // All at once: a frame with thousands of sizes costs no more than one.
        self.change_windows(window)?;
        Ok(Step::Event(Event::Settings))
    }

    fn change_windows(&mut self, size: u32) -> Result<(), Error> {
        let by = i64::from(size) - i64::from(std::mem::replace(&mut self.peer.initial_window_size, size));
        if by == 0 {
            return Ok(());
        }
        for stream in self.streams.iter_mut() {
            stream.send_window.shift(by).map_err(|_| Error::SettingsWindow)?;
            if !stream.queue.is_empty() && !stream.ready && stream.send_window.available() > 0 {
                stream.ready = true;
                self.ready.push(Turn { id: stream.id, urgency: stream.urgency });
            }
        }
        Ok(())
    }
}

/// The number with which a payload starts, which is long enough.
fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
