//! The sums over all workers: what main, the admin interface and the sinks read.
//!
//! [`Collector`] belongs to main and keeps what sums alone do not tell: the counts at the last reset, and what each
//! histogram had recorded at the end of the last interval. [`Merged`] is everything at one moment, with names.

use super::block::Block;
use super::config::StatsMatcher;
use super::histogram::Distribution;
use super::registry::{CLASSES, Counter, Entry, Gauge, Histogram, Kind, PerWorker, Registry, Shown, Unit};
use std::sync::atomic::Ordering::Relaxed;

/// One histogram at the end of an interval.
#[derive(Clone, Debug, Default)]
struct Recorded {
    cumulative: Distribution,
    interval: Distribution,
}

/// What to subtract from counters: their counts at the last reset. Empty if there was none.
#[derive(Debug, Default)]
struct Baseline {
    /// For each block its cells.
    cells: Vec<Vec<u64>>,
    /// Family, code, sum over all blocks.
    codes: Vec<(u32, u32, u64)>,
}

/// Reads the blocks of all workers; belongs to the main thread.
#[derive(Debug)]
pub struct Collector {
    /// Main's own first, then one for each worker.
    blocks: Vec<Block>,
    baseline: Baseline,
    recorded: Vec<Recorded>,
}

impl Collector {
    /// Reads these blocks, which have been made for `registry`: main's own first.
    pub fn new(registry: &Registry, blocks: Vec<Block>) -> Self {
        let recorded = vec![Recorded::default(); registry.histograms().len()];
        Self { blocks, baseline: Baseline::default(), recorded }
    }

    /// The blocks: main's own first.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The sum of a counter over all workers, since the last reset.
    pub fn count(&self, counter: Counter) -> u64 {
        let cell = counter.0 as usize;
        let before = self.baseline.cells.iter().map(|cells| cells[cell]);
        let now = self.blocks.iter().map(|block| block.cells()[cell].load(Relaxed));
        now.fold(0, u64::wrapping_add).wrapping_sub(before.fold(0, u64::wrapping_add))
    }

    /// The sum of a gauge over all workers.
    pub fn level(&self, gauge: Gauge) -> u64 {
        self.blocks.iter().map(|block| block.gauge(gauge)).sum::<i64>().max(0) as u64
    }

    /// Ends an interval: what histograms show is what they have recorded until now.
    pub fn end_interval(&mut self) {
        for (index, recorded) in (0..).zip(&mut self.recorded) {
            let now = Block::distribution(&self.blocks, Histogram(index));
            recorded.interval = now.since(&recorded.cumulative);
            recorded.cumulative = now;
        }
    }

    /// Makes every counter 0; gauges and histograms go on.
    pub fn reset_counters(&mut self, registry: &Registry) {
        let cells = |block: &Block| block.cells().iter().map(|cell| cell.load(Relaxed)).collect();
        let cells = self.blocks.iter().map(cells).collect();
        self.baseline = Baseline { cells, codes: codes(registry, &self.blocks) };
    }

    /// Everything at this moment. Histograms are as they were at the end of the last interval.
    pub fn merged(&self, registry: &Registry, matcher: &StatsMatcher) -> Merged {
        let mut merged =
            Merged { rows: rows(registry, matcher, &self.blocks, &self.baseline), histograms: Vec::new() };
        for (entry, recorded) in registry.histograms().iter().zip(&self.recorded) {
            if entry.rejected || entry.sparse && recorded.cumulative.is_empty() {
                continue;
            }
            merged.histograms.push(HistogramRow {
                name: entry.name.clone(),
                unit: entry.unit,
                cumulative: recorded.cumulative.clone(),
                interval: recorded.interval.clone(),
            });
        }
        merged.histograms.sort_by(|a, b| a.name.cmp(&b.name));
        merged
    }
}

/// A counter or gauge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its full name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The sum over all workers.
    pub value: u64,
    /// Whether it has ever counted or been set.
    pub used: bool,
}

/// A histogram.
#[derive(Clone, Debug)]
pub struct HistogramRow {
    /// Its full name.
    pub name: String,
    /// What its values measure.
    pub unit: Unit,
    /// Everything up to the end of the last interval.
    pub cumulative: Distribution,
    /// What came in the last interval.
    pub interval: Distribution,
}

/// The sums over all workers at one moment.
#[derive(Debug)]
pub struct Merged {
    rows: Vec<Row>,
    histograms: Vec<HistogramRow>,
}

impl Merged {
    /// Sums counters and gauges of all blocks; names that are shown only once they have counted are left out until then.
    pub fn of(registry: &Registry, blocks: &[Block]) -> Self {
        Self {
            rows: rows(registry, &StatsMatcher::All, blocks, &Baseline::default()),
            histograms: Vec::new(),
        }
    }

    /// Name, kind and value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Kind, u64)> {
        self.rows.iter().map(|row| (row.name.as_str(), row.kind, row.value))
    }

    /// Counters and gauges, sorted by name.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Histograms, sorted by name.
    pub fn histograms(&self) -> &[HistogramRow] {
        &self.histograms
    }

    /// The value of one counter or gauge.
    pub fn value(&self, name: &str) -> Option<u64> {
        let at = self.rows.binary_search_by(|row| row.name.as_str().cmp(name)).ok()?;
        Some(self.rows[at].value)
    }
}

fn sum(blocks: &[Block], cell: usize) -> u64 {
    let cells = blocks.iter().filter_map(|block| block.cells().get(cell));
    cells.fold(0u64, |sum, cell| sum.wrapping_add(cell.load(Relaxed)))
}

