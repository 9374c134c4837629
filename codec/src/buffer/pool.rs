//! The blocks that a thread keeps for its buffers.
//!
//! Two sizes: small for heads and short bodies, large for bulk. What is kept is bounded; beyond that, and when
//! the thread ends, memory goes back to the allocator.

use super::block::Block;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

/// Size of a small block in bytes.
pub const SMALL: usize = 4 << 10;
/// Size of a large block in bytes.
pub const LARGE: usize = 64 << 10;

/// Most free blocks kept of each size: 1 MiB and 4 MiB.
const SMALL_KEPT: usize = (1 << 20) / SMALL;
const LARGE_KEPT: usize = (4 << 20) / LARGE;
/// Most empty chains kept, and the most blocks a kept chain has room for.
const CHAINS_KEPT: usize = 256;
const CHAIN_ROOM: usize = 64;

/// Most counters of shared memory kept while there is none.
const SHELLS_KEPT: usize = 2 * LARGE_KEPT;

/// The blocks of a buffer, in order.
pub(super) type Chain = VecDeque<Block>;

/// Blocks of this thread that are in use.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Small blocks in buffers.
    pub small_outstanding: usize,
    /// Large blocks in buffers.
    pub large_outstanding: usize,
    /// Blocks of other sizes in buffers.
    pub odd_outstanding: usize,
    /// Free small blocks kept.
    pub small_free: usize,
    /// Free large blocks kept.
    pub large_free: usize,
}

struct Pool {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
    #[allow(clippy::vec_box, reason = "chains are handed out boxed; keeping the box is the point")]
    chains: Vec<Box<Chain>>,
    /// Counters without memory.
    shells: Vec<Arc<Box<[u8]>>>,
    stats: PoolStats,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool {
            small: Vec::new(),
            large: Vec::new(),
            chains: Vec::new(),
            shells: Vec::new(),
            stats: PoolStats {
                small_outstanding: 0,
                large_outstanding: 0,
                odd_outstanding: 0,
                small_free: 0,
                large_free: 0,
            },
        })
    };
}

/// How many blocks of this thread are in use and free.
pub fn pool_stats() -> PoolStats {
    POOL.with_borrow(|pool| PoolStats {
        small_free: pool.small.len(),
        large_free: pool.large.len(),
        ..pool.stats
    })
}

/// Memory of exactly `size` bytes; zeroed once when it is made, later with whatever was in it.
pub(super) fn take(size: usize) -> Box<[u8]> {
    let kept = POOL.with_borrow_mut(|pool| match size {
        SMALL => {
            pool.stats.small_outstanding += 1;
            pool.small.pop()
        }
        LARGE => {
            pool.stats.large_outstanding += 1;
            pool.large.pop()
        }
        _ => {
            pool.stats.odd_outstanding += 1;
            None
        }
    });
    kept.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

/// Gives memory back.
pub(super) fn give(memory: Box<[u8]>) {
    // While the thread ends its pool may be gone already: then the allocator takes the memory.
    let _ = POOL.try_with(|pool| {
        let Pool { small, large, stats, .. } = &mut *pool.borrow_mut();
        match memory.len() {
            SMALL => {
                stats.small_outstanding -= 1;
                if small.len() < SMALL_KEPT {
                    small.push(memory);
                }
            }
            LARGE => {
                stats.large_outstanding -= 1;
                if large.len() < LARGE_KEPT {
                    large.push(memory);
                }
            }
            _ => stats.odd_outstanding -= 1,
        }
    });
}

/// Memory that several blocks are going to have parts of.
pub(super) fn share(memory: Box<[u8]>) -> Arc<Box<[u8]>> {
    let mut shell = POOL.with_borrow_mut(|pool| pool.shells.pop()).unwrap_or_default();
    match Arc::get_mut(&mut shell) {
        Some(inside) => {
            *inside = memory;
            shell
        }
        None => Arc::new(memory),
    }
}

/// A block that has a part of this memory is dropped; the last one gives it back.
pub(super) fn give_shared(shared: &mut Arc<Box<[u8]>>) {
    let Some(memory) = Arc::get_mut(shared) else { return };
    give(mem::take(memory));
    let _ = POOL.try_with(|pool| {
        let shells = &mut pool.borrow_mut().shells;
        if shells.len() < SHELLS_KEPT {
            shells.push(Arc::clone(shared));
        }
    });
}

/// An empty chain.
pub(super) fn take_chain() -> Box<Chain> {
    POOL.with_borrow_mut(|pool| pool.chains.pop()).unwrap_or_else(|| Box::new(Chain::with_capacity(4)))
}

/// Gives an empty chain back.
pub(super) fn give_chain(chain: Box<Chain>) {
    debug_assert!(chain.is_empty());
    if chain.capacity() > CHAIN_ROOM {
        return;
    }
    let _ = POOL.try_with(|pool| {
        let chains = &mut pool.borrow_mut().chains;
        if chains.len() < CHAINS_KEPT {
            chains.push(chain);
        }
    });
}
