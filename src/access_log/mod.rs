//! Access logs: one line for each stream, formatted on the worker, written by the flusher thread.
//!
//! A worker appends lines to a buffer of its own for each sink and hands it over when it is large or old enough;
//! it never waits for a disk. When the flusher cannot keep up, whole buffers are dropped and counted, so memory
//! stays bounded.

pub mod compile;
pub mod config;
mod flusher;
mod format;

pub use flusher::{Flusher, FlusherHandle, Settings};
pub use format::Entry;

use config::Sink;
use std::sync::Arc;

/// A sink opened by a [`Logger`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SinkId(u32);

/// A worker's side of the access logs.
#[derive(Debug)]
pub struct Logger {
    flusher: FlusherHandle,
    sinks: Vec<Lines>,
}

#[derive(Debug)]
struct Lines {
    sink: Arc<Sink>,
    text: Vec<u8>,
}

impl Logger {
    /// A logger without sinks.
    pub fn new(flusher: FlusherHandle) -> Self {
        Self { flusher, sinks: Vec::new() }
    }

    /// A handle for lines to this sink; the same for the same sink.
    pub fn open(&mut self, sink: &Sink) -> SinkId {
        let at = self.sinks.iter().position(|lines| *lines.sink == *sink).unwrap_or_else(|| {
            self.sinks.push(Lines { sink: Arc::new(sink.clone()), text: Vec::new() });
            self.sinks.len() - 1
        });
        SinkId(at as u32)
    }

    /// Whether anything is logged at all.
    pub fn is_used(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// How often [`Self::flush`] is to be called.
    pub fn interval(&self) -> std::time::Duration {
        self.flusher.settings().interval
    }

    /// Writes one line to each of `sinks`.
    pub fn record(&mut self, sinks: &[SinkId], entry: &Entry<'_>) {
        for sink in sinks {
            let lines = &mut self.sinks[sink.0 as usize];
            format::default_line(entry, &mut lines.text);
            if lines.text.len() >= self.flusher.settings().min_bytes {
                lines.hand_over(&self.flusher);
            }
        }
    }

    /// Hands all lines to the flusher.
    pub fn flush(&mut self) {
        for lines in &mut self.sinks {
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
        if !self.text.is_empty() {
            flusher.write(Arc::clone(&self.sink), std::mem::take(&mut self.text));
        }
    }
}
