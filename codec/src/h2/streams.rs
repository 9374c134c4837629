//! The streams of a connection: where they are kept, how they are found, and what is remembered of those that are
//! gone.

use super::flow::SendWindow;
use super::stream::Stream;
use std::collections::VecDeque;

/// Slots, and entries of the index, that are kept when the last stream is gone.
const KEPT: usize = 128;

/// All streams that are not closed.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Option<Stream>>,
    free: Vec<u32>,
    index: Index,
}

impl Streams {
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.slots[self.index.find(id)?].as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.slots[self.index.find(id)?].as_mut()
    }

    pub(super) fn insert(&mut self, stream: Stream) {
        let id = stream.id;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(stream);
                slot
            }
            None => {
                self.slots.push(Some(stream));
                self.slots.len() as u32 - 1
            }
        };
        self.index.insert(id, slot);
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let slot = self.index.remove(id)?;
        let stream = self.slots[slot].take();
        if self.index.used == 0 && self.slots.len() > KEPT {
            // What a burst has needed is given back.
            *self = Self::default();
        } else {
            self.free.push(slot as u32);
        }
        stream
    }

    pub(super) fn len(&self) -> usize {
        self.index.used
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().flatten()
    }
}

/// From identifiers to slots: open addressing, no key being 0.
///
/// Identifiers are chosen by the peer, but at most a few thousand are in here, so the worst that it can choose is a
/// short scan.
#[derive(Debug, Default)]
struct Index {
    entries: Vec<(u32, u32)>,
    used: usize,
}

impl Index {
    fn place(&self, id: u32) -> usize {
        // Identifiers count up by two.
        let hash = (id >> 1).wrapping_mul(0x9e37_79b1);
        (hash >> 16) as usize & (self.entries.len() - 1)
    }

    #[inline]
    fn find(&self, id: u32) -> Option<usize> {
        self.position(id).map(|at| self.entries[at].1 as usize)
    }

    #[inline]
    fn position(&self, id: u32) -> Option<usize> {
        if self.entries.is_empty() || id == 0 {
            return None;
        }
        let mut at = self.place(id);
        loop {
            match self.entries[at].0 {
                0 => return None,
                found if found == id => return Some(at),
                _ => at = (at + 1) & (self.entries.len() - 1),
            }
        }
    }

    fn insert(&mut self, id: u32, slot: u32) {
        if (self.used + 1) * 2 > self.entries.len() {
            let old = std::mem::take(&mut self.entries);
            self.entries = vec![(0, 0); (old.len() * 2).max(16)];
            for (id, slot) in old.into_iter().filter(|(id, _)| *id != 0) {
                self.put(id, slot);
            }
        }
        self.put(id, slot);
        self.used += 1;
    }

    fn put(&mut self, id: u32, slot: u32) {
        let mut at = self.place(id);
        while self.entries[at].0 != 0 {
            at = (at + 1) & (self.entries.len() - 1);
        }
        self.entries[at] = (id, slot);
    }

    fn remove(&mut self, id: u32) -> Option<usize> {
        let mut hole = self.position(id)?;
        let slot = self.entries[hole].1;
        let mask = self.entries.len() - 1;
        // Those behind it move up, unless that would put one before its place.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let (id, _) = self.entries[at];
            if id == 0 {
                break;
            }
            let place = self.place(id);
            if (at.wrapping_sub(place) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.entries[hole] = self.entries[at];
                hole = at;
            }
        }
        self.entries[hole] = (0, 0);
        self.used -= 1;
        Some(slot as usize)
    }
}

/// How a stream ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Both sides have ended it.
    Ended,
    /// The peer has reset it.
    ResetByPeer,
    /// We have reset it: frames that the peer sent before it heard of that may still come.
    ResetByUs,
    /// It was passed over, and never opened.
    Skipped,
}

/// The latest streams that are gone, because what may still come for them depends on how they ended. For those that
/// are older a frame is treated as the mildest rule says.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Identifier without its lowest bit, and how it ended.
    ended: VecDeque<u32>,
    reset: VecDeque<u32>,
    /// First and last of those that were passed over.
    skipped: VecDeque<(u32, u32)>,
    /// Those of `reset` that were answered before their requests were complete.
    answered: VecDeque<Answered>,
}

