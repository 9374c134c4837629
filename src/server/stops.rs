//! Orders to stop accepting: one is obeyed when every worker has said so.

use std::collections::VecDeque;

/// The orders that workers have been given, and how far each has come. Workers obey in order.
#[derive(Debug)]
pub(super) struct Stops {
    /// How many orders each worker has obeyed that are not obeyed by all.
    ahead: Vec<u32>,
    /// How many listeners each of the orders that are not obeyed by all is about.
    orders: VecDeque<u64>,
}

impl Stops {
    pub(super) fn new(workers: usize) -> Self {
        Self { ahead: vec![0; workers], orders: VecDeque::new() }
    }

    /// Workers have been told to close so many listeners.
    pub(super) fn order(&mut self, listeners: u64) {
        self.orders.push_back(listeners);
    }

    /// A worker has obeyed its next order; how many listeners no worker has any more since.
    pub(super) fn obeyed(&mut self, worker: usize) -> Option<u64> {
        self.ahead[worker] += 1;
        if self.ahead.contains(&0) {
            return None;
        }
        self.ahead.iter_mut().for_each(|ahead| *ahead -= 1);
        self.orders.pop_front()
    }

    /// Whether all have obeyed all orders.
    pub(super) fn is_done(&self) -> bool {
        self.orders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_obeyed_when_the_last_worker_has() {
        let mut stops = Stops::new(2);
        stops.order(3);
        stops.order(1);
        assert_eq!(stops.obeyed(1), None);
        assert_eq!(stops.obeyed(1), None);
        assert_eq!(stops.obeyed(0), Some(3));
        assert!(!stops.is_done());
        assert_eq!(stops.obeyed(0), Some(1));
        assert!(stops.is_done());
    }
}
