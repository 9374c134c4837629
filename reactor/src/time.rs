//! Points in time, and where they come from.
//!
//! A loop reads its clock once a turn; everything within the turn sees one time. Reading is a look at memory
//! shared with the kernel, not a system call. The wall clock is for showing only: it may jump, and nothing waits
//! by it.

use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// A point in time: nanoseconds since an arbitrary origin, which is the same for all reactors with a real clock.
/// An optional one takes no more room.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(
    /// One more than the nanoseconds.
    NonZeroU64,
);

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// Nanoseconds since the origin.
    #[inline]
    pub fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// From nanoseconds since the origin.
    #[inline]
    pub fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Time since an earlier point; zero if it is not earlier.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// Where a reactor's time comes from.
#[derive(Copy, Clone, Debug, Default)]
pub enum Clock {
    /// The system's monotonic clock.
    #[default]
    Real,
    /// Stands still until it is moved with [`crate::Reactor::advance`]; for tests.
    Fake,
}

impl Clock {
    /// A clock for tests.
    pub fn fake() -> Self {
        Self::Fake
    }
}

/// A clock that is read once a turn.
#[derive(Debug)]
pub(crate) struct Cached {
    fake: bool,
    origin: Instant,
    now: Time,
    wall: SystemTime,
    /// When `wall` was last read from the system.
    wall_read: Time,
}

/// Where real time begins: for all reactors of the process, so that they can compare.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How long the wall clock is carried on by the monotonic one before it is read again.
const WALL_AGE: Duration = Duration::from_millis(500);

impl Cached {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            fake: matches!(clock, Clock::Fake),
            origin: *ORIGIN,
            now: Time::ZERO,
            wall: SystemTime::now(),
            wall_read: Time::ZERO,
        }
    }

    pub(crate) fn is_fake(&self) -> bool {
        self.fake
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.wall + (self.now - self.wall_read)
    }

    /// Reads the system's clocks.
    pub(crate) fn read(&mut self) {
        if self.fake {
            return;
        }
        self.now = Time::ZERO + self.origin.elapsed();
        if self.now - self.wall_read > WALL_AGE {
            self.wall = SystemTime::now();
            self.wall_read = self.now;
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        assert!(self.fake, "only a fake clock is moved by hand");
        self.now = self.now + by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let second = Duration::from_secs(1);
        let later = Time::ZERO + second;
        assert_eq!(later - Time::ZERO, second);
        assert_eq!(Time::ZERO - later, Duration::ZERO);
        assert_eq!((later + Duration::MAX).as_nanos(), u64::MAX - 1);
        assert_eq!(size_of::<Option<Time>>(), size_of::<u64>());
    }

    #[test]
    fn a_fake_clock_stands_still() {
        let mut clock = Cached::new(Clock::fake());
        clock.read();
        assert_eq!(clock.now(), Time::ZERO);
        let wall = clock.wall();
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now() - Time::ZERO, Duration::from_secs(60));
        assert_eq!(clock.wall(), wall + Duration::from_secs(60));
    }
}
