//! What a TLS client says first, read without answering it: the server name and the protocols that it asks for, and
//! fingerprints of how it asks.
//!
//! [`Inspector`] puts the client hello together from its records, however they are cut; [`ClientHello`] is a view of
//! it; [`ja3`] and [`ja4`] are its fingerprints. What is wrong with a hello beyond its form is left to whoever does the
//! handshake.

mod fingerprint;
mod hello;
mod inspector;

pub use fingerprint::{ja3, ja4};
pub use hello::ClientHello;
pub use inspector::{Inspection, Inspector, MAX_HELLO};
