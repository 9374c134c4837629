//! `/stats`: all counters and gauges.

use super::{Reply, View};
use std::fmt::Write;

/// `/stats`.
pub(super) fn stats(view: &View<'_>, _: &str) -> Reply {
    let mut text = String::new();
    for (name, _, value) in view.stats.iter() {
        // Writing into memory does not fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    Reply::text(text)
}
