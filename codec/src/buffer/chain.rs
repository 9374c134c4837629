//! The buffer: a chain of blocks.

use super::block::{Block, Foreign};
use super::pool::{self, Chain, LARGE, SMALL};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};

/// A piece below this size is copied to where it fits rather than moved with its block, and room below it is not
/// offered to a read.
const PIECE: usize = 512;
/// A part of a large block from this size on is not copied, though it keeps the whole block from being used
/// otherwise: four times as much as it is, at most.
const PART: usize = LARGE / 4;
/// Most slices given to one write.
const SLICES: usize = 64;
/// Most bytes offered to one read.
const READ_MOST: usize = 256 << 10;
/// A remainder up to this size is not worth a large block.
const REST: usize = 1 << 10;

/// A queue of bytes in pooled blocks.
///
/// No block in it is empty, and an empty buffer has no chain. A buffer may hold bytes that lie elsewhere
/// ([`Self::append_foreign`]): it can be measured, moved as a whole and written, but those bytes cannot be looked at.
#[derive(Default)]
pub struct Buffer {
    chain: Option<Box<Chain>>,
    length: usize,
}

impl Buffer {
    /// An empty buffer; owns no memory.
    #[inline]
    pub const fn new() -> Self {
        Self { chain: None, length: 0 }
    }

