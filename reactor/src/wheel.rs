//! A hierarchical timer wheel: arming and cancelling cost the same however many timers there are.
//!
//! Six levels of 64 slots; a slot of level n spans 64^n ms. A timer lies in the level whose span its distance
//! needs and moves down a level each time its slot comes up, so it fires in its own millisecond, never before.
//! Lists are threaded through the slab that holds the timers. A bitmap for each level finds the next slot that is
//! in use without looking at empty ones.

use crate::slab::{Slab, SlabKey};
use crate::slab_key;
use crate::time::Time;
use std::time::Duration;

slab_key! {
    /// An armed timer.
    pub struct TimerKey;
}

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 6;
/// The farthest distance that the wheel can hold, in ms (about two years); what is farther is looked at again
/// when it comes that near.
const FARTHEST: u64 = (1 << (BITS as u64 * LEVELS as u64)) - 1;
const NANOS_PER_TICK: u64 = 1_000_000;

/// Timers with a value that comes back when they fire.
#[derive(Debug)]
pub struct Wheel<T> {
    timers: Slab<TimerKey, Timer<T>>,
    levels: [Level; LEVELS],
    /// Everything up to and including this tick has fired.
    tick: u64,
}

/// An idle connection holds one of these, so links are slots of the slab, not keys.
#[derive(Debug)]
struct Timer<T> {
    /// The tick in which it fires.
    due: u64,
    next: u32,
    previous: u32,
    /// Level and slot: where the list begins that it is in.
    place: u16,
    value: T,
}

/// The end of a list. The slab cannot hold that many timers: each takes more than 16 bytes.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Level {
    /// Bit n: slot n is not empty.
    used: u64,
    /// The first timer of each slot's list.
    slots: [u32; SLOTS],
}

impl<T> Wheel<T> {
    /// An empty wheel that starts at the origin of time.
    pub fn new() -> Self {
        Self {
            timers: Slab::new(),
            levels: std::array::from_fn(|_| Level { used: 0, slots: [NONE; SLOTS] }),
            tick: 0,
        }
    }

    /// Number of armed timers.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether none is armed.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Arms a timer that fires at `at` or up to a millisecond later; one in the past fires next.
    pub fn arm(&mut self, at: Time, value: T) -> TimerKey {
        let due = at.as_nanos().div_ceil(NANOS_PER_TICK).max(self.tick + 1);
        let key = self.timers.insert(Timer { due, next: NONE, previous: NONE, place: 0, value });
        self.link(key.raw().index());
        key
    }

