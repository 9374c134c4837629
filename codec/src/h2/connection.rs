//! One HTTP/2 connection, either side.
#![allow(clippy::unimplemented, unused_variables, reason = "signatures first; the bodies follow")]

use super::{Code, Counters, Error, Event, OpenError, PeerSettings, Sent, Settings, StreamId};
use crate::{Buffer, HeaderMap, RequestHead, ResponseHead};
use std::marker::PhantomData;

/// Which end of a connection a codec is.
pub trait Side: sealed::Sealed {
    /// The head of the messages that come in.
    type Head;
}

mod sealed {
    pub trait Sealed {}
}

/// Requests come in, responses go out.
#[derive(Debug)]
pub struct ServerSide;
/// Requests go out, responses come in.
#[derive(Debug)]
pub struct ClientSide;

impl sealed::Sealed for ServerSide {}
impl sealed::Sealed for ClientSide {}
impl Side for ServerSide {
    type Head = RequestHead;
}
impl Side for ClientSide {
    type Head = ResponseHead;
}

/// Codec of one downstream connection.
pub type Server = Connection<ServerSide>;
/// Codec of one upstream connection.
pub type Client = Connection<ClientSide>;

/// Codec of one connection.
#[derive(Debug)]
pub struct Connection<S> {
    side: PhantomData<S>,
}

impl<S: Side> Connection<S> {
    /// A codec for a connection on which nothing has been received; writes this end's preface and SETTINGS.
    pub fn new(settings: Settings, out: &mut Buffer) -> Self {
        unimplemented!()
    }

    /// The next event; `None` if more input or room is needed. Writes what has to be answered, and as much of what is
    /// queued as may go. Call it until it returns `None`.
    ///
    /// # Errors
    /// The peer broke the protocol or overdid it. GOAWAY has been written; asking again returns the same error.
    pub fn poll(&mut self, input: &mut Buffer, out: &mut Buffer) -> Result<Option<Event<S::Head>>, Error> {
        unimplemented!()
    }

    /// The coarse clock of [`Settings::premature_reset_min_stream_lifetime`], in milliseconds from anywhere; it may
    /// wrap. To be set before `poll`. If it never is, every reset counts as early.
    pub fn set_time(&mut self, milliseconds: u32) {
        unimplemented!()
    }

    /// Gives a stream the tag that its events carry.
    pub fn set_tag(&mut self, id: StreamId, tag: u64) {
        unimplemented!()
    }

    /// The stream's tag; `None` if it is gone.
    pub fn tag(&self, id: StreamId) -> Option<u64> {
        unimplemented!()
    }

    /// Takes all of `data`; writes what windows, fairness and room permit, and queues the rest. `end`: the message is
    /// complete. Data that has no place (no head yet, after the end, a response to HEAD) is dropped.
    pub fn send_data(&mut self, id: StreamId, data: &mut Buffer, end: bool, out: &mut Buffer) -> Sent {
        unimplemented!()
    }

    /// Ends the message with trailers, behind what is queued. Fields that a trailer section may not have are left out.
    pub fn send_trailers(&mut self, id: StreamId, trailers: &HeaderMap, out: &mut Buffer) -> Sent {
        unimplemented!()
    }

    /// The stream is given up: what is queued is dropped, and unless both sides have ended it RST_STREAM is written.
    /// The stream is gone; no further event mentions it.
    pub fn reset(&mut self, id: StreamId, code: Code, out: &mut Buffer) {
        unimplemented!()
    }

    /// The owner has got rid of `n` bytes of `Data`: the peer may send as many more. Bytes need not be consumed one
    /// event at a time. A response of which bytes are not consumed keeps its stream (and its share of the connection's
    /// window) until they are, or until [`reset`](Self::reset).
    pub fn consume(&mut self, id: StreamId, n: usize, out: &mut Buffer) {
        unimplemented!()
    }

    /// Writes what is queued, in turns, as windows permit and while `out` is below its limit. `poll` does it too.
    pub fn flush(&mut self, out: &mut Buffer) {
        unimplemented!()
    }

    /// Announces the end (RFC 9113 section 6.8): GOAWAY with the largest identifier. Streams are still taken until
    /// [`goaway`](Self::goaway), which is to follow after a round trip at least.
    pub fn drain(&mut self, out: &mut Buffer) {
        unimplemented!()
    }

    /// Final GOAWAY: streams that are open go on, no new ones are taken. Close when [`live`](Self::live) is 0 and `out` is
    /// written.
    pub fn goaway(&mut self, code: Code, out: &mut Buffer) {
        unimplemented!()
    }

    /// Sends a PING, which comes back as [`Event::Pong`].
    pub fn ping(&mut self, payload: u64, out: &mut Buffer) {
        unimplemented!()
    }

    /// The streams that are open, with their tags, in no order.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, u64)> {
        std::iter::empty()
    }

    /// How many streams are open.
    pub fn live(&self) -> usize {
        unimplemented!()
    }

    /// Whether no new streams may be opened: GOAWAY was sent or received (the announcement counts), or the connection
    /// failed, or identifiers are used up.
    pub fn is_draining(&self) -> bool {
        unimplemented!()
    }

    /// Whether the final GOAWAY was sent.
    pub fn goaway_sent(&self) -> bool {
        unimplemented!()
    }

    /// Bytes that all streams have queued.
    pub fn queued(&self) -> usize {
        unimplemented!()
    }

    /// Whether this stream's queue is not empty because of a window of the peer (and not of a full output): what a
    /// time limit on stalled streams needs to know.
    pub fn is_stalled(&self, id: StreamId) -> bool {
        unimplemented!()
    }

    /// The peer has ended its message on this stream.
    pub fn receive_complete(&self, id: StreamId) -> bool {
        unimplemented!()
    }

    /// The peer's SETTINGS.
    pub fn peer(&self) -> &PeerSettings {
        unimplemented!()
    }

    /// The peer has taken note of our SETTINGS.
    pub fn settings_acked(&self) -> bool {
        unimplemented!()
    }

    /// The stream whose malformed message made the connection fail, if that is how it failed.
    pub fn offender(&self) -> Option<StreamId> {
        unimplemented!()
    }

    /// What has been counted since the last call.
    pub fn take_counters(&mut self) -> Counters {
        unimplemented!()
    }
}

impl Server {
    /// Writes a 1xx response other than 101. Ignored once the final response has been started.
    pub fn send_informational(&mut self, id: StreamId, head: &ResponseHead, out: &mut Buffer) {
        unimplemented!()
    }

    /// Writes the head of the final response. `end`: there is no body. Fields that belong to HTTP/1 connections are left
    /// out. After the head of a response that has no body (to HEAD; 204, 304) the response is complete.
    pub fn send_headers(&mut self, id: StreamId, head: &ResponseHead, end: bool, out: &mut Buffer) {
        unimplemented!()
    }

    /// The response has been started.
    pub fn response_started(&self, id: StreamId) -> bool {
        unimplemented!()
    }
}

impl Client {
    /// Streams that may be opened now.
    pub fn capacity(&self) -> usize {
        unimplemented!()
    }

    /// Opens a stream and writes the head of a request. `end`: there is no body. Fields that belong to HTTP/1 connections
    /// are left out.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is written then.
    pub fn open(
        &mut self,
        head: &RequestHead,
        end: bool,
        tag: u64,
        out: &mut Buffer,
    ) -> Result<StreamId, OpenError> {
        unimplemented!()
    }
}
