//! `/stats` and its formats, `/stats/prometheus`, `/reset_counters`.
//!
//! Texts, orders and complaints are Envoy's. Counters and gauges are as they are at this moment, histograms as at the
//! end of the last interval.

use super::{Query as Parameters, Reply, View};
use crate::stats::{Distribution, HistogramRow, Kind, QUANTILES, general, plain, prometheus, shortest};
use std::fmt::Write;

/// What is asked for.
#[derive(Debug)]
struct Query {
    used_only: bool,
    filter: Option<regex::Regex>,
    invert: bool,
    format: Format,
    kind: Option<Kinds>,
    buckets: Option<Buckets>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Prometheus,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kinds {
    Counters,
    Gauges,
    Histograms,
    /// There are none.
    TextReadouts,
}

/// How histograms are shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Buckets {
    Summary,
    Cumulative,
    Disjoint,
    Detailed,
}

/// `/stats`.
pub(super) fn stats(view: &View<'_>, query: &Parameters) -> Reply {
    answer(view, query, None)
}

/// `/stats/prometheus`.
pub(super) fn prometheus_stats(view: &View<'_>, query: &Parameters) -> Reply {
    answer(view, query, Some(Format::Prometheus))
}

fn answer(view: &View<'_>, query: &Parameters, format: Option<Format>) -> Reply {
    let query = match Query::parse(query, format) {
        Ok(query) => query,
        Err(complaint) => return Reply { status: 400, ..Reply::text(complaint) },
    };
    match query.format {
        Format::Text => Reply::text(text(view, &query)),
        Format::Json => Reply { content_type: "application/json", ..Reply::text(json(view, &query)) },
        Format::Prometheus => {
            let summary = query.buckets == Some(Buckets::Summary);
            let wanted = |name: &str, used: bool| query.wants(name, used);
            Reply::text(prometheus(&view.stats, &view.snapshot.stats, summary, wanted))
        }
    }
}

impl Query {
    fn parse(query: &Parameters, format: Option<Format>) -> Result<Self, String> {
        // Of several values the first counts; an empty one is none.
        let first = |name: &str| query.first(name);
        let value = |name: &str| query.value(name);
        let asked = match value("format") {
            None | Some("text") => Format::Text,
            Some("json") => Format::Json,
            Some("prometheus") => Format::Prometheus,
            Some(_) => return Err("usage: /stats?format=(json|prometheus|text)\n\n".to_owned()),
        };
        let format = format.unwrap_or(asked);
        let kind = match value("type") {
            _ if format == Format::Prometheus => None,
            None | Some("All") => None,
            Some("Counters") => Some(Kinds::Counters),
            Some("Gauges") => Some(Kinds::Gauges),
            Some("Histograms") => Some(Kinds::Histograms),
            Some("TextReadouts") => Some(Kinds::TextReadouts),
            Some(_) => return Err("invalid &type= param".to_owned()),
        };
        let buckets = match value("histogram_buckets") {
            None => None,
            Some("none" | "summary") => Some(Buckets::Summary),
            Some("cumulative") => Some(Buckets::Cumulative),
            Some("disjoint") => Some(Buckets::Disjoint),
            Some("detailed") => Some(Buckets::Detailed),
            Some(_) => {
                let usage = "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)\n";
                return Err(usage.to_owned());
            }
        };
        if format == Format::Prometheus && matches!(buckets, Some(Buckets::Disjoint | Buckets::Detailed)) {
            return Err("unsupported prometheus histogram bucket mode".to_owned());
        }
        let filter = value("filter").map(|text| {
            let built = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
            built.map_err(|error| {
                let error = error.to_string();
                let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("Invalid re2 regex: {last}: {text}")
            })
        });
        Ok(Self {
            used_only: first("usedonly").is_some(),
            filter: filter.transpose()?,
            invert: first("invert_filter").is_some(),
            format,
            kind,
            buckets,
        })
    }

    fn wants(&self, name: &str, used: bool) -> bool {
        (used || !self.used_only)
            && self.filter.as_ref().is_none_or(|filter| filter.is_match(name) != self.invert)
    }

    fn wants_kind(&self, kind: Kinds) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
    }

    /// Counters and gauges that are wanted.
    fn rows<'a>(&'a self, view: &'a View<'_>) -> impl Iterator<Item = (&'a str, u64)> {
        let rows = view.stats.rows().iter().filter(|row| {
            let kind = if row.kind == Kind::Counter { Kinds::Counters } else { Kinds::Gauges };
            self.wants_kind(kind) && self.wants(&row.name, row.used)
        });
        rows.map(|row| (row.name.as_str(), row.value))
    }

    /// Histograms that are wanted.
    fn histograms<'a>(&'a self, view: &'a View<'_>) -> impl Iterator<Item = &'a HistogramRow> {
        let rows = view.stats.histograms().iter();
        rows.filter(|row| {
            self.wants_kind(Kinds::Histograms) && self.wants(&row.name, !row.cumulative.is_empty())
        })
    }
}

