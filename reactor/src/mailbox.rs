//! Letters to an event loop from other threads: a queue and a waker.
//!
//! The waker is rung only when the queue was empty, so a burst of letters costs one wake-up.

use mio::{Registry, Token, Waker};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

struct Shared<M> {
    queue: Mutex<Queue<M>>,
    waker: Waker,
}

struct Queue<M> {
    letters: VecDeque<M>,
    closed: bool,
}

impl<M> Shared<M> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue<M>> {
        // Nothing panics while the lock is held, and a queue cannot be left half-changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's side.
pub(crate) struct Mailbox<M> {
    shared: Arc<Shared<M>>,
}

/// The means to send letters to an event loop; any thread may keep a copy.
pub struct Sender<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Mailbox<M> {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let queue = Mutex::new(Queue { letters: VecDeque::new(), closed: false });
        Ok(Self { shared: Arc::new(Shared { queue, waker: Waker::new(registry, token)? }) })
    }

    pub(crate) fn sender(&self) -> Sender<M> {
        Sender { shared: Arc::clone(&self.shared) }
    }

    /// Takes up to `most` letters; true when some are left.
    pub(crate) fn take(&self, most: usize, mut each: impl FnMut(M)) -> bool {
        let mut queue = self.shared.lock();
        for _ in 0..most {
            match queue.letters.pop_front() {
                Some(letter) => each(letter),
                None => return false,
            }
        }
        !queue.letters.is_empty()
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.letters.clear();
    }
}

impl<M> Sender<M> {
    /// Sends a letter.
    ///
    /// # Errors
    /// Gives the letter back when the loop is gone.
    pub fn send(&self, letter: M) -> Result<(), M> {
        let first = {
            let mut queue = self.shared.lock();
            if queue.closed {
                return Err(letter);
            }
            queue.letters.push_back(letter);
            queue.letters.len() == 1
        };
        if first && let Err(error) = self.shared.waker.wake() {
            log::error!("cannot wake an event loop: {error}");
        }
        Ok(())
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sender")
    }
}
