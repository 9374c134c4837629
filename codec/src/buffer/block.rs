//! One piece of memory in a buffer, with the part of it that is in use.

use super::pool;
use std::mem;

/// Memory of which `start..end` holds bytes. Goes back to the pool when dropped.
pub(super) struct Block {
    memory: Box<[u8]>,
    start: u32,
    end: u32,
}

impl Block {
    /// An empty block of this size, at most 2^31 bytes.
    #[inline]
    pub(super) fn new(size: usize) -> Self {
        Self { memory: pool::take(size), start: 0, end: 0 }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start as usize..self.end as usize]
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
        &mut self.memory[self.end as usize..]
    }

    #[inline]
    pub(super) fn room_len(&self) -> usize {
        self.memory.len() - self.end as usize
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
        pool::give(mem::take(&mut self.memory));
    }
}
