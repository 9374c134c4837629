//! Signals as events, by signalfd.

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
