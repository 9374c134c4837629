//! The Prometheus text format, as Envoy writes it.
//!
//! Counters, then gauges, then histograms; each family of one name stands together after its `# TYPE` line. Families
//! and their lines are in the order of the parts of their names.

use super::config::StatsConfig;
use super::merged::{HistogramRow, Merged};
use super::number::general;
use super::{Kind, QUANTILES, Tagged};
use std::fmt::Write;

/// All statistics that `wanted` (name, used) lets through; histograms as buckets or as a summary of quantiles.
pub fn prometheus(
    merged: &Merged,
    config: &StatsConfig,
    summary: bool,
    wanted: impl Fn(&str, bool) -> bool,
) -> String {
    let mut out = String::new();
    for (kind, word) in [(Kind::Counter, "counter"), (Kind::Gauge, "gauge")] {
        let rows = merged.rows().iter().filter(|row| row.kind == kind && wanted(&row.name, row.used));
        let rows = rows.map(|row| (config.tags.extract(&row.name), row.name.as_str(), row.value));
        families(&mut out, rows.collect(), word, |out, name, tags, value| {
            // Writing into memory does not fail.
            let _ = writeln!(out, "{name}{{{tags}}} {value}");
        });
    }
    let rows = merged.histograms().iter().filter(|row| wanted(&row.name, !row.cumulative.is_empty()));
    let rows = rows.map(|row| (config.tags.extract(&row.name), row.name.as_str(), row));
    let word = if summary { "summary" } else { "histogram" };
    families(&mut out, rows.collect(), word, |out, name, tags, row| {
        histogram(out, name, tags, row, summary, config)
    });
    out
}

fn families<T>(
    out: &mut String,
    mut rows: Vec<(Tagged, &str, T)>,
    word: &str,
    line: impl Fn(&mut String, &str, &str, &T),
) {
    rows.sort_by(|a, b| {
        let name = a.0.name.split('.').cmp(b.0.name.split('.'));
        name.then_with(|| a.1.split('.').cmp(b.1.split('.')))
    });
    for family in rows.chunk_by(|a, b| a.0.name == b.0.name) {
        let name = format!("envoy_{}", sanitize(&family[0].0.name));
        let _ = writeln!(out, "# TYPE {name} {word}");
        for (tagged, _, value) in family {
            line(out, &name, &labels(tagged), value);
        }
    }
}

fn histogram(
    out: &mut String,
    name: &str,
    tags: &str,
    row: &HistogramRow,
    summary: bool,
    config: &StatsConfig,
) {
    let (all, comma) = (&row.cumulative, if tags.is_empty() { "" } else { "," });
    if summary {
        for part in QUANTILES {
            let value = general(all.quantile(part), 32);
            let _ = writeln!(out, "{name}{{{tags}{comma}quantile=\"{part}\"}} {value}");
        }
    } else {
        for &bound in config.buckets(&row.name) {
            let le = general(bound, 32);
            let _ = writeln!(out, "{name}_bucket{{{tags}{comma}le=\"{le}\"}} {}", all.at_most(bound));
        }
        let _ = writeln!(out, "{name}_bucket{{{tags}{comma}le=\"+Inf\"}} {}", all.count());
    }
    let _ = writeln!(out, "{name}_sum{{{tags}}} {}", general(all.approximate_sum(), 32));
    let _ = writeln!(out, "{name}_count{{{tags}}} {}", all.count());
}

fn labels(tagged: &Tagged) -> String {
    let labels = tagged.tags.iter().map(|(tag, value)| format!("{}=\"{}\"", sanitize(tag), escape(value)));
    labels.collect::<Vec<_>>().join(",")
}

fn sanitize(name: &str) -> String {
    name.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' }).collect()
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
