//! Chained byte buffers, libevent's `evbuffer` in idea: bytes are appended, moved, and drained without being
//! copied around, and an empty buffer owns no memory.
//!
//! Blocks come from a pool of the thread (see `pool`) and go back as soon as they are drained. Large parts of a
//! large block are moved too: only then is its memory counted by reference. No locks, no `unsafe`.

mod block;
mod chain;
mod pool;
mod watermarks;

pub use block::Foreign;
pub use chain::Buffer;
pub use pool::{LARGE, PoolStats, SMALL, pool_stats};
pub use watermarks::{Crossing, Watermarks};

#[cfg(test)]
mod tests;
