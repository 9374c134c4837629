//! HPACK, the compression of header fields (RFC 7541).
//!
//! [`Decoder`] turns a block into fields, one at a time, [`Encoder`] the other way round. Both keep what they know of
//! names as [`HeaderId`](crate::HeaderId)s, so that a field from a table is a copy of bytes and no name is looked up
//! twice, and both allocate only while their tables grow to their size. Fields are checked for what HTTP/2 forbids when
//! they are read as literals, once; the tables remember the answer.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod static_table;
mod table;

pub use decoder::{Decoder, Field, Invalid};
pub use encoder::{Encoder, field_bound};

/// The size of the tables until somebody says otherwise (RFC 9113 section 6.5.2).
pub const DEFAULT_TABLE_SIZE: u32 = 4096;
