//! How urgent a response is for the client (RFC 9218): those that wait to be written go by it.
//!
//! Of two responses that wait, the more urgent is written first; those of equal urgency take turns. The other parameter,
//! `incremental`, changes nothing: to take turns is right for responses that have it and harmless for the others.
//! The tree of RFC 7540 is not built.

use super::frame::{FrameHeader, HEADER};
use super::receive::{Step, Target};
use super::{Connection, Error, Side};
use crate::{Buffer, HeaderId, HeaderMap};
use std::collections::VecDeque;

/// The urgency of a response of which nothing is said.
pub(super) const USUAL: u8 = 3;
const LEAST: u8 = 7;

/// A stream that waits for its turn to write.
#[derive(Copy, Clone, Debug)]
pub(super) struct Turn {
    pub(super) id: u32,
    pub(super) urgency: u8,
}

/// Streams in the order of their turns: the most urgent ones first, and of those who has waited for longest.
#[derive(Debug, Default)]
pub(super) struct Line(VecDeque<Turn>);

impl Line {
    pub(super) fn push(&mut self, turn: Turn) {
        // Nearly always all are equal, and the place is the end.
        let before = self.0.iter().rposition(|other| other.urgency <= turn.urgency);
        self.0.insert(before.map_or(0, |at| at + 1), turn);
    }

    pub(super) fn pop(&mut self) -> Option<u32> {
        self.0.pop_front().map(|turn| turn.id)
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.0.retain(|turn| turn.id != id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The urgency that a request's head asks for.
pub(super) fn of_request(headers: &HeaderMap) -> u8 {
    headers.get(HeaderId::PRIORITY).map_or(USUAL, urgency)
}

/// The urgency in the value of a `priority` field (RFC 9218 section 4): a dictionary, of which the last `u` counts if it
/// is an integer from 0, most urgent, to 7.
fn urgency(value: &[u8]) -> u8 {
    let mut urgency = USUAL;
    for member in value.split(|byte| *byte == b',') {
        let Some(item) = member.trim_ascii().strip_prefix(b"u") else { continue };
        // What parameters an item has does not matter.
        let item = item.split(|byte| *byte == b';').next().unwrap_or_default();
        urgency = match item {
            [b'=', digit @ b'0'..=b'7'] => digit - b'0',
            [b'=', ..] | [] => USUAL,
            // The name only starts with that letter.
            _ => urgency,
        };
    }
    debug_assert!(urgency <= LEAST);
    urgency
}

impl<S: Side> Connection<S> {
    /// PRIORITY_UPDATE (RFC 9218 section 7.1), which is all there.
    pub(super) fn on_priority_update(
        &mut self,
        header: FrameHeader,
        input: &mut Buffer,
    ) -> Result<Step<S::Head>, Error> {
        if !S::SERVER || header.stream != 0 {
            return Err(Error::UnexpectedFrame);
        }
        self.guard.priority(&self.settings, &mut self.counters)?;
        let length = HEADER + header.length as usize;
        let (id, urgency) = match input.linearize(length)[HEADER..length].split_first_chunk::<4>() {
            Some((id, value)) => (u32::from_be_bytes(*id) & !(1 << 31), urgency(value)),
            None => return Err(Error::FrameSize),
        };
        input.drain(length);
        match self.target(id) {
            // Neither the connection nor a stream that we would push is anything to have a priority.
            Target::Idle if id.is_multiple_of(2) => return Err(Error::UnexpectedFrame),
            Target::Idle => self.foretold = Some(Turn { id, urgency }),
            Target::Open => self.change_urgency(id, urgency),
            Target::Gone(_) => {}
        }
        Ok(Step::On)
    }

    fn change_urgency(&mut self, id: u32, urgency: u8) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.urgency = urgency;
        if stream.ready {
            self.ready.remove(id);
            self.ready.push(Turn { id, urgency });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (value, expected) in [
            ("", 3),
            ("u=0", 0),
            ("u=7", 7),
            ("u=8", 3),
            ("u=-1", 3),
            ("u=10", 3),
            ("u=1.0", 3),
            ("u", 3),
            ("u=", 3),
            ("i", 3),
            ("i, u=1", 1),
            (" u=2 , i=?0", 2),
            ("u=2;x=5, i", 2),
            ("u=1, u=5", 5),
            ("u=1, u", 3),
            ("urgent=6, u=4, us", 4),
            ("U=1", 3),
            ("U=1, xu=2", 3),
            (",,u=6,", 6),
        ] {
            assert_eq!(urgency(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_most_urgent_comes_first_and_equals_take_turns() {
        let mut line = Line::default();
        for (id, urgency) in [(1, 3), (3, 3), (5, 0), (7, 7), (9, 3), (11, 0)] {
            line.push(Turn { id, urgency });
        }
        line.remove(3);
        assert_eq!(line.len(), 5);
        let order: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!(order, [5, 11, 1, 9, 7]);
        assert!(line.is_empty());
    }
}