/// The sum of one gauge and whether any worker has ever used it.
fn gauge(blocks: &[Block], cell: usize) -> (u64, bool) {
    let cells = blocks.iter().filter_map(|block| block.cells().get(cell)).map(|cell| cell.load(Relaxed));
    let (sum, used) = cells.fold((0i64, false), |(sum, used), cell| {
        (sum.wrapping_add(cell as i64 >> 1), used | (cell & 1 == 1))
    });
    // A gauge's parts may be read a moment apart: never show that as a huge number.
    (sum.max(0) as u64, used)
}

/// One row: the sum over `blocks`.
fn row(name: String, kind: Kind, cell: u32, blocks: &[Block], baseline: u64) -> Row {
    let (value, used) = match kind {
        Kind::Counter => {
            let sum = sum(blocks, cell as usize);
            (sum.wrapping_sub(baseline), sum != 0)
        }
        Kind::Gauge => gauge(blocks, cell as usize),
    };
    Row { name, kind, value, used }
}

/// The status codes that have counted: family, code, sum.
fn codes(registry: &Registry, blocks: &[Block]) -> Vec<(u32, u32, u64)> {
    let mut found = Vec::new();
    let families =
        (0..registry.codes().len() as u32).flat_map(|family| (0..CLASSES).map(move |class| (family, class)));
    for (family, class) in families {
        let tables: Vec<_> = blocks.iter().filter_map(|block| block.codes(family, class)).collect();
        if tables.is_empty() {
            continue;
        }
        for code in 0..100 {
            let sum =
                tables.iter().fold(0u64, |sum, table| sum.wrapping_add(table[code as usize].load(Relaxed)));
            if sum != 0 {
                found.push((family, (class + 1) * 100 + code, sum));
            }
        }
    }
    found
}

fn rows(registry: &Registry, matcher: &StatsMatcher, blocks: &[Block], baseline: &Baseline) -> Vec<Row> {
    let before = |blocks: &[Vec<u64>], cell: u32| {
        let cells = blocks.iter().filter_map(|block| block.get(cell as usize));
        cells.fold(0u64, |sum, value| sum.wrapping_add(*value))
    };
    let mut rows = Vec::new();
    for Entry { name, kind, cell, shown } in registry.entries() {
        let row = row(name.clone(), *kind, *cell, blocks, before(&baseline.cells, *cell));
        if row.used || *shown == Shown::Always {
            rows.push(row);
        }
    }
    let codes = codes(registry, blocks).into_iter().map(|(family, code, sum)| {
        let before = baseline.codes.binary_search_by_key(&(family, code), |old| (old.0, old.1));
        let before = before.map_or(0, |at| baseline.codes[at].2);
        let name = format!("{}{code}", registry.codes()[family as usize]);
        Row { name, kind: Kind::Counter, value: sum.wrapping_sub(before), used: true }
    });
    rows.extend(codes.filter(|row| matcher.lets_in(&row.name)));
    for PerWorker { prefix, name, kind, cell } in registry.per_worker() {
        // The admin interface is served by main, everything else by the workers.
        let admin = prefix == "listener.admin.";
        for (index, block) in blocks.iter().enumerate() {
            let thread = match index.checked_sub(1) {
                None if admin => "main_thread".to_owned(),
                Some(worker) if !admin => format!("worker_{worker}"),
                _ => continue,
            };
            let baseline = baseline.cells.get(index..=index).unwrap_or_default();
            let name = format!("{prefix}{thread}.{name}");
            rows.push(row(name, *kind, *cell, std::slice::from_ref(block), before(baseline, *cell)));
        }
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_reset_and_the_rest_goes_on() {
        let mut registry = Registry::new();
        let total = registry.counter("total");
        let active = registry.gauge("active");
        let sparse = registry.sparse_gauge("sparse");
        let codes = registry.status_counters("rq_");
        let time = registry.histogram("time", Unit::Milliseconds);
        registry.sparse_histogram("never", Unit::Milliseconds);
        let blocks = vec![Block::new(&registry), Block::new(&registry)];
        let mut collector = Collector::new(&registry, blocks.clone());
        assert_eq!(collector.merged(&registry, &StatsMatcher::All).value("sparse"), None);
        blocks[0].add(total, 3);
        blocks[0].inc_status(codes, 204);
        blocks[1].inc_status(codes, 503);
        blocks[1].move_gauge(active, 2);
        blocks[0].set_gauge(sparse, 0);
        blocks[1].record(time, 7);
        assert!(
            collector.merged(&registry, &StatsMatcher::All).histograms()[0].cumulative.is_empty(),
            "not before the interval ends"
        );
        collector.end_interval();
        collector.reset_counters(&registry);
        blocks[1].inc(total);
        blocks[1].inc_status(codes, 204);
        blocks[1].move_gauge(active, -2);
        let merged = collector.merged(&registry, &StatsMatcher::All);
        let rows: Vec<_> = merged.rows().iter().map(|row| (&row.name[..], row.value, row.used)).collect();
        assert_eq!(
            rows,
            [
                ("active", 0, true),
                ("rq_204", 1, true),
                ("rq_503", 0, true),
                ("sparse", 0, true),
                ("total", 1, true)
            ]
        );
        let [time] = merged.histograms() else { panic!("one histogram is shown") };
        assert_eq!((time.cumulative.count(), time.interval.count()), (1, 1));
        collector.end_interval();
        assert!(collector.merged(&registry, &StatsMatcher::All).histograms()[0].interval.is_empty());
    }
}
