//! Histograms: log-linear bins with two significant decimal digits, as Envoy's (circllhist) have them.
//!
//! A value of 0 has a bin of its own, 1 to 9 one each, and every power of ten above has 90. [`Cells`] is what a worker
//! writes: tables that are made when the first value falls into them, so that a histogram that is never used costs one
//! pointer. [`Distribution`] is what main reads: only the bins that counted. Nothing here formats or sends.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The quantiles that are shown, as parts of 1.
pub const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.90, 0.95, 0.99, 0.995, 0.999, 1.0];

/// The first table holds 0 to 999: what most durations are, so that a second table is rarely made.
const FIRST_TABLE: usize = 190;

/// Bins of one power of ten.
const DECADE: usize = 90;

/// The first table and one for each further power of ten up to `u64::MAX`, which has twenty digits.
const TABLES: usize = 18;

/// The counts of one histogram on one worker. One writer, any number of readers.
#[derive(Debug, Default)]
pub(super) struct Cells {
    tables: [OnceLock<Box<[AtomicU64]>>; TABLES],
}

impl Cells {
    /// Counts one value. Allocates if it is the first in its table.
    #[inline]
    pub(super) fn record(&self, value: u64) {
        let bin = usize::from(bin(value));
        let (table, at) = match bin.checked_sub(FIRST_TABLE) {
            None => (0, bin),
            Some(rest) => (1 + rest / DECADE, rest % DECADE),
        };
        let size = if table == 0 { FIRST_TABLE } else { DECADE };
        let cells = self.tables[table].get_or_init(|| (0..size).map(|_| AtomicU64::new(0)).collect());
        cells[at].store(cells[at].load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Adds every count to `sums`, which has [`BINS`] places.
    fn add_to(&self, sums: &mut [u64]) {
        let mut start = 0;
        for (index, table) in self.tables.iter().enumerate() {
            let size = if index == 0 { FIRST_TABLE } else { DECADE };
            if let Some(cells) = table.get() {
                for (sum, cell) in sums[start..start + size].iter_mut().zip(cells.iter()) {
                    *sum = sum.wrapping_add(cell.load(Relaxed));
                }
            }
            start += size;
        }
    }
}

/// Number of bins.
const BINS: usize = FIRST_TABLE + (TABLES - 1) * DECADE;

/// The bin of a value.
#[inline]
fn bin(value: u64) -> u16 {
    if value < 10 {
        return value as u16;
    }
    let power = value.ilog10();
    let digits = value / 10u64.pow(power - 1);
    // Two digits, and at most nineteen further powers of ten: far below 2^16.
    (10 + (power as u16 - 1) * DECADE as u16) + digits as u16 - 10
}

/// A power of ten and what a bin's two digits stand for at it: the bin begins at `digits / 10 * power`.
fn parts(bin: u16) -> (f64, f64) {
    match bin {
        0 => (0.0, 0.0),
        1..10 => (f64::from(bin) * 10.0, 1.0),
        _ => {
            let rest = bin - 10;
            let power = 10u64.pow(u32::from(rest / DECADE as u16) + 1);
            (f64::from(rest % DECADE as u16 + 10), power as f64)
        }
    }
}

/// The smallest value of a bin. Computed as circllhist does it, since its rounding shows.
fn lower(bin: u16) -> f64 {
    let (digits, power) = parts(bin);
    digits / 10.0 * power
}

/// The difference of a bin's upper and lower end; 0 for the bin of 0.
fn width(bin: u16) -> f64 {
    parts(bin).1 / 10.0
}

/// One bin that counted.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Bin {
    /// Its smallest value.
    pub lower: f64,
    /// Its width; 0 for the value 0.
    pub width: f64,
    /// How many values it counted.
    pub count: u64,
}

/// How many values fell into each bin, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Ascending; no count is 0.
    bins: Vec<(u16, u64)>,
}

impl Distribution {
    /// The sum of some cells.
    pub(super) fn sum<'a>(cells: impl Iterator<Item = &'a Cells>) -> Self {
        let mut cells = cells.peekable();
        if cells.peek().is_none() {
            return Self::default();
        }
        let mut sums = vec![0; BINS];
        cells.for_each(|cells| cells.add_to(&mut sums));
        let bins = (0u16..).zip(sums).filter(|(_, count)| *count != 0).collect();
        Self { bins }
    }

    /// What has been counted since `before`, an earlier state of the same histogram.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut old = before.bins.iter().peekable();
        let mut bins = Vec::new();
        for &(bin, count) in &self.bins {
            while old.next_if(|(other, _)| *other < bin).is_some() {}
            let already = old.next_if(|(other, _)| *other == bin).map_or(0, |(_, count)| *count);
            if count != already {
                bins.push((bin, count.wrapping_sub(already)));
            }
        }
        Self { bins }
    }

    /// Whether it has counted nothing.
    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.bins.iter().fold(0, |sum, (_, count)| sum.wrapping_add(*count))
    }

    /// The bins that counted, ascending.
    pub fn bins(&self) -> impl Iterator<Item = Bin> {
        self.bins.iter().map(|&(bin, count)| Bin { lower: lower(bin), width: width(bin), count })
    }

    /// The sum of all values, as far as bins tell it: each counts as a middle of its bin that makes the relative error
    /// smallest.
    pub fn approximate_sum(&self) -> f64 {
        // The sum of nothing would be a negative zero.
        self.bins().map(|bin| bin.middle() * bin.count as f64).sum::<f64>() + 0.0
    }

    /// How many values are at most `bound`; the whole bin that `bound` lies in is counted.
    pub fn at_most(&self, bound: f64) -> u64 {
        self.bins().take_while(|bin| bin.lower <= bound).fold(0, |sum, bin| sum.wrapping_add(bin.count))
    }

    /// The value below which this part (0 to 1) of all values lies; values are taken to be spread evenly over their
    /// bin. Not a number if nothing was counted.
    pub fn quantile(&self, part: f64) -> f64 {
        let wanted = (self.count() as f64 * part).ceil().max(1.0);
        let mut before = 0.0;
        for bin in self.bins() {
            let count = bin.count as f64;
            if wanted <= before + count {
                return bin.lower + (wanted - before) / (count + 1.0) * bin.width;
            }
            before += count;
        }
        f64::NAN
    }
}

