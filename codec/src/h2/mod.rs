//! HTTP/2 (RFC 9113, RFC 7541, RFC 8441), without I/O.
//!
//! [`Server`] is the downstream side, [`Client`] the upstream side; both are a [`Connection`]. Bytes come in and go
//! out in the caller's [`Buffer`](crate::Buffer)s, events are pulled with `poll`, messages are written with `send_*`.
//! Time-outs, sockets and the meaning of requests belong to the layers above.
//!
//! # How to drive it
//!
//! - [`Connection::new`] writes the preface. Whenever bytes have come, and whenever output has been written to the
//!   socket, call [`poll`](Connection::poll) until it returns `None`: it takes frames off the input, answers what has to
//!   be answered, and goes on writing what streams have queued while the output holds less than
//!   [`Settings::output_limit`].
//! - The output may be written to by the codec alone: what has left it tells how far the peer reads.
//! - Do not poll with input while the output is far over its limit: a peer that does not read is not to be read from.
//! - A stream is named by its [`StreamId`] and carries a tag of the owner's. Calls for a stream that is gone do
//!   nothing.
//! - After an error the connection is over: GOAWAY has been written; end all streams, flush, close.
//!
//! # What a connection holds at most
//!
//! | what | how much |
//! |---|---|
//! | the codec itself | below 1 KiB; streams 250 bytes each, up to `max_concurrent_streams` |
//! | HPACK tables | at most four times `hpack_table_size` for each direction, and 4 KiB; nothing before they are used |
//! | bytes of an incomplete frame in the input | 16 KiB |
//! | an incomplete header block | twice `max_headers_bytes` and 16 KiB |
//! | received bytes that are not consumed | `initial_connection_window_size`; nothing before they come |
//! | what streams have queued | `stream_queue_limit` for each, and what was handed over at once above it |
//! | the output | `output_limit` and one frame of DATA; heads and answers to control frames up to `max_outbound_frames` |
//!
//! It goes back when it is not needed: an idle connection keeps its tables, and room for up to 128 streams and 2048
//! frames if it has needed that much before.

mod client;
mod connection;
mod error;
mod event;
mod flow;
mod frame;
mod guard;
mod headers;
pub mod hpack;
mod late;
mod message;
mod output;
mod priority;
mod receive;
mod send;
mod server;
mod settings;
mod side;
mod sniff;
mod stream;
mod streams;

pub use connection::Connection;
pub use error::{Cause, Code, Error, Malformed};
pub use event::{
    Counters, Event, OpenError, RequestEvent, ResponseEvent, Sent, StreamId, is_unprocessed, reset_details,
};
pub use settings::{PeerSettings, Settings};
pub use side::{Client, ClientSide, Server, ServerSide, Side};
pub use sniff::{Sniff, sniff};
