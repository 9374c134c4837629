//! The header map: an arena of bytes and an index into it.

use super::id::{HeaderId, HeaderKey, Names};
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

/// Most storages that a thread keeps, and the largest that is worth keeping in bytes.
const KEPT: usize = 1024;
const KEPT_BYTES: usize = 16 << 10;

/// The headers (or trailers) of a message, in the order in which they were added.
///
/// Names are lower-case. An empty map owns no memory; storage comes from the thread's pool and returns to it.
#[derive(Default)]
pub struct HeaderMap(Option<Box<Storage>>);

#[derive(Clone, Default)]
struct Storage {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// The known names that occur.
    present: Names,
    spelling: Spelling,
}

/// Whether the names of a map are to be written as they were received.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// As whoever writes them likes.
    #[default]
    Free,
    /// As they were received; those that were added, in lower case.
    Kept,
    /// As they were received; those that were added, with capitals.
    KeptElseProper,
}

/// What an empty map is looked at as.
static EMPTY: Storage =
    Storage { arena: Vec::new(), entries: Vec::new(), present: Names::NONE, spelling: Spelling::Free };

#[derive(Copy, Clone)]
struct Entry {
    /// Where the name stands in the arena (if it is not a known one), and behind it the original spelling (if it
    /// was kept).
    name: u32,
    name_length: u32,
    value: u32,
    value_length: u32,
    id: HeaderId,
    cased: bool,
    sensitive: bool,
    /// In the arena the name stands too if it is a known one, `": "` between it and the value, and CRLF behind that.
    line: bool,
}

impl Entry {
    /// One without a value, of a known name.
    #[inline]
    const fn known(id: HeaderId) -> Self {
        Self {
            name: 0,
            name_length: 0,
            value: 0,
            value_length: 0,
            id,
            cased: false,
            sensitive: false,
            line: false,
        }
    }
}

/// One header, as it is to be written by HTTP/1.
pub(crate) enum Piece<'a> {
    /// A line as it has come, but for the name's case: where in [`HeaderMap::lines`] it stands.
    Line(Header<'a>, Range<usize>),
    /// Name and value.
    Parts(Header<'a>),
}

/// One header.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its number.
    pub id: HeaderId,
    /// Its lower-case name.
    pub name: &'a [u8],
    /// As it was spelled, if that was kept.
    pub original: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
    /// It was received as one that no compression may remember (RFC 7541 section 6.2.3).
    pub sensitive: bool,
}

thread_local! {
    #[allow(clippy::vec_box, reason = "storages are handed out boxed; keeping the box is the point")]
    static POOL: RefCell<Vec<Box<Storage>>> = const { RefCell::new(Vec::new()) };
}

impl HeaderMap {
    /// An empty map; owns no memory.
    #[inline]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Number of headers.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |storage| storage.entries.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all headers and gives the memory back.
    pub fn clear(&mut self) {
        if let Some(mut storage) = self.0.take() {
            storage.arena.clear();
            storage.entries.clear();
            storage.present = Names::NONE;
            storage.spelling = Spelling::Free;
            let bytes = storage.arena.capacity() + storage.entries.capacity() * size_of::<Entry>();
            if bytes <= KEPT_BYTES {
                // While the thread ends its pool may be gone already.
                let _ = POOL.try_with(|pool| {
                    let mut pool = pool.borrow_mut();
                    if pool.len() < KEPT {
                        pool.push(storage);
                    }
                });
            }
        }
    }

