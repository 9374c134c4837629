//! Routing: the compiled route table, and the router filter that ends the filter chain.

pub mod compile;
pub mod config;
mod ending;
mod exchange;
mod hash_policy;
mod header_ops;
mod re2;
mod rewrite;
pub mod table;

pub use ending::{Cause, Row, reason_phrase};
pub use exchange::{Exchange, Frame, Origin, Step, StreamLimits};
pub use hash_policy::HashPolicy;
pub use header_ops::HeaderOps;