/// A request that was answered in full before it was complete: it is not wanted any more, but the client may not know
/// that yet, and what it still sends has to be as right as it would have to be on an open stream.
#[derive(Copy, Clone, Debug)]
pub(super) struct Answered {
    pub(super) id: u32,
    pub(super) announced: Option<u64>,
    pub(super) received: u64,
    pub(super) send_window: SendWindow,
}

/// Streams, and gaps between them, that are remembered.
const REMEMBERED: usize = 64;
const GAPS: usize = 4;
/// The same for requests that were answered early.
const ANSWERED: usize = 16;

impl Memory {
    pub(super) fn close(&mut self, id: u32, how: Closed) {
        // What we have reset must be known longest; it has a list of its own.
        let (list, peer) = match how {
            Closed::ResetByUs => (&mut self.reset, 0),
            Closed::ResetByPeer => (&mut self.ended, 1),
            Closed::Ended | Closed::Skipped => (&mut self.ended, 0),
        };
        if list.len() == REMEMBERED {
            list.pop_front();
        }
        list.push_back((id & !1) | peer);
    }

    /// A response was complete before its request.
    pub(super) fn answer(&mut self, answered: Answered) {
        if self.answered.len() == ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(answered);
    }

    pub(super) fn answered(&mut self, id: u32) -> Option<&mut Answered> {
        self.answered.iter_mut().find(|answered| answered.id == id)
    }

    /// What else comes for a request that was answered early does not matter.
    pub(super) fn forget_answered(&mut self, id: u32) {
        self.answered.retain(|answered| answered.id != id);
    }

    /// The client has reset a request that was answered early.
    pub(super) fn reset_answered(&mut self, id: u32) {
        if self.answered(id).is_some() {
            self.forget_answered(id);
            self.reset.retain(|name| *name != id & !1);
            self.close(id, Closed::ResetByPeer);
        }
    }

    /// Streams from `first` to `last` will never be opened.
    pub(super) fn skip(&mut self, first: u32, last: u32) {
        if self.skipped.len() == GAPS {
            self.skipped.pop_front();
        }
        self.skipped.push_back((first, last));
    }

    /// How a stream ended that is in no slot and not idle, if that is still known.
    pub(super) fn recall(&self, id: u32) -> Option<Closed> {
        let name = id & !1;
        if self.reset.contains(&name) {
            return Some(Closed::ResetByUs);
        }
        if let Some(entry) = self.ended.iter().rev().find(|entry| **entry & !1 == name) {
            return Some(if entry & 1 == 1 { Closed::ResetByPeer } else { Closed::Ended });
        }
        self.skipped.iter().any(|(first, last)| (*first..=*last).contains(&id)).then_some(Closed::Skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn the_index_is_a_map(steps in prop::collection::vec((0_u8..3, 0_u32..60, 0_u32..4), 0..300)) {
            let mut index = Index::default();
            let mut model = HashMap::new();
            for (what, id, stride) in steps {
                let id = 1 + id * 2 * [1, 16, 64, 1 << 20][stride as usize];
                match what {
                    0 | 1 if !model.contains_key(&id) => {
                        index.insert(id, id ^ 7);
                        model.insert(id, id ^ 7);
                    }
                    2 => prop_assert_eq!(index.remove(id), model.remove(&id).map(|slot: u32| slot as usize)),
                    _ => {}
                }
                prop_assert_eq!(index.used, model.len());
                for (id, slot) in &model {
                    prop_assert_eq!(index.find(*id), Some(*slot as usize));
                }
                prop_assert_eq!(index.find(id + 2).is_some(), model.contains_key(&(id + 2)));
            }
        }
    }

    #[test]
    fn what_is_gone_is_remembered_for_a_while() {
        let mut memory = Memory::default();
        memory.close(1, Closed::ResetByUs);
        memory.skip(3, 9);
        memory.close(11, Closed::ResetByPeer);
        for id in (13..13 + 2 * 63).step_by(2) {
            memory.close(id, Closed::Ended);
        }
        assert_eq!(memory.recall(1), Some(Closed::ResetByUs));
        assert_eq!([3, 7, 9].map(|id| memory.recall(id)), [Some(Closed::Skipped); 3]);
        assert_eq!([11, 13].map(|id| memory.recall(id)), [Some(Closed::ResetByPeer), Some(Closed::Ended)]);
        memory.close(201, Closed::Ended);
        assert_eq!([11, 13].map(|id| memory.recall(id)), [None, Some(Closed::Ended)]);
    }
}
