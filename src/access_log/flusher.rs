//! The thread that owns the access log files.

use super::config::Sink;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Buffers that may wait for the flusher.
const QUEUE: usize = 256;

/// When a worker hands its lines over.
#[derive(Copy, Clone, Debug)]
pub struct Settings {
    /// `--file-flush-interval-msec`: at least so often. Default 10 s.
    pub interval: Duration,
    /// `--file-flush-min-size-kb`: as soon as there is so much, in bytes. Default 64 KiB.
    pub min_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), min_bytes: 64 << 10 }
    }
}

/// What has happened since it was last asked, and how many bytes wait.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lines that were taken.
    pub lines: AtomicU64,
    /// Buffers that were handed over because it was time.
    pub by_timer: AtomicU64,
    /// Buffers that were written.
    pub written: AtomicU64,
    /// Buffers that could not be written.
    pub failed: AtomicU64,
    /// Buffers that were dropped because the flusher could not keep up.
    pub dropped: AtomicU64,
    /// Files that could not be opened again.
    pub unopened: AtomicU64,
    /// Bytes that wait for the flusher.
    pub waiting: AtomicU64,
}

/// Lines on their way to a sink.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) lines: u64,
}

#[derive(Debug)]
enum Command {
    Write(Arc<Sink>, Batch),
    Reopen,
    Stop,
}

/// The flusher thread; stopped and waited for by [`Flusher::stop`].
#[derive(Debug)]
pub struct Flusher {
    handle: FlusherHandle,
    thread: JoinHandle<()>,
}

/// How others reach the flusher.
#[derive(Clone, Debug)]
pub struct FlusherHandle {
    settings: Settings,
    queue: SyncSender<Command>,
    tally: Arc<Tally>,
}

impl Flusher {
    /// Starts the thread; the files of `sinks` are opened now, so that one that cannot be written is found at
    /// start-up.
    ///
    /// # Errors
    /// The first file that cannot be opened, or the thread that cannot be started.
    pub fn start<'a>(settings: Settings, sinks: impl Iterator<Item = &'a Sink>) -> io::Result<Self> {
        let mut files = HashMap::new();
        for sink in sinks {
            if let Sink::File(path) = sink {
                let file = open(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("access log {}: {error}", path.display()))
                })?;
                files.insert(sink.clone(), file);
            }
        }
        let (queue, commands) = sync_channel(QUEUE);
        let tally = Arc::new(Tally::default());
        let counts = Arc::clone(&tally);
        let thread = std::thread::Builder::new()
            .name("flusher".to_owned())
            .spawn(move || run(&commands, files, &counts))?;
        Ok(Self { handle: FlusherHandle { settings, queue, tally }, thread })
    }

    /// A handle for a worker.
    pub fn handle(&self) -> FlusherHandle {
        self.handle.clone()
    }

    /// Writes what has been handed over and ends the thread.
    pub fn stop(self) {
        // The thread ends only by this command, so it is there to take it; if it has panicked there is
        // nothing more to write.
        if self.handle.queue.send(Command::Stop).is_ok() {
            drop(self.thread.join());
        }
    }
}

impl FlusherHandle {
    /// A handle to nothing: what is written is dropped. For tests.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self { settings: Settings::default(), queue: sync_channel(0).0, tally: Arc::default() }
    }

    /// When lines are handed over.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What has happened to lines.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Closes and opens all files again, after they were rotated.
    pub fn reopen(&self) {
        // A full queue means that the flusher is busy writing; it gets to this one all the same.
        drop(self.queue.send(Command::Reopen));
    }

    pub(super) fn write(&self, sink: Arc<Sink>, batch: Batch) {
        let (bytes, lines) = (batch.text.len() as u64, batch.lines);
        self.tally.waiting.fetch_add(bytes, Relaxed);
        match self.queue.try_send(Command::Write(sink, batch)) {
            Ok(()) => self.tally.lines.fetch_add(lines, Relaxed),
            Err(error) => {
                self.tally.waiting.fetch_sub(bytes, Relaxed);
                match error {
                    TrySendError::Full(_) => self.tally.dropped.fetch_add(1, Relaxed),
                    // The process ends.
                    TrySendError::Disconnected(_) => return,
                }
            }
        };
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn run(commands: &Receiver<Command>, mut files: HashMap<Sink, File>, tally: &Tally) {
    // Said once, not for every batch: a full disk is no place for ever more lines about it.
    let mut failing = HashSet::new();
    while let Ok(command) = commands.recv() {
        match command {
            Command::Write(sink, batch) => {
                match write(&sink, &batch.text, &mut files) {
                    Ok(()) => {
                        if failing.remove(&sink) {
                            log::info!("access log {sink} is written again");
                        }
                        tally.written.fetch_add(1, Relaxed)
                    }
                    Err(error) => {
                        if failing.insert(sink.clone()) {
                            log::warn!("access log {sink} cannot be written, lines are lost: {error}");
                        }
                        tally.failed.fetch_add(1, Relaxed)
                    }
                };
                tally.waiting.fetch_sub(batch.text.len() as u64, Relaxed);
            }
            Command::Reopen => {
                // One that cannot be opened now is tried again with the next lines for it.
                files.retain(|sink, file| {
                    let Sink::File(path) = sink else { return true };
                    match open(path) {
                        Ok(new) => *file = new,
                        Err(error) => {
                            log::warn!("access log {}: {error}", path.display());
                            tally.unopened.fetch_add(1, Relaxed);
                            return false;
                        }
                    }
                    true
                });
            }
            Command::Stop => return,
        }
    }
}

fn write(sink: &Sink, text: &[u8], files: &mut HashMap<Sink, File>) -> io::Result<()> {
    match sink {
        Sink::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(text)?;
            out.flush()
        }
        Sink::Stderr => io::stderr().lock().write_all(text),
        Sink::File(path) => {
            if !files.contains_key(sink) {
                files.insert(sink.clone(), open(path)?);
            }
            files.get_mut(sink).expect("just inserted").write_all(text)
        }
    }
}
