//! What a downstream connection speaks: one codec for each version of HTTP behind one set of calls.
//!
//! HTTP/1 has one exchange at a time and its end is the connection's business; HTTP/2 has streams, which are named
//! in each call. What differs beyond that is left to the callers, who match.

use super::stream::StreamKey;
use crate::upstream::http2::Vigil;
use nuncio_codec::{Buffer, HeaderId, HeaderMap, ResponseHead, h1, h2};
use nuncio_reactor::Time;

/// The codec of a downstream connection.
#[derive(Debug)]
pub(super) enum Codec {
    H1(h1::Server),
    H2(Box<Multiplex>),
}

/// HTTP/2 on a downstream connection.
#[derive(Debug)]
pub(super) struct Multiplex {
    pub(super) codec: h2::Server,
    /// The streams that have not ended, in no order; each knows its place.
    pub(super) streams: Vec<StreamKey>,
    pub(super) vigil: Vigil,
    /// The connection is being drained: when the final GOAWAY goes out.
    pub(super) goaway_at: Option<Time>,
    /// Streams that have ended but for what the codec still has to send.
    pub(super) flushing: Vec<Flushing>,
}

/// A response that is complete and waits for the client to take it.
#[derive(Debug)]
pub(super) struct Flushing {
    pub(super) id: h2::StreamId,
    /// What it had to send when it was last looked at.
    pub(super) queued: usize,
    /// When it must have sent some of that, if there is a limit.
    pub(super) deadline: Option<Time>,
}

impl Codec {
    /// Whether there may be another exchange.
    pub(super) fn keep_alive(&self) -> bool {
        match self {
            Self::H1(codec) => codec.keep_alive(),
            Self::H2(_) => true,
        }
    }

    /// HTTP/1: no exchange may follow this one. A stream of HTTP/2 has no say in that.
    pub(super) fn set_close(&mut self) {
        if let Self::H1(codec) = self {
            codec.set_close();
        }
    }

    /// An upgrade that is ignored.
    pub(super) fn decline_upgrade(&mut self) {
        if let Self::H1(codec) = self {
            codec.decline_upgrade();
        }
    }

    /// Begins a response.
    pub(super) fn send_headers(
        &mut self,
        id: Option<h2::StreamId>,
        head: &ResponseHead,
        end: bool,
        out: &mut Buffer,
    ) {
        match (self, id) {
            (Self::H1(codec), _) => codec.send_headers(head, end, out),
            (Self::H2(multiplex), Some(id)) if head.status == 101 => {
                // A tunnel by extended CONNECT begins with a 200 (RFC 8441 section 5).
                let mut head = ResponseHead { status: 200, ..head.clone() };
                for id in [HeaderId::UPGRADE, HeaderId::CONNECTION, HeaderId::CONTENT_LENGTH] {
                    head.headers.remove(id);
                }
                multiplex.codec.send_headers(id, &head, end, out);
            }
            (Self::H2(multiplex), Some(id)) => multiplex.codec.send_headers(id, head, end, out),
            (Self::H2(_), None) => {}
        }
    }

    /// Writes an interim response.
    pub(super) fn send_informational(
        &mut self,
        id: Option<h2::StreamId>,
        head: &ResponseHead,
        out: &mut Buffer,
    ) {
        match (self, id) {
            (Self::H1(codec), _) => codec.send_informational(head, out),
            (Self::H2(multiplex), Some(id)) => multiplex.codec.send_informational(id, head, out),
            (Self::H2(_), None) => {}
        }
    }

    /// Goes on with a response. Says whether the stream itself, as apart from the connection, has too much to send.
    pub(super) fn send_data(
        &mut self,
        id: Option<h2::StreamId>,
        data: &mut Buffer,
        end: bool,
        out: &mut Buffer,
    ) -> bool {
        match (self, id) {
            (Self::H1(codec), _) => {
                codec.send_data(data, end, out);
                false
            }
            (Self::H2(multiplex), Some(id)) => multiplex.codec.send_data(id, data, end, out).pause,
            (Self::H2(_), None) => {
                data.clear();
                false
            }
        }
    }

    /// Ends a response.
    pub(super) fn send_trailers(&mut self, id: Option<h2::StreamId>, trailers: &HeaderMap, out: &mut Buffer) {
        match (self, id) {
            (Self::H1(codec), _) => codec.send_trailers(trailers, out),
            (Self::H2(multiplex), Some(id)) => {
                multiplex.codec.send_trailers(id, trailers, out);
            }
            (Self::H2(_), None) => {}
        }
    }
}
