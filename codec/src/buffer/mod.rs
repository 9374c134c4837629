//! Chained byte buffers, libevent's `evbuffer` in idea: bytes are appended, moved, and drained without being
//! copied around, and an empty buffer owns no memory.
//!
//! Blocks come from a pool of the thread (see `pool`) and go back as soon as they are drained. No locks, no
//! reference counts, no `unsafe`.

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
