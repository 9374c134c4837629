//! A token bucket that all workers share: one atomic number, no lock, no timer.
//!
//! What is kept is the time at which the bucket was, or would have been, empty: tokens are the time since then divided
//! by the time that a token takes to come back, and taking one moves that time on. Time comes from the caller, on one
//! clock for all threads.

use crate::api::envoy::r#type::v3 as proto;
use crate::config::Cx;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub struct TokenBucket {
    settings: Settings,
    /// Time between two tokens, in 16ths of a nanosecond so that fast buckets keep their rate.
    interval: u64,
    /// When it was empty, in the same unit and on a clock that begins one whole bucket before the callers'.
    empty_at: AtomicU64,
}

/// `envoy.type.v3.TokenBucket`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Most tokens.
    pub max_tokens: u32,
    /// How many come back in an interval.
    pub tokens_per_fill: u32,
    /// The interval.
    pub fill_interval: Duration,
}

/// log2 of the parts of a nanosecond: 64 bits of them are 36 years.
const UNIT: u32 = 4;

impl Settings {
    /// Compiles them.
    pub fn compile(proto: &proto::TokenBucket, cx: &mut Cx<'_>) -> Option<Self> {
        if proto.max_tokens == 0 {
            cx.missing(&["max_tokens"], "`max_tokens` is required: at least 1");
        }
        let tokens_per_fill = proto.tokens_per_fill.unwrap_or(1);
        if tokens_per_fill == 0 {
            cx.error_at("tokens_per_fill", "at least 1 token must come back");
        }
        cx.required("fill_interval", &proto.fill_interval)?;
        let fill_interval = cx.duration("fill_interval", proto.fill_interval.as_ref(), Duration::ZERO);
        if fill_interval < Duration::from_millis(50) {
            cx.error_at("fill_interval", "the interval must be at least 50ms");
        }
        Some(Self { max_tokens: proto.max_tokens, tokens_per_fill, fill_interval })
    }
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(settings: Settings) -> Self {
        let interval =
            (settings.fill_interval.as_nanos() << UNIT) / u128::from(settings.tokens_per_fill.max(1));
        // A whole bucket must fit into the clock: what would take longer than 9 years to fill is filled by then.
        let longest = (u64::MAX >> 2) / u64::from(settings.max_tokens.max(1));
        let interval = u64::try_from(interval).unwrap_or(u64::MAX).clamp(1, longest);
        Self { settings, interval, empty_at: AtomicU64::new(0) }
    }

    /// What it was made with.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Takes a token; false if there is none. `now` is in nanoseconds.
    pub fn take(&self, now: u64) -> bool {
        let whole = u128::from(self.interval) * u128::from(self.settings.max_tokens);
        // Begins with a full bucket at 0.
        let now = (u128::from(now) << UNIT) + whole;
        let now = u64::try_from(now).unwrap_or(u64::MAX >> 1);
        let earliest = now.saturating_sub(whole as u64);
        let mut empty_at = self.empty_at.load(Relaxed);
        loop {
            // A full bucket does not overflow into a fuller one.
            let next = empty_at.max(earliest) + self.interval;
            if next > now {
                return false;
            }
            match self.empty_at.compare_exchange_weak(empty_at, next, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(changed) => empty_at = changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn bucket(max_tokens: u32, tokens_per_fill: u32, fill_interval: Duration) -> TokenBucket {
        TokenBucket::new(Settings { max_tokens, tokens_per_fill, fill_interval })
    }

    #[test]
    fn a_full_bucket_empties_and_fills_again() {
        let bucket = bucket(3, 1, Duration::from_secs(1));
        let taken = |now| (0..10).take_while(|_| bucket.take(now)).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(SECOND / 2), 0);
        assert_eq!(taken(SECOND), 1);
        assert_eq!(taken(3 * SECOND), 2);
        assert_eq!(taken(100 * SECOND), 3, "never more than it holds");
        assert_eq!(taken(100 * SECOND), 0);
    }

    #[test]
    fn tokens_come_back_evenly_within_an_interval() {
        let bucket = bucket(4, 4, Duration::from_secs(1));
        assert!((0..4).all(|_| bucket.take(5)));
        assert!(!bucket.take(SECOND / 5));
        assert!(bucket.take(5 + SECOND / 4));
        assert!(!bucket.take(5 + SECOND / 4));
    }

    #[test]
    fn extremes_do_not_overflow() {
        for (most, per_fill, interval) in [
            (u32::MAX, u32::MAX, Duration::from_millis(50)),
            (u32::MAX, 1, Duration::MAX),
            (1, 1, Duration::MAX),
            (1, u32::MAX, Duration::from_millis(50)),
        ] {
            let bucket = bucket(most, per_fill, interval);
            for now in [0, 1, u64::MAX >> 40, u64::MAX >> 10, u64::MAX] {
                bucket.take(now);
            }
        }
    }

    #[test]
    fn threads_share_it() {
        let bucket = bucket(1000, 1, Duration::from_secs(3600));
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| bucket.take(SECOND)).count())).collect();
            threads.into_iter().map(|thread| thread.join().expect("it counts")).sum()
        });
        assert_eq!(taken, 1000);
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_no_less(
            most in 1u32..50,
            per_fill in 1u32..20,
            interval_ms in 50u64..2000,
            steps in prop::collection::vec(0u64..300_000_000, 1..200),
        ) {
            let interval = Duration::from_millis(interval_ms);
            let bucket = bucket(most, per_fill, interval);
            let rate = f64::from(per_fill) / interval.as_secs_f64();
            let (mut now, mut tokens, mut last) = (0u64, f64::from(most), 0u64);
            for step in steps {
                now += step;
                tokens = (tokens + (now - last) as f64 / 1e9 * rate).min(f64::from(most));
                last = now;
                let got = bucket.take(now);
                // On the edge either is right.
                if (tokens - 1.0).abs() > 1e-6 {
                    prop_assert_eq!(got, tokens >= 1.0, "at {} with {} tokens", now, tokens);
                }
                if got {
                    tokens -= 1.0;
                }
            }
        }
    }
}
