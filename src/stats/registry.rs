//! The names of all statistics and the cells that stand for them.
//!
//! Built once per configuration snapshot on the main thread; asking for the same name twice gives the same
//! cell, so two listeners with one `stat_prefix` share their counters as they do in Envoy.

use super::config::StatsMatcher;
use std::collections::HashMap;

/// A value that only grows, until it is reset by an operator.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Counter(pub(super) u32);

/// A value that goes up and down; the sum over all workers is what is shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Gauge(pub(super) u32);

/// One counter for each status code from 100 to 599, shown only once it has counted something.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StatusCounters(pub(super) u32);

/// The distribution of some values.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Histogram(pub(super) u32);

/// What the values of a histogram measure.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A duration.
    Milliseconds,
    /// A size.
    Bytes,
    /// A number of something.
    Plain,
}

/// A registered histogram.
#[derive(Clone, Debug)]
pub(super) struct HistogramEntry {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// Shown only once it has recorded something.
    pub(super) sparse: bool,
    /// Not shown at all.
    pub(super) rejected: bool,
}

/// What a name stands for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A registered name.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) cell: u32,
    pub(super) shown: Shown,
}

/// How an entry is shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Always.
    Always,
    /// Once it has counted something.
    WhenUsed,
}

/// Classes of status codes that are counted one by one: 1xx to 5xx.
pub(super) const CLASSES: u32 = 5;

/// A counter or gauge that is also shown for each thread by itself.
#[derive(Clone, Debug)]
pub(super) struct PerWorker {
    /// Ends with a dot.
    pub(super) prefix: String,
    /// What follows the thread's name.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) cell: u32,
}

/// Names and the cells that they own.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
    by_name: HashMap<String, u32>,
    cells: u32,
    per_worker: Vec<PerWorker>,
    /// Prefixes of the families of status codes.
    codes: Vec<String>,
    codes_by_prefix: HashMap<String, u32>,
    histograms: Vec<HistogramEntry>,
    histogram_by_name: HashMap<String, u32>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter called `name`; the same one for the same name.
    pub fn counter(&mut self, name: &str) -> Counter {
        Counter(self.cell(name, Kind::Counter, Shown::Always))
    }

    /// The counter called `name`, shown only once it has counted something.
    pub fn sparse_counter(&mut self, name: &str) -> Counter {
        Counter(self.cell(name, Kind::Counter, Shown::WhenUsed))
    }

    /// The gauge called `name`; the same one for the same name.
    pub fn gauge(&mut self, name: &str) -> Gauge {
        Gauge(self.cell(name, Kind::Gauge, Shown::Always))
    }

    /// The gauge called `name`, shown only once it has been set.
    pub fn sparse_gauge(&mut self, name: &str) -> Gauge {
        Gauge(self.cell(name, Kind::Gauge, Shown::WhenUsed))
    }

    /// A counter without a name, for who knows where to look.
    pub fn nameless_counter(&mut self) -> Counter {
        Counter(self.nameless())
    }

    /// A gauge without a name, for who knows where to look.
    pub fn nameless_gauge(&mut self) -> Gauge {
        Gauge(self.nameless())
    }

    fn nameless(&mut self) -> u32 {
        self.cells += 1;
        self.cells - 1
    }

    /// The counters `<prefix><code>` for every status code.
    pub fn status_counters(&mut self, prefix: &str) -> StatusCounters {
        if let Some(&index) = self.codes_by_prefix.get(prefix) {
            return StatusCounters(index);
        }
        let index = self.codes.len() as u32;
        self.codes_by_prefix.insert(prefix.to_owned(), index);
        self.codes.push(prefix.to_owned());
        StatusCounters(index)
    }

    /// The prefixes of all families of status codes, by index.
    pub(super) fn codes(&self) -> &[String] {
        &self.codes
    }

    /// Shows `<prefix><name>`, which is registered already, also as `<prefix>worker_<n>.<name>`. Costs no cell: a
    /// worker's share is in its own block.
    pub fn show_each_worker(&mut self, prefix: &str, name: &str) {
        let full = format!("{prefix}{name}");
        let Some(&cell) = self.by_name.get(&full) else { return };
        // Entries are in the order of their cells.
        let at = self.entries.partition_point(|entry| entry.cell < cell);
        let Some(kind) = self.entries.get(at).map(|entry| entry.kind) else { return };
        if !self.per_worker.iter().any(|shown| shown.cell == cell) {
            self.per_worker.push(PerWorker { prefix: prefix.to_owned(), name: name.to_owned(), kind, cell });
        }
    }

    /// Whether a counter or gauge of this name is registered.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Leaves out one counter or gauge that is registered already, since it can never count here.
    pub fn hide(&mut self, name: &str) {
        self.entries.retain(|entry| entry.name != name);
    }

    /// Leaves out what the configuration does not want; for when everything is registered. Cells stay, so that whoever
    /// counts need not know.
    pub fn select(&mut self, matcher: &StatsMatcher) {
        if matches!(matcher, StatsMatcher::All) {
            return;
        }
        self.entries.retain(|entry| matcher.lets_in(&entry.name));
        self.per_worker.retain(|shown| matcher.lets_in(&format!("{}worker_0.{}", shown.prefix, shown.name)));
        for histogram in &mut self.histograms {
            histogram.rejected = !matcher.lets_in(&histogram.name);
        }
    }

    /// What is shown for each worker.
    pub(super) fn per_worker(&self) -> &[PerWorker] {
        &self.per_worker
    }

    /// The histogram called `name`; the same one for the same name.
    pub fn histogram(&mut self, name: &str, unit: Unit) -> Histogram {
        self.add_histogram(name, unit, false)
    }

    /// The histogram called `name`, shown only once it has recorded something.
    pub fn sparse_histogram(&mut self, name: &str, unit: Unit) -> Histogram {
        self.add_histogram(name, unit, true)
    }

    fn add_histogram(&mut self, name: &str, unit: Unit, sparse: bool) -> Histogram {
        if let Some(&index) = self.histogram_by_name.get(name) {
            return Histogram(index);
        }
        let index = self.histograms.len() as u32;
        self.histogram_by_name.insert(name.to_owned(), index);
        self.histograms.push(HistogramEntry { name: name.to_owned(), unit, sparse, rejected: false });
        Histogram(index)
    }

    /// All histograms, by index.
    pub(super) fn histograms(&self) -> &[HistogramEntry] {
        &self.histograms
    }

    /// How many cells a block for this registry needs.
    pub fn cells(&self) -> usize {
        self.cells as usize
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn cell(&mut self, name: &str, kind: Kind, shown: Shown) -> u32 {
        if let Some(&cell) = self.by_name.get(name) {
            return cell;
        }
        let cell = self.cells;
        self.cells += 1;
        self.by_name.insert(name.to_owned(), cell);
        self.entries.push(Entry { name: name.to_owned(), kind, cell, shown });
        cell
    }
}
