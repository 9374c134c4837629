//! Header blocks that come in: put together, decoded, and what they mean for their stream.

use super::frame::{FrameHeader, HEADER, flag};
use super::message::{self, Fields, Kind, Limits};
use super::priority;
use super::receive::{Block, BlockHead, Step, Target};
use super::stream::{Receiving, Stream};
use super::streams::Closed;
use super::{Cause, Code, Connection, Error, Event, Malformed, Side, StreamId};
use crate::{Buffer, HeaderId, Method, ResponseHead, Version};

/// CONTINUATION frames that a block may have, beside one for each [`SMALL_FRAME`] bytes of the limit on headers.
const FRAMES: u32 = 16;
const SMALL_FRAME: u32 = 256;
/// Bytes of a block that are taken over twice the limit on headers.
const SLACK: usize = 16 << 10;
/// Informational responses taken for one request.
const MAX_INFORMATIONAL: u64 = 100;

impl<S: Side> Connection<S> {
    pub(super) fn on_headers(
        &mut self,
        header: FrameHeader,
        input: &mut Buffer,
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let length = header.length as usize;
        if header.stream == 0 {
            return Err(Error::UnexpectedFrame);
        }
        // The frame is all there (see `frame`): pad length, priority, fragment, padding.
        let (mut start, mut padding) = (0, 0);
        if header.has(flag::PADDED) {
            padding = usize::from(input.byte(HEADER).unwrap_or_default());
            start += 1;
        }
        let mut self_dependent = false;
        if header.has(flag::PRIORITY) {
            let mut parent = [0; 4];
            input.copy_to(HEADER + start, &mut parent);
            self_dependent = u32::from_be_bytes(parent) & !(1 << 31) == header.stream;
            start += 5;
        }
        if start > length {
            return Err(Error::FrameSize);
        }
        let Some(fragment) = (length - start).checked_sub(padding) else { return Err(Error::Padding) };
        let head = BlockHead { id: header.stream, end: header.has(flag::END_STREAM), self_dependent };
        self.guard.payload(fragment == 0 && !head.end, &self.settings, &mut self.counters)?;

        if header.has(flag::END_HEADERS) {
            let block = &input.linearize(HEADER + length)[HEADER + start..][..fragment];
            let step = self.on_block(head, block, out);
            input.drain(HEADER + length);
            return step;
        }
        let mut bytes = Buffer::new();
        input.drain(HEADER + start);
        bytes.move_from(input, fragment);
        input.drain(padding);
        self.block = Some(Box::new(Block { head, bytes, frames: 0 }));
        Ok(Step::On)
    }

    pub(super) fn on_continuation(
        &mut self,
        header: FrameHeader,
        input: &mut Buffer,
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let Some(mut block) = self.block.take() else { return Err(Error::Continuation) };
        let length = header.length as usize;
        self.guard.payload(length == 0 && !block.head.end, &self.settings, &mut self.counters)?;
        let limit = self.settings.max_headers_bytes;
        block.frames += 1;
        if block.frames > FRAMES + limit / SMALL_FRAME
            || block.bytes.len() + length > 2 * limit as usize + SLACK
        {
            self.counters.inbound_continuation_flood += 1;
            return Err(Error::ContinuationFlood);
        }
        input.drain(HEADER);
        block.bytes.move_from(input, length);
        if !header.has(flag::END_HEADERS) {
            self.block = Some(block);
            return Ok(Step::On);
        }
        let length = block.bytes.len();
        self.on_block(block.head, block.bytes.linearize(length), out)
    }

    fn on_block(&mut self, head: BlockHead, block: &[u8], out: &mut Buffer) -> Result<Step<S::Head>, Error> {
        let id = head.id;
        match self.target(id) {
            Target::Open => self.on_message(head, block, out),
            Target::Idle if S::SERVER && id % 2 == 1 => self.on_request(head, block, out),
            Target::Idle => Err(Error::UnexpectedFrame),
            Target::Gone(how) => {
                self.counters.headers_cb_no_stream += 1;
                if self.is_left_out(id) {
                    self.read(block, Kind::Nothing)?;
                    return Ok(Step::On);
                }
                if how == Some(Closed::ResetByUs) && self.memory.answered(id).is_some() {
                    let fields = self.read(block, Kind::Trailers)?;
                    self.late_trailers(head, &fields, out)?;
                    return Ok(Step::On);
                }
                match how {
                    Some(Closed::Ended) => return Err(Error::StreamClosed),
                    Some(Closed::Skipped) => return Err(Error::StreamId),
                    _ => self.read(block, Kind::Nothing)?,
                };
                if how != Some(Closed::ResetByUs) {
                    self.send_reset(id, Code::STREAM_CLOSED, out);
                }
                Ok(Step::On)
            }
        }
    }

