//! Letters to an event loop from other threads: a queue and a waker.
//!
//! The waker is rung only by the letter that finds the queue empty, so a burst costs one wake-up; the loop either
//! empties the queue or remembers that it did not. The lock is held to move letters, never while they are used or
//! dropped. Nothing is bounded here: senders are threads of the same program.

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
        let letters = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            std::mem::take(&mut queue.letters)
        };
        // Dropping a letter may do anything, sending to this very mailbox included.
        drop(letters);
    }
}

impl<M> Sender<M> {
    /// Sends a letter.
    ///
    /// # Errors
    /// Gives the letter back when the loop is gone.
    pub fn send(&self, letter: M) -> Result<(), M> {
        if self.put(letter)?
            && let Err(error) = self.shared.waker.wake()
        {
            log::error!("cannot wake an event loop: {error}");
        }
        Ok(())
    }

    /// Puts a letter into the queue; true when it is the one that must wake the loop.
    fn put(&self, letter: M) -> Result<bool, M> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(letter);
        }
        queue.letters.push_back(letter);
        Ok(queue.letters.len() == 1)
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

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use mio::Poll;

    fn mailbox<M>() -> (Mailbox<M>, Poll) {
        let poll = Poll::new().expect("a poll");
        (Mailbox::new(poll.registry(), Token(0)).expect("a waker"), poll)
    }

    #[test]
    fn one_letter_of_a_batch_wakes() {
        let (mailbox, _poll) = mailbox();
        let sender = mailbox.sender();
        for _ in 0..2 {
            let wakes: Vec<_> = (0..4).map(|n| sender.put(n).expect("open")).collect();
            assert_eq!(wakes, [true, false, false, false]);
            let mut taken = Vec::new();
            assert!(mailbox.take(3, |n| taken.push(n)), "one is left");
            assert!(!sender.put(4).expect("open"), "the loop knows that some are left");
            assert!(!mailbox.take(3, |n| taken.push(n)));
            assert_eq!(taken, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn exactly_as_many_as_are_taken_leaves_none() {
        let (mailbox, _poll) = mailbox();
        let sender = mailbox.sender();
        for n in 0..3 {
            sender.send(n).expect("open");
        }
        assert!(!mailbox.take(3, |_| {}));
        assert!(sender.put(3).expect("open"));
    }

    #[test]
    fn a_closed_mailbox_gives_letters_back() {
        let (mailbox, _poll) = mailbox();
        let sender = mailbox.sender();
        sender.send(1).expect("open");
        drop(mailbox);
        assert_eq!(sender.send(2), Err(2));
        assert_eq!(sender.clone().send(3), Err(3));
    }

    /// A letter that answers when it is dropped.
    struct Answering(Sender<Answering>);

    impl Drop for Answering {
        fn drop(&mut self) {
            if let Err(refused) = self.0.put(Answering(self.0.clone())) {
                std::mem::forget(refused);
            }
        }
    }

    #[test]
    fn letters_may_send_while_they_are_dropped() {
        let (mailbox, _poll) = mailbox();
        let sender = mailbox.sender();
        sender.send(Answering(sender.clone())).ok().expect("open");
        drop(mailbox);
    }

    #[test]
    fn senders_go_anywhere() {
        fn anywhere<T: Clone + Send + Sync>() {}
        anywhere::<Sender<std::cell::Cell<u8>>>();
    }
}