fn text(view: &View<'_>, query: &Query) -> String {
    let mut out = String::new();
    for (name, value) in query.rows(view) {
        // Writing into memory does not fail.
        let _ = writeln!(out, "{name}: {value}");
    }
    for row in query.histograms(view) {
        let shown = match query.buckets.unwrap_or(Buckets::Summary) {
            _ if row.cumulative.is_empty() => " No recorded values".to_owned(),
            Buckets::Summary => format!(" {}", summary(row)),
            Buckets::Cumulative | Buckets::Disjoint => {
                let buckets = bounds(view, row, query.buckets == Some(Buckets::Disjoint));
                let buckets = buckets
                    .map(|(bound, interval, all)| format!(" B{}({interval},{all})", general(bound, 6)));
                buckets.collect()
            }
            Buckets::Detailed => format!(
                "\n  totals={}\n  intervals={}\n  summary={}",
                bins(&row.cumulative),
                bins(&row.interval),
                summary(row)
            ),
        };
        let _ = writeln!(out, "{}:{shown}", row.name);
    }
    out
}

/// Quantiles of the last interval and of all time: `P0(nan,1) P25(nan,1.025) ...`.
fn summary(row: &HistogramRow) -> String {
    let quantiles = QUANTILES.iter().map(|part| {
        let (interval, all) = (plain(row.interval.quantile(*part)), plain(row.cumulative.quantile(*part)));
        format!("P{}({interval},{all})", percent(*part))
    });
    quantiles.collect::<Vec<_>>().join(" ")
}

fn percent(part: f64) -> f64 {
    // 0.995 * 100 is not exactly 99.5.
    (part * 1000.0).round() / 10.0
}

fn bins(distribution: &Distribution) -> String {
    let bins =
        distribution.bins().map(|bin| format!("{},{}:{}", plain(bin.lower), plain(bin.width), bin.count));
    bins.collect::<Vec<_>>().join(", ")
}

/// Upper bound, count in the last interval, count of all time; each bucket with all below it, or by itself.
fn bounds(view: &View<'_>, row: &HistogramRow, disjoint: bool) -> impl Iterator<Item = (f64, u64, u64)> {
    let mut below = (0, 0);
    view.snapshot.stats.buckets(&row.name).iter().map(move |&bound| {
        let (interval, all) = (row.interval.at_most(bound), row.cumulative.at_most(bound));
        let (interval_below, all_below) = if disjoint { below } else { (0, 0) };
        below = (interval, all);
        (bound, interval - interval_below, all - all_below)
    })
}

fn json(view: &View<'_>, query: &Query) -> String {
    let rows = query.rows(view);
    let mut stats: Vec<_> = rows
        .map(|(name, value)| format!("{{\"name\":{},\"value\":{value}}}", serde_json::Value::from(name)))
        .collect();
    let histograms: Vec<_> = query.histograms(view).map(|row| json_histogram(view, query, row)).collect();
    if !histograms.is_empty() {
        let list = histograms.join(",");
        let quantiles: Vec<_> = QUANTILES.iter().map(|part| percent(*part).to_string()).collect();
        let quantiles = quantiles.join(",");
        stats.push(match query.buckets.unwrap_or(Buckets::Summary) {
            Buckets::Summary => format!(
                "{{\"histograms\":{{\"supported_quantiles\":[{quantiles}],\"computed_quantiles\":[{list}]}}}}"
            ),
            Buckets::Detailed => {
                format!("{{\"histograms\":{{\"supported_percentiles\":[{quantiles}],\"details\":[{list}]}}}}")
            }
            Buckets::Cumulative | Buckets::Disjoint => format!("{{\"histograms\":[{list}]}}"),
        });
    }
    format!("{{\"stats\":[{}]}}", stats.join(","))
}

fn json_histogram(view: &View<'_>, query: &Query, row: &HistogramRow) -> String {
    let name = serde_json::Value::from(&row.name[..]);
    let number = |value: f64| if value.is_nan() { "null".to_owned() } else { shortest(value) };
    let quantiles = || {
        let quantiles = QUANTILES.iter().map(|part| {
            let (all, interval) = (row.cumulative.quantile(*part), row.interval.quantile(*part));
            format!("{{\"cumulative\":{},\"interval\":{}}}", number(all), number(interval))
        });
        quantiles.collect::<Vec<_>>().join(",")
    };
    let bins = |distribution: &Distribution| {
        let bins = distribution.bins().map(|bin| {
            let (lower, width) = (shortest(bin.lower), shortest(bin.width));
            format!("{{\"lower_bound\":{lower},\"width\":{width},\"count\":{}}}", bin.count)
        });
        bins.collect::<Vec<_>>().join(",")
    };
    match query.buckets.unwrap_or(Buckets::Summary) {
        Buckets::Summary => format!("{{\"name\":{name},\"values\":[{}]}}", quantiles()),
        Buckets::Detailed => format!(
            "{{\"name\":{name},\"totals\":[{}],\"intervals\":[{}],\"percentiles\":[{}]}}",
            bins(&row.cumulative),
            bins(&row.interval),
            quantiles()
        ),
        Buckets::Cumulative | Buckets::Disjoint => {
            let buckets =
                bounds(view, row, query.buckets == Some(Buckets::Disjoint)).map(|(bound, interval, all)| {
                    let bound = shortest(bound);
                    format!("{{\"upper_bound\":{bound},\"interval\":{interval},\"cumulative\":{all}}}")
                });
            format!("{{\"name\":{name},\"buckets\":[{}]}}", buckets.collect::<Vec<_>>().join(","))
        }
    }
}
