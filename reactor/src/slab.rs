//! A slab whose keys cannot be mistaken: each carries the generation of its slot.
//!
//! Built on the `slab` crate for storage. A key whose entry was removed finds nothing, also when the slot holds
//! a newer entry. That is how everything above cancels: nobody is told that a thing is gone, its key goes stale.

use std::fmt;
use std::marker::PhantomData;

/// Generations have 28 bits, so that a key fits below bit 60 of a token.
const GENERATIONS: u32 = 1 << 28;

/// A key without a type: slot and generation.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawKey {
    index: u32,
    generation: u32,
}

impl RawKey {
    /// The slot.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.index
    }

    /// As one number below 2^60.
    pub fn to_bits(self) -> u64 {
        (u64::from(self.generation) << 32) | u64::from(self.index)
    }

    /// From what [`Self::to_bits`] gave; higher bits are ignored.
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 & (GENERATIONS - 1) }
    }
}

/// A typed key; made by [`slab_key!`](crate::slab_key).
pub trait SlabKey: Copy + Eq {
    /// Gives a key its type.
    fn from_raw(raw: RawKey) -> Self;
    /// Takes it away.
    fn raw(self) -> RawKey;
}

/// Declares a key type for a [`Slab`].
#[macro_export]
macro_rules! slab_key {
    ($(#[$meta:meta])* $vis:vis struct $name:ident;) => {
        $(#[$meta])*
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
        $vis struct $name($crate::RawKey);
        impl $crate::SlabKey for $name {
            #[inline]
            fn from_raw(raw: $crate::RawKey) -> Self {
                Self(raw)
            }
            #[inline]
            fn raw(self) -> $crate::RawKey {
                self.0
            }
        }
    };
}

/// Storage with stable, generation-checked keys.
pub struct Slab<K, V> {
    entries: slab::Slab<Entry<V>>,
    generation: u32,
    key: PhantomData<fn(K) -> K>,
}

struct Entry<V> {
    generation: u32,
    value: V,
}

impl<K: SlabKey, V> Slab<K, V> {
    /// An empty slab; allocates nothing.
    pub const fn new() -> Self {
        Self { entries: slab::Slab::new(), generation: 0, key: PhantomData }
    }

    /// Stores a value.
    pub fn insert(&mut self, value: V) -> K {
        self.insert_with(|_| value)
    }

    /// Stores a value that knows its key.
    pub fn insert_with(&mut self, value: impl FnOnce(K) -> V) -> K {
        // Never 0, so that a zeroed key is stale.
        self.generation = if self.generation + 1 == GENERATIONS { 1 } else { self.generation + 1 };
        let entry = self.entries.vacant_entry();
        let index = u32::try_from(entry.key()).expect("fewer than 2^32 entries fit into memory");
        let key = K::from_raw(RawKey { index, generation: self.generation });
        entry.insert(Entry { generation: self.generation, value: value(key) });
        key
    }

    /// The value of a live key.
    #[inline]
    pub fn get(&self, key: K) -> Option<&V> {
        let raw = key.raw();
        let entry = self.entries.get(raw.index as usize)?;
        (entry.generation == raw.generation).then_some(&entry.value)
    }

    /// The value of a live key.
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let raw = key.raw();
        let entry = self.entries.get_mut(raw.index as usize)?;
        (entry.generation == raw.generation).then_some(&mut entry.value)
    }

    /// Takes the value of a live key out; the key is stale from now on.
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.contains(key).then(|| self.entries.remove(key.raw().index as usize).value)
    }

    /// The key of a slot that is known to be in use: for lists that are threaded through a slab and link slots,
    /// which are a third of the size of keys.
    pub(crate) fn key_at(&self, index: u32) -> Option<K> {
        let generation = self.entries.get(index as usize)?.generation;
        Some(K::from_raw(RawKey { index, generation }))
    }

    /// What lies in a slot, whatever its generation.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut V> {
        self.entries.get_mut(index as usize).map(|entry| &mut entry.value)
    }

    /// Whether a key is live.
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of entries that there is memory for.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Gives memory back that no entry needs: all of it if there are none, else what lies behind the last one. Keys
    /// stay as they are.
    pub fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// All entries, in order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().map(|(index, entry)| {
            (K::from_raw(RawKey { index: index as u32, generation: entry.generation }), &entry.value)
        })
    }

    /// All entries, in order of slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.entries.iter_mut().map(|(index, entry)| {
            (K::from_raw(RawKey { index: index as u32, generation: entry.generation }), &mut entry.value)
        })
    }

    /// All live keys: for walks during which entries come and go.
    pub fn keys(&self) -> Vec<K> {
        self.iter().map(|(key, _)| key).collect()
    }
}

impl<K: SlabKey, V> Default for Slab<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: SlabKey + fmt::Debug, V: fmt::Debug> fmt::Debug for Slab<K, V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    slab_key! {
        struct TestKey;
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::<TestKey, u8>::new();
        let old = slab.insert(1);
        assert_eq!(slab.remove(old), Some(1));
        let new = slab.insert(2);
        assert_eq!(old.raw().index, new.raw().index, "the slot is used again");
        assert_eq!((slab.get(old), slab.get(new)), (None, Some(&2)));
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(TestKey::from_raw(RawKey::from_bits(0))), None);
    }

    #[test]
    fn a_key_stays_stale_when_memory_is_given_back() {
        let mut slab = Slab::<TestKey, u8>::new();
        let keys: Vec<_> = (0..100).map(|n| slab.insert(n)).collect();
        for key in &keys[1..] {
            slab.remove(*key);
        }
        slab.shrink();
        assert_eq!((slab.get(keys[0]), slab.get(keys[1])), (Some(&0), None));
        slab.remove(keys[0]);
        slab.shrink();
        assert_eq!(slab.capacity(), 0);
        let again = slab.insert(7);
        assert_eq!((slab.get(keys[0]), slab.get(again)), (None, Some(&7)));
    }

    #[test]
    fn generations_wrap_past_zero() {
        let mut slab = Slab::<TestKey, u8>::new();
        slab.generation = GENERATIONS - 2;
        let last = slab.insert(1);
        let first = slab.insert(2);
        assert_eq!((last.raw().generation, first.raw().generation), (GENERATIONS - 1, 1));
        for key in [last, first] {
            assert!(key.raw().to_bits() < 1 << 60);
            assert_eq!(RawKey::from_bits(key.raw().to_bits()), key.raw());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
        #[test]
        fn it_is_a_map_whose_keys_are_never_used_twice(steps in prop::collection::vec((0u8..3, any::<u16>()), 0..200)) {
            let mut slab = Slab::<TestKey, u16>::new();
            let mut model = HashMap::new();
            let mut all = Vec::new();
            for (what, n) in steps {
                if what == 0 || all.is_empty() {
                    let key = slab.insert(n);
                    prop_assert!(!all.contains(&key));
                    all.push(key);
                    model.insert(key, n);
                } else {
                    let key = all[n as usize % all.len()];
                    if what == 1 {
                        prop_assert_eq!(slab.remove(key), model.remove(&key));
                    } else {
                        prop_assert_eq!(slab.get(key), model.get(&key));
                    }
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            prop_assert_eq!(slab.keys().len(), model.len());
            prop_assert!(slab.iter().all(|(key, value)| model.get(&key) == Some(value)));
        }
    }
}
