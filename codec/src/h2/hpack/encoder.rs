//! Fields to header blocks.
//!
//! What is put into the table is decided by name: values that differ with every message would only push the
//! others out. Names of which that is not known are watched: after a few values that were never seen again, new
//! ones are sent as they are.

use super::static_table;
use super::table::{New, OVERHEAD, Table};
use super::{DEFAULT_TABLE_SIZE, huffman, integer};
use crate::HeaderId;

/// Most bytes that a field takes in a block.
pub const fn field_bound(name: usize, value: usize) -> usize {
    name + value + 1 + 2 * integer::LONGEST
}

/// Most bytes that changes of the table's size take at the start of a block.
pub(super) const UPDATES_BOUND: usize = 2 * integer::LONGEST;

/// Buckets of names that are not known; a power of two.
const OTHER_BUCKETS: usize = 64;
const BUCKETS: usize = HeaderId::COUNT + OTHER_BUCKETS;
const _: () = assert!(BUCKETS <= 256);
/// How many fields of a bucket are looked at.
const LOOK: usize = 8;
/// Values that may be put in for nothing before new ones are not put in any more, and every how many one is tried.
const MISSES: u8 = 4;
const RETRY: u8 = 32;

/// The fields with one name (or, of names that are not known, a few).
#[derive(Copy, Clone, Debug, Default)]
struct Bucket {
    /// The newest, counted from the first that was ever put in; 0 for none.
    newest: u32,
    /// Fields that were not in the table, since the last one that was.
    misses: u8,
}

/// The sending end.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    buckets: Option<Box<[Bucket; BUCKETS]>>,
    /// The least size of the table since the last block, if the peer has to be told of a change.
    least: Option<u32>,
}

/// A block as it is written.
#[derive(Debug)]
struct Writer<'a> {
    room: &'a mut [u8],
    at: usize,
}

/// Whether and how a field goes into the table.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Policy {
    /// While it pays.
    Watch,
    /// Only so that its name is there.
    Name,
    /// Never, here or further on.
    Never,
}

impl Encoder {
    /// An encoder that makes its table no larger than `limit`.
    pub fn new(limit: u32) -> Self {
        let limit = limit.min(DEFAULT_TABLE_SIZE);
        let least = (limit < DEFAULT_TABLE_SIZE).then_some(limit);
        Self { table: Table::new(limit), buckets: None, least }
    }

    /// Changes the size of the table, which the peer must allow.
    pub fn set_limit(&mut self, limit: u32) {
        if limit != self.table.limit() {
            self.table.set_limit(limit);
            self.least = Some(self.least.map_or(limit, |least| least.min(limit)));
        }
    }

    /// Most bytes that come before the first field of the next block.
    pub fn start_bound(&self) -> usize {
        if self.least.is_some() { UPDATES_BOUND } else { 0 }
    }

    /// Begins a block in `room`: announces changes of the table's size (RFC 7541 section 4.2). Says how many bytes were
    /// written.
    pub fn start(&mut self, room: &mut [u8]) -> usize {
        let Some(least) = self.least.take() else { return 0 };
        let mut at = 0;
        if least < self.table.limit() {
            at += integer::put(&mut room[at..], 0x20, 5, least);
        }
        at + integer::put(&mut room[at..], 0x20, 5, self.table.limit())
    }

    /// Writes a field into `room`, which has [`field_bound`] at least; says how many bytes it were. `name` is the
    /// lower-case name, of which `id` is the number.
    pub fn field(
        &mut self,
        id: HeaderId,
        name: &[u8],
        value: &[u8],
        sensitive: bool,
        room: &mut [u8],
    ) -> usize {
        let mut writer = Writer { room, at: 0 };
        let mut index = 0;
        let policy = if sensitive { Policy::Never } else { policy(id, value) };
        if let Some((found, whole)) = static_table::find(id, name, value) {
            if whole && policy != Policy::Never {
                writer.indexed(found);
                return writer.at;
            }
            index = found;
        }
        let bucket = bucket_of(id, name);
        let (whole, same_name) = self.find(bucket, id, name, value);
        if let Some(age) = whole.filter(|_| policy != Policy::Never) {
            self.bucket(bucket).misses = 0;
            writer.indexed(age + static_table::LENGTH as u32 + 1);
            return writer.at;
        }
        if let Some(age) = same_name.filter(|_| index == 0) {
            index = age + static_table::LENGTH as u32 + 1;
        }
        if self.wanted(policy, bucket, index != 0, name.len() + value.len() + OVERHEAD) {
            writer.integer(0x40, 6, index);
            if index == 0 {
                writer.coded(name);
            }
            writer.coded(value);
            let older = self.bucket(bucket).newest;
            if self.table.insert(New { id, name, value, valid: true, bucket, older }) {
                self.bucket(bucket).newest = self.table.inserted();
            }
        } else {
            writer.integer(if policy == Policy::Never { 0x10 } else { 0 }, 4, index);
            if index == 0 {
                writer.plain(name);
            }
            writer.plain(value);
        }
        writer.at
    }

