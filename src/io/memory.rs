//! Simulated connections for tests: a pair of byte queues with TCP's manners.
//!
//! Each side has a bounded window towards the other, so short writes happen; closing with unread input resets,
//! as the kernel does. Nothing here knows of time or readiness: whoever drives the simulation tells the engine
//! when to look.

use super::ConnKey;
use nuncio_reactor::Address;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::rc::Rc;

/// One direction of a connection.
#[derive(Debug, Default)]
struct Lane {
    bytes: RefCell<VecDeque<u8>>,
    window: Cell<usize>,
    /// The writer has met a full window: it is to be told when there is room.
    blocked: Cell<bool>,
    /// The writer has finished.
    finished: Cell<bool>,
    /// The reader is gone.
    abandoned: Cell<bool>,
}

#[derive(Debug, Default)]
struct Pipe {
    lanes: [Lane; 2],
    reset: Cell<bool>,
    refused: Cell<bool>,
}

/// One end of a connection; dropping it closes it.
#[derive(Debug)]
pub(crate) struct End {
    pipe: Rc<Pipe>,
    side: usize,
}

/// A connection with `window` bytes of room in each direction.
pub(crate) fn pair(window: usize) -> (End, End) {
    let pipe = Rc::new(Pipe::default());
    for lane in &pipe.lanes {
        lane.window.set(window);
    }
    (End { pipe: Rc::clone(&pipe), side: 0 }, End { pipe, side: 1 })
}

impl End {
    fn outgoing(&self) -> &Lane {
        &self.pipe.lanes[self.side]
    }

    fn incoming(&self) -> &Lane {
        &self.pipe.lanes[1 - self.side]
    }

    pub(crate) fn recv(&self, room: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let lane = self.incoming();
        let mut bytes = lane.bytes.borrow_mut();
        if bytes.is_empty() {
            if self.pipe.reset.get() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            return if lane.finished.get() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let mut total = 0;
        for slice in room {
            let n = slice.len().min(bytes.len());
            for (to, from) in slice.iter_mut().zip(bytes.drain(..n)) {
                *to = from;
            }
            total += n;
        }
        Ok(total)
    }

    pub(crate) fn send(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        let lane = self.outgoing();
        if self.pipe.reset.get() || lane.abandoned.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut bytes = lane.bytes.borrow_mut();
        let mut free = lane.window.get().saturating_sub(bytes.len());
        let offered: usize = data.iter().map(|slice| slice.len()).sum();
        lane.blocked.set(offered > free);
        if free == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut total = 0;
        for slice in data {
            let n = slice.len().min(free);
            bytes.extend(&slice[..n]);
            total += n;
            free -= n;
        }
        Ok(total)
    }

    pub(crate) fn shutdown_write(&self) {
        self.outgoing().finished.set(true);
    }

    pub(crate) fn take_error(&self) -> io::Result<()> {
        if self.pipe.refused.get() { Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)) } else { Ok(()) }
    }

    /// Breaks the connection: what is under way is lost.
    pub(crate) fn reset(&self) {
        self.pipe.reset.set(true);
        for lane in &self.pipe.lanes {
            lane.bytes.borrow_mut().clear();
        }
    }

    /// Makes the connection fail to be established.
    pub(crate) fn refuse(&self) {
        self.pipe.refused.set(true);
    }

    /// Whether the other end has been reset or dropped.
    pub(crate) fn is_dead(&self) -> bool {
        self.pipe.reset.get() || self.outgoing().abandoned.get()
    }

    /// Whether the connection was reset.
    pub(crate) fn is_reset(&self) -> bool {
        self.pipe.reset.get()
    }

    /// Takes all that has arrived, up to `most` bytes; says whether that gave the writer an edge.
    pub(crate) fn take(&self, most: usize) -> (Vec<u8>, bool) {
        let lane = self.incoming();
        let mut bytes = lane.bytes.borrow_mut();
        let n = most.min(bytes.len());
        let edge = n > 0 && lane.blocked.replace(false);
        (bytes.drain(..n).collect(), edge)
    }

    /// Whether everything that will come has come and was taken.
    pub(crate) fn at_end(&self) -> bool {
        let lane = self.incoming();
        lane.bytes.borrow().is_empty() && (lane.finished.get() || self.pipe.reset.get())
    }

    /// Sends as much as there is room for.
    pub(crate) fn put(&self, data: &[u8]) -> usize {
        self.send(&[IoSlice::new(data)]).unwrap_or(0)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let unread = !self.incoming().bytes.borrow().is_empty();
        self.incoming().abandoned.set(true);
        self.outgoing().finished.set(true);
        if unread {
            self.pipe.reset.set(true);
            self.incoming().bytes.borrow_mut().clear();
        }
    }
}

/// Where simulated connections are dialled to.
#[derive(Debug)]
pub(crate) struct Net {
    window: usize,
    /// Connections that were dialled and not yet taken by [`Net::next_dialed`].
    dialed: Vec<(Address, ConnKey, End)>,
    half: Option<(Address, End)>,
}

impl Net {
    pub(crate) fn new(window: usize) -> Self {
        Self { window, dialed: Vec::new(), half: None }
    }

    pub(super) fn dial(&mut self, address: &Address) -> io::Result<End> {
        let (ours, theirs) = pair(self.window);
        self.half = Some((address.clone(), theirs));
        Ok(ours)
    }

    pub(super) fn dialed(&mut self, key: ConnKey) {
        let (address, end) = self.half.take().expect("dial comes before dialed");
        self.dialed.push((address, key, end));
    }

    /// The next connection that the engine has dialled: where to, its key, and the far end.
    pub(crate) fn next_dialed(&mut self) -> Option<(Address, ConnKey, End)> {
        (!self.dialed.is_empty()).then(|| self.dialed.remove(0))
    }
}