    fn read(&mut self, block: &[u8], kind: Kind) -> Result<Fields, Error> {
        let Self { decoder, settings, .. } = self;
        let limits = Limits { bytes: settings.max_headers_bytes, fields: settings.max_headers_count };
        message::read(decoder, block, kind, limits).map_err(|_| Error::Compression)
    }

    /// A stream is opened by the client.
    fn on_request(
        &mut self,
        head: BlockHead,
        block: &[u8],
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let id = head.id;
        let next = if self.last_seen == 0 { 1 } else { self.last_seen + 2 };
        if id > next {
            self.memory.skip(next, id - 2);
        }
        self.last_seen = id;
        if self.goaway_sent {
            // It was sent before the client heard of it, and will be sent to somebody else.
            self.read(block, Kind::Nothing)?;
            return Ok(Step::On);
        }
        self.guard.opened += 1;
        self.last_taken = id;
        if self.live() >= self.settings.max_concurrent_streams as usize {
            self.read(block, Kind::Nothing)?;
            self.counters.refused_streams += 1;
            return Ok(Step::Event(self.refuse(id, Cause::TooManyStreams, out)));
        }
        let mut fields = self.read(block, Kind::Request { extended: self.settings.allow_connect })?;
        let tunnel = fields.method == Method::Connect;
        if fields.fault.is_none() && head.end && !tunnel && fields.length.is_some_and(|length| length > 0) {
            fields.fault = Some(Cause::Malformed(Malformed::Messaging));
        }
        if head.self_dependent {
            fields.fault = Some(Cause::SelfDependency);
        }
        let mut stream = Stream::new(id, &self.settings, &self.peer, self.now);
        stream.receiving = if head.end { Receiving::Ended } else { Receiving::Body };
        stream.announced = fields.length.filter(|_| !tunnel);
        stream.head = fields.method == Method::Head;
        stream.connect = tunnel;
        stream.tunnel = tunnel;
        stream.urgency = match self.foretold {
            Some(turn) if turn.id == id => turn.urgency,
            _ => priority::of_request(&fields.headers),
        };
        match fields.fault {
            None => {}
            Some(cause @ (Cause::HeadersTooLarge | Cause::TooManyHeaders)) => {
                self.count_overflow(cause);
                if !head.end {
                    stream.receiving = Receiving::Discard;
                }
                self.streams.insert(stream);
                return Ok(Step::Event(Event::TooLarge { id: StreamId(id), head: S::head(fields), cause }));
            }
            Some(Cause::Malformed(malformed)) if !self.settings.stream_error_on_invalid_http_messaging => {
                self.offender = Some(id);
                return Err(Error::Malformed(malformed));
            }
            Some(cause) => {
                if let Cause::Malformed(_) = cause {
                    self.counters.rx_messaging_error += 1;
                }
                self.count_reset(self.now)?;
                return Ok(Step::Event(self.refuse(id, cause, out)));
            }
        }
        self.streams.insert(stream);
        Ok(Step::Event(Event::Headers { id: StreamId(id), tag: 0, head: S::head(fields), end: head.end }))
    }

    fn count_overflow(&mut self, cause: Cause) {
        match cause {
            Cause::HeadersTooLarge => self.counters.header_list_size_too_large += 1,
            Cause::TooManyHeaders => self.counters.header_overflow += 1,
            _ => {}
        }
    }

    /// Resets a stream that is none yet.
    fn refuse(&mut self, id: u32, cause: Cause, out: &mut Buffer) -> Event<S::Head> {
        self.send_reset(id, cause.code(), out);
        self.guard.closed();
        self.memory.close(id, Closed::ResetByUs);
        Event::Refused { id: StreamId(id), cause }
    }

