//! The thread that owns the access log files.

use super::config::Sink;
use std::collections::HashMap;
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

#[derive(Debug)]
enum Command {
    Write(Arc<Sink>, Vec<u8>),
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
    dropped: Arc<AtomicU64>,
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
        let thread =
            std::thread::Builder::new().name("flusher".to_owned()).spawn(move || run(&commands, files))?;
        Ok(Self { handle: FlusherHandle { settings, queue, dropped: Arc::default() }, thread })
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
        Self { settings: Settings::default(), queue: sync_channel(0).0, dropped: Arc::default() }
    }

    /// When lines are handed over.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Buffers of lines that were dropped because the flusher could not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Closes and opens all files again, after they were rotated.
    pub fn reopen(&self) {
        // A full queue means that the flusher is busy writing; it gets to this one all the same.
        drop(self.queue.send(Command::Reopen));
    }

    pub(super) fn write(&self, sink: Arc<Sink>, text: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Command::Write(sink, text)) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn run(commands: &Receiver<Command>, mut files: HashMap<Sink, File>) {
    while let Ok(command) = commands.recv() {
        match command {
            Command::Write(sink, text) => {
                if let Err(error) = write(&sink, &text, &mut files) {
                    log::warn!("access log {sink:?}: {error}");
                }
            }
            Command::Reopen => files.clear(),
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
