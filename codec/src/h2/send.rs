//! What goes out: header blocks, DATA within the windows, and turns among the streams that have something to send.

use super::connection::Queued;
use super::flow::SendWindow;
use super::frame::{FrameHeader, HEADER, MAX_PAYLOAD, flag, kind};
use super::guard::Guard;
use super::hpack::{self, Encoder};
use super::output::Output;
use super::priority::Turn;
use super::stream::{Receiving, Sending, Stream};
use super::streams::{Answered, Closed};
use super::{Code, Connection, Sent, Side, StreamId};
use crate::h1::{is_barred_from_trailers, is_connection_field};
use crate::headers::chars::is_one_line;
use crate::{Buffer, Header, HeaderId, HeaderMap, is_token};

/// The largest DATA frame that is sent, whatever the peer takes: streams have their turns in time, and it is as much
/// as lies together.
const MAX_DATA: usize = 64 << 10;

/// A header block to be written.
#[derive(Copy, Clone)]
pub(super) enum Outgoing<'a> {
    Request(&'a HeaderMap),
    Response(u16, &'a HeaderMap),
    Trailers(&'a HeaderMap),
}

impl Outgoing<'_> {
    /// Most bytes of the block.
    fn bound(&self) -> usize {
        let (Self::Request(headers) | Self::Response(_, headers) | Self::Trailers(headers)) = self;
        let bytes: usize =
            headers.iter().map(|header| hpack::field_bound(header.name.len(), header.value.len())).sum();
        // `:status`, or a scheme that was not given.
        bytes + hpack::field_bound(7, 5)
    }

    fn encode(&self, encoder: &mut Encoder, room: &mut [u8]) -> usize {
        let mut at = encoder.start(room);
        let mut put = |id: HeaderId, name: &[u8], value: &[u8], sensitive| {
            at += encoder.field(id, name, value, sensitive, &mut room[at..]);
        };
        let headers = match *self {
            Self::Request(headers) => {
                let connect = !headers.contains(HeaderId::PROTOCOL)
                    && headers.get(HeaderId::METHOD) == Some(b"CONNECT");
                for id in [
                    HeaderId::METHOD,
                    HeaderId::SCHEME,
                    HeaderId::AUTHORITY,
                    HeaderId::PATH,
                    HeaderId::PROTOCOL,
                ] {
                    let value = match (headers.get(id), id) {
                        _ if connect && matches!(id, HeaderId::SCHEME | HeaderId::PATH) => continue,
                        (Some(value), _) => value,
                        (None, HeaderId::SCHEME) => b"http",
                        (None, _) => continue,
                    };
                    put(id, id.name().as_bytes(), value, false);
                }
                headers
            }
            Self::Response(status, headers) => {
                let digits = [100, 10, 1].map(|unit| b'0' + (status / unit % 10) as u8);
                put(HeaderId::STATUS, HeaderId::STATUS.name().as_bytes(), &digits, false);
                headers
            }
            Self::Trailers(headers) => headers,
        };
        for header in headers.iter() {
            if let Some(value) = self.value(&header) {
                put(header.id, header.name, value, header.sensitive);
            }
        }
        at
    }

    /// The value with which a field goes out, if it may: not if it belongs to a connection of HTTP/1, or could be read
    /// as something else than a field.
    #[inline]
    fn value<'a>(&self, header: &Header<'a>) -> Option<&'a [u8]> {
        match header.id {
            id if is_connection_field(id) => return None,
            id if matches!(self, Self::Trailers(_)) && is_barred_from_trailers(id) => return None,
            HeaderId::HTTP2_SETTINGS => return None,
            // Requests have `:authority`.
            HeaderId::HOST if matches!(self, Self::Request(_)) => return None,
            HeaderId::TE if !header.value.eq_ignore_ascii_case(b"trailers") => return None,
            HeaderId::OTHER if !is_token(header.name) => return None,
            _ => {}
        }
        Some(header.value.trim_ascii()).filter(|value| is_one_line(value))
    }
}

