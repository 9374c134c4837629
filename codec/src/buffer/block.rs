//! One piece of memory in a buffer, with the part of it that is in use; or so many bytes that lie elsewhere.

use super::pool;
use std::any::Any;
use std::mem;

/// Whatever holds bytes that are not in memory, such as a pipe of the kernel. Dropping it drops them.
pub type Foreign = Box<dyn Any + Send>;

/// Memory of which `start..end` holds bytes. Goes back to the pool when dropped.
pub(super) struct Block {
    /// Empty for bytes that lie elsewhere.
    memory: Box<[u8]>,
    start: u32,
    end: u32,
    foreign: Option<Foreign>,
}

impl Block {
    /// An empty block of this size, at most 2^31 bytes.
    #[inline]
    pub(super) fn new(size: usize) -> Self {
        Self { memory: pool::take(size), start: 0, end: 0, foreign: None }
    }

    /// So many bytes that `foreign` holds, at most 2^31.
    pub(super) fn elsewhere(length: usize, foreign: Foreign) -> Self {
        Self { memory: Box::default(), start: 0, end: length as u32, foreign: Some(foreign) }
    }

    /// Who holds the bytes, if they are not here.
    #[inline]
    pub(super) fn foreign(&mut self) -> Option<&mut Foreign> {
        self.foreign.as_mut()
    }

    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.is_some()
    }

    /// Empty if they lie elsewhere.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Memory behind the bytes.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.end as usize..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn room_len(&self) -> usize {
        self.memory.len().saturating_sub(self.end as usize)
    }

    /// Takes the first `n` bytes of the room as filled.
    #[inline]
    pub(super) fn fill(&mut self, n: usize) {
        debug_assert!(n <= self.room_len());
        self.end += n as u32;
    }

    /// Appends as much as there is room for; says how much.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room_len());
        self.room()[..n].copy_from_slice(&bytes[..n]);
        self.fill(n);
        n
    }

    /// Drops the first `n` bytes.
    #[inline]
    pub(super) fn drain(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n as u32;
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.foreign.is_none() {
            pool::give(mem::take(&mut self.memory));
        }
    }
}
