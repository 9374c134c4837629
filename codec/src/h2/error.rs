//! What can be wrong with a connection, and what with one stream (RFC 9113 section 5.4).
//!
//! [`Error`] ends the connection: GOAWAY has been written with [`Error::code`], and what is left to the caller is
//! to flush and close. [`Cause`] ends one stream, of which the caller hears in an event. The strings are those
//! of Envoy's response code details.

use std::fmt;

/// An error code as it stands in RST_STREAM and GOAWAY (RFC 9113 section 7). Unknown ones are kept as they came.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

#[allow(missing_docs, reason = "the names are the RFC's")]
impl Code {
    pub const NO_ERROR: Self = Self(0);
    pub const PROTOCOL_ERROR: Self = Self(1);
    pub const INTERNAL_ERROR: Self = Self(2);
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    pub const SETTINGS_TIMEOUT: Self = Self(4);
    pub const STREAM_CLOSED: Self = Self(5);
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    pub const REFUSED_STREAM: Self = Self(7);
    pub const CANCEL: Self = Self(8);
    pub const COMPRESSION_ERROR: Self = Self(9);
    pub const CONNECT_ERROR: Self = Self(10);
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    pub const INADEQUATE_SECURITY: Self = Self(12);
    pub const HTTP_1_1_REQUIRED: Self = Self(13);

    /// The RFC's name; `UNKNOWN` for a code that it has none for.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            4 => "SETTINGS_TIMEOUT",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            10 => "CONNECT_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            12 => "INADEQUATE_SECURITY",
            13 => "HTTP_1_1_REQUIRED",
            _ => "UNKNOWN",
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}({})", self.name(), self.0)
    }
}

/// Why the connection cannot go on. GOAWAY with [`Self::code`] has been written when the caller sees it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The connection does not begin as RFC 9113 section 3.4 wants it, or the first frame is not SETTINGS.
    Preface,
    /// A frame longer than allowed, or of the wrong length for its type.
    FrameSize,
    /// A frame on a stream where its type cannot be: stream 0, an idle stream, one that only we could open.
    UnexpectedFrame,
    /// A new stream whose identifier is not larger than those before, or a GOAWAY that promises what one before it has
    /// denied.
    StreamId,
    /// More padding than payload.
    Padding,
    /// CONTINUATION without a block to continue, or something else within a block.
    Continuation,
    /// A setting with a forbidden value.
    Setting,
    /// SETTINGS_INITIAL_WINDOW_SIZE over 2^31-1, or a change of it that makes a window overflow.
    SettingsWindow,
    /// PUSH_PROMISE, which nobody may send us.
    Push,
    /// A header block that HPACK cannot read.
    Compression,
    /// The connection's window was made larger than 2^31-1.
    WindowOverflow,
    /// WINDOW_UPDATE with an increment of 0 for the connection.
    ZeroIncrement,
    /// More DATA than the connection's window.
    FlowControl,
    /// A frame on a stream that the peer has ended.
    StreamClosed,
    /// A stream made dependent on itself (RFC 7540 section 5.3.1) before it was opened.
    SelfDependency,
    /// A malformed message, where
    /// [`stream_error_on_invalid_http_messaging`](super::Settings::stream_error_on_invalid_http_messaging) is not set.
    Malformed(Malformed),
    /// HEADERS, CONTINUATION or DATA frames with nothing in them, one after the other.
    EmptyFramesFlood,
    /// More PRIORITY frames than streams account for.
    PriorityFlood,
    /// More WINDOW_UPDATE frames than DATA sent accounts for.
    WindowUpdateFlood,
    /// A header block in too many, or in all too large, pieces (CVE-2024-27316).
    ContinuationFlood,
    /// Frames of any kind pile up in the output: the peer makes us answer and does not read.
    OutboundFlood,
    /// The same of control frames: answers to PING and SETTINGS, RST_STREAM.
    OutboundControlFlood,
    /// Most streams are reset soon after they were opened, by the peer (CVE-2023-44487) or by its provocation
    /// (CVE-2025-8671).
    PrematureResets,
}

impl Error {
    /// The code in the GOAWAY.
    pub const fn code(self) -> Code {
        match self {
            Self::Preface
            | Self::UnexpectedFrame
            | Self::StreamId
            | Self::Padding
            | Self::Continuation
            | Self::Setting
            | Self::Push
            | Self::ZeroIncrement
            | Self::SelfDependency
            | Self::Malformed(_) => Code::PROTOCOL_ERROR,
            Self::FrameSize => Code::FRAME_SIZE_ERROR,
            Self::SettingsWindow | Self::WindowOverflow | Self::FlowControl => Code::FLOW_CONTROL_ERROR,
            Self::Compression => Code::COMPRESSION_ERROR,
            Self::StreamClosed => Code::STREAM_CLOSED,
            Self::EmptyFramesFlood
            | Self::PriorityFlood
            | Self::WindowUpdateFlood
            | Self::ContinuationFlood
            | Self::OutboundFlood
            | Self::OutboundControlFlood
            | Self::PrematureResets => Code::ENHANCE_YOUR_CALM,
        }
    }

    /// Whether the peer overdid something allowed, rather than broke a rule.
    pub const fn is_flood(self) -> bool {
        self.code().0 == Code::ENHANCE_YOUR_CALM.0
    }

