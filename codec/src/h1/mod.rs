//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112), without I/O.
//!
//! [`Server`] is the downstream side, [`Client`] the upstream side. Both are small values that hold
//! no memory between messages: bytes come in and go out in the caller's [`Buffer`](crate::Buffer)s,
//! events are pulled with `poll`, messages are written with `send_*`. Framing follows RFC 9112 to
//! the letter; whatever could be read in two ways is an [`Error`]. Time-outs, sockets and the
//! meaning of requests belong to the layers above.

mod body;
mod chunked;
mod client;
mod connection;
mod encode;
mod error;
mod framing;
mod head_parser;
mod server;
mod settings;
mod target;

pub(crate) use encode::{is_barred_from_trailers, is_connection_field};
pub(crate) use framing::parse_length;
pub(crate) use target::{is_connect_target, is_host};

pub use client::{Client, ResponseEvent};
pub use connection::{expects_continue, strip_hop_by_hop};
pub use encode::reason;
pub use error::Error;
pub use server::{RequestEvent, Server};
pub use settings::{ClientSettings, HeaderCase, ServerSettings};
