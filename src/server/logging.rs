//! The process's own log: to standard error, in the shape of Envoy's.

use log::{Level, LevelFilter};
use std::io::Write;

/// Starts logging at `level`, once for the process.
pub fn init(level: LevelFilter) {
    let result = env_logger::Builder::new()
        // What is logged is decided by `log::max_level`, which may change while the process runs.
        .filter_level(LevelFilter::Trace)
        .format(|out, record| {
            let level = match record.level() {
                Level::Error => "error",
                Level::Warn => "warning",
                Level::Info => "info",
                Level::Debug => "debug",
                Level::Trace => "trace",
            };
            let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%3f");
            let target = record.target().trim_start_matches("nuncio::");
            writeln!(out, "[{now}][{level}][{target}] {}", record.args())
        })
        .try_init();
    log::set_max_level(level);
    // Somebody else (a test) has started logging before: theirs stays.
    drop(result);
}
