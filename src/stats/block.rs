//! The cells of one worker, and the sum over all workers.
//!
//! A block has one writer (its worker) and any number of readers (the main thread). Cells are atomics only
//! so that reading them from another thread is defined; the writer never uses a read-modify-write.

use super::histogram::{Cells, Distribution};
use super::registry::{CLASSES, Counter, Gauge, Histogram, Registry, StatusCounters};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// The cells that one worker writes.
#[derive(Clone, Debug)]
pub struct Block {
    cells: Arc<[AtomicU64]>,
    /// Status codes: for each family one table of 100 for each class; made when it counts for the first time, since
    /// thousands of clusters have families of which most never count.
    codes: Arc<[OnceLock<Box<[AtomicU64]>>]>,
    /// By the index of the histogram; made when it records its first value.
    histograms: Arc<[OnceLock<Box<Cells>>]>,
}

impl Block {
    /// Cells for every name of `registry`, all zero.
    pub fn new(registry: &Registry) -> Self {
        Self {
            cells: (0..registry.cells()).map(|_| AtomicU64::new(0)).collect(),
            codes: (0..registry.codes().len() * CLASSES as usize).map(|_| OnceLock::new()).collect(),
            histograms: registry.histograms().iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Counts one value of a histogram. The first one allocates.
    #[inline]
    pub fn record(&self, histogram: Histogram, value: u64) {
        self.histograms[histogram.0 as usize].get_or_init(Box::default).record(value);
    }

    /// What a histogram has recorded in all of `blocks`.
    pub(super) fn distribution(blocks: &[Self], histogram: Histogram) -> Distribution {
        let cells = blocks.iter().filter_map(|block| block.histograms.get(histogram.0 as usize)?.get());
        Distribution::sum(cells.map(AsRef::as_ref))
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

    /// Counts one answer with this status; a status outside 100..=599 is not counted. The first of its class allocates.
    #[inline]
    pub fn inc_status(&self, counters: StatusCounters, status: u16) {
        if (100..600).contains(&status) {
            let (class, code) = (u32::from(status / 100 - 1), usize::from(status % 100));
            let table = &self.codes[(counters.0 * CLASSES + class) as usize];
            let table = table.get_or_init(|| (0..100).map(|_| AtomicU64::new(0)).collect());
            table[code].store(table[code].load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    /// The raw counts of one class of a family of status codes; `None` if it has never counted.
    pub(super) fn codes(&self, family: u32, class: u32) -> Option<&[AtomicU64]> {
        self.codes.get((family * CLASSES + class) as usize)?.get().map(AsRef::as_ref)
    }

    /// Moves a gauge by `by`.
    #[inline]
    pub fn move_gauge(&self, gauge: Gauge, by: i64) {
        // The lowest bit says that the gauge has been used, so that it does not vanish when it is back at 0. Two's
        // complement: adding a wrapped negative number subtracts.
        let cell = &self.cells[gauge.0 as usize];
        cell.store(cell.load(Relaxed).wrapping_add((by as u64) << 1) | 1, Relaxed);
    }

    /// Sets a gauge; for gauges that have one writer in the whole process.
    pub fn set_gauge(&self, gauge: Gauge, to: u64) {
        self.cells[gauge.0 as usize].store(to << 1 | 1, Relaxed);
    }

    /// This block's own share of a counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.cells[counter.0 as usize].load(Relaxed)
    }

    /// This block's own share of a gauge.
    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.cells[gauge.0 as usize].load(Relaxed) as i64 >> 1
    }

    /// The raw cells.
    pub(super) fn cells(&self) -> &[AtomicU64] {
        &self.cells
    }

    #[inline]
    fn bump(&self, cell: u32, by: u64) {
        let cell = &self.cells[cell as usize];
        cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Merged;

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