    /// Whether a field that is not in the table is to be put in.
    fn wanted(&mut self, policy: Policy, bucket: u8, named: bool, size: usize) -> bool {
        if policy == Policy::Never || size > self.table.limit() as usize / 4 * 3 {
            return false;
        }
        if policy == Policy::Name {
            return !named;
        }
        let bucket = self.bucket(bucket);
        bucket.misses = bucket.misses % (u8::MAX - RETRY) + 1;
        bucket.misses <= MISSES || bucket.misses.is_multiple_of(RETRY)
    }

    /// How many fields are newer than the one with this name and value, and than the newest with this name.
    #[inline]
    fn find(&self, bucket: u8, id: HeaderId, name: &[u8], value: &[u8]) -> (Option<u32>, Option<u32>) {
        let Some(buckets) = &self.buckets else { return (None, None) };
        let mut same_name = None;
        let mut number = buckets[usize::from(bucket)].newest;
        for _ in 0..LOOK {
            // One that was dropped is older than all that are there, and so are those before it.
            let age = self.table.inserted().wrapping_sub(number);
            let Some(entry) = self.table.entry(age as usize) else { break };
            if entry.bucket != bucket {
                break;
            }
            if entry.id == id && (id != HeaderId::OTHER || self.table.name(entry) == name) {
                if self.table.value(entry) == value {
                    return (Some(age), same_name);
                }
                same_name = same_name.or(Some(age));
            }
            number = entry.older;
        }
        (None, same_name)
    }

    fn bucket(&mut self, bucket: u8) -> &mut Bucket {
        let buckets = self.buckets.get_or_insert_with(|| Box::new([Bucket::default(); BUCKETS]));
        &mut buckets[usize::from(bucket)]
    }
}

#[inline]
fn bucket_of(id: HeaderId, name: &[u8]) -> u8 {
    match id.number() {
        Some(number) => number as u8,
        None => (HeaderId::COUNT + hash(name) % OTHER_BUCKETS) as u8,
    }
}

/// Tells names apart by their ends and length. Who makes them collide makes only his own fields larger.
fn hash(name: &[u8]) -> usize {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let ends = if name.len() >= 8 {
        word(name.first_chunk()) ^ word(name.last_chunk()).rotate_left(29)
    } else {
        name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    ((ends ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

#[inline]
fn policy(id: HeaderId, value: &[u8]) -> Policy {
    match id {
        HeaderId::AUTHORIZATION | HeaderId::PROXY_AUTHORIZATION => Policy::Never,
        // A short secret could be guessed by the size of blocks (RFC 7541 section 7.1.3).
        HeaderId::COOKIE if value.len() < 20 => Policy::Never,
        HeaderId::PATH
        | HeaderId::AGE
        | HeaderId::CONTENT_LENGTH
        | HeaderId::CONTENT_RANGE
        | HeaderId::ETAG
        | HeaderId::IF_MATCH
        | HeaderId::IF_MODIFIED_SINCE
        | HeaderId::IF_NONE_MATCH
        | HeaderId::IF_RANGE
        | HeaderId::LAST_MODIFIED
        | HeaderId::LOCATION
        | HeaderId::RANGE
        | HeaderId::SET_COOKIE
        | HeaderId::GRPC_MESSAGE
        | HeaderId::X_REQUEST_ID
        | HeaderId::X_CLIENT_TRACE_ID
        | HeaderId::X_FORWARDED_FOR
        | HeaderId::X_B3_SPANID
        | HeaderId::X_B3_PARENTSPANID
        | HeaderId::X_B3_TRACEID
        | HeaderId::TRACEPARENT
        | HeaderId::X_ENVOY_UPSTREAM_SERVICE_TIME
        | HeaderId::X_ENVOY_UPSTREAM_STREAM_DURATION_MS
        | HeaderId::SEC_WEBSOCKET_KEY
        | HeaderId::SEC_WEBSOCKET_ACCEPT => Policy::Name,
        _ => Policy::Watch,
    }
}

impl Writer<'_> {
    #[inline]
    fn indexed(&mut self, index: u32) {
        self.integer(0x80, 7, index);
    }

    #[inline]
    fn integer(&mut self, flags: u8, prefix: u32, value: u32) {
        self.at += integer::put(&mut self.room[self.at..], flags, prefix, value);
    }

    /// A string as it is.
    #[inline]
    fn plain(&mut self, bytes: &[u8]) {
        self.integer(0, 7, bytes.len() as u32);
        self.room[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// A string in Huffman code, if that is shorter: for what will be sent but once.
    fn coded(&mut self, bytes: &[u8]) {
        let length = huffman::encoded_len(bytes);
        if length >= bytes.len() {
            return self.plain(bytes);
        }
        self.integer(0x80, 7, length as u32);
        self.at += huffman::encode(bytes, &mut self.room[self.at..]);
    }
}