    #[inline]
    fn storage(&mut self) -> &mut Storage {
        self.0.get_or_insert_with(|| POOL.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    /// Adds a header at the end. The name may be in any case.
    ///
    /// # Panics
    /// If the map grows beyond 4 GiB, which the limits on heads keep it far from.
    #[inline]
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        self.storage().append(name, value, false);
    }

    /// Adds a header at the end and keeps the spelling of its name.
    pub fn append_cased(&mut self, name: &[u8], value: &[u8]) {
        self.storage().append(name, value, true);
    }

    /// Says how names are to be written.
    pub fn set_spelling(&mut self, spelling: Spelling) {
        self.storage().spelling = spelling;
    }

    /// How names are to be written.
    #[inline]
    pub fn spelling(&self) -> Spelling {
        self.0.as_ref().map_or(Spelling::Free, |storage| storage.spelling)
    }

    /// Adds `:authority` and keeps the spelling of the `Host` from which it is.
    ///
    /// # Panics
    /// If the spelling is not one of `host`.
    pub fn append_authority_cased(&mut self, host: &[u8], value: &[u8]) {
        assert!(host.eq_ignore_ascii_case(b"host"), "a spelling of host");
        let storage = self.storage();
        let name = storage.put(host);
        storage.add(Entry { name, cased: true, ..Entry::known(HeaderId::AUTHORITY) }, value);
    }

    /// Adds a header with a known name at the end.
    ///
    /// # Panics
    /// For [`HeaderId::OTHER`], which has no name.
    #[inline]
    pub fn append_id(&mut self, id: HeaderId, value: &[u8]) {
        assert!(id != HeaderId::OTHER, "a known name");
        self.storage().add(Entry::known(id), value);
    }

    /// Adds the headers of a block of lines, all in one go. Names and values lie in the block, and there is no CR, LF or NUL in
    /// a value and nothing but a token in a name.
    pub(crate) fn append_lines<'a>(
        &mut self,
        block: &'a [u8],
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        let storage = self.storage();
        let base = storage.put(block);
        let within = |part: &[u8]| part.as_ptr().addr().wrapping_sub(block.as_ptr().addr());
        for (name, value) in fields {
            let (at, of_value) = (within(name), within(value));
            let end = of_value.saturating_add(value.len());
            if at.max(end) > block.len() || at + name.len() > block.len() {
                // It is not a part of the block, which no caller should do.
                storage.append(name, value, false);
                continue;
            }
            let line = of_value == at + name.len() + 2
                && block[at + name.len()..of_value] == *b": "
                && block[end..].starts_with(b"\r\n");
            let stored = &mut storage.arena[base as usize + at..][..name.len()];
            let id = HeaderId::of_lowered(stored);
            storage.push(Entry {
                name: base + at as u32,
                name_length: name.len() as u32,
                value: base + of_value as u32,
                value_length: value.len() as u32,
                line,
                ..Entry::known(id)
            });
        }
    }

