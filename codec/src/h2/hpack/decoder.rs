//! Header blocks to fields.

use super::static_table::{self, ENTRIES};
use super::table::{New, Table};
use super::{DEFAULT_TABLE_SIZE, huffman, integer};
use crate::{HeaderId, is_field_value};

/// A block that is not HPACK: the connection cannot go on (RFC 9113 section 4.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Invalid;

impl From<integer::Invalid> for Invalid {
    fn from(_: integer::Invalid) -> Self {
        Self
    }
}

impl From<huffman::Invalid> for Invalid {
    fn from(_: huffman::Invalid) -> Self {
        Self
    }
}

/// A field of a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The number of its name.
    pub id: HeaderId,
    /// Its name; a valid one is lower-case.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// The name is a lower-case token or a pseudo-header's, and the value has no control characters and neither starts
    /// nor ends with a blank (RFC 9113 section 8.2.1).
    pub valid: bool,
    /// It may not be put into a table further on either (RFC 7541 section 6.2.3).
    pub sensitive: bool,
}

/// The receiving end.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The most that the peer may make of the table.
    limit: u32,
    /// The peer has to begin its next block with a change of size (RFC 7541 section 4.2).
    owes_update: bool,
    /// A change of size may stand here: no field of the block has come yet.
    at_start: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder whose table has the size that it starts with.
    pub fn new() -> Self {
        Self {
            table: Table::new(DEFAULT_TABLE_SIZE),
            limit: DEFAULT_TABLE_SIZE,
            owes_update: false,
            at_start: false,
        }
    }

    /// The peer has taken note of this limit: it holds from the next block on.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
        self.owes_update |= limit < self.table.limit();
    }

    /// To be called before the first [`next`](Self::next) of each block.
    pub fn start(&mut self) {
        self.at_start = true;
    }

    /// Takes the next field off `block`; `None` at its end. `scratch` holds what had to be decoded.
    ///
    /// # Errors
    /// The block is not HPACK; the decoder cannot be used any more.
    #[inline]
    pub fn next<'a, 'b: 'a>(
        &'a mut self,
        block: &mut &'b [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Field<'a>>, Invalid> {
        loop {
            let Some(&first) = block.first() else {
                return if std::mem::take(&mut self.at_start) && self.owes_update {
                    Err(Invalid)
                } else {
                    Ok(None)
                };
            };
            if first & 0b1110_0000 == 0b0010_0000 {
                self.change_size(block)?;
                continue;
            }
            if std::mem::take(&mut self.at_start) && self.owes_update {
                return Err(Invalid);
            }
            return if first & 0x80 != 0 {
                let index = integer::take(block, 7)? as usize;
                self.indexed(index).map(Some)
            } else {
                self.literal(first, block, scratch).map(Some)
            };
        }
    }

    fn change_size(&mut self, block: &mut &[u8]) -> Result<(), Invalid> {
        let size = integer::take(block, 5)?;
        if !self.at_start || size > self.limit {
            return Err(Invalid);
        }
        self.owes_update = false;
        self.table.set_limit(size);
        Ok(())
    }

    #[inline]
    fn indexed(&self, index: usize) -> Result<Field<'_>, Invalid> {
        let at = index.checked_sub(1).ok_or(Invalid)?;
        if let Some(entry) = ENTRIES.get(at) {
            let (name, value) = (entry.name.as_bytes(), entry.value.as_bytes());
            return Ok(Field { id: entry.id, name, value, valid: true, sensitive: false });
        }
        let entry = self.table.entry(at - static_table::LENGTH).ok_or(Invalid)?;
        Ok(Field {
            id: entry.id,
            name: self.table.name(entry),
            value: self.table.value(entry),
            valid: entry.valid,
            sensitive: false,
        })
    }

    fn literal<'a, 'b: 'a>(
        &'a mut self,
        first: u8,
        block: &mut &'b [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Field<'a>, Invalid> {
        let incremental = first & 0x40 != 0;
        let sensitive = first & 0xf0 == 0x10;
        let index = integer::take(block, if incremental { 6 } else { 4 })? as usize;
        // Where in `scratch` the name ends and the value starts.
        let mut split = 0;
        let (known, plain) = if index == 0 {
            (None, string(block, scratch, &mut split)?)
        } else if let Some(entry) = ENTRIES.get(index - 1) {
            (Some((entry.id, true)), Some(entry.name.as_bytes()))
        } else {
            let entry = self.table.entry(index - 1 - static_table::LENGTH).ok_or(Invalid)?;
            let name = self.table.name(entry);
            let valid = entry.valid || entry.id != HeaderId::OTHER || is_name(name);
            if entry.id == HeaderId::OTHER {
                // The table may drop it to make room for this field.
                split = name.len();
                reserve(scratch, split);
                scratch[..split].copy_from_slice(name);
                (Some((entry.id, valid)), None)
            } else {
                (Some((entry.id, true)), Some(entry.id.name().as_bytes()))
            }
        };
        let mut end = split;
        let value = string(block, scratch, &mut end)?;

        let scratch: &'a [u8] = scratch;
        let name = plain.unwrap_or(&scratch[..split]);
        let value = value.unwrap_or(&scratch[split..end]);
        let (id, name_valid) = known.unwrap_or_else(|| {
            let id = HeaderId::of(name);
            (id, id != HeaderId::OTHER || is_name(name))
        });
        let valid = name_valid && is_value(value);
        if incremental {
            self.table.insert(New { id, name, value, valid, bucket: 0, older: 0 });
        }
        Ok(Field { id, name, value, valid, sensitive })
    }
}

/// Takes a string off `block`. A plain one is returned; one in Huffman code is decoded into `scratch` from `at` on,
/// which is moved behind it.
fn string<'b>(
    block: &mut &'b [u8],
    scratch: &mut Vec<u8>,
    at: &mut usize,
) -> Result<Option<&'b [u8]>, Invalid> {
    let coded = block.first().ok_or(Invalid)? & 0x80 != 0;
    let length = integer::take(block, 7)? as usize;
    let (bytes, rest) = block.split_at_checked(length).ok_or(Invalid)?;
    *block = rest;
    if !coded {
        return Ok(Some(bytes));
    }
    reserve(scratch, *at + huffman::decoded_bound(length) + 1);
    *at += huffman::decode(bytes, &mut scratch[*at..])?;
    Ok(None)
}

/// Makes `scratch` this long at least. It only grows, so that it is seldom filled with zeros.
fn reserve(scratch: &mut Vec<u8>, length: usize) {
    if scratch.len() < length {
        scratch.resize(length.next_power_of_two().max(256), 0);
    }
}

/// Whether this is a token without upper-case letters.
fn is_name(name: &[u8]) -> bool {
    crate::is_token(name) && !name.iter().any(u8::is_ascii_uppercase)
}

/// Whether this may be a value (RFC 9113 section 8.2.1, RFC 9110 section 5.5).
#[inline]
fn is_value(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_field_value(value) && !blank(value.first()) && !blank(value.last())
}
