//! Pipes that carry bytes from one socket to another without bringing them into memory (splice(2)).

use crate::net::Socket;
use crate::sys;
use std::io;
use std::os::fd::OwnedFd;

/// A pipe of the kernel and how many bytes are in it. Like a socket it never blocks and retries nothing.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty pipe for about `size` bytes. If the system does not allow that many (`fs.pipe-user-pages-soft`) it is
    /// smaller.
    ///
    /// # Errors
    /// If there are no more file descriptors.
    pub fn new(size: usize) -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        let _ = sys::set_pipe_size(&writer, size);
        Ok(Self { reader, writer, held: 0 })
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes up to `most` bytes from a socket; 0 at the end of what its peer sends.
    ///
    /// # Errors
    /// `WouldBlock` if the socket has nothing, or the pipe no room.
    pub fn fill(&mut self, from: &Socket, most: usize) -> io::Result<usize> {
        let n = sys::splice(from, &self.writer, most, false)?;
        self.held += n;
        Ok(n)
    }

    /// Gives bytes to a socket. `more`: others will follow at once.
    ///
    /// # Errors
    /// `WouldBlock` if the socket takes none now.
    pub fn empty(&mut self, into: &Socket, more: bool) -> io::Result<usize> {
        let n = sys::splice(&self.reader, into, self.held, more)?;
        self.held -= n;
        Ok(n)
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use crate::listen::ListenOptions;
    use crate::net::{Address, ConnectOptions};
    use std::io::{IoSlice, IoSliceMut};

    fn pair() -> (Socket, Socket) {
        let options = ListenOptions { nodelay: true, ..ListenOptions::default() };
        let listener =
            Socket::listen(&"127.0.0.1:0".parse().expect("an address"), &options).expect("listens");
        let address: Address = listener.local_address().expect("bound");
        let client = Socket::connect(&address, &ConnectOptions::default()).expect("connects");
        loop {
            match listener.accept() {
                Ok((server, _)) => return (client, server),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    fn until<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
        loop {
            match attempt() {
                Ok(value) => return value,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    #[test]
    fn bytes_pass_through_in_order_and_the_end_is_told() {
        let ((from, source), (sink, to)) = (pair(), pair());
        let mut pipe = Pipe::new(1 << 16).expect("a pipe");
        assert!(pipe.fill(&source, 100).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        from.send_vectored(&[IoSlice::new(b"hello, "), IoSlice::new(b"world")]).expect("room");
        let first = until(|| pipe.fill(&source, 5));
        let rest = until(|| pipe.fill(&source, 100));
        assert_eq!((first, first + rest, pipe.len()), (5, 12, 12));
        assert_eq!(pipe.empty(&to, false).expect("room"), 12);
        assert!(pipe.is_empty());
        let mut bytes = [0; 32];
        let n = until(|| sink.recv_vectored(&mut [IoSliceMut::new(&mut bytes)]));
        assert_eq!(&bytes[..n], b"hello, world");
        drop(from);
        assert_eq!(until(|| pipe.fill(&source, 100)), 0);
    }
}