    /// A block on an open stream.
    fn on_message(
        &mut self,
        head: BlockHead,
        block: &[u8],
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let id = head.id;
        let Some(stream) = self.streams.get(id) else { return Ok(Step::On) };
        let receiving = stream.receiving;
        let stream_is_tunnel = stream.tunnel;
        let kind = match receiving {
            Receiving::Head => Kind::Response,
            Receiving::Body => Kind::Trailers,
            Receiving::Discard | Receiving::Ended => Kind::Nothing,
        };
        let mut fields = self.read(block, kind)?;
        if head.self_dependent {
            fields.fault = Some(Cause::SelfDependency);
        }
        match receiving {
            // The answer is on its way; what the message would have been does not matter.
            Receiving::Discard => {
                if head.end {
                    self.end_receiving(id, out);
                }
                return Ok(Step::On);
            }
            Receiving::Ended => return self.stream_error(id, Cause::StreamClosed, out).map(Step::Event),
            // A tunnel carries nothing but DATA (RFC 9113 section 8.5).
            Receiving::Body if stream_is_tunnel => {
                let cause = Cause::Malformed(Malformed::Messaging);
                return self.stream_error(id, cause, out).map(Step::Event);
            }
            // RFC 9113 section 8.1.
            Receiving::Body if !head.end => fields.fault = Some(Cause::Malformed(Malformed::Messaging)),
            _ => {}
        }
        match fields.fault {
            None if receiving == Receiving::Head => self.on_response(head, fields, out),
            None => self.on_trailers(id, fields, out),
            Some(Cause::Malformed(malformed)) => self.malformed(id, malformed, out),
            Some(cause) => {
                self.count_overflow(cause);
                self.stream_error(id, cause, out).map(Step::Event)
            }
        }
    }

    /// The header block of an open stream is malformed.
    fn malformed(&mut self, id: u32, malformed: Malformed, out: &mut Buffer) -> Result<Step<S::Head>, Error> {
        if !self.settings.stream_error_on_invalid_http_messaging {
            self.offender = Some(id);
            return Err(Error::Malformed(malformed));
        }
        self.stream_error(id, Cause::Malformed(malformed), out).map(Step::Event)
    }

    fn on_trailers(&mut self, id: u32, fields: Fields, out: &mut Buffer) -> Result<Step<S::Head>, Error> {
        self.counters.trailers += u32::from(S::SERVER);
        let Some(stream) = self.streams.get(id) else { return Ok(Step::On) };
        if stream.announced.is_some_and(|length| length != stream.received) {
            let cause = Cause::Malformed(Malformed::Messaging);
            return self.stream_error(id, cause, out).map(Step::Event);
        }
        let tag = stream.tag;
        self.end_receiving(id, out);
        Ok(Step::Event(Event::Trailers { id: StreamId(id), tag, trailers: fields.headers }))
    }

    /// The head of a response, informational or final.
    fn on_response(
        &mut self,
        head: BlockHead,
        mut fields: Fields,
        out: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        let BlockHead { id, end, .. } = head;
        let Some(stream) = self.streams.get_mut(id) else { return Ok(Step::On) };
        let tag = stream.tag;
        if fields.status < 200 {
            // Until the body starts the count of its bytes is free for these.
            stream.received += 1;
            if end || stream.received > MAX_INFORMATIONAL {
                return self.malformed(id, Malformed::Messaging, out);
            }
            let head = ResponseHead { version: Version::H2, status: fields.status, headers: fields.headers };
            return Ok(Step::Event(Event::Informational { id: StreamId(id), tag, head }));
        }
        stream.received = 0;
        let tunnel = stream.connect && fields.status < 300;
        stream.tunnel = tunnel;
        let bodiless = stream.head || matches!(fields.status, 204 | 304);
        stream.announced = match fields.length {
            _ if bodiless => Some(0),
            _ if tunnel => {
                fields.headers.remove(HeaderId::CONTENT_LENGTH);
                None
            }
            length => length,
        };
        if end && stream.announced.is_some_and(|length| length > 0) {
            return self.malformed(id, Malformed::Messaging, out);
        }
        stream.receiving = Receiving::Body;
        let event = Event::Headers { id: StreamId(id), tag, head: S::head(fields), end };
        if end {
            self.end_receiving(id, out);
        }
        Ok(Step::Event(event))
    }
}
