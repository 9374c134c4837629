//! What connections and those who own them say to each other.

use nuncio_reactor::{RawKey, Time};
use std::io;
use std::time::Duration;

/// Where an accepted connection is counted until it is gone.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The listener, by its place on this worker.
    pub listener: u32,
    /// When it was accepted.
    pub accepted: Time,
    /// When its network filters began, if they have.
    pub since: Option<Time>,
    /// It counts for the limit of the process.
    pub global: bool,
}

/// Who is told about a connection, in the layers above.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A downstream HTTP connection.
    Downstream(RawKey),
    /// An upstream HTTP connection.
    Upstream(RawKey),
    /// An upstream connection of a TCP session while it is being made.
    Line(RawKey),
    /// The downstream connection of a TCP session.
    Session(RawKey),
    /// The upstream connection of a TCP session.
    SessionUpstream(RawKey),
    /// A downstream connection whose listener filters run.
    Arrival(RawKey),
    /// It is only being closed.
    Nobody,
}

/// What an I/O event means to the owner.
#[derive(Debug)]
pub enum Notice {
    /// The connection that was being made is there.
    Connected,
    /// It could not be made.
    ConnectFailed(io::Error),
    /// It was made, and then the TLS handshake failed.
    TlsFailed(Box<str>),
    /// There may be something to read.
    Ready,
}

/// What a read brought.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes were added to the input.
    Data(usize),
    /// Nothing now.
    Empty,
    /// The peer has finished sending.
    Eof,
    /// The connection is broken.
    Failed,
}

/// How a connection ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// At once; output that was not written is lost.
    Now,
    /// At once and with a reset, so that the peer cannot take what it got for complete.
    Reset,
    /// When all output is written.
    Flush,
    /// When all output is written and the peer has closed too: input is read and thrown away meanwhile, so
    /// that the last output is not destroyed by a reset.
    Linger,
    /// After this time, during which nothing is read; at once if the peer ends it. Output that was not written is
    /// lost.
    After(Duration),
}

/// A time in milliseconds, which is all that the timers of closing connections know, and takes little room.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Patience(u32);

impl Patience {
    pub(super) fn of(time: Duration) -> Self {
        Self(u32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u32::MAX))
    }

    pub(super) fn time(self) -> Duration {
        Duration::from_millis(self.0.into())
    }
}
