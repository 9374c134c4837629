//! A value that the main thread replaces while workers use it.
//!
//! Each worker keeps what it last saw and looks at a number to find out whether that is still current, so the usual
//! case is one load; only after a change is a lock taken, once by each worker. Whoever holds the old value keeps it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The place where the main thread puts the current value.
#[derive(Debug)]
pub(super) struct Shared<T> {
    version: AtomicU64,
    current: Mutex<Arc<T>>,
}

/// A worker's view of a [`Shared`] value.
#[derive(Debug)]
pub(super) struct View<T> {
    shared: Arc<Shared<T>>,
    version: u64,
    seen: Arc<T>,
}

impl<T> Shared<T> {
    /// With a first value.
    pub(super) fn new(value: T) -> Self {
        Self { version: AtomicU64::new(0), current: Mutex::new(Arc::new(value)) }
    }

    /// The current value.
    pub(super) fn get(&self) -> Arc<T> {
        // Nothing that holds the lock can panic half way.
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it.
    pub(super) fn set(&self, value: T) {
        let value = Arc::new(value);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = value;
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl<T> View<T> {
    /// Of a shared value.
    pub(super) fn new(shared: &Arc<Shared<T>>) -> Self {
        // The number first: at worst the value is newer than it says, and is fetched a second time.
        let version = shared.version.load(Ordering::Acquire);
        Self { shared: Arc::clone(shared), version, seen: shared.get() }
    }

    /// The current value.
    #[inline]
    pub(super) fn current(&mut self) -> &Arc<T> {
        let version = self.shared.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            self.seen = self.shared.get();
        }
        &self.seen
    }
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), version: self.version, seen: Arc::clone(&self.seen) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_follows_and_old_values_live_on() {
        let shared = Arc::new(Shared::new(1));
        let mut view = View::new(&shared);
        let old = Arc::clone(view.current());
        shared.set(2);
        assert_eq!((*old, **view.current(), *shared.get()), (1, 2, 2));
        shared.set(3);
        shared.set(4);
        assert_eq!(**view.current(), 4);
    }
}