impl<S: Side> Connection<S> {
    /// Writes HEADERS, and CONTINUATION if it has to be.
    pub(super) fn send_block(&mut self, id: u32, end: bool, what: Outgoing<'_>, out: &mut Buffer) {
        let bound = self.encoder.start_bound() + what.bound();
        let end = if end { flag::END_STREAM } else { 0 };
        let Self { encoder, output, .. } = self;
        if bound > MAX_PAYLOAD as usize {
            return self.send_large_block(id, end, bound, what, out);
        }
        let mut length = 0;
        out.append_with(HEADER + bound, |room| {
            let n = what.encode(encoder, &mut room[HEADER..]);
            let flags = flag::END_HEADERS | end;
            let header = FrameHeader { length: n as u32, kind: kind::HEADERS, flags, stream: id };
            room[..HEADER].copy_from_slice(&header.bytes());
            length = HEADER + n;
            length
        });
        output.appended(length);
    }

    #[cold]
    fn send_large_block(&mut self, stream: u32, end: u8, bound: usize, what: Outgoing<'_>, out: &mut Buffer) {
        let mut block = vec![0; bound];
        let length = what.encode(&mut self.encoder, &mut block);
        let mut rest = &block[..length];
        let (mut next, mut end) = (kind::HEADERS, end);
        loop {
            let (fragment, more) = rest.split_at(rest.len().min(self.peer.max_frame_size as usize));
            let flags = if more.is_empty() { flag::END_HEADERS | end } else { end };
            let header = FrameHeader { length: fragment.len() as u32, kind: next, flags, stream };
            out.append(&header.bytes());
            out.append(fragment);
            self.output.appended(HEADER + fragment.len());
            if more.is_empty() {
                return;
            }
            (next, end, rest) = (kind::CONTINUATION, 0, more);
        }
    }

    /// Takes all of `data`; writes what windows, fairness and room permit, and queues the rest. `end`: the message is
    /// complete. Data that has no place (no head yet, after the end, a response to HEAD) is dropped.
    ///
    /// A server's response that is complete ends its stream: if the request is not complete then, the client is told to
    /// stop sending it (RST_STREAM with NO_ERROR), except in a tunnel.
    pub fn send_data(&mut self, id: StreamId, data: &mut Buffer, end: bool, out: &mut Buffer) -> Sent {
        let stream = self.streams.get_mut(id.0).filter(|stream| stream.sending == Sending::Body);
        let Some(stream) = stream.filter(|_| self.failed.is_none()) else {
            data.clear();
            return Sent::default();
        };
        if stream.queue.is_empty() && self.ready.is_empty() {
            let writing = Writing {
                window: &mut self.send_window,
                output: &mut self.output,
                guard: &mut self.guard,
                limit: self.settings.output_limit,
                max: (self.peer.max_frame_size as usize).min(MAX_DATA),
            };
            if writing.write(stream, data, end, usize::MAX, out) {
                self.finish_sending(id.0, out);
                return Sent::default();
            }
        }
        self.queued += data.len();
        stream.queue.move_all(data);
        if stream.queue.is_empty() {
            if end {
                self.send_end(id.0, out);
            }
            return Sent::default();
        }
        if end {
            stream.sending = Sending::Ending;
        }
        self.make_ready(id.0);
        self.sent(id.0)
    }

    /// Ends the message with trailers, behind what is queued. Fields that a trailer section may not have are left out.
    pub fn send_trailers(&mut self, id: StreamId, trailers: &HeaderMap, out: &mut Buffer) -> Sent {
        let stream = self.streams.get_mut(id.0).filter(|stream| stream.sending == Sending::Body);
        let Some(stream) = stream.filter(|_| self.failed.is_none()) else { return Sent::default() };
        if stream.queue.is_empty() {
            self.write_trailers(id.0, trailers, out);
            self.finish_sending(id.0, out);
            return Sent::default();
        }
        stream.trailers = Some(trailers.clone());
        stream.sending = Sending::Ending;
        self.sent(id.0)
    }

    /// What a stream has queued, and whether that is too much.
    fn sent(&mut self, id: u32) -> Sent {
        let limit = self.settings.stream_queue_limit;
        let Some(stream) = self.streams.get_mut(id) else { return Sent::default() };
        let queued = stream.queue.len();
        stream.paused |= queued > limit;
        Sent { queued, pause: stream.paused }
    }

