//! The dynamic table (RFC 7541 section 2.3.2), for either direction.
//!
//! Fields lie one behind the other in one piece of memory; when its end is reached, what is still alive is moved to
//! the front. The memory grows with what is put in, to twice the table's size at most, and an unused table has
//! none.

use crate::HeaderId;
use std::collections::VecDeque;

/// What a field costs beside its bytes (RFC 7541 section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// A field in the table.
#[derive(Copy, Clone, Debug)]
pub(super) struct Entry {
    /// Where its bytes start in the arena: name, then value. Known names are not stored.
    start: u32,
    pub(super) name: u32,
    pub(super) value: u32,
    pub(super) id: HeaderId,
    /// Nothing is wrong with name and value.
    pub(super) valid: bool,
    /// The encoder's: where it looks for names like this, and the one before it there, counted from the first that
    /// was ever put in.
    pub(super) bucket: u8,
    pub(super) older: u32,
}

impl Entry {
    /// Its size as the RFC counts it.
    fn size(&self) -> usize {
        (self.name + self.value) as usize + OVERHEAD
    }

    /// Bytes of the name in the arena.
    fn stored_name(&self) -> usize {
        if self.id == HeaderId::OTHER { self.name as usize } else { 0 }
    }
}

/// What is put in.
#[derive(Copy, Clone)]
pub(super) struct New<'a> {
    pub(super) id: HeaderId,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) valid: bool,
    pub(super) bucket: u8,
    pub(super) older: u32,
}

/// The dynamic table.
#[derive(Debug)]
pub(super) struct Table {
    arena: Vec<u8>,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Bytes as the RFC counts them, and the most that they may be.
    size: usize,
    limit: usize,
    /// Fields that were ever put in.
    inserted: u32,
}

impl Table {
    pub(super) fn new(limit: u32) -> Self {
        Self { arena: Vec::new(), entries: VecDeque::new(), size: 0, limit: limit as usize, inserted: 0 }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// Fields that were ever put in; wraps.
    pub(super) fn inserted(&self) -> u32 {
        self.inserted
    }

    /// The field at this place, 0 being the newest.
    #[inline]
    pub(super) fn entry(&self, at: usize) -> Option<&Entry> {
        let from_oldest = self.entries.len().checked_sub(at + 1)?;
        self.entries.get(from_oldest)
    }

    #[inline]
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        match entry.id {
            HeaderId::OTHER => &self.arena[entry.start as usize..][..entry.name as usize],
            id => id.name().as_bytes(),
        }
    }

    #[inline]
    pub(super) fn value(&self, entry: &Entry) -> &[u8] {
        &self.arena[entry.start as usize + entry.stored_name()..][..entry.value as usize]
    }

    /// Changes the size that the table may have; fields that do not fit any more are dropped.
    pub(super) fn set_limit(&mut self, limit: u32) {
        self.limit = limit as usize;
        self.evict(0);
        if self.entries.is_empty() {
            self.arena = Vec::new();
        }
    }

    /// Puts a field in, and drops the oldest to make room. One that is too large leaves the table empty (RFC 7541
    /// section 4.4); then `false`.
    pub(super) fn insert(&mut self, new: New<'_>) -> bool {
        let size = new.name.len() + new.value.len() + OVERHEAD;
        if size > self.limit {
            self.evict(usize::MAX);
            return false;
        }
        self.evict(size);
        let stored = if new.id == HeaderId::OTHER { new.name } else { &[] };
        self.make_room(stored.len() + new.value.len());
        let start = self.arena.len();
        self.arena.extend_from_slice(stored);
        self.arena.extend_from_slice(new.value);
        self.entries.push_back(Entry {
            start: start as u32,
            name: new.name.len() as u32,
            value: new.value.len() as u32,
            id: new.id,
            valid: new.valid,
            bucket: new.bucket,
            older: new.older,
        });
        self.size += size;
        self.inserted = self.inserted.wrapping_add(1);
        true
    }

    /// Sees to it that `n` bytes fit behind the others.
    fn make_room(&mut self, n: usize) {
        let end = self.arena.len() + n;
        if end <= self.arena.capacity() {
            return;
        }
        let first = self.entries.front().map_or(self.arena.len(), |entry| entry.start as usize);
        // Not worth it while little is dead: then the arena grows.
        if first >= self.arena.len() / 2 {
            self.arena.copy_within(first.., 0);
            self.arena.truncate(self.arena.len() - first);
            for entry in &mut self.entries {
                entry.start -= first as u32;
            }
        }
    }

    /// Drops the oldest until `needed` more fit.
    fn evict(&mut self, needed: usize) {
        while self.size.saturating_add(needed) > self.limit {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.size -= oldest.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(table: &mut Table, name: &[u8], value: &[u8]) -> bool {
        table.insert(New { id: HeaderId::of(name), name, value, valid: true, bucket: 0, older: 0 })
    }

    fn list(table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..table.len())
            .map(|at| table.entry(at).expect("it is there"))
            .map(|entry| (table.name(entry).to_vec(), table.value(entry).to_vec()))
            .collect()
    }

    #[test]
    fn an_unused_table_has_no_memory() {
        let mut table = Table::new(4096);
        assert_eq!((table.arena.capacity(), table.entries.capacity()), (0, 0));
        assert!(put(&mut table, b"date", b"now"));
        table.set_limit(0);
        assert_eq!((table.arena.capacity(), table.len(), table.size()), (0, 0, 0));
        assert!(!put(&mut table, b"date", b""));
    }

    proptest! {
        #[test]
        fn it_is_a_list_with_a_bound(
            limit in 0_u32..400,
            steps in prop::collection::vec((0_u8..5, "[a-z]{0,20}", 0_usize..150), 0..200),
        ) {
            let mut table = Table::new(limit);
            let mut limit = limit as usize;
            let mut largest = limit;
            let mut model: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            let size = |model: &[(Vec<u8>, Vec<u8>)]| model.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
            for (what, text, length) in steps {
                let value = vec![b'v'; length];
                let name = match what {
                    0 => &b"date"[..],
                    1 => b"cookie",
                    2 | 3 => text.as_bytes(),
                    _ => {
                        limit = length * 3;
                        largest = largest.max(limit);
                        table.set_limit(limit as u32);
                        while size(&model) > limit {
                            model.pop();
                        }
                        continue;
                    }
                };
                let fits = put(&mut table, name, &value);
                model.insert(0, (name.to_vec(), value));
                prop_assert_eq!(fits, size(&model[..1]) <= limit);
                while size(&model) > limit {
                    model.pop();
                }
                prop_assert_eq!(list(&table), model.clone());
                prop_assert_eq!(table.size(), size(&model));
                prop_assert!(table.arena.capacity() <= 4 * largest.max(256), "{}", table.arena.capacity());
            }
        }
    }
}
