//! Pauses between the turns of a busy worker, so that it finds more to do in each.
//!
//! A worker that is quicker than those around it wakes up for every piece of news, and has somebody else woken up for every
//! piece that it passes on. All of them then spend more time on falling asleep and waking up than on their work: the worker,
//! the clients and, above all, the upstream hosts. Network cards know the problem and moderate their interrupts. This is the
//! same: a worker waits for a moment before it looks for more, while news comes in drips and so much is under way that
//! nobody waits for a single piece of it; or while bodies pass through that are large anyway, where all that counts is that
//! no socket runs empty or full meanwhile.

use nuncio_reactor::Time;
use std::time::Duration;

/// How many turns are looked back.
const TURNS: usize = 4;
/// So many turns within this time mean that news comes in drips.
const BUSY: Duration = Duration::from_millis(1);
/// With so many pieces of news a turn was worth its while.
const ENOUGH: usize = 16;
/// With so many bytes read in a turn, and so many for each piece of news, bodies are passing through.
const BULK: u64 = 64 << 10;
const BULKY: u64 = 8 << 10;
/// With no more than this under way somebody may be waiting for each piece.
const PATIENT: usize = 64;
/// A pause for each request or session that is under way, in nanoseconds, and the longest pause. The system adds the slack of
/// its timers, which is 50 µs unless somebody has changed that.
const EACH: u64 = 500;
const MOST: Duration = Duration::from_micros(100);
/// The pause for large bodies.
const FOR_BULK: Duration = Duration::from_micros(20);

/// What a turn of a worker was like.
#[derive(Copy, Clone, Debug)]
pub(super) struct Turn {
    /// When it began.
    pub(super) began: Time,
    /// How many pieces of news it had.
    pub(super) news: usize,
    /// Bytes read.
    pub(super) read: u64,
    /// Requests and sessions that have not ended.
    pub(super) under_way: usize,
}

/// When the last turns began.
#[derive(Debug, Default)]
pub(super) struct Moderation {
    turns: [Time; TURNS],
    next: usize,
}

impl Moderation {
    /// How long to pause after a turn, if at all.
    pub(super) fn pause(&mut self, turn: &Turn) -> Option<Duration> {
        let before = std::mem::replace(&mut self.turns[self.next], turn.began);
        self.next = (self.next + 1) % TURNS;
        if turn.news >= ENOUGH || turn.began.saturating_since(before) >= BUSY {
            return None;
        }
        if turn.under_way > PATIENT {
            return Some(Duration::from_nanos(EACH * turn.under_way as u64).min(MOST));
        }
        (turn.read >= BULK.max(BULKY * turn.news as u64)).then_some(FOR_BULK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_busy_with_little_at_a_time_pauses() {
        for (turns, news, read, under_way, expected) in [
            (100, 1, 100, 65, Some(32_500)),
            (100, 15, 100, 100, Some(50_000)),
            (100, 1, 100, 200, Some(100_000)),
            (100, 1, 100, 5000, Some(100_000)),
            // A turn with much to do is followed by the next at once.
            (100, 16, 100, 1000, None),
            // Somebody may be waiting.
            (100, 1, 100, 64, None),
            (100, 0, 0, 0, None),
            // Turns are few and far between.
            (250, 1, 100, 1000, None),
            (250, 1, 1 << 20, 1, None),
            // Large bodies.
            (100, 1, 64 << 10, 1, Some(20_000)),
            (100, 15, 120 << 10, 8, Some(20_000)),
            (100, 15, 119 << 10, 8, None),
            (100, 1, 60 << 10, 1, None),
        ] {
            let mut moderation = Moderation::default();
            let mut began = Time::ZERO + Duration::from_secs(1);
            for _ in 0..TURNS {
                assert_eq!(moderation.pause(&Turn { began, news, read, under_way }), None);
                began = began + Duration::from_micros(turns);
            }
            let pause = moderation.pause(&Turn { began, news, read, under_way });
            assert_eq!(pause, expected.map(Duration::from_nanos), "{turns} {news} {read} {under_way}");
        }
    }
}
