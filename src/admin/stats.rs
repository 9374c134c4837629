//! `/stats`: all counters and gauges.

use super::{Reply, View};
use crate::stats::{HistogramRow, QUANTILES};
use std::fmt::Write;

/// `/stats`.
pub(super) fn stats(view: &View<'_>, _: &str) -> Reply {
    let mut text = String::new();
    for (name, _, value) in view.stats.iter() {
        // Writing into memory does not fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    for histogram in view.stats.histograms() {
        let _ = writeln!(text, "{}: {}", histogram.name, summary(histogram));
    }
    Reply::text(text)
}

/// Quantiles of the last interval and of all time: `P0(nan,1) P25(nan,1.025) ...`.
fn summary(histogram: &HistogramRow) -> String {
    if histogram.cumulative.is_empty() {
        return "No recorded values".to_owned();
    }
    let number = |value: f64| if value.is_nan() { "nan".to_owned() } else { value.to_string() };
    let quantiles: Vec<_> = QUANTILES
        .iter()
        .map(|part| {
            let (interval, cumulative) =
                (histogram.interval.quantile(*part), histogram.cumulative.quantile(*part));
            // 99.5 is not exactly 0.995 * 100.
            let percent = (part * 1000.0).round() / 10.0;
            format!("P{percent}({},{})", number(interval), number(cumulative))
        })
        .collect();
    quantiles.join(" ")
}
