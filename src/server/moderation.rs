//! Pauses between the turns of a busy worker, so that it finds more to do in each.
//!
//! A worker that is quicker than those around it wakes up for every piece of news, and has somebody else woken up for every
//! piece that it passes on. All of them then spend more time on falling asleep and waking up than on their work: the worker,
//! the clients and, above all, the upstream hosts. Network cards know the problem and moderate their interrupts. This is the
//! same: a worker waits for a moment before it looks for more while news comes in drips, if what it passes on is what ends
//! requests, of which hardly any is so quick that the moment would matter to it; or while bodies pass through that are large,
//! where all that counts is that no socket runs empty or full meanwhile. What is idle has no say in this, however much of it
//! there is: sessions, tunnels, streams that wait.

use crate::http::Tally;
use nuncio_reactor::Time;
use std::time::Duration;

/// How many turns are looked back.
const TURNS: usize = 16;
/// So many turns within this time mean that news comes in drips.
const BUSY: Duration = Duration::from_millis(4);
/// With so many pieces of news a turn was worth its while.
const ENOUGH: usize = 16;
/// With so many bytes read in a turn, and so many for each piece of news, bodies are passing through.
const BULK: u64 = 64 << 10;
const BULKY: u64 = 8 << 10;
/// The most pieces of news to each request that ends. With more, messages pass through that somebody may be waiting for one by
/// one, whatever becomes of the requests.
const NEWS: usize = 4;
/// So many requests must end to each that was quick.
const RARE: usize = 8;
/// A pause is this part of the time that requests take, and never longer than that. The system adds the slack of its timers,
/// which is 50 µs unless somebody has changed that.
const PART: u32 = 20;
const MOST: Duration = Duration::from_micros(200);
/// The pause for large bodies.
const FOR_BULK: Duration = Duration::from_micros(20);

/// What a turn of a worker was like.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Turn {
    /// When it began.
    pub(super) began: Time,
    /// How many pieces of news it had.
    pub(super) news: usize,
    /// Bytes read.
    pub(super) read: u64,
    /// Requests that ended.
    pub(super) ended: Tally,
}

/// What the last turns were like.
#[derive(Debug, Default)]
pub(super) struct Moderation {
    turns: [Turn; TURNS],
    next: usize,
    /// The sums over them.
    news: usize,
    ended: Tally,
}

impl Moderation {
    /// How long to pause after a turn, if at all.
    pub(super) fn pause(&mut self, turn: Turn) -> Option<Duration> {
        let before = std::mem::replace(&mut self.turns[self.next], turn);
        self.next = (self.next + 1) % TURNS;
        self.news = self.news + turn.news - before.news;
        self.ended.all = self.ended.all + turn.ended.all - before.ended.all;
        self.ended.quick = self.ended.quick + turn.ended.quick - before.ended.quick;
        self.ended.took = self.ended.took + turn.ended.took - before.ended.took;
        if turn.news >= ENOUGH || turn.began.saturating_since(before.began) >= BUSY {
            return None;
        }
        if self.ended.quick * RARE > self.ended.all {
            None
        } else if turn.read >= BULK.max(BULKY * turn.news as u64) {
            Some(FOR_BULK)
        } else {
            let pauses = self.ended.all > 0 && self.ended.all * NEWS >= self.news;
            pauses.then(|| (self.ended.took / self.ended.all as u32 / PART).min(MOST))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns that are all alike, this far apart in microseconds, each with so many requests, so many of them quick, which took
    /// so many milliseconds each on average.
    fn after(
        apart: u64,
        news: usize,
        read: u64,
        (all, quick, took): (usize, usize, u64),
    ) -> Option<Duration> {
        let mut moderation = Moderation::default();
        let began = Time::ZERO + Duration::from_secs(1);
        let took = Duration::from_millis(took) * all as u32;
        let mut turn = Turn { began, news, read, ended: Tally { all, quick, took } };
        for _ in 0..TURNS {
            assert_eq!(moderation.pause(turn), None, "too early to tell");
            turn.began = turn.began + Duration::from_micros(apart);
        }
        moderation.pause(turn)
    }

    #[test]
    fn only_who_is_busy_with_little_at_a_time_pauses() {
        for (apart, news, read, requests, expected) in [
            (100, 1, 100, (1, 0, 2), Some(MOST / 2)),
            (100, 4, 100, (1, 0, 4), Some(MOST)),
            (100, 15, 100, (8, 1, 2), Some(MOST / 2)),
            (100, 15, 100, (8, 1, 60_000), Some(MOST)),
            // A turn with much to do is followed by the next at once.
            (100, 16, 100, (16, 0, 4), None),
            // Somebody may be waiting: for an answer, for a message of a stream or a session.
            (100, 7, 100, (7, 1, 4), None),
            (100, 1, 100, (1, 1, 1), None),
            (100, 5, 100, (1, 0, 4), None),
            (100, 1, 100, (0, 0, 0), None),
            // Turns are few and far between.
            (250, 2, 100, (1, 0, 4), None),
            (250, 1, 1 << 20, (0, 0, 0), None),
            // Large bodies.
            (100, 1, 64 << 10, (0, 0, 0), Some(FOR_BULK)),
            (100, 1, 64 << 10, (1, 0, 4), Some(FOR_BULK)),
            (100, 1, 64 << 10, (1, 1, 1), None),
            (100, 15, 120 << 10, (0, 0, 0), Some(FOR_BULK)),
            (100, 15, 119 << 10, (0, 0, 0), None),
            (100, 1, 60 << 10, (0, 0, 0), None),
        ] {
            assert_eq!(after(apart, news, read, requests), expected, "{apart} {news} {read} {requests:?}");
        }
    }

    #[test]
    fn quick_requests_are_remembered_for_some_turns() {
        let mut moderation = Moderation::default();
        let mut began = Time::ZERO + Duration::from_secs(1);
        let mut pauses = |count: usize, quick| {
            let turns = (0..count).map(|_| {
                began = began + Duration::from_micros(100);
                Turn {
                    began,
                    news: 1,
                    read: 0,
                    ended: Tally { all: 1, quick, took: Duration::from_millis(3) },
                }
            });
            turns.filter_map(|turn| moderation.pause(turn)).count()
        };
        assert_eq!(pauses(TURNS + 10, 0), 10);
        assert_eq!(pauses(2, 1), 2, "two among sixteen are few");
        assert_eq!(pauses(1, 1), 0, "three are not");
        assert_eq!(pauses(TURNS - 3, 0), 0);
        assert_eq!(pauses(10, 0), 10);
    }
}
