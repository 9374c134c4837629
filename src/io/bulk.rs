//! Large bodies from socket to socket without a copy: pipes of the kernel that travel through the buffers.
//!
//! A read for bulk leaves the bytes in a pipe and puts the pipe into the connection's input, as bytes that lie
//! elsewhere. From there they take the way of all bytes, by moves from buffer to buffer, so that framing, watermarks
//! and cancelling need to know nothing of it; the write finds the pipe at the front of the output. A pipe belongs to
//! one piece until that is written, and then to the thread's pool.

use nuncio_reactor::{Pipe, Socket};
use std::cell::RefCell;
use std::io;

/// Room of a pipe in bytes: what an unprivileged process may ask for.
const ROOM: usize = 1 << 20;
/// Most bytes in one piece.
const PIECE: u64 = 512 << 10;
/// Most free pipes that a thread keeps.
const KEPT: usize = 16;
/// From how many bytes on this is cheaper than copying.
pub const BULK: u64 = 64 << 10;

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe with a piece of a body in it; goes back to the pool when it is dropped.
#[derive(Debug)]
pub(super) struct Lane(Option<Pipe>);

impl Lane {
    /// Takes what a socket has, up to `most` bytes: how many, and where they are now.
    pub(super) fn fill(from: &Socket, most: u64) -> io::Result<(usize, Self)> {
        let mut pipe = match FREE.with_borrow_mut(Vec::pop) {
            Some(pipe) => pipe,
            None => Pipe::new(ROOM)?,
        };
        let result = pipe.fill(from, most.min(PIECE) as usize);
        let lane = Self(Some(pipe));
        result.map(|n| (n, lane))
    }

    /// Gives what is left to a socket; says how much that took.
    pub(super) fn empty(&mut self, into: &Socket, more: bool) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(0), |pipe| pipe.empty(into, more))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // What was not written is lost with the pipe that holds it.
        if let Some(pipe) = self.0.take()
            && pipe.is_empty()
        {
            // While the thread ends its pool may be gone already.
            let _ = FREE.try_with(|free| {
                let mut free = free.borrow_mut();
                if free.len() < KEPT {
                    free.push(pipe);
                }
            });
        }
    }
}
