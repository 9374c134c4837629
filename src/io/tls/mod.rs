//! TLS on a connection: between the socket and the connection's input and output.
//!
//! rustls does the handshake (`handshake`); after it the records are opened and sealed here (`record`), with the keys
//! that rustls hands out, because the buffers are ours then: ciphertext is received into memory that all connections of
//! a worker share, opened straight into the connection's input, and output is sealed straight into memory that is sent
//! from. Nothing is copied, and a connection that waits holds no buffer. The same place would hand the keys to the
//! kernel (kTLS).

mod failure;
mod handshake;
mod hello;
mod record;
mod session;

#[cfg(test)]
mod tests;

pub(super) use session::{Progress, Scratch, Session};
