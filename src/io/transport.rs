//! What carries a connection's bytes.

use super::bulk::Lane;
#[cfg(test)]
use super::memory;
use nuncio_codec::Foreign;
use nuncio_reactor::{Address, Socket};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::IpAddr;

/// A transport socket (Envoy's term): bytes in, bytes out.
#[derive(Debug)]
pub(super) enum Transport {
    /// Plain bytes on a TCP or unix socket.
    Raw(Socket),
    /// One end of a simulated connection.
    #[cfg(test)]
    Memory(memory::End),
}

impl Transport {
    #[inline]
    pub(super) fn recv(&self, room: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Self::Raw(socket) => socket.recv_vectored(room),
            #[cfg(test)]
            Self::Memory(end) => end.recv(room),
        }
    }

    #[inline]
    pub(super) fn send(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Raw(socket) => socket.send_vectored(data),
            #[cfg(test)]
            Self::Memory(end) => end.send(data),
        }
    }

    /// Takes up to `most` bytes without bringing them into memory; `None` where that cannot be done.
    pub(super) fn recv_bulk(&self, most: u64) -> Option<io::Result<(usize, Lane)>> {
        match self {
            Self::Raw(socket) => Some(Lane::fill(socket, most)),
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }

    /// Sends bytes that are not in memory. `more`: others will follow at once.
    pub(super) fn send_bulk(&self, lane: &mut Foreign, more: bool) -> io::Result<usize> {
        match (self, lane.downcast_mut::<Lane>()) {
            (Self::Raw(socket), Some(lane)) => lane.empty(socket, more),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether what is sent goes out as it is, so that it need not be in memory.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Raw(_) => true,
            #[cfg(test)]
            Self::Memory(_) => false,
        }
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Raw(socket) => socket.shutdown_write(),
            #[cfg(test)]
            Self::Memory(end) => {
                end.shutdown_write();
                Ok(())
            }
        }
    }

    pub(super) fn take_error(&self) -> io::Result<()> {
        match self {
            Self::Raw(socket) => socket.take_error(),
            #[cfg(test)]
            Self::Memory(end) => end.take_error(),
        }
    }

    /// The IP addresses of both ends, ours first, where there are such.
    pub(super) fn ends(&self) -> [Option<IpAddr>; 2] {
        let ip = |address: io::Result<Address>| match address {
            Ok(Address::Inet(address)) => Some(address.ip()),
            _ => None,
        };
        match self {
            Self::Raw(socket) => [ip(socket.local_address()), ip(socket.peer_address())],
            #[cfg(test)]
            Self::Memory(_) => [None, None],
        }
    }

    pub(super) fn reset_on_close(&self) {
        match self {
            // If the option cannot be set the peer sees an orderly close instead: nothing better is left to do.
            Self::Raw(socket) => drop(socket.reset_on_close()),
            #[cfg(test)]
            Self::Memory(end) => end.reset(),
        }
    }
}