    /// Disarms a timer and gives its value back; nothing for one that has fired or was cancelled.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        if !self.timers.contains(key) {
            return None;
        }
        self.unlink(key.raw().index());
        self.timers.remove(key).map(|timer| timer.value)
    }

    /// A time at which [`Self::expire`] has something to do: never later than the earliest timer.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.is_empty() {
            return None;
        }
        let tick = (0..LEVELS).filter_map(|level| self.next_slot(level)).map(|(tick, _)| tick).min()?;
        Some(Time::from_nanos(tick.saturating_mul(NANOS_PER_TICK)))
    }

    /// Fires every timer that is due at `now`, in order of their milliseconds, into `fired`.
    pub fn expire(&mut self, now: Time, mut fired: impl FnMut(T)) {
        let target = now.as_nanos() / NANOS_PER_TICK;
        while self.tick < target {
            let slots: [_; LEVELS] = std::array::from_fn(|level| self.next_slot(level));
            let Some(tick) = slots.iter().flatten().map(|(tick, _)| *tick).min() else { break };
            if tick > target {
                break;
            }
            // What comes up at this tick fires if it is due; the rest of a higher slot moves down.
            self.tick = tick;
            for (level, slot) in slots.iter().enumerate() {
                if let Some((at, slot)) = *slot
                    && at == tick
                {
                    self.empty(level, slot, &mut fired);
                }
            }
        }
        self.tick = self.tick.max(target);
    }

    fn empty(&mut self, level: usize, slot: usize, fired: &mut impl FnMut(T)) {
        self.levels[level].used &= !(1 << slot);
        let mut next = std::mem::replace(&mut self.levels[level].slots[slot], NONE);
        while next != NONE {
            let current = next;
            let timer = self.timer(current);
            next = timer.next;
            if timer.due > self.tick {
                self.link(current);
            } else if let Some(timer) = self.timers.key_at(current).and_then(|key| self.timers.remove(key)) {
                fired(timer.value);
            }
        }
    }

    /// The first slot in use of a level after the present tick, and the tick at which it comes up.
    fn next_slot(&self, level: usize) -> Option<(u64, usize)> {
        let used = self.levels[level].used;
        if used == 0 {
            return None;
        }
        let shift = BITS * level as u32;
        // Slots are numbered from the one after the present; the present one of a higher level is a whole
        // turn away, its timers having moved down when it came up.
        let present = self.tick >> shift;
        let from = (present + 1) as u32 % SLOTS as u32;
        let distance = u64::from(used.rotate_right(from).trailing_zeros());
        let turn = present + 1 + distance;
        Some((turn << shift, (turn % SLOTS as u64) as usize))
    }

    fn timer(&mut self, index: u32) -> &mut Timer<T> {
        self.timers.at_mut(index).expect("linked timers live")
    }

    /// Puts a timer in front of the list that its distance needs.
    fn link(&mut self, index: u32) {
        let due = self.timer(index).due.min(self.tick.saturating_add(FARTHEST));
        // The level at which due and present differ: there the due slot lies ahead within one turn.
        let differing = 63 - ((self.tick ^ due) | 1).leading_zeros();
        let level = ((differing / BITS) as usize).min(LEVELS - 1);
        let slot = (due >> (BITS * level as u32)) as usize % SLOTS;
        let next = std::mem::replace(&mut self.levels[level].slots[slot], index);
        self.levels[level].used |= 1 << slot;
        let timer = self.timer(index);
        timer.place = (level * SLOTS + slot) as u16;
        timer.previous = NONE;
        timer.next = next;
        if next != NONE {
            self.timer(next).previous = index;
        }
    }

    /// Takes a timer out of its list.
    fn unlink(&mut self, index: u32) {
        let Timer { next, previous, place, .. } = *self.timer(index);
        if previous != NONE {
            self.timer(previous).next = next;
        } else {
            let (level, slot) = (&mut self.levels[place as usize / SLOTS], place as usize % SLOTS);
            level.slots[slot] = next;
            if next == NONE {
                level.used &= !(1 << slot);
            }
        }
        if next != NONE {
            self.timer(next).previous = previous;
        }
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The time-out for epoll that reaches `deadline` and does not end before it, in whole milliseconds.
pub(crate) fn poll_timeout(deadline: Time, now: Time) -> Duration {
    let nanos = (deadline - now).as_nanos() as u64;
    Duration::from_millis(nanos.div_ceil(NANOS_PER_TICK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ms(n: u64) -> Time {
        Time::from_nanos(n * NANOS_PER_TICK)
    }

    fn fire(wheel: &mut Wheel<u64>, at: u64) -> Vec<u64> {
        let mut fired = Vec::new();
        wheel.expire(ms(at), |value| fired.push(value));
        fired
    }

    #[test]
    fn timers_of_all_distances_fire_in_their_millisecond() {
        for start in [0, 1, 63, 64, 4095, 4096, 262_143, 1_000_000_007] {
            for distance in [1, 2, 63, 64, 65, 4095, 4096, 4097, 262_144, 20_000_000, 2_000_000_000] {
                let mut wheel = Wheel::new();
                fire(&mut wheel, start);
                wheel.arm(ms(start + distance), 7);
                assert_eq!(fire(&mut wheel, start + distance - 1), [], "{start}+{distance}");
                assert_eq!(fire(&mut wheel, start + distance), [7], "{start}+{distance}");
                assert!(wheel.is_empty());
            }
        }
    }

    #[test]
    fn beyond_the_farthest() {
        let mut wheel = Wheel::new();
        let key = wheel.arm(Time::from_nanos(u64::MAX), 1);
        wheel.arm(ms(FARTHEST + 100), 2);
        assert_eq!(fire(&mut wheel, FARTHEST + 99), []);
        assert_eq!(fire(&mut wheel, FARTHEST + 100), [2]);
        assert_eq!(wheel.cancel(key), Some(1));
    }

    #[test]
    fn a_fraction_of_a_millisecond_is_rounded_up() {
        let mut wheel = Wheel::new();
        wheel.arm(Time::from_nanos(1_000_001), 1);
        assert_eq!(fire(&mut wheel, 1), []);
        assert_eq!(fire(&mut wheel, 2), [1]);
        assert_eq!(poll_timeout(Time::from_nanos(1), Time::ZERO), Duration::from_millis(1));
        assert_eq!(poll_timeout(Time::ZERO, ms(5)), Duration::ZERO);
    }

    #[test]
    fn cancelling_twice_or_after_firing_gives_nothing() {
        let mut wheel = Wheel::new();
        let (a, b) = (wheel.arm(ms(5), 1), wheel.arm(ms(5), 2));
        assert_eq!(wheel.cancel(a), Some(1));
        assert_eq!(wheel.cancel(a), None);
        assert_eq!(fire(&mut wheel, 5), [2]);
        assert_eq!(wheel.cancel(b), None);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn what_is_due_already_fires_in_the_next_millisecond() {
        let mut wheel = Wheel::new();
        fire(&mut wheel, 1000);
        for at in [0, 3, 999, 1000] {
            wheel.arm(ms(at), at);
        }
        assert_eq!(wheel.next_deadline(), Some(ms(1001)));
        let mut fired = fire(&mut wheel, 1001);
        fired.sort_unstable();
        assert_eq!(fired, [0, 3, 999, 1000]);
    }

    #[test]
    fn a_cancelled_timer_is_not_waited_for() {
        let mut wheel = Wheel::new();
        wheel.arm(ms(40), 1);
        for at in [5, 64, 39] {
            let (near, far) = (wheel.arm(ms(at), 2), wheel.arm(ms(at), 3));
            wheel.cancel(near);
            wheel.cancel(far);
            assert_eq!(wheel.next_deadline(), Some(ms(40)), "{at}");
        }
    }

    #[test]
    fn a_timer_is_small() {
        // As much as the proxy's tasks carry: a kind and a key.
        type Task = (bool, bool, crate::RawKey);
        assert_eq!(size_of::<Task>(), 12);
        assert!(size_of::<Timer<Task>>() <= 32);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 512 }))]
        #[test]
        fn it_fires_what_a_sorted_list_fires(
            steps in prop::collection::vec((0u8..4, any::<u32>(), 0u32..32), 0..150)
        ) {
            let mut wheel = Wheel::new();
            let mut model: BTreeMap<(u64, u64), TimerKey> = BTreeMap::new();
            let (mut now, mut id) = (0u64, 0u64);
            for (what, n, shift) in steps {
                // Distances of every magnitude.
                let n = u64::from(n >> shift);
                match what {
                    0 | 1 => {
                        id += 1;
                        let due = now + n.max(1);
                        // A fraction of a millisecond counts as a whole one.
                        let early = Duration::from_nanos(u64::from(shift) * 31_000);
                        let at = Time::from_nanos((ms(due) - (Time::ZERO + early)).as_nanos() as u64);
                        model.insert((due, id), wheel.arm(at, id));
                    }
                    2 => {
                        if let Some(entry) = model.keys().nth(n as usize % model.len().max(1)).copied() {
                            let key = model.remove(&entry).expect("just seen");
                            prop_assert_eq!(wheel.cancel(key), Some(entry.1));
                            prop_assert_eq!(wheel.cancel(key), None);
                        }
                    }
                    _ => {
                        now += n;
                        let mut fired = fire(&mut wheel, now);
                        let mut expected = BTreeMap::new();
                        while let Some(entry) = model.first_entry().filter(|entry| entry.key().0 <= now) {
                            let ((due, id), _) = entry.remove_entry();
                            expected.insert(id, due);
                        }
                        let order: Vec<_> = fired.iter().map(|id| expected.get(id)).collect();
                        prop_assert!(order.iter().all(Option::is_some), "only what is due fires");
                        prop_assert!(order.is_sorted(), "in the order of their milliseconds");
                        fired.sort_unstable();
                        prop_assert!(fired.iter().eq(expected.keys()), "all that is due fires, once");
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                match (model.keys().next(), wheel.next_deadline()) {
                    (None, deadline) => prop_assert_eq!(deadline, None),
                    (Some((due, _)), deadline) => {
                        let deadline = deadline.expect("a timer is armed");
                        prop_assert!(deadline <= ms(*due) && deadline > ms(now));
                    }
                }
            }
        }
    }
}