impl Bin {
    /// The value that stands for all in the bin.
    pub fn middle(&self) -> f64 {
        if self.width == 0.0 {
            return self.lower;
        }
        let upper = self.lower + self.width;
        self.lower + self.width * (self.lower / (self.lower + upper))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Distribution {
        let cells = Cells::default();
        values.iter().for_each(|value| cells.record(*value));
        Distribution::sum([&cells].into_iter())
    }

    #[test]
    fn a_bin_holds_two_digits() {
        let rows: &[(u64, f64, f64)] = &[
            (0, 0.0, 0.0),
            (1, 1.0, 0.1),
            (9, 9.0, 0.1),
            (10, 10.0, 1.0),
            (99, 99.0, 1.0),
            (100, 100.0, 10.0),
            (175, 170.0, 10.0),
            (999, 990.0, 10.0),
            (1000, 1000.0, 100.0),
            (1_234_567, 1_200_000.0, 100_000.0),
            (u64::MAX, 1.8e19, 1e18),
        ];
        for &(value, lower, width) in rows {
            let bins: Vec<_> = of(&[value]).bins().collect();
            assert_eq!(bins, [Bin { lower, width, count: 1 }], "{value}");
        }
    }

    #[test]
    fn every_value_is_in_its_bin_and_bins_follow_each_other() {
        let mut last = 0;
        for value in 0..200_000u64 {
            let at = bin(value);
            assert!(at == last || at == last + 1, "{value}: bin {at} after {last}");
            last = at;
            let (lower, upper) = (lower(at), lower(at) + width(at));
            assert!(
                lower <= value as f64 + 1e-9 && (value as f64) < upper.max(0.5),
                "{value}: {lower}..{upper}"
            );
        }
        assert_eq!(usize::from(bin(u64::MAX)), BINS - 1 - 81);
    }

    #[test]
    fn quantiles_are_envoys() {
        // What Envoy 1.40 shows for these values.
        let values = [0, 1, 3, 41, 41, 41, 41, 41, 41, 43, 45, 47, 47, 56, 69, 99, 170];
        let distribution = of(&values);
        let shown: Vec<_> = QUANTILES.iter().map(|part| distribution.quantile(*part).to_string()).collect();
        let wanted = [
            "0",
            "41.285714285714285",
            "41.857142857142854",
            "47.666666666666664",
            "99.5",
            "175",
            "175",
            "175",
            "175",
            "175",
        ];
        assert_eq!(shown, wanted);
        assert_eq!(format!("{:.29}", distribution.approximate_sum()), "837.38549524271945756481727585196");
        let below: Vec<_> =
            [0.5, 1.0, 5.0, 25.0, 50.0, 100.0, 250.0].map(|bound| distribution.at_most(bound)).into();
        assert_eq!(below, [1, 2, 3, 3, 13, 16, 17]);
        assert_eq!(distribution.count(), 17);
        assert!(Distribution::default().quantile(0.5).is_nan());
    }

    #[test]
    fn quantiles_of_equal_values_are_spread_as_in_envoy() {
        // How many values of 1, which quantile, what Envoy 1.40 shows.
        let rows = [
            (4, 0.25, "1.02"),
            (4, 0.75, "1.06"),
            (6, 0.0, "1.0142857142857142"),
            (6, 0.9, "1.0857142857142856"),
            (10, 0.0, "1.009090909090909"),
            (10, 0.5, "1.0454545454545454"),
            (10, 0.75, "1.0727272727272728"),
            (10, 0.9, "1.0818181818181818"),
            (190, 0.95, "1.094764397905759"),
            (190, 0.99, "1.0989528795811518"),
            (200, 0.99, "1.0985074626865672"),
            (200, 0.995, "1.099004975124378"),
            (200, 0.999, "1.099502487562189"),
        ];
        for (count, part, wanted) in rows {
            assert_eq!(of(&vec![1; count]).quantile(part).to_string(), wanted, "{count} values, {part}");
        }
    }

    #[test]
    fn an_interval_is_what_came_since() {
        let before = of(&[1, 5, 5]);
        let now = of(&[1, 5, 5, 5, 7, 0]);
        assert_eq!(now.since(&before), of(&[0, 5, 7]));
        assert_eq!(now.since(&Distribution::default()), now);
        assert!(now.since(&now).is_empty());
    }

    #[test]
    fn cells_add_up() {
        let (a, b) = (Cells::default(), Cells::default());
        a.record(5);
        b.record(5);
        b.record(12_345);
        assert_eq!(Distribution::sum([&a, &b].into_iter()), of(&[5, 5, 12_345]));
    }
}
