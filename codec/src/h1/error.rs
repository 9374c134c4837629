//! Why a message was refused.
//!
//! One flat enum for both directions. After an error the connection cannot be used for another
//! message: the place where the next one would start is unknown. A server answers with
//! [`Error::status`] and closes; a client's caller gives up the attempt. The strings are those of
//! Envoy's response code details, so that log pipelines keep working.

use std::fmt;

/// A violation of HTTP/1 by the peer, or (only [`Error::InvalidRequest`]) by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not HTTP/1 by RFC 9112: start line, field line, line end, `obs-fold`.
    Malformed,
    /// NUL, a control character or a bare CR where it may not stand.
    InvalidCharacters,
    /// The head, or the trailer section, is over its limit in bytes.
    HeadersTooLarge,
    /// More header or trailer fields than allowed.
    TooManyHeaders,
    /// A version other than HTTP/1.1 while HTTP/1.0 is not accepted either.
    LowVersion,
    /// Neither HTTP/1.0 nor HTTP/1.1 (where 1.0 is accepted), or a response of another major
    /// version.
    VersionNotSupported,
    /// The request target has the wrong form for its method, or a bad authority in it.
    InvalidUrl,
    /// A target in absolute form with a scheme other than `http` or `https`.
    InvalidScheme,
    /// The same with `https`, where that is not believed
    /// ([`refuse_https`](crate::h1::ServerSettings::refuse_https)).
    HttpsInPlaintext,
    /// `Host` occurs twice or is not `host [":" port]`.
    InvalidAuthority,
    /// `Connection` names a header that must not be dropped, or too many.
    ConnectionHeaderRejected,
    /// `Content-Length` is not one plain decimal number below 2^63, or occurs twice.
    InvalidContentLength,
    /// `Transfer-Encoding` leaves the length of the body unknown: `chunked` is not the last
    /// coding, occurs twice, or comes with HTTP/1.0.
    InvalidTransferEncoding,
    /// `Transfer-Encoding` ends with `chunked` but has codings before it that are not
    /// implemented; or the request is a CONNECT.
    UnsupportedTransferEncoding,
    /// Both `Content-Length` and `Transfer-Encoding`.
    ContentLengthAndChunked,
    /// A body where there can be none: CONNECT, or a 1xx or 204 response.
    BodyDisallowed,
    /// Bad chunk size, chunk extension too long, or no CRLF after the chunk.
    InvalidChunk,
    /// Bytes from an upstream that owes no response.
    UnexpectedData,
    /// The peer closed in the middle of a message.
    UnexpectedEof,
    /// More informational responses than any sane upstream sends.
    TooManyInformational,
    /// A 101 response to a request that did not ask for an upgrade.
    UnexpectedUpgrade,
    /// The head given to the encoder cannot be written as HTTP/1; nothing was written.
    InvalidRequest,
}

impl Error {
    /// The status with which a server answers. For what only a client can meet it is 502, which
    /// is what the server side of the proxy then answers.
    pub fn status(self) -> u16 {
        match self {
            Error::Malformed
            | Error::InvalidCharacters
            | Error::InvalidUrl
            | Error::InvalidScheme
            | Error::InvalidAuthority
            | Error::ConnectionHeaderRejected
            | Error::InvalidContentLength
            | Error::InvalidTransferEncoding
            | Error::ContentLengthAndChunked
            | Error::BodyDisallowed
            | Error::InvalidChunk
            | Error::UnexpectedEof
            // RFC 9112 section 6.1 would have 501 here; one answer for all that is not plain
            // `chunked` leaves nothing to probe for.
            | Error::UnsupportedTransferEncoding
            | Error::InvalidRequest => 400,
            Error::HttpsInPlaintext => 403,
            Error::LowVersion => 426,
            Error::HeadersTooLarge | Error::TooManyHeaders => 431,
            Error::UnexpectedData | Error::TooManyInformational | Error::UnexpectedUpgrade => 502,
            Error::VersionNotSupported => 505,
        }
    }

    /// Envoy's response code details (`%RESPONSE_CODE_DETAILS%`).
    pub fn details(self) -> &'static str {
        match self {
            Error::Malformed
            | Error::InvalidContentLength
            | Error::InvalidChunk
            | Error::UnexpectedData
            | Error::UnexpectedEof
            | Error::TooManyInformational
            | Error::UnexpectedUpgrade
            | Error::VersionNotSupported
            | Error::InvalidRequest => "http1.codec_error",
            Error::InvalidCharacters => "http1.invalid_characters",
            Error::HeadersTooLarge => "http1.headers_too_large",
            Error::TooManyHeaders => "http1.too_many_headers",
            Error::LowVersion => "low_version",
            Error::InvalidUrl => "http1.invalid_url",
            Error::InvalidScheme => "http1.invalid_scheme",
            Error::HttpsInPlaintext => "http1.https_url_on_plaintext_connection",
            Error::InvalidAuthority => "http.invalid_authority",
            Error::ConnectionHeaderRejected => "http1.connection_header_rejected",
            Error::InvalidTransferEncoding | Error::UnsupportedTransferEncoding => {
                "http1.invalid_transfer_encoding"
            }
            Error::ContentLengthAndChunked => "http1.content_length_and_chunked_not_allowed",
            Error::BodyDisallowed => "http1.body_disallowed",
        }
    }

    /// What is wrong, for a person who reads the log.
    pub fn description(self) -> &'static str {
        match self {
            Error::Malformed => "not a well-formed HTTP/1 message",
            Error::InvalidCharacters => "control characters in the head",
            Error::HeadersTooLarge => "head or trailers over the limit in bytes",
            Error::TooManyHeaders => "too many header fields",
            Error::LowVersion => "HTTP version other than 1.1",
            Error::VersionNotSupported => "unsupported HTTP version",
            Error::InvalidUrl => "invalid request target",
            Error::InvalidScheme => "scheme of the request target is neither http nor https",
            Error::HttpsInPlaintext => "request target with https on a connection without TLS",
            Error::InvalidAuthority => "invalid or repeated Host",
            Error::ConnectionHeaderRejected => "Connection names headers that it may not remove",
            Error::InvalidContentLength => "invalid or repeated Content-Length",
            Error::InvalidTransferEncoding => "Transfer-Encoding does not end with a single chunked",
            Error::UnsupportedTransferEncoding => "unsupported transfer coding",
            Error::ContentLengthAndChunked => "both Content-Length and Transfer-Encoding",
            Error::BodyDisallowed => "a body where none is allowed",
            Error::InvalidChunk => "invalid chunk",
            Error::UnexpectedData => "data from an upstream that owes no response",
            Error::UnexpectedEof => "connection closed in the middle of a message",
            Error::TooManyInformational => "too many informational responses",
            Error::UnexpectedUpgrade => "101 without a request for an upgrade",
            Error::InvalidRequest => "the request cannot be expressed in HTTP/1",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl std::error::Error for Error {}
