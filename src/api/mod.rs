//! The configuration schema: the part of Envoy's v3 API that is implemented.
//!
//! The `.proto` files below `proto/` have Envoy's packages, names, numbers and types, so type URLs and wire bytes
//! are the same; what is not in them is not supported. This module holds the generated types and the descriptors
//! that configuration text is checked against.

use prost_reflect::DescriptorPool;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The prefix of the type URLs of `google.protobuf.Any`.
pub const TYPE_URL: &str = "type.googleapis.com/";

/// The descriptors, while somebody has them: some megabytes, which only reading and showing configuration needs.
static POOL: Mutex<Weak<DescriptorPool>> = Mutex::new(Weak::new());

/// The descriptors of all messages of the schema. They are decoded when nobody has them yet, so whoever needs them often
/// keeps them.
pub fn pool() -> Arc<DescriptorPool> {
    let mut kept = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    kept.upgrade().unwrap_or_else(|| {
        let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
        let pool = DescriptorPool::decode(&bytes[..]).expect("the build script has checked the schema");
        let pool = Arc::new(pool);
        *kept = Arc::downgrade(&pool);
        pool
    })
}

#[allow(missing_docs, clippy::all, unreachable_pub, unused_qualifications, reason = "generated")]
mod schema {
    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}

pub use schema::{envoy, xds};
