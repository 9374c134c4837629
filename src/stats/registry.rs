//! The names of all statistics and the cells that stand for them.
//!
//! Built once per configuration snapshot on the main thread; asking for the same name twice gives the same
//! cell, so two listeners with one `stat_prefix` share their counters as they do in Envoy.

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
    /// Shown only when non-zero: one of a family of which most never occur.
    pub(super) sparse: bool,
}

/// Names and the cells that they own.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
    by_name: HashMap<String, u32>,
    cells: u32,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter called `name`; the same one for the same name.
    pub fn counter(&mut self, name: &str) -> Counter {
        Counter(self.cell(name, Kind::Counter, false))
    }

    /// The counter called `name`, shown only once it has counted something.
    pub fn sparse_counter(&mut self, name: &str) -> Counter {
        Counter(self.cell(name, Kind::Counter, true))
    }

    /// The gauge called `name`; the same one for the same name.
    pub fn gauge(&mut self, name: &str) -> Gauge {
        Gauge(self.cell(name, Kind::Gauge, false))
    }

    /// The counters `<prefix><code>` for every status code.
    pub fn status_counters(&mut self, prefix: &str) -> StatusCounters {
        let first = self.cell(&format!("{prefix}100"), Kind::Counter, true);
        if self.cells == first + 1 {
            for code in 101..600 {
                self.cell(&format!("{prefix}{code}"), Kind::Counter, true);
            }
        }
        StatusCounters(first)
    }

    /// How many cells a block for this registry needs.
    pub fn cells(&self) -> usize {
        self.cells as usize
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn cell(&mut self, name: &str, kind: Kind, sparse: bool) -> u32 {
        if let Some(&cell) = self.by_name.get(name) {
            return cell;
        }
        let cell = self.cells;
        self.cells += 1;
        self.by_name.insert(name.to_owned(), cell);
        self.entries.push(Entry { name: name.to_owned(), kind, cell, sparse });
        cell
    }
}
