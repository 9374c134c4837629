//! The connections of one worker to one host for one version of HTTP: which are free, and who waits for one.
//!
//! Only the book-keeping; connections are made and closed by the cluster manager. HTTP/1: one exchange at a time on a
//! connection (no pipelining), the most recently used one first, so that surplus connections age out. HTTP/2: as many as
//! there is room for, on as few connections as possible.

use super::attempt::AttemptKey;
use super::client::ClientKey;
use super::config::Priority;
use std::collections::VecDeque;

/// Which pool of a cluster.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The host, by its place in the cluster.
    pub(super) host: u32,
    pub(super) priority: Priority,
    /// HTTP/2 is spoken.
    pub(super) h2: bool,
}

impl Place {
    /// The pool's place among those of its host.
    pub(super) fn lane(self) -> usize {
        self.priority as usize * 2 + usize::from(self.h2)
    }
}

/// An attempt that waits for a connection.
#[derive(Copy, Clone, Debug)]
pub(super) struct Waiting {
    pub(super) attempt: AttemptKey,
    /// It must get a connection that was never used.
    pub(super) fresh: bool,
}

/// One worker's pool for one host.
#[derive(Debug)]
pub(super) struct Pool {
    /// HTTP/1: connections without an exchange, the last used at the end. HTTP/2: all that take new streams, the
    /// oldest first.
    pub(super) idle: Vec<ClientKey>,
    /// In order of arrival.
    pub(super) waiting: VecDeque<Waiting>,
    /// Connections being made.
    pub(super) connecting: usize,
    /// All connections.
    pub(super) total: usize,
    /// HTTP/2: how many streams a connection is taken to allow as long as the upstream has not said so on it.
    pub(super) assumed: usize,
}

/// The same for a host that has never said it.
const ASSUMED_STREAMS: usize = 100;

impl Default for Pool {
    fn default() -> Self {
        Self { idle: Vec::new(), waiting: VecDeque::new(), connecting: 0, total: 0, assumed: ASSUMED_STREAMS }
    }
}

impl Pool {
    /// Who gets a connection that has just become free; `used` when it has carried an exchange.
    pub(super) fn next_waiting(&mut self, used: bool) -> Option<AttemptKey> {
        let at = self.waiting.iter().position(|waiting| !(used && waiting.fresh))?;
        self.waiting.remove(at).map(|waiting| waiting.attempt)
    }

    /// An attempt no longer waits; says whether it did.
    pub(super) fn forget_waiting(&mut self, attempt: AttemptKey) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.attempt != attempt);
        self.waiting.len() != before
    }

    /// An idle connection is gone.
    pub(super) fn forget_idle(&mut self, client: ClientKey) {
        if let Some(at) = self.idle.iter().rposition(|idle| *idle == client) {
            self.idle.remove(at);
        }
    }

    /// The upstream has said on a connection how many streams that may have: the next one will hardly differ.
    pub(super) fn learn(&mut self, streams: u32) {
        self.assumed = (streams as usize).clamp(1, ASSUMED_STREAMS);
    }

    /// Whether those who wait outnumber the places on the connections being made for them.
    pub(super) fn wants_connection(&self, places: usize) -> bool {
        self.waiting.len() > self.connecting * places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_reactor::{RawKey, SlabKey};

    fn attempt(n: u64) -> AttemptKey {
        AttemptKey::from_raw(RawKey::from_bits((1 << 32) | n))
    }

    #[test]
    fn a_used_connection_is_not_given_to_who_needs_a_fresh_one() {
        let mut pool = Pool::default();
        pool.waiting.push_back(Waiting { attempt: attempt(1), fresh: true });
        pool.waiting.push_back(Waiting { attempt: attempt(2), fresh: false });
        assert!(pool.wants_connection(1));
        assert_eq!(pool.next_waiting(true), Some(attempt(2)));
        assert_eq!(pool.next_waiting(true), None);
        assert_eq!(pool.next_waiting(false), Some(attempt(1)));
        assert!(!pool.wants_connection(1));
    }

    #[test]
    fn who_gives_up_is_forgotten() {
        let mut pool = Pool::default();
        pool.waiting.push_back(Waiting { attempt: attempt(1), fresh: false });
        assert!(pool.forget_waiting(attempt(1)));
        assert!(!pool.forget_waiting(attempt(1)));
    }
}
