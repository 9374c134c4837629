//! What a connection reports, and what it counts.

use super::{Cause, Code};
use crate::{Buffer, HeaderMap, RequestHead, ResponseHead};

/// The identifier of a stream (RFC 9113 section 5.1.1). Never used twice on a connection, so it is also the handle:
/// a call with one that is closed does nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u32);

impl StreamId {
    /// As a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// What the peer sent, or what became of a stream.
///
/// A message is one `Headers`, any number of `Data`, perhaps `Trailers`; the last of them has `end` (which `Trailers`
/// implies). `tag` is what the owner set for the stream.
#[derive(Debug)]
pub enum Event<Head> {
    /// The head of a message. On a server it opens the stream; its tag is 0 until
    /// [`set_tag`](super::Connection::set_tag).
    Headers {
        /// Which stream.
        id: StreamId,
        /// The stream's tag.
        tag: u64,
        /// `:method`, `:path`, `:authority`, `:scheme` and `:protocol` are entries of a request's headers; a `host`
        /// became `:authority` if there was none, or was dropped. Crumbs of `cookie` are joined.
        head: Head,
        /// There is no body.
        end: bool,
    },
    /// Server only: a request over the limits, of which `head` holds what fits in them (perhaps not all
    /// pseudo-headers). The stream is open: answer it (431), or reset it with [`Cause::code`] as Envoy does. What else
    /// comes of the request is thrown away.
    TooLarge {
        /// Which stream.
        id: StreamId,
        /// What fits in the limits.
        head: Head,
        /// [`Cause::HeadersTooLarge`] or [`Cause::TooManyHeaders`].
        cause: Cause,
    },
    /// Server only: a request that was refused before it was a stream to the owner. RST_STREAM has been written; the
    /// event is for logs.
    Refused {
        /// Which stream.
        id: StreamId,
        /// Why.
        cause: Cause,
    },
    /// Client only: a 1xx response; the final one is still to come.
    Informational {
        /// Which stream.
        id: StreamId,
        /// The stream's tag.
        tag: u64,
        /// Status and header fields.
        head: ResponseHead,
    },
    /// A piece of the body, or of the tunnel. Empty only with `end`. Its bytes count against the windows until they are
    /// [consumed](super::Connection::consume).
    Data {
        /// Which stream.
        id: StreamId,
        /// The stream's tag.
        tag: u64,
        /// The bytes.
        data: Buffer,
        /// The message is complete.
        end: bool,
    },
    /// Trailer fields; the message is complete.
    Trailers {
        /// Which stream.
        id: StreamId,
        /// The stream's tag.
        tag: u64,
        /// The fields.
        trailers: HeaderMap,
    },
    /// The stream ended before its time and is gone. If that was not the peer's doing, RST_STREAM has been
    /// written.
    Reset {
        /// Which stream.
        id: StreamId,
        /// The stream's tag.
        tag: u64,
        /// The code in the RST_STREAM; REFUSED_STREAM for a stream that the peer's GOAWAY leaves out.
        code: Code,
        /// Why.
        cause: Cause,
    },
    /// What the stream had queued has fallen to its low mark: its owner may go on.
    Writable {
        /// Which stream.
        id: StreamId,
        /// The stream's tag.
        tag: u64,
    },
    /// The end of a message that was queued when it was handed over is now in the output. Not reported for one that
    /// went there at once ([`Sent::queued`](super::Sent::queued) was 0).
    Flushed {
        /// Which stream.
        id: StreamId,
        /// The stream's tag.
        tag: u64,
    },
    /// The peer opens or takes no streams any more. Streams that it leaves out are reported as `Reset` right
    /// after.
    GoAway {
        /// The last stream that the peer has processed or will; 2^31-1 announces a GOAWAY that will tell.
        last: StreamId,
        /// Why.
        code: Code,
    },
    /// The peer's SETTINGS arrived: [`peer`](super::Connection::peer) and a client's
    /// [`capacity`](super::Connection::capacity) may be different now.
    Settings,
    /// The peer has taken note of our SETTINGS.
    SettingsAck,
    /// The answer to [`ping`](super::Connection::ping).
    Pong {
        /// What the ping carried.
        payload: u64,
    },
}

/// What a server reports.
pub type RequestEvent = Event<RequestHead>;
/// What a client reports.
pub type ResponseEvent = Event<ResponseHead>;

/// Whether this RST_STREAM or GOAWAY says that a request has certainly not been processed, so that it may be sent
/// again (RFC 9113 section 8.7).
pub fn is_unprocessed(code: Code, cause: Cause) -> bool {
    match cause {
        Cause::GoAway => true,
        Cause::Peer => code == Code::REFUSED_STREAM,
        _ => false,
    }
}

/// Envoy's response code details for a stream that ended with this code and cause.
pub fn reset_details(code: Code, cause: Cause) -> &'static str {
    if is_unprocessed(code, cause) { "http2.remote_refuse" } else { cause.details() }
}

/// What became of bytes that were handed over to be sent.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Bytes (with trailers and the end counted as one each) that wait in the stream for a window or for room.
    pub queued: usize,
    /// They are over the limit: send no more until [`Event::Writable`].
    pub pause: bool,
}

/// Why a client cannot open a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No stream is free, or the connection is draining, failed, or has used up its identifiers.
    NoCapacity,
    /// The head cannot be written as HTTP/2 without harm.
    InvalidRequest,
    /// An extended CONNECT, which the server has not said to take.
    NoExtendedConnect,
}

/// What happened on the connection since [`take_counters`](super::Connection::take_counters), named as Envoy's
/// `http2.*` statistics.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Header lists and trailers over the limit in bytes.
    pub header_list_size_too_large: u32,
    /// Header lists and trailers over the limit in number.
    pub header_overflow: u32,
    /// Header blocks for streams that are gone.
    pub headers_cb_no_stream: u32,
    /// [`Error::EmptyFramesFlood`](super::Error::EmptyFramesFlood).
    pub inbound_empty_frames_flood: u32,
    /// [`Error::PriorityFlood`](super::Error::PriorityFlood).
    pub inbound_priority_frames_flood: u32,
    /// [`Error::WindowUpdateFlood`](super::Error::WindowUpdateFlood).
    pub inbound_window_update_frames_flood: u32,
    /// [`Error::OutboundFlood`](super::Error::OutboundFlood).
    pub outbound_flood: u32,
    /// [`Error::OutboundControlFlood`](super::Error::OutboundControlFlood).
    pub outbound_control_flood: u32,
    /// [`Error::ContinuationFlood`](super::Error::ContinuationFlood); not in Envoy.
    pub inbound_continuation_flood: u32,
    /// [`Error::PrematureResets`](super::Error::PrematureResets); in Envoy
    /// `downstream_rq_too_many_premature_resets`.
    pub premature_resets: u32,
    /// Messages that broke a rule.
    pub rx_messaging_error: u32,
    /// RST_STREAM received.
    pub rx_reset: u32,
    /// RST_STREAM sent.
    pub tx_reset: u32,
    /// Trailer sections of requests.
    pub trailers: u32,
    /// GOAWAY sent for good and without an error.
    pub goaway_sent: u32,
    /// Streams refused because too many were open; in Envoy `stream_refused_errors`.
    pub refused_streams: u32,
}
