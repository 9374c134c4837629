//! Protocol codecs without input and output: bytes in, events out, and back.
//!
//! Nothing in here knows of sockets, clocks, threads or logs; time limits belong to the caller. Everything is a
//! value that is told what arrived and asked what it means, which makes all of it testable with plain tables and
//! fuzzable with plain bytes.
//!
//! - [`buffer`]: chained byte buffers from a per-thread pool.
//! - [`headers`]: heads of messages, shared by all versions of HTTP.
//! - [`h1`]: HTTP/1.0 and HTTP/1.1 (RFC 9112), both sides.
//! - [`proxy_protocol`], [`tls_hello`], [`http_sniff`]: what a connection says before, or without, what it carries.
//! - [`h2`]: HTTP/2 (RFC 9113), both sides.

pub mod buffer;
pub mod h1;
pub mod h2;
pub mod headers;
pub mod http_sniff;
pub mod proxy_protocol;
pub mod tls_hello;

pub use buffer::{Buffer, Crossing, Foreign, Watermarks};
pub use headers::{
    Header, HeaderId, HeaderKey, HeaderMap, InvalidName, Method, RequestHead, ResponseHead, Spelling,
    Version, is_field_value, is_token,
};
