//! One timer for many deadlines that nearly never come.
//!
//! A connection has several time limits (idle, headers, route time-out, …), and each request would arm and
//! cancel most of them. Instead each limit is only a stored time, and one alarm is armed no later than the
//! earliest of them. When it rings, the owner looks which limits have really passed and sets the alarm for the
//! next one. A later deadline never touches the timer wheel.

use super::{Reactor, Task};
use nuncio_reactor::{Time, TimerKey};

/// A timer that is only ever moved forward by ringing.
#[derive(Debug, Default)]
pub struct Alarm {
    armed: Option<(TimerKey, Time)>,
}

impl Alarm {
    /// Makes sure that `task` comes back at `at` or earlier.
    #[inline]
    pub fn by(&mut self, at: Time, task: Task, reactor: &mut Reactor) {
        match self.armed {
            Some((_, armed)) if armed <= at => {}
            earlier => {
                if let Some((key, _)) = earlier {
                    reactor.cancel(key);
                }
                self.armed = Some((reactor.arm_at(at, task), at));
            }
        }
    }

    /// The task has come back: nothing is armed any more.
    pub fn rang(&mut self) {
        self.armed = None;
    }

    /// Disarms.
    pub fn stop(&mut self, reactor: &mut Reactor) {
        if let Some((key, _)) = self.armed.take() {
            reactor.cancel(key);
        }
    }
}