    /// All headers, in order, without their original spelling, as HTTP/1 writes them.
    #[inline]
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let storage = self.0.as_deref().unwrap_or(&EMPTY);
        storage.entries.iter().map(|entry| {
            let header = storage.plain(entry);
            if entry.line {
                Piece::Line(header, entry.name as usize..(entry.value + entry.value_length + 2) as usize)
            } else {
                Piece::Parts(header)
            }
        })
    }

    /// What the ranges of [`Piece::Line`] are of.
    #[inline]
    pub(crate) fn lines(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], |storage| &storage.arena)
    }

    /// Adds a header at the end, of which `name` is the lower-case name and `id` its number.
    #[inline]
    pub(crate) fn append_field(&mut self, id: HeaderId, name: &[u8], value: &[u8], sensitive: bool) {
        let storage = self.storage();
        let mut entry = Entry { sensitive, ..Entry::known(id) };
        if id == HeaderId::OTHER {
            (entry.name, entry.name_length) = (storage.put(name), name.len() as u32);
        }
        storage.add(entry, value);
    }

    /// Joins all values of a known name into its first, with `separator` between them.
    pub(crate) fn join(&mut self, id: HeaderId, separator: &[u8]) {
        if self.contains(id) {
            self.storage().join(id, separator);
        }
    }

    /// Adds a header at the end.
    pub fn append_key(&mut self, key: &HeaderKey, value: &[u8]) {
        match key.id() {
            HeaderId::OTHER => self.append(key.as_str().as_bytes(), value),
            id => self.append_id(id, value),
        }
    }

    /// The first value of a known name.
    #[inline]
    pub fn get(&self, id: HeaderId) -> Option<&[u8]> {
        let storage = self.0.as_ref()?;
        if !storage.present.has(id) {
            return None;
        }
        let entry = storage.entries.iter().find(|entry| entry.id == id)?;
        Some(storage.value(entry))
    }

    /// The first value of a name.
    pub fn get_key(&self, key: &HeaderKey) -> Option<&[u8]> {
        self.get_all_key(key).next()
    }

    /// The first value of a name in any case.
    pub fn get_name(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The value of a known name that occurs once.
    pub fn only(&self, id: HeaderId) -> Option<&[u8]> {
        let mut values = self.get_all(id);
        values.next().filter(|_| values.next().is_none())
    }

    /// All values of a known name.
    #[inline]
    pub fn get_all(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        let storage = self.0.as_deref().filter(|storage| storage.present.has(id)).unwrap_or(&EMPTY);
        storage.entries.iter().filter(move |entry| entry.id == id).map(|entry| storage.value(entry))
    }

    /// All values of a name.
    pub fn get_all_key(&self, key: &HeaderKey) -> impl Iterator<Item = &[u8]> {
        let storage = self
            .0
            .as_deref()
            .filter(|storage| key.id() == HeaderId::OTHER || storage.present.has(key.id()))
            .unwrap_or(&EMPTY);
        storage.entries.iter().filter(move |entry| storage.is(entry, key)).map(|entry| storage.value(entry))
    }

    /// Whether a known name occurs.
    #[inline]
    pub fn contains(&self, id: HeaderId) -> bool {
        self.0.as_ref().is_some_and(|storage| storage.present.has(id))
    }

    /// Gives a known name this one value, in the place of its first.
    pub fn set(&mut self, id: HeaderId, value: &[u8]) {
        if !self.contains(id) {
            return self.append_id(id, value);
        }
        self.storage().set(|_, entry| entry.id == id, value);
    }

    /// Gives a name this one value, in the place of its first.
    pub fn set_key(&mut self, key: &HeaderKey, value: &[u8]) {
        if self.get_key(key).is_none() {
            return self.append_key(key, value);
        }
        self.storage().set(|storage, entry| storage.is(entry, key), value);
    }

    /// Removes a known name; says whether it occurred.
    #[inline]
    pub fn remove(&mut self, id: HeaderId) -> bool {
        self.contains(id) && self.storage().remove(|_, entry| entry.id == id)
    }

    /// Removes a name; says whether it occurred.
    pub fn remove_key(&mut self, key: &HeaderKey) -> bool {
        !self.is_empty() && self.storage().remove(|storage, entry| storage.is(entry, key))
    }

    /// Removes a name in any case; says whether it occurred.
    pub fn remove_name(&mut self, name: &[u8]) -> bool {
        !self.is_empty()
            && self.storage().remove(|storage, entry| storage.name(entry).eq_ignore_ascii_case(name))
    }

    /// Keeps the headers for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Header<'_>) -> bool) {
        if !self.is_empty() {
            self.storage().remove(|storage, entry| !keep(storage.header(entry)));
        }
    }

    /// All headers, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> {
        let storage = self.0.as_deref().unwrap_or(&EMPTY);
        storage.entries.iter().map(|entry| storage.header(entry))
    }

    /// Bytes of all names and values.
    pub fn byte_size(&self) -> usize {
        let storage = self.0.as_deref().unwrap_or(&EMPTY);
        storage.entries.iter().map(|entry| storage.name(entry).len() + entry.value_length as usize).sum()
    }
}

impl Storage {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> u32 {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        assert!(u32::try_from(self.arena.len()).is_ok(), "heads are limited far below 4 GiB");
        start as u32
    }

    /// Adds a header with this value.
    #[inline]
    fn add(&mut self, entry: Entry, value: &[u8]) {
        let (value, value_length) = (self.put(value), value.len() as u32);
        self.push(Entry { value, value_length, ..entry });
    }

    #[inline]
    fn push(&mut self, entry: Entry) {
        self.present.add(entry.id);
        self.entries.push(entry);
    }

    #[inline]
    fn append(&mut self, name: &[u8], value: &[u8], cased: bool) {
        let id = HeaderId::of_any_case(name);
        if id == HeaderId::OTHER || cased {
            self.append_named(id, name, value, cased);
        } else {
            self.add(Entry::known(id), value);
        }
    }

