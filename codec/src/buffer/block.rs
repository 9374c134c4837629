//! One piece of memory in a buffer, or a part of one, with the part of it that is in use; or so many bytes that lie
//! elsewhere.

use super::pool;
use std::any::Any;
use std::mem;
use std::sync::Arc;

/// Whatever holds bytes that are not in memory, such as a pipe of the kernel. Dropping it drops them.
pub type Foreign = Box<dyn Any + Send>;

/// Bytes from `start` to `end` of some memory. It goes back to the pool when the last block that has a part of it is
/// dropped.
pub(super) struct Block {
    memory: Memory,
    start: u32,
    end: u32,
}

enum Memory {
    Own(Box<[u8]>),
    /// Parts of it are in several blocks, or were: nobody writes to it any more.
    Shared(Arc<Box<[u8]>>),
    Elsewhere(Foreign),
}

impl Block {
    /// An empty block of this size, at most 2^31 bytes.
    #[inline]
    pub(super) fn new(size: usize) -> Self {
        Self { memory: Memory::Own(pool::take(size)), start: 0, end: 0 }
    }

    /// So many bytes that `foreign` holds, at most 2^31.
    pub(super) fn elsewhere(length: usize, foreign: Foreign) -> Self {
        Self { memory: Memory::Elsewhere(foreign), start: 0, end: length as u32 }
    }

    /// Who holds the bytes, if they are not here.
    #[inline]
    pub(super) fn foreign(&mut self) -> Option<&mut Foreign> {
        match &mut self.memory {
            Memory::Elsewhere(foreign) => Some(foreign),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.memory, Memory::Elsewhere(_))
    }

    /// Empty if they lie elsewhere.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        let memory: &[u8] = match &self.memory {
            Memory::Own(memory) => memory,
            Memory::Shared(memory) => memory,
            Memory::Elsewhere(_) => return &[],
        };
        &memory[self.start as usize..self.end as usize]
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Bytes of memory that it keeps from being used otherwise.
    pub(super) fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Own(memory) => memory.len(),
            Memory::Shared(memory) => memory.len(),
            Memory::Elsewhere(_) => 0,
        }
    }

    /// Memory behind the bytes that may be written to.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Own(memory) => &mut memory[self.end as usize..],
            _ => &mut [],
        }
    }

    #[inline]
    pub(super) fn room_len(&self) -> usize {
        match &self.memory {
            Memory::Own(memory) => memory.len() - self.end as usize,
            _ => 0,
        }
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

    /// Takes off the first `n` bytes as a block of their own, without copying them. Neither has room after that.
    pub(super) fn split(&mut self, n: usize) -> Self {
        if let Memory::Own(memory) = &mut self.memory {
            self.memory = Memory::Shared(pool::share(mem::take(memory)));
        }
        let memory = match &self.memory {
            Memory::Shared(memory) => Arc::clone(memory),
            _ => unreachable!("bytes that lie elsewhere are not parted"),
        };
        let (start, end) = (self.start, self.start + n as u32);
        self.drain(n);
        Self { memory: Memory::Shared(memory), start, end }
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        match &mut self.memory {
            Memory::Own(memory) => pool::give(mem::take(memory)),
            Memory::Shared(memory) => pool::give_shared(memory),
            Memory::Elsewhere(_) => {}
        }
    }
}
