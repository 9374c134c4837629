//! `envoy.filters.listener.local_ratelimit`: connections that come too fast are closed.

use super::Step;
use crate::io::Cx;
use crate::network::TokenBucket;
use crate::stats::Counter;
use std::sync::LazyLock;
use std::time::Instant;

/// What the filter does.
#[derive(Debug)]
pub(in crate::listener) struct Rate {
    /// Shared by all workers.
    pub(super) bucket: TokenBucket,
    /// `runtime_enabled`.
    pub(super) enabled: bool,
    pub(super) rate_limited: Counter,
}

impl Rate {
    pub(super) fn step(&self, cx: &mut Cx<'_>) -> Step {
        if !self.enabled || self.bucket.take(nanos()) {
            return Step::Next;
        }
        cx.stats.inc(self.rate_limited);
        Step::Refuse
    }
}

/// The time on a clock that all workers share, which theirs are not.
fn nanos() -> u64 {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
