//! What the workers know of each other's connections: limits, and who has fewest.
//!
//! Counted only where the configuration asks for it; elsewhere nothing here is touched.

use super::config::ListenerConfig;
use crate::io::Mail;
use nuncio_reactor::{Address, Sender, Socket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The counts of all listeners.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Connections of the whole process, if there is a limit.
    pub(super) global: Option<Arc<Gate>>,
    /// By the place of the listener; `None` for those that count nothing.
    listeners: Arc<[Option<Arc<Counts>>]>,
}

/// A number that may not exceed a limit.
#[derive(Debug)]
pub(super) struct Gate {
    limit: u32,
    now: AtomicU32,
}

impl Gate {
    fn new(limit: u32) -> Self {
        Self { limit, now: AtomicU32::new(0) }
    }

    /// Lets one more in, if the limit allows it.
    pub(super) fn enter(&self) -> bool {
        self.now.fetch_update(Relaxed, Relaxed, |now| (now < self.limit).then_some(now + 1)).is_ok()
    }

    /// Lets one more in.
    pub(super) fn enter_anyway(&self) {
        self.now.fetch_add(1, Relaxed);
    }

    /// One has left.
    pub(super) fn leave(&self) {
        self.now.fetch_sub(1, Relaxed);
    }
}

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Counts {
    /// All of them, if there is a limit.
    pub(super) gate: Option<Gate>,
    /// By worker, if each connection goes to the one that has fewest.
    workers: Box<[Tray]>,
}

/// One worker's share of a listener.
#[derive(Debug, Default)]
struct Tray {
    connections: AtomicU32,
    /// What others have accepted for it.
    waiting: Mutex<Vec<Handed>>,
}

/// A connection that another worker has accepted.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) socket: Socket,
    pub(super) peer: Address,
    pub(super) local: Address,
    /// It counts for the limit of the process.
    pub(super) global: bool,
}

impl Shared {
    /// Counts for these listeners on so many workers, and for the process if it has a limit.
    pub fn new(listeners: &[Arc<ListenerConfig>], limit: Option<u32>, workers: usize) -> Self {
        let listeners = listeners.iter().map(|listener| {
            let gate = listener.connection_limit.map(Gate::new);
            let shares = if listener.balanced { workers } else { 0 };
            let counts =
                || Arc::new(Counts { gate, workers: (0..shares).map(|_| Tray::default()).collect() });
            (listener.balanced || listener.connection_limit.is_some()).then(counts)
        });
        Self { global: limit.map(|limit| Arc::new(Gate::new(limit))), listeners: listeners.collect() }
    }

    /// The same limit of the process, without the listeners: for one that is not among them.
    #[must_use]
    pub fn without_listeners(&self) -> Self {
        Self { global: self.global.clone(), listeners: Arc::default() }
    }

    pub(super) fn counts(&self, listener: u32) -> Option<Arc<Counts>> {
        self.listeners.get(listener as usize).cloned().flatten()
    }
}

impl Counts {
    /// Whether connections are spread by number.
    pub(super) fn is_balanced(&self) -> bool {
        !self.workers.is_empty()
    }

    /// The worker that has fewest; it has one more now. The first of several.
    pub(super) fn assign(&self) -> usize {
        loop {
            let counts = self.workers.iter().map(|tray| tray.connections.load(Relaxed)).enumerate();
            let (worker, fewest) = counts.min_by_key(|(_, count)| *count).expect("there are workers");
            // If another worker has been given one in the meantime, look again.
            let counter = &self.workers[worker].connections;
            if counter.compare_exchange(fewest, fewest + 1, Relaxed, Relaxed).is_ok() {
                return worker;
            }
        }
    }

    /// A worker has one more, or one less.
    pub(super) fn count(&self, worker: usize, by: i32) {
        if let Some(tray) = self.workers.get(worker) {
            tray.connections.fetch_add(by as u32, Relaxed);
        }
    }

    /// Leaves a connection for another worker; whether it must be told.
    pub(super) fn leave(&self, worker: usize, handed: Handed) -> bool {
        let mut waiting = self.workers[worker].waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(handed);
        waiting.len() == 1
    }

    /// Takes what others have left for this worker.
    pub(super) fn collect(&self, worker: usize) -> Vec<Handed> {
        let Some(tray) = self.workers.get(worker) else { return Vec::new() };
        std::mem::take(&mut *tray.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The other workers.
#[derive(Clone, Debug, Default)]
pub struct Colleagues {
    /// This worker's own place.
    pub this: usize,
    /// How to reach each.
    pub mail: Arc<[Sender<Mail>]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_no_more_in_than_its_limit() {
        let gate = Gate::new(2);
        assert_eq!([gate.enter(), gate.enter(), gate.enter()], [true, true, false]);
        gate.leave();
        assert_eq!([gate.enter(), gate.enter()], [true, false]);
        gate.enter_anyway();
        gate.leave();
        assert!(!gate.enter());
    }

    #[test]
    fn each_goes_to_who_has_fewest() {
        let counts = Counts { gate: None, workers: (0..3).map(|_| Tray::default()).collect() };
        assert_eq!([0; 4].map(|_| counts.assign()), [0, 1, 2, 0]);
        counts.count(1, -1);
        counts.count(0, -1);
        assert_eq!([0; 4].map(|_| counts.assign()), [1, 0, 1, 2]);
    }

    #[test]
    fn workers_that_assign_at_once_spread_evenly() {
        let counts = Counts { gate: None, workers: (0..4).map(|_| Tray::default()).collect() };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).map(|_| counts.assign()).sum::<usize>());
            }
        });
        let all: Vec<_> = counts.workers.iter().map(|tray| tray.connections.load(Relaxed)).collect();
        assert_eq!(all, [1000; 4]);
    }
}
