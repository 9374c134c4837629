//! Connections: sockets with their buffers, and nothing about what is said on them.
//!
//! A connection belongs to one worker and to one [`Owner`] in a layer above. The owner reads with
//! [`Io::read`], parses [`Io::input`], and writes by appending to [`Io::output`]; everything appended in one
//! turn leaves in one vectored write at the end of the turn ([`Io::flush`]). Closing is deferred too: a closed
//! connection is freed by [`Io::reap`], so no key dies under somebody's feet. Nothing here calls upwards: what
//! the owner must learn comes back as a return value or as a deferred [`Task`].

mod bulk;
mod connection;
#[cfg(test)]
pub(crate) mod memory;
mod provenance;
mod rng;
mod task;
mod tls;
mod transport;

pub use bulk::BULK;
pub use connection::{Close, ConnKey, Enrolment, Io, Notice, Owner, Read};
pub use nuncio_reactor::Alarm;
pub use provenance::{FilterMetadata, Findings, Provenance};
pub use rng::Rng;
pub use task::{Cx, Discourage, Layer, Mail, Reactor, Scope, Task, TokenKind, Wake};