    fn write_trailers(&mut self, id: u32, trailers: &HeaderMap, out: &mut Buffer) {
        let what = Outgoing::Trailers(trailers);
        if trailers.iter().any(|header| what.value(&header).is_some()) {
            self.send_block(id, true, what, out);
        } else {
            self.output.data(id, &mut Buffer::new(), 0, true, out);
        }
    }

    /// Ends a message behind which nothing waits.
    fn send_end(&mut self, id: u32, out: &mut Buffer) {
        self.output.data(id, &mut Buffer::new(), 0, true, out);
        self.finish_sending(id, out);
    }

    /// Our message is in the output.
    pub(super) fn finish_sending(&mut self, id: u32, out: &mut Buffer) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.sending = Sending::Ended;
        if S::SERVER && stream.receiving != Receiving::Ended && !stream.tunnel {
            let Stream { announced, received, send_window, .. } = *stream;
            self.memory.answer(Answered { id, announced, received, send_window });
            self.send_reset(id, Code::NO_ERROR, out);
            self.close(id, Closed::ResetByUs, out);
        } else {
            self.close_if_ended(id, out);
        }
    }

    /// A stream with a queue gets in line, if its window lets it.
    pub(super) fn make_ready(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(id)
            && !stream.ready
            && !stream.queue.is_empty()
            && stream.send_window.available() > 0
        {
            stream.ready = true;
            self.ready.push(Turn { id, urgency: stream.urgency });
        }
    }

    /// Writes what is queued, in turns, as windows permit and while `out` is below its limit. `poll` does it too.
    pub fn flush(&mut self, out: &mut Buffer) {
        while self.send_window.available() > 0 && out.len() < self.settings.output_limit {
            let Some(id) = self.ready.pop() else { return };
            let Some(stream) = self.streams.get_mut(id) else { continue };
            stream.ready = false;
            let mut queue = std::mem::take(&mut stream.queue);
            let before = queue.len();
            let end = stream.sending == Sending::Ending && stream.trailers.is_none();
            let max = (self.peer.max_frame_size as usize).min(MAX_DATA);
            let writing = Writing {
                window: &mut self.send_window,
                output: &mut self.output,
                guard: &mut self.guard,
                limit: self.settings.output_limit,
                max,
            };
            let ended = writing.write(stream, &mut queue, end, max, out);
            self.queued -= before - queue.len();
            let empty = queue.is_empty();
            stream.queue = queue;
            if stream.paused && stream.queue.len() <= self.settings.stream_queue_limit / 2 {
                stream.paused = false;
                if stream.sending == Sending::Body {
                    self.events.push_back(Queued::Writable(id));
                }
            }
            if !empty {
                self.make_ready(id);
            } else if stream.sending == Sending::Ending {
                self.events.push_back(Queued::Flushed { id, tag: stream.tag });
                if let Some(trailers) = stream.trailers.take().filter(|_| !ended) {
                    self.write_trailers(id, &trailers, out);
                }
                self.finish_sending(id, out);
            }
        }
    }
}

/// What DATA frames of any stream go through.
struct Writing<'a> {
    window: &'a mut SendWindow,
    output: &'a mut Output,
    guard: &'a mut Guard,
    /// Where the output is full.
    limit: usize,
    /// The largest frame.
    max: usize,
}

impl Writing<'_> {
    /// Writes up to about `most` bytes of `data`, as far as windows and room go; `true` if the end of the stream was
    /// among it.
    fn write(self, stream: &mut Stream, data: &mut Buffer, end: bool, most: usize, out: &mut Buffer) -> bool {
        let mut left = most;
        while !data.is_empty() && left > 0 && out.len() < self.limit {
            let n = data.len().min(self.max).min(stream.send_window.available()).min(self.window.available());
            if n == 0 {
                return false;
            }
            let last = end && n == data.len();
            stream.send_window.take(n);
            self.window.take(n);
            self.output.data(stream.id, data, n, last, out);
            self.guard.data_sent += 1;
            if last {
                return true;
            }
            left = left.saturating_sub(n);
        }
        false
    }
}
