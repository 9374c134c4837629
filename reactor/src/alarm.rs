//! One timer for many deadlines that nearly never come.
//!
//! A connection has several time limits (idle, headers, route time-out, …), and each request would arm and
//! cancel most of them. Instead each limit is only a stored time, and one alarm is armed no later than the
//! earliest of them. When it rings, the owner looks which limits have really passed and sets the alarm for the
//! next one. A later deadline never touches the timer wheel.

use crate::reactor::Reactor;
use crate::time::Time;
use crate::wheel::TimerKey;

/// A timer that is only ever moved forward by ringing.
#[derive(Debug, Default)]
pub struct Alarm {
    armed: Option<(TimerKey, Time)>,
}

impl Alarm {
    /// Makes sure that `task` comes back at `at` or earlier.
    #[inline]
    pub fn by<T: Copy, M: Send + 'static>(&mut self, at: Time, task: T, reactor: &mut Reactor<T, M>) {
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

    /// Whether a timer is armed.
    pub fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// Disarms.
    pub fn stop<T: Copy, M: Send + 'static>(&mut self, reactor: &mut Reactor<T, M>) {
        if let Some((key, _)) = self.armed.take() {
            reactor.cancel(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Event, Options};
    use std::time::Duration;

    fn after(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs epoll")]
    fn only_an_earlier_deadline_touches_the_wheel() {
        let mut reactor: Reactor<u8, ()> =
            Reactor::new(Options { clock: Clock::fake(), ..Options::default() }).expect("a reactor");
        let mut alarm = Alarm::default();
        alarm.by(after(10), 1, &mut reactor);
        let armed = alarm.armed;
        alarm.by(after(20), 1, &mut reactor);
        assert_eq!(alarm.armed, armed, "a later deadline waits for the alarm to ring");
        alarm.by(after(5), 1, &mut reactor);
        assert_eq!(reactor.armed(), 1, "the earlier one replaces it");
        let mut batch = Vec::new();
        reactor.advance(Duration::from_secs(5));
        reactor.turn(&mut batch).expect("a turn");
        assert_eq!(batch, [Event::Timer(1)]);
        alarm.rang();
        assert!(!alarm.is_armed());
        alarm.by(after(20), 1, &mut reactor);
        alarm.stop(&mut reactor);
        assert_eq!(reactor.armed(), 0);
    }
}
