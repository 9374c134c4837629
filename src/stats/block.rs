//! The cells of one worker, and the sum over all workers.
//!
//! A block has one writer (its worker) and any number of readers (the main thread). Cells are atomics only
//! so that reading them from another thread is defined; the writer never uses a read-modify-write.

use super::registry::{CODES, Counter, Entry, Gauge, Kind, Registry, Shown, StatusCounters};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The cells that one worker writes.
#[derive(Clone, Debug)]
pub struct Block {
    cells: Arc<[AtomicU64]>,
}

impl Block {
    /// Cells for every name of `registry`, all zero.
    pub fn new(registry: &Registry) -> Self {
        Self { cells: (0..registry.cells()).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one.
    #[inline]
    pub fn inc(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `by`.
    #[inline]
    pub fn add(&self, counter: Counter, by: u64) {
        self.bump(counter.0, by);
    }

    /// Counts one answer with this status; a status outside 100..=599 is not counted.
    #[inline]
    pub fn inc_status(&self, counters: StatusCounters, status: u16) {
        if (100..600).contains(&status) {
            self.bump(counters.0 + u32::from(status) - 100, 1);
        }
    }

    /// Moves a gauge by `by`.
    #[inline]
    pub fn move_gauge(&self, gauge: Gauge, by: i64) {
        // Two's complement: adding a wrapped negative number subtracts.
        self.bump(gauge.0, by as u64);
    }

    /// Sets a gauge; for gauges that have one writer in the whole process.
    pub fn set_gauge(&self, gauge: Gauge, to: u64) {
        self.cells[gauge.0 as usize].store(to, Relaxed);
    }

    /// This block's own share of a counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.cells[counter.0 as usize].load(Relaxed)
    }

    /// This block's own share of a gauge.
    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.cells[gauge.0 as usize].load(Relaxed) as i64
    }

    #[inline]
    fn bump(&self, cell: u32, by: u64) {
        let cell = &self.cells[cell as usize];
        cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
    }
}

/// The sums over all workers at one moment.
#[derive(Debug)]
pub struct Merged {
    rows: Vec<(String, Kind, u64)>,
}

impl Merged {
    /// Sums all blocks; names that are shown only once they have counted are left out until then.
    pub fn of(registry: &Registry, blocks: &[Block]) -> Self {
        let sum = |cell: u32, kind| {
            let cells = blocks.iter().filter_map(|block| block.cells.get(cell as usize));
            let sum = cells.fold(0u64, |sum, cell| sum.wrapping_add(cell.load(Relaxed)));
            // A gauge's parts may be read a moment apart: never show that as a huge number.
            if kind == Kind::Gauge { (sum as i64).max(0) as u64 } else { sum }
        };
        let mut rows = Vec::new();
        for Entry { name, kind, cell, shown } in registry.entries() {
            if *shown == Shown::Codes {
                let counts =
                    (0..CODES).map(|code| (code, sum(cell + code, *kind))).filter(|(_, count)| *count != 0);
                rows.extend(counts.map(|(code, count)| (format!("{name}{}", code + 100), *kind, count)));
                continue;
            }
            let sum = sum(*cell, *kind);
            if sum != 0 || *shown == Shown::Always {
                rows.push((name.clone(), *kind, sum));
            }
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        Self { rows }
    }

    /// Name, kind and value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Kind, u64)> {
        self.rows.iter().map(|(name, kind, value)| (name.as_str(), *kind, *value))
    }

    /// The value of one name.
    pub fn value(&self, name: &str) -> Option<u64> {
        let at = self.rows.binary_search_by(|row| row.0.as_str().cmp(name)).ok()?;
        Some(self.rows[at].2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_cell_and_blocks_add_up() {
        let mut registry = Registry::new();
        let total = registry.counter("a.total");
        let active = registry.gauge("a.active");
        assert_eq!(registry.counter("a.total"), total);
        let codes = registry.status_counters("a.rq_");
        assert_eq!(registry.status_counters("a.rq_"), codes);
        let blocks = [Block::new(&registry), Block::new(&registry)];
        blocks[0].inc(total);
        blocks[1].add(total, 4);
        blocks[0].move_gauge(active, 3);
        blocks[1].move_gauge(active, -1);
        blocks[0].inc_status(codes, 200);
        blocks[0].inc_status(codes, 99);
        blocks[0].inc_status(codes, 600);
        let merged = Merged::of(&registry, &blocks);
        let rows: Vec<_> = merged.iter().map(|(n, _, v)| (n.to_owned(), v)).collect();
        assert_eq!(rows, [("a.active".to_owned(), 2), ("a.rq_200".to_owned(), 1), ("a.total".to_owned(), 5)]);
        assert_eq!(merged.value("a.total"), Some(5));
        assert_eq!(merged.value("nope"), None);
    }

    #[test]
    fn a_gauge_is_never_shown_below_zero() {
        let mut registry = Registry::new();
        let active = registry.gauge("active");
        let block = Block::new(&registry);
        block.move_gauge(active, -1);
        assert_eq!(Merged::of(&registry, &[block]).value("active"), Some(0));
    }
}