    /// Number of bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn chain(&mut self) -> &mut Chain {
        self.chain.get_or_insert_with(pool::take_chain)
    }

    /// Copies bytes to the end.
    pub fn append(&mut self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.length += bytes.len();
        let chain = self.chain();
        if let Some(last) = chain.back_mut() {
            bytes = &bytes[last.append(bytes)..];
        }
        while !bytes.is_empty() {
            let mut block = Block::new(if bytes.len() <= SMALL { SMALL } else { LARGE });
            bytes = &bytes[block.append(bytes)..];
            chain.push_back(block);
        }
    }

    /// Adds bytes that lie elsewhere to the end.
    pub fn append_foreign(&mut self, length: usize, foreign: Foreign) {
        if length > 0 {
            self.length += length;
            self.chain().push_back(Block::elsewhere(length, foreign));
        }
    }

    /// Who holds the first bytes, if they lie elsewhere, and how many they are.
    #[inline]
    pub fn front_foreign(&mut self) -> Option<(&mut Foreign, usize)> {
        let first = self.chain.as_mut()?.front_mut()?;
        let length = first.len();
        first.foreign().map(|foreign| (foreign, length))
    }

    /// Lets `write` fill room for at least `most` bytes, which lie together, and appends as many as it says it has
    /// written.
    pub fn append_with(&mut self, most: usize, write: impl FnOnce(&mut [u8]) -> usize) {
        let chain = self.chain();
        if chain.back().is_none_or(|last| last.room_len() < most) {
            chain.push_back(Block::new(if most <= SMALL { SMALL } else { most.max(LARGE) }));
        }
        let last = chain.back_mut().expect("it has room");
        let written = write(last.room());
        last.fill(written);
        if last.len() == 0 {
            chain.pop_back();
        }
        self.length += written;
        if self.length == 0 {
            self.clear();
        }
    }

    /// Moves everything from another buffer to the end of this one.
    pub fn move_all(&mut self, from: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, from);
            return;
        }
        self.length += std::mem::take(&mut from.length);
        if let Some(mut blocks) = from.chain.take() {
            let chain = self.chain();
            while let Some(block) = blocks.pop_front() {
                push(chain, block);
            }
            pool::give_chain(blocks);
        }
    }

    /// Moves the first `n` bytes of another buffer (all, if it has fewer) to the end of this one. Whole blocks
    /// are moved, and so are large parts of large blocks; a small part is copied. Stops before bytes that lie elsewhere
    /// and would have to be parted.
    pub fn move_from(&mut self, from: &mut Self, n: usize) {
        if n >= from.length {
            return self.move_all(from);
        }
        let mut left = n;
        while left > 0 {
            let blocks = from.chain.as_mut().expect("n is less than its length");
            let first = blocks.front_mut().expect("n is less than its length");
            if first.len() <= left {
                let block = blocks.pop_front().expect("just seen");
                let moved = block.len();
                left -= moved;
                from.length -= moved;
                self.length += moved;
                push(self.chain(), block);
            } else if first.is_foreign() {
                return;
            } else if left >= PART && first.capacity() >= LARGE {
                let part = first.split(left);
                from.length -= left;
                self.length += left;
                self.chain().push_back(part);
                left = 0;
            } else {
                self.append(&first.bytes()[..left]);
                first.drain(left);
                from.length -= left;
                left = 0;
            }
        }
    }

    /// Drops the first `n` bytes (all, if there are fewer).
    #[inline]
    pub fn drain(&mut self, n: usize) {
        if n >= self.length {
            return self.clear();
        }
        self.length -= n;
        let mut left = n;
        let chain = self.chain.as_mut().expect("the length is more than n");
        while left > 0 {
            let first = chain.front_mut().expect("the length is more than n");
            if first.len() > left {
                first.drain(left);
                return;
            }
            left -= first.len();
            chain.pop_front();
        }
    }

    /// Drops everything.
    #[inline]
    pub fn clear(&mut self) {
        self.length = 0;
        if let Some(mut chain) = self.chain.take() {
            // One by one: most often there is one, for which `VecDeque::clear` does too much.
            while chain.pop_front().is_some() {}
            pool::give_chain(chain);
        }
    }

    /// The first bytes that lie together; empty if there are none.
    #[inline]
    pub fn front(&self) -> &[u8] {
        self.chain.as_ref().and_then(|chain| chain.front()).map_or(&[], Block::bytes)
    }

    /// All bytes, in the pieces in which they lie.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().flat_map(|chain| chain.iter().map(Block::bytes))
    }

    /// The first `n` bytes (all, if there are fewer), laid together.
    pub fn linearize(&mut self, n: usize) -> &[u8] {
        let n = n.min(self.length);
        if n == 0 {
            return &[];
        }
        if self.front().len() < n {
            self.gather(n);
        }
        &self.front()[..n]
    }

    fn gather(&mut self, n: usize) {
        let size = if n <= SMALL { SMALL } else { n.max(LARGE) };
        let mut together = Block::new(size);
        let chain = self.chain.as_mut().expect("there are more than n bytes");
        while together.len() < n {
            let first = chain.front_mut().expect("there are more than n bytes");
            // Take along what fits, so that the rest of a block does not lie alone.
            let taken = together.append(first.bytes());
            if taken == first.len() {
                chain.pop_front();
            } else {
                first.drain(taken);
            }
        }
        chain.push_front(together);
    }

    /// Copies bytes from `offset` on; says how many there were.
    pub fn copy_to(&self, offset: usize, room: &mut [u8]) -> usize {
        let (mut skip, mut done) = (offset, 0);
        for chunk in self.chunks() {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let n = (chunk.len() - skip).min(room.len() - done);
            room[done..done + n].copy_from_slice(&chunk[skip..skip + n]);
            done += n;
            skip = 0;
            if done == room.len() {
                break;
            }
        }
        done
    }

    /// Where `byte` first stands at or after `from`.
    pub fn find(&self, byte: u8, from: usize) -> Option<usize> {
        let mut before = 0;
        for chunk in self.chunks() {
            let skip = from.saturating_sub(before).min(chunk.len());
            if let Some(at) = memchr::memchr(byte, &chunk[skip..]) {
                return Some(before + skip + at);
            }
            before += chunk.len();
        }
        None
    }

    /// The byte at a place.
    pub fn byte(&self, at: usize) -> Option<u8> {
        let mut before = 0;
        for chunk in self.chunks() {
            if let Some(byte) = chunk.get(at - before) {
                return Some(*byte);
            }
            before += chunk.len();
        }
        None
    }

    /// Puts the pieces up to the first that lies elsewhere into `slices`; says into how many.
    pub fn as_io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let here = self.chain.iter().flat_map(|chain| chain.iter()).take_while(|block| !block.is_foreign());
        for (slice, block) in slices.iter_mut().zip(here) {
            *slice = IoSlice::new(block.bytes());
            count += 1;
        }
        count
    }

    /// Offers the first pieces to `write` and drops as many bytes as it says it has written.
    ///
    /// # Errors
    /// What `write` returns; nothing is dropped then.
    #[inline]
    pub fn write_with(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let front = self.front();
        let written = if front.len() == self.length {
            write(&[IoSlice::new(front)])?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.as_io_slices(&mut slices);
            write(&slices[..count])?
        };
        self.drain(written);
        Ok(written)
    }

    /// Offers room for about `want` bytes (at least 4 KiB or `want`, at most 256 KiB) to `read` and appends as
    /// many as it says it has read. Memory that was not needed goes back at once.
    ///
    /// # Errors
    /// What `read` returns; nothing is appended then.
    pub fn read_with(
        &mut self,
        want: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let want = want.min(READ_MOST);
        let tail =
            self.chain.as_mut().and_then(|chain| chain.back_mut()).filter(|last| last.room_len() >= PIECE);
        let spare = tail.as_ref().map_or(0, |last| last.room_len());
        if spare >= want.min(SMALL) && want <= SMALL {
            let last = tail.expect("it has room");
            let n = read(&mut [IoSliceMut::new(last.room())])?;
            last.fill(n);
            self.length += n;
            return Ok(n);
        }
        if want <= SMALL && tail.is_none() {
            // The usual case: one small block, which becomes the buffer.
            let mut block = Block::new(SMALL);
            let n = read(&mut [IoSliceMut::new(block.room())])?;
            if n > 0 {
                block.fill(n);
                self.length += n;
                self.chain().push_back(block);
            }
            return Ok(n);
        }
        self.read_blocks(want, read)
    }

    /// The general case of [`Self::read_with`]: the tail's room and several new blocks.
    fn read_blocks(
        &mut self,
        want: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        const MOST: usize = READ_MOST / LARGE + 1;
        let tail =
            self.chain.as_mut().and_then(|chain| chain.back_mut()).filter(|last| last.room_len() >= PIECE);
        let spare = tail.as_ref().map_or(0, |last| last.room_len());
        let more = want.saturating_sub(spare);
        let size = if more <= SMALL { SMALL } else { LARGE };
        let count = more.div_ceil(size);
        let mut fresh: [Option<Block>; MOST] =
            std::array::from_fn(|at| (at < count).then(|| Block::new(size)));
        let mut slices = [const { None }; MOST + 1];
        let rooms = tail.into_iter().chain(fresh.iter_mut().flatten()).map(Block::room);
        let mut used = 0;
        for (slice, room) in slices.iter_mut().zip(rooms) {
            *slice = Some(IoSliceMut::new(room));
            used += 1;
        }
        let mut slices = slices.map(|slice| slice.unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let n = read(&mut slices[..used])?;
        let mut left = n;
        if spare > 0 {
            let last = self.chain.as_mut().and_then(|chain| chain.back_mut()).expect("it has room");
            let filled = left.min(spare);
            last.fill(filled);
            left -= filled;
        }
        for block in &mut fresh {
            if left == 0 {
                break;
            }
            let mut block = block.take().expect("a read fills no more than it was offered");
            let filled = left.min(size);
            block.fill(filled);
            left -= filled;
            self.chain().push_back(block);
        }
        self.length += n;
        Ok(n)
    }

    /// Offers room of `most` bytes that lie together to `fill` and appends as many as it says it
    /// has filled.
    ///
    /// # Errors
    /// What `fill` returns; nothing is appended then.
    pub fn try_append_with<E>(
        &mut self,
        most: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        if let Some(last) = self.chain.as_mut().and_then(|chain| chain.back_mut())
            && last.room_len() >= most
        {
            let n = fill(&mut last.room()[..most])?;
            last.fill(n);
            self.length += n;
            return Ok(n);
        }
        let mut block = Block::new(if most <= SMALL { SMALL } else { LARGE.max(most) });
        let n = fill(&mut block.room()[..most])?;
        if n > 0 {
            block.fill(n);
            self.length += n;
            self.chain().push_back(block);
        }
        Ok(n)
    }

    /// Moves a small remainder out of a large block, for a buffer that will wait with it.
    pub fn compact(&mut self) {
        if self.length > REST {
            return;
        }
        let oversized = |chain: &Chain| chain.iter().map(Block::capacity).sum::<usize>() > SMALL;
        if self.chain.as_deref().is_some_and(oversized) {
            let mut small = Self::new();
            for chunk in self.chunks() {
                small.append(chunk);
            }
            *self = small;
        }
    }

    /// A copy of all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        self.chunks().for_each(|chunk| bytes.extend_from_slice(chunk));
        bytes
    }

    /// Blocks held, for tests of the rule that an empty buffer holds none.
    #[cfg(test)]
    pub(super) fn blocks(&self) -> usize {
        self.chain.as_ref().map_or(0, |chain| chain.len())
    }
}

/// Appends a block, copying a short one if it fits behind the last.
fn push(chain: &mut Chain, block: Block) {
    if block.len() < PIECE
        && !block.is_foreign()
        && let Some(last) = chain.back_mut()
        && last.room_len() >= block.len()
    {
        last.append(block.bytes());
    } else {
        chain.push_back(block);
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = self.front();
        let shown = &front[..front.len().min(64)];
        write!(out, "Buffer({} bytes: \"{}\")", self.length, shown.escape_ascii())
    }
}

impl PartialEq<[u8]> for Buffer {
    fn eq(&self, other: &[u8]) -> bool {
        let mut rest = other;
        self.length == other.len()
            && self.chunks().all(|chunk| {
                let (start, end) = rest.split_at(chunk.len());
                rest = end;
                start == chunk
            })
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Self {
        let mut buffer = Self::new();
        buffer.append(bytes);
        buffer
    }
}
