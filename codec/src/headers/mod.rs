//! Heads of messages: header maps, well-known names, methods, versions.
//!
//! A map is one arena of bytes with an index, pooled by the thread like buffers are, so a warm connection parses
//! and rewrites heads without allocating. HTTP/1 and HTTP/2 share it: pseudo-headers are ordinary entries.

pub(crate) mod chars;
mod head;
mod id;
pub(crate) mod map;

pub use chars::{is_field_value, is_token};
pub use head::{Method, RequestHead, ResponseHead, Version};
pub use id::{HeaderId, HeaderKey, InvalidName};
pub use map::{Header, HeaderMap, Spelling};