    /// Response code details of the streams that it ends: Envoy's, where Envoy says what was wrong.
    pub const fn details(self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.details(),
            Self::EmptyFramesFlood => "http2.inbound_empty_frames_flood",
            Self::PriorityFlood => "codec_error:Too_many_PRIORITY_frames",
            Self::WindowUpdateFlood => "codec_error:Too_many_WINDOW_UPDATE_frames",
            Self::OutboundFlood => "codec_error:Too_many_frames_in_the_outbound_queue.",
            Self::OutboundControlFlood => "codec_error:Too_many_control_frames_in_the_outbound_queue.",
            Self::PrematureResets => "too_many_premature_resets",
            Self::ContinuationFlood => "codec_error:header_block_without_end",
            Self::Preface => "codec_error:bad_preface",
            Self::FrameSize => "codec_error:wrong_frame_size",
            Self::UnexpectedFrame => "codec_error:unexpected_frame",
            Self::StreamId => "codec_error:used_stream_id",
            Self::Padding => "codec_error:wrong_padding",
            Self::Continuation => "codec_error:wrong_continuation",
            Self::Setting | Self::SettingsWindow => "codec_error:invalid_setting",
            Self::Push => "codec_error:push_promise",
            Self::Compression => "codec_error:invalid_header_block",
            Self::WindowOverflow | Self::ZeroIncrement => "codec_error:invalid_window_update",
            Self::FlowControl => "codec_error:window_exceeded",
            Self::StreamClosed => "codec_error:frame_on_closed_stream",
            Self::SelfDependency => "codec_error:self_dependency",
        }
    }

    /// What is wrong, for a person who reads the log.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Preface => "the connection does not start with the HTTP/2 preface and SETTINGS",
            Self::FrameSize => "a frame of wrong length",
            Self::UnexpectedFrame => "a frame on a stream where it cannot be",
            Self::StreamId => "a new stream with a used identifier",
            Self::Padding => "more padding than payload",
            Self::Continuation => "a header block that is not continued as it has to be",
            Self::Setting => "a setting with a forbidden value",
            Self::SettingsWindow => "a setting makes a window overflow",
            Self::Push => "a pushed stream",
            Self::Compression => "a header block that cannot be decoded",
            Self::WindowOverflow => "the connection's window overflows",
            Self::ZeroIncrement => "a window update of 0",
            Self::FlowControl => "more data than the connection's window",
            Self::StreamClosed => "a frame on a closed stream",
            Self::SelfDependency => "a stream that depends on itself",
            Self::Malformed(malformed) => malformed.description(),
            Self::EmptyFramesFlood => "too many frames without payload in a row",
            Self::PriorityFlood => "too many PRIORITY frames",
            Self::WindowUpdateFlood => "too many WINDOW_UPDATE frames",
            Self::ContinuationFlood => "a header block without an end",
            Self::OutboundFlood => "too many frames in the output",
            Self::OutboundControlFlood => "too many control frames in the output",
            Self::PrematureResets => "too many streams are reset soon after they were opened",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.description())
    }
}

impl std::error::Error for Error {}

/// Why a message is malformed (RFC 9113 section 8.1.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A field that may not be there or has a forbidden name or value (sections 8.2 and 8.3).
    Field,
    /// A pseudo-header field is missing or does not go with the others, a body of the wrong length, no end where one
    /// has to be.
    Messaging,
}

impl Malformed {
    /// Envoy's response code details.
    pub const fn details(self) -> &'static str {
        match self {
            Self::Field => "http2.invalid.header.field",
            Self::Messaging => "http2.violation.of.messaging.rule",
        }
    }

    /// What is wrong, for a person who reads the log.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Field => "a message with an invalid header field",
            Self::Messaging => "a message that breaks the rules of HTTP",
        }
    }
}

/// Why a stream ended before its time.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer reset it.
    Peer,
    /// The peer's GOAWAY says that it has not been and will not be processed.
    GoAway,
    /// The peer's message is malformed.
    Malformed(Malformed),
    /// The header list, or the trailers, are over the limit in bytes.
    HeadersTooLarge,
    /// They are over the limit in number.
    TooManyHeaders,
    /// More DATA than the stream's window.
    FlowControl,
    /// The stream's window was made larger than 2^31-1.
    WindowOverflow,
    /// WINDOW_UPDATE with an increment of 0.
    ZeroIncrement,
    /// The peer went on after it had ended its side.
    StreamClosed,
    /// A stream made dependent on itself (RFC 7540 section 5.3.1).
    SelfDependency,
    /// A PRIORITY frame of wrong length.
    FrameSize,
    /// More streams than
    /// [`max_concurrent_streams`](super::Settings::max_concurrent_streams).
    TooManyStreams,
}

impl Cause {
    /// The code in the RST_STREAM that the codec writes for it.
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed(_) | Self::ZeroIncrement | Self::SelfDependency => Code::PROTOCOL_ERROR,
            Self::HeadersTooLarge | Self::TooManyHeaders => Code::INTERNAL_ERROR,
            Self::FlowControl | Self::WindowOverflow => Code::FLOW_CONTROL_ERROR,
            Self::StreamClosed => Code::STREAM_CLOSED,
            Self::FrameSize => Code::FRAME_SIZE_ERROR,
            Self::Peer | Self::GoAway | Self::TooManyStreams => Code::REFUSED_STREAM,
        }
    }

    /// Envoy's response code details; see also [`reset_details`](super::reset_details).
    pub const fn details(self) -> &'static str {
        match self {
            Self::Peer => "http2.remote_reset",
            Self::GoAway | Self::TooManyStreams => "http2.remote_refuse",
            Self::Malformed(malformed) => malformed.details(),
            Self::HeadersTooLarge => "http2.header_list_size_too_large",
            Self::TooManyHeaders => "http2.too_many_headers",
            Self::FlowControl
            | Self::WindowOverflow
            | Self::ZeroIncrement
            | Self::StreamClosed
            | Self::SelfDependency
            | Self::FrameSize => "http2.unknown.nghttp2.error",
        }
    }
}