    /// A name that is not known, or whose spelling is kept.
    fn append_named(&mut self, id: HeaderId, name: &[u8], value: &[u8], cased: bool) {
        let cased = cased && name.iter().any(u8::is_ascii_uppercase);
        let mut entry = Entry { name: self.arena.len() as u32, cased, ..Entry::known(id) };
        if id == HeaderId::OTHER {
            let start = self.put(name) as usize;
            self.arena[start..].make_ascii_lowercase();
            entry.name_length = name.len() as u32;
        }
        if cased {
            self.put(name);
        }
        self.add(entry, value);
    }

    fn set(&mut self, mut is: impl FnMut(&Self, &Entry) -> bool, value: &[u8]) {
        let start = self.put(value);
        let mut first = true;
        let mut at = 0;
        while at < self.entries.len() {
            let entry = self.entries[at];
            if !is(self, &entry) {
                at += 1;
            } else if std::mem::take(&mut first) {
                let entry = &mut self.entries[at];
                (entry.value, entry.value_length) = (start, value.len() as u32);
                entry.line = false;
                at += 1;
            } else {
                self.entries.remove(at);
            }
        }
    }

    fn join(&mut self, id: HeaderId, separator: &[u8]) {
        let start = self.arena.len();
        let (mut first, mut kept, mut sensitive) = (None, 0, false);
        for at in 0..self.entries.len() {
            let entry = self.entries[at];
            if entry.id == id {
                if first.is_some() {
                    self.put(separator);
                }
                let value = entry.value as usize;
                self.arena.extend_from_within(value..value + entry.value_length as usize);
                sensitive |= entry.sensitive;
                if first.is_some() {
                    continue;
                }
                first = Some(kept);
            }
            self.entries[kept] = entry;
            kept += 1;
        }
        self.entries.truncate(kept);
        let end = self.put(&[]);
        if let Some(first) = first {
            let entry = &mut self.entries[first];
            (entry.value, entry.value_length, entry.sensitive) =
                (start as u32, end - start as u32, sensitive);
            entry.line = false;
        }
    }

    fn remove(&mut self, mut is: impl FnMut(&Self, &Entry) -> bool) -> bool {
        let before = self.entries.len();
        let mut kept = 0;
        for at in 0..before {
            let entry = self.entries[at];
            if !is(self, &entry) {
                self.entries[kept] = entry;
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        if kept != before {
            self.present = Names::NONE;
            self.entries.iter().for_each(|entry| self.present.add(entry.id));
        }
        kept != before
    }

    #[inline]
    fn bytes(&self, start: u32, length: u32) -> &[u8] {
        &self.arena[start as usize..][..length as usize]
    }

    #[inline]
    fn value(&self, entry: &Entry) -> &[u8] {
        self.bytes(entry.value, entry.value_length)
    }

    #[inline]
    fn name(&self, entry: &Entry) -> &[u8] {
        match entry.id {
            HeaderId::OTHER => self.bytes(entry.name, entry.name_length),
            id => id.name().as_bytes(),
        }
    }

    fn is(&self, entry: &Entry, key: &HeaderKey) -> bool {
        entry.id == key.id() && (entry.id != HeaderId::OTHER || self.name(entry) == key.as_str().as_bytes())
    }

    #[inline]
    fn plain(&self, entry: &Entry) -> Header<'_> {
        Header {
            id: entry.id,
            name: self.name(entry),
            original: None,
            value: self.value(entry),
            sensitive: entry.sensitive,
        }
    }

    #[inline]
    fn header(&self, entry: &Entry) -> Header<'_> {
        let name = self.name(entry);
        // Of `:authority` it is that of `host`.
        let length = if entry.id == HeaderId::AUTHORITY { 4 } else { name.len() as u32 };
        let original = entry.cased.then(|| self.bytes(entry.name + entry.name_length, length));
        Header { original, ..self.plain(entry) }
    }
}

impl Drop for HeaderMap {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Clone for HeaderMap {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        if let Some(from) = &self.0 {
            copy.storage().clone_from(from);
        }
        copy
    }
}

