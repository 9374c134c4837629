//! Access logs: one line for each stream, formatted on the worker, written by the flusher thread.
//!
//! A worker appends lines to a buffer of its own for each sink and hands it over when it is large or old enough;
//! it never waits for a disk. When the flusher cannot keep up, whole buffers are dropped and counted, so memory
//! stays bounded.

pub mod compile;
pub mod config;
mod filter;
mod flusher;

pub use flusher::{Flusher, FlusherHandle, Settings, Tally};

pub use filter::{Comparison, Filter, Op};

use crate::formatter::compile::BodyFormat;
use crate::stream_info::StreamInfo;
use config::{AccessLogConfig, Sink};
use flusher::Batch;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// An access log opened by a [`Logger`].
#[derive(Clone, Debug)]
pub struct Log {
    sink: usize,
    format: Arc<BodyFormat>,
    filter: Option<Arc<Filter>>,
}

/// A worker's side of the access logs.
#[derive(Debug)]
pub struct Logger {
    flusher: FlusherHandle,
    sinks: Vec<Lines>,
}

#[derive(Debug)]
struct Lines {
    sink: Arc<Sink>,
    batch: Batch,
}

impl Logger {
    /// A logger without sinks.
    pub fn new(flusher: FlusherHandle) -> Self {
        Self { flusher, sinks: Vec::new() }
    }

    /// Another logger without sinks, for the same flusher.
    pub fn sibling(&self) -> Self {
        Self::new(self.flusher.clone())
    }

    /// A handle for lines of this access log; logs to the same sink share its buffer.
    pub fn open(&mut self, config: &AccessLogConfig) -> Log {
        let found = self.sinks.iter().position(|lines| *lines.sink == config.sink);
        let sink = found.unwrap_or_else(|| {
            self.sinks.push(Lines { sink: Arc::new(config.sink.clone()), batch: Batch::default() });
            self.sinks.len() - 1
        });
        Log { sink, format: Arc::clone(&config.format), filter: config.filter.clone() }
    }

    /// Whether anything is logged at all.
    pub fn is_used(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// How often [`Self::flush`] is to be called.
    pub fn interval(&self) -> std::time::Duration {
        self.flusher.settings().interval
    }

    /// Writes one line to each of `logs` whose filter lets the stream through.
    pub fn record(&mut self, logs: &[Log], info: &StreamInfo<'_>) {
        for log in logs {
            if log.filter.as_ref().is_some_and(|filter| !filter.accepts(info)) {
                continue;
            }
            let lines = &mut self.sinks[log.sink];
            log.format.write(info, &mut lines.batch.text);
            lines.batch.lines += 1;
            if lines.batch.text.len() >= self.flusher.settings().min_bytes {
                lines.hand_over(&self.flusher);
            }
        }
    }

    /// Hands all lines to the flusher.
    pub fn flush(&mut self) {
        for lines in &mut self.sinks {
            if !lines.batch.text.is_empty() {
                self.flusher.tally().by_timer.fetch_add(1, Relaxed);
            }
            lines.hand_over(&self.flusher);
        }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Lines {
    fn hand_over(&mut self, flusher: &FlusherHandle) {
        if !self.batch.text.is_empty() {
            flusher.write(Arc::clone(&self.sink), std::mem::take(&mut self.batch));
        }
    }
}
