//! What configuration decides about HTTP/1 on a connection.
//!
//! Plain values, copied into each codec when a connection starts; the defaults are Envoy's
//! (`envoy.config.core.v3.Http1ProtocolOptions` and the header limits of
//! `HttpConnectionManager` and `HttpProtocolOptions`). Nothing here is looked up per request.

/// How header names are written on the wire (`Http1ProtocolOptions.header_key_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// All lower-case: Envoy's default.
    #[default]
    Lower,
    /// `proper_case_words`: the first letter, and each letter that follows a character which is
    /// neither letter nor digit, in upper-case (`content-type` → `Content-Type`).
    Proper,
    /// `preserve_case`: messages that are received on this side keep their spelling wherever they are
    /// sent; headers added by the proxy are lower-case.
    Preserve,
    /// The same with `PROPER_CASE` for headers added by the proxy.
    PreserveElseProper,
}

/// Limits and options of the downstream side ([`crate::h1::Server`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Largest request head in bytes, from the first byte of the request line to the final CRLF;
    /// the same limit holds for a trailer section. Default 60 KiB
    /// (`HttpConnectionManager.max_request_headers_kb`). A larger head is
    /// [`HeadersTooLarge`](crate::h1::Error::HeadersTooLarge).
    pub max_headers_bytes: u32,
    /// Largest number of header fields, and of trailer fields. Default 100
    /// (`HttpProtocolOptions.max_headers_count`).
    pub max_headers_count: u32,
    /// Take a target in absolute form (`GET http://host/path`) apart: default true. When false the
    /// target is handed on as `:path` untouched, which routing then rejects.
    pub allow_absolute_url: bool,
    /// Refuse a target in absolute form with `https`: default false. For a connection without TLS whose client is not
    /// a proxy that may have ended TLS.
    pub refuse_https: bool,
    /// Serve HTTP/1.0 requests: default false, they are answered with 426.
    pub accept_http_10: bool,
    /// Hand trailers on, in both directions: default false, they are checked and dropped.
    pub enable_trailers: bool,
    /// Accept a request with both `transfer-encoding: chunked` and `content-length`: default
    /// false. When true the length is removed, the chunks count, and the connection is closed
    /// after the response (RFC 9112 section 6.3).
    pub allow_chunked_length: bool,
    /// Accept any token as method, not only the registered ones: default false.
    pub allow_custom_methods: bool,
    /// Spelling of header names in responses.
    pub header_case: HeaderCase,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            max_headers_bytes: 60 * 1024,
            max_headers_count: 100,
            allow_absolute_url: true,
            refuse_https: false,
            accept_http_10: false,
            enable_trailers: false,
            allow_chunked_length: false,
            allow_custom_methods: false,
            header_case: HeaderCase::Lower,
        }
    }
}

/// Limits and options of the upstream side ([`crate::h1::Client`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Largest response head in bytes, status line and final CRLF included; the same limit holds
    /// for each informational response and for a trailer section. Default 80 KiB.
    pub max_headers_bytes: u32,
    /// Largest number of header fields, and of trailer fields. Default 100.
    pub max_headers_count: u32,
    /// Hand trailers on, in both directions: default false, they are checked and dropped.
    pub enable_trailers: bool,
    /// Accept a response with both `transfer-encoding: chunked` and `content-length`: default
    /// false. When true the length is removed and the connection is not used again.
    pub allow_chunked_length: bool,
    /// Send the target in absolute form (`GET http://host/path`): default false.
    pub send_fully_qualified_url: bool,
    /// Spelling of header names in requests.
    pub header_case: HeaderCase,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            max_headers_bytes: 80 * 1024,
            max_headers_count: 100,
            enable_trailers: false,
            allow_chunked_length: false,
            send_fully_qualified_url: false,
            header_case: HeaderCase::Lower,
        }
    }
}