impl fmt::Debug for HeaderMap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        out.debug_map().entries(self.iter().map(|header| (text(header.name), text(header.value)))).finish()
    }
}

impl PartialEq for HeaderMap {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| (a.name, a.value) == (b.name, b.value))
    }
}

impl Eq for HeaderMap {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spelling_is_kept_only_on_request() {
        let mut map = HeaderMap::new();
        map.append(b"Content-Type", b"a");
        map.append_cased(b"Content-Length", b"1");
        map.append_cased(b"X-Odd", b"2");
        map.append_cased(b"x-plain", b"3");
        let seen: Vec<_> = map.iter().map(|header| (header.name, header.original)).collect();
        assert_eq!(
            seen,
            [
                (&b"content-type"[..], None),
                (b"content-length", Some(&b"Content-Length"[..])),
                (b"x-odd", Some(b"X-Odd")),
                (b"x-plain", None),
            ]
        );
        assert_eq!(map.byte_size(), 12 + 14 + 5 + 7 + 4);
    }

    #[test]
    fn an_empty_map_owns_nothing() {
        let mut map = HeaderMap::new();
        map.append(b"a", b"b");
        map.clear();
        assert!(map.0.is_none() && map.is_empty());
        assert_eq!(size_of::<HeaderMap>(), 8);
    }

    const NAMES: [&str; 6] = ["host", "X-Request-Id", "x-custom", "X-Custom", "other", "Cookie"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
        #[test]
        fn it_is_a_list_of_pairs(steps in prop::collection::vec((0u8..7, 0usize..6, "[a-z]{0,8}"), 0..60)) {
            let mut map = HeaderMap::new();
            let mut model: Vec<(String, String)> = Vec::new();
            for (what, name, value) in steps {
                let name = NAMES[name];
                let lower = name.to_lowercase();
                let key = HeaderKey::new(name).expect("a name");
                let bytes = value.as_bytes();
                let removed = |model: &mut Vec<(String, String)>| {
                    let before = model.len();
                    model.retain(|(n, _)| *n != lower);
                    before != model.len()
                };
                match what {
                    0 | 1 => {
                        if what == 0 { map.append(name.as_bytes(), bytes) } else { map.append_key(&key, bytes) }
                        model.push((lower, value));
                    }
                    2 => {
                        map.set_key(&key, bytes);
                        match model.iter().position(|(n, _)| *n == lower) {
                            None => model.push((lower, value)),
                            Some(at) => {
                                model[at].1 = value;
                                let mut index = 0;
                                model.retain(|(n, _)| { index += 1; index - 1 <= at || *n != lower });
                            }
                        }
                    }
                    3 => prop_assert_eq!(map.remove_key(&key), removed(&mut model)),
                    4 => prop_assert_eq!(map.remove_name(name.as_bytes()), removed(&mut model)),
                    5 => {
                        map.retain(|header| header.value.len() != value.len());
                        model.retain(|(_, v)| v.len() != value.len());
                    }
                    _ => {
                        let copy = map.clone();
                        prop_assert_eq!(&copy, &map);
                        map = copy;
                    }
                }
                prop_assert_eq!(map.len(), model.len());
                for (header, (name, value)) in map.iter().zip(&model) {
                    prop_assert_eq!((header.name, header.value), (name.as_bytes(), value.as_bytes()));
                }
                for name in NAMES {
                    let lower = name.to_lowercase();
                    let key = HeaderKey::new(name).expect("a name");
                    let values: Vec<_> =
                        model.iter().filter(|(n, _)| *n == lower).map(|(_, v)| v.as_bytes()).collect();
                    prop_assert_eq!(map.get_all_key(&key).collect::<Vec<_>>(), values.clone());
                    prop_assert_eq!(map.get_name(name.as_bytes()), values.first().copied());
                    if key.id() != HeaderId::OTHER {
                        prop_assert_eq!(map.contains(key.id()), !values.is_empty());
                        prop_assert_eq!(map.get_all(key.id()).count(), values.len());
                    }
                }
            }
        }
    }
}
