//! The configuration schema: the part of Envoy's v3 API that is implemented.
//!
//! The `.proto` files below `proto/` have Envoy's packages, names, numbers and types, so type URLs and wire bytes
//! are the same; what is not in them is not supported. This module holds the generated types and the descriptors
//! that configuration text is checked against.

use prost_reflect::DescriptorPool;
use std::sync::{Mutex, PoisonError};

/// The prefix of the type URLs of `google.protobuf.Any`.
pub const TYPE_URL: &str = "type.googleapis.com/";

/// The descriptors, while somebody needs them.
static POOL: Mutex<Option<DescriptorPool>> = Mutex::new(None);

/// The descriptors of all messages of the schema.
pub fn pool() -> DescriptorPool {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let decode = || {
        let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
        DescriptorPool::decode(&bytes[..]).expect("the build script has checked the schema")
    };
    pool.get_or_insert_with(decode).clone()
}

/// Frees the descriptors, some megabytes, until [`pool`] is called again.
pub fn forget_pool() {
    *POOL.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

#[allow(missing_docs, clippy::all, unreachable_pub, unused_qualifications, reason = "generated")]
mod schema {
    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}

pub use schema::{envoy, xds};
