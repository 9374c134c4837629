//! MAGLEV: a table in which each host has its share of the entries, and whoever has a number gets the host of its entry
//! ("Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4). One look finds the host; when one comes or
//! goes, hardly more than its own clients move.

use super::hashing::{hash_of, other_hash_of};

/// The table of a cluster, which all workers share.
#[derive(Debug, PartialEq, Eq)]
pub struct Maglev {
    hosts: Box<[u32]>,
    /// The least and the most entries that a host has.
    spread: (u64, u64),
}

/// A host while the table is filled: it takes the entries in an order of its own.
struct Candidate {
    host: u32,
    next: u64,
    skip: u64,
    weight: f64,
    /// Its turn comes when as many rounds have passed as make up for its weight.
    due: f64,
    entries: u64,
}

impl Maglev {
    /// For hosts with names and weights, which are at least 1. `size` is a prime.
    pub(in super::super) fn new(hosts: &[(&str, u32)], size: u64) -> Self {
        let sum: f64 = hosts.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let heaviest = hosts.iter().map(|(_, weight)| f64::from(*weight) / sum).fold(0.0, f64::max);
        // The order in which hosts are configured is not to matter.
        let mut order: Vec<_> = (0..hosts.len()).collect();
        order.sort_by_key(|host| hosts[*host].0);
        let candidate = |host: usize| {
            let (name, weight) = hosts[host];
            Candidate {
                host: host as u32,
                next: hash_of(name.as_bytes()) % size,
                skip: other_hash_of(name.as_bytes()) % (size - 1) + 1,
                weight: f64::from(weight) / sum,
                due: 0.0,
                entries: 0,
            }
        };
        let mut candidates: Vec<_> = order.into_iter().map(candidate).collect();
        const NOBODY: u32 = u32::MAX;
        let mut table = vec![NOBODY; if hosts.is_empty() { 0 } else { size as usize }];
        let mut free = table.len();
        let mut round = 1.0;
        while free > 0 {
            for candidate in &mut candidates {
                if free == 0 {
                    break;
                }
                if round * candidate.weight < candidate.due {
                    continue;
                }
                candidate.due += heaviest;
                while table[candidate.next as usize] != NOBODY {
                    candidate.next = (candidate.next + candidate.skip) % size;
                }
                table[candidate.next as usize] = candidate.host;
                candidate.entries += 1;
                free -= 1;
            }
            round += 1.0;
        }
        let entries = || candidates.iter().map(|candidate| candidate.entries);
        let spread = (entries().min().unwrap_or(0), entries().max().unwrap_or(0));
        Self { hosts: table.into(), spread }
    }

    /// The host for a number.
    pub(super) fn pick(&self, hash: u64) -> usize {
        let at = hash.checked_rem(self.hosts.len() as u64).unwrap_or(0);
        self.hosts.get(at as usize).map_or(0, |host| *host as usize)
    }

    /// The least and the most entries that a host has.
    pub(in super::super) fn sizes(&self) -> [u64; 2] {
        [self.spread.0, self.spread.1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(table: &Maglev) -> Vec<usize> {
        (0..10_000).map(|client: u32| table.pick(hash_of(&client.to_be_bytes()))).collect()
    }

    #[test]
    fn entries_go_by_weight_whatever_the_order() {
        let table = Maglev::new(&[("a", 1), ("b", 3), ("c", 4)], 65_537);
        for (host, weight) in [1, 3, 4].into_iter().enumerate() {
            let share = picks(&table).into_iter().filter(|picked| *picked == host).count();
            assert!(share.abs_diff(weight * 1250) < 250, "{share} for {host}");
        }
        let [least, most] = table.sizes();
        assert!(least.abs_diff(65_537 / 8) < 3 && most.abs_diff(65_537 / 2) < 3, "{least} {most}");
        let other = Maglev::new(&[("c", 4), ("a", 1), ("b", 3)], 65_537);
        let renamed: Vec<_> = picks(&other).into_iter().map(|host| [2, 0, 1][host]).collect();
        assert!(picks(&table) == renamed);
    }

    #[test]
    fn few_clients_move_when_a_host_goes() {
        let all = picks(&Maglev::new(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], 65_537));
        let fewer = picks(&Maglev::new(&[("a", 1), ("b", 1), ("c", 1)], 65_537));
        let moved = all.iter().zip(&fewer).filter(|(before, after)| **before != 3 && before != after).count();
        assert!(moved < 1000, "{moved} of 10000");
    }

    #[test]
    fn small_tables() {
        assert_eq!(picks(&Maglev::new(&[], 7)), picks(&Maglev::new(&[("a", 1)], 2)));
        assert_eq!(Maglev::new(&[("a", 1), ("b", 1), ("c", 1)], 2).sizes(), [0, 1]);
    }
}
