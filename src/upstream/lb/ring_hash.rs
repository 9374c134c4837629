//! RING_HASH: each host has many places on a ring of numbers (Ketama), and whoever has a number gets the host whose place
//! comes next. When a host comes or goes, only its own clients move.

use super::hashing::HashFunction;

/// The ring of a cluster, which all workers share.
#[derive(Debug, PartialEq, Eq)]
pub struct Ring {
    /// Places and their hosts, in order.
    places: Box<[(u64, u32)]>,
    /// The least and the most places that a host has.
    spread: (u64, u64),
}

/// What is configured about a ring.
#[derive(Copy, Clone, Debug)]
pub(in super::super) struct RingOptions {
    /// At least so many places. Default 1024.
    pub(in super::super) least: u64,
    /// And no more than so many. Default 8 Mi.
    pub(in super::super) most: u64,
    pub(in super::super) function: HashFunction,
}

impl Ring {
    /// For hosts with names and weights, which are at least 1.
    pub(in super::super) fn new(hosts: &[(&str, u32)], options: RingOptions) -> Self {
        if hosts.is_empty() {
            return Self { places: Box::default(), spread: (0, 0) };
        }
        let sum: f64 = hosts.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let lightest = hosts.iter().map(|(_, weight)| f64::from(*weight) / sum).fold(1.0, f64::min);
        // The lightest host has a whole number of places; others may be off by one.
        let scale = ((lightest * options.least as f64).ceil() / lightest).min(options.most as f64);
        let mut places = Vec::with_capacity(scale.ceil() as usize);
        let mut spread = (scale.ceil() as u64, 0);
        let mut due = 0.0;
        let mut key = String::new();
        for (host, (name, weight)) in hosts.iter().enumerate() {
            due += scale * (f64::from(*weight) / sum);
            let mut own = 0;
            while (places.len() as f64) < due {
                key.clear();
                key.push_str(name);
                key.push('_');
                key.push_str(&own.to_string());
                places.push((options.function.of(key.as_bytes()), host as u32));
                own += 1;
            }
            spread = (spread.0.min(own), spread.1.max(own));
        }
        places.sort_unstable();
        Self { places: places.into(), spread }
    }

    /// The host for a number.
    pub(super) fn pick(&self, hash: u64) -> usize {
        let at = self.places.partition_point(|(place, _)| *place < hash);
        self.places.get(at).or(self.places.first()).map_or(0, |(_, host)| *host as usize)
    }

    /// How many places there are; the least and the most that a host has.
    pub(in super::super) fn sizes(&self) -> [u64; 3] {
        [self.places.len() as u64, self.spread.0, self.spread.1]
    }
}

#[cfg(test)]
mod tests {
    use super::super::hashing::hash_of;
    use super::*;

    const OPTIONS: RingOptions = RingOptions { least: 1024, most: 8 << 20, function: HashFunction::XxHash };

    fn picks(ring: &Ring) -> Vec<usize> {
        (0..10_000).map(|client: u32| ring.pick(hash_of(&client.to_be_bytes()))).collect()
    }

    #[test]
    fn places_go_by_weight_within_the_limits() {
        for (hosts, least, most, sizes) in [
            (&[("a", 1), ("b", 1), ("c", 1)][..], 1024, 8 << 20, [1026, 342, 342]),
            (&[("a", 1), ("b", 3)], 8, 100, [8, 2, 6]),
            (&[("a", 1), ("b", 3)], 1, 100, [4, 1, 3]),
            (&[("a", 1), ("b", 999)], 1024, 100, [100, 1, 99]),
            (&[("a", 5)], 1024, 8 << 20, [1024, 1024, 1024]),
            (&[], 1024, 8 << 20, [0, 0, 0]),
        ] {
            let ring = Ring::new(hosts, RingOptions { least, most, ..OPTIONS });
            assert_eq!(ring.sizes(), sizes, "{hosts:?}");
            assert!(ring.places.is_sorted());
        }
    }

    #[test]
    fn only_the_clients_of_a_host_move_when_it_goes() {
        let all = Ring::new(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], OPTIONS);
        // With as many places for each as before.
        let fewer = RingOptions { least: 3 * 256, ..OPTIONS };
        let fewer = Ring::new(&[("a", 1), ("b", 1), ("c", 1)], fewer);
        let (before, after) = (picks(&all), picks(&fewer));
        assert!(before.iter().zip(&after).all(|(before, after)| *before == 3 || before == after));
        for host in 0..4 {
            let share = before.iter().filter(|picked| **picked == host).count();
            assert!((2000..3000).contains(&share), "{share} of 10000 for {host}");
        }
    }

    #[test]
    fn the_ring_is_round() {
        let ring = Ring::new(&[("a", 1), ("b", 1)], OPTIONS);
        let (first, last) = (ring.places[0], ring.places[ring.places.len() - 1]);
        assert_eq!(ring.pick(0), first.1 as usize);
        assert_eq!(ring.pick(first.0), first.1 as usize);
        assert_eq!(ring.pick(last.0), last.1 as usize);
        assert_eq!(ring.pick(last.0.saturating_add(1)), first.1 as usize);
    }
}
