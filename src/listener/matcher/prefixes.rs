//! Values for ranges of addresses; the longest range that holds an address wins.

use crate::network::Cidr;
use std::collections::HashMap;
use std::net::IpAddr;

/// One table for each length of prefix that occurs, so that a search takes as many look-ups as there are lengths,
/// however many ranges there are.
#[derive(Debug)]
pub(super) struct Prefixes<T> {
    /// The longest first; each with the leading bits of its ranges.
    v4: Vec<(u8, HashMap<u32, T>)>,
    v6: Vec<(u8, HashMap<u128, T>)>,
    /// For every address that is in none of the ranges.
    any: Option<T>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { v4: Vec::new(), v6: Vec::new(), any: None }
    }
}

impl<T: Default> Prefixes<T> {
    /// The value for a range, or for what is in no range.
    pub(super) fn entry(&mut self, range: Option<Cidr>) -> &mut T {
        match range.map(|range| (range.address(), range.bits())) {
            None => self.any.get_or_insert_with(T::default),
            Some((IpAddr::V4(address), bits)) => {
                let key = address.to_bits() & mask(bits, 32) as u32;
                table(&mut self.v4, bits).entry(key).or_default()
            }
            Some((IpAddr::V6(address), bits)) => {
                let key = address.to_bits() & mask(bits, 128);
                table(&mut self.v6, bits).entry(key).or_default()
            }
        }
    }

    /// The value of the longest range that holds an address.
    pub(super) fn find(&self, address: IpAddr) -> Option<&T> {
        let found = match address {
            IpAddr::V4(address) => self
                .v4
                .iter()
                .find_map(|(bits, table)| table.get(&(address.to_bits() & mask(*bits, 32) as u32))),
            IpAddr::V6(address) => {
                self.v6.iter().find_map(|(bits, table)| table.get(&(address.to_bits() & mask(*bits, 128))))
            }
        };
        found.or(self.any.as_ref())
    }
}

/// The leading `bits` of `width`.
fn mask(bits: u8, width: u32) -> u128 {
    let all = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
    all & !all.checked_shr(bits.into()).unwrap_or(0)
}

/// The table for a length.
fn table<K, T>(tables: &mut Vec<(u8, HashMap<K, T>)>, bits: u8) -> &mut HashMap<K, T> {
    let at = tables.partition_point(|(other, _)| *other > bits);
    if tables.get(at).is_none_or(|(other, _)| *other != bits) {
        tables.insert(at, (bits, HashMap::new()));
    }
    &mut tables[at].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range() -> impl Strategy<Value = Cidr> {
        // Few distinct leading bits, so that ranges contain one another.
        let v4 = (prop::sample::select(vec![0u32, 0x0a00_0000, 0x0a01_0000, u32::MAX]), 0u8..=32)
            .prop_map(|(bits, length)| Cidr::new(IpAddr::V4(bits.into()), length));
        let v6 = (prop::sample::select(vec![0u128, 1, 1 << 127, u128::MAX]), 0u8..=128)
            .prop_map(|(bits, length)| Cidr::new(IpAddr::V6(bits.into()), length));
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn the_longest_range_wins(
            ranges in prop::collection::vec(range(), 0..12),
            any in any::<bool>(),
            v4 in prop_oneof![any::<u32>(), Just(0x0a00_0001), Just(0x0a01_0203), Just(u32::MAX)],
            v6 in prop_oneof![any::<u128>(), Just(0), Just(1), Just(u128::MAX)],
        ) {
            let mut prefixes = Prefixes::<Option<Cidr>>::default();
            for range in &ranges {
                *prefixes.entry(Some(*range)) = Some(*range);
            }
            if any {
                prefixes.entry(None);
            }
            for address in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())] {
                // `contains` takes a mapped address for the one that is mapped; here they are different.
                let holds = |range: &&Cidr| range.address().is_ipv4() == address.is_ipv4() && range.contains(address);
                let longest = ranges.iter().filter(holds).map(|range| range.bits()).max();
                let found = prefixes.find(address);
                prop_assert_eq!(found.is_some(), longest.is_some() || any);
                prop_assert_eq!(found.and_then(|range| range.map(Cidr::bits)), longest);
            }
        }
    }
}
