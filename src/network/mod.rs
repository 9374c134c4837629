//! What connections have in common, whatever they carry.

mod cidr;
mod token_bucket;

pub use cidr::Cidr;
pub use token_bucket::{Settings as BucketSettings, TokenBucket};
