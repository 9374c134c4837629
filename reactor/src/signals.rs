//! Signals as events, by signalfd.
//!
//! Watched signals are blocked, so they interrupt nothing and no handler runs; they wait in the kernel until the
//! loop reads them. Several of one kind that come between two turns count as one, as signals do. They stay
//! blocked when the loop is gone.

use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Signals that are blocked and read from a descriptor.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    pub(crate) fn watch(signals: &[i32]) -> io::Result<Self> {
        Ok(Self { fd: sys::signalfd(signals)? })
    }

    /// Takes the signals that have come.
    pub(crate) fn take(&self, mut each: impl FnMut(i32)) {
        while let Some(signal) = sys::next_signal(&self.fd) {
            each(signal);
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
