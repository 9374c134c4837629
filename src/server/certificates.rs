//! Certificates while the process runs: files that change are read again, and the days until one expires are counted.
//!
//! On the main thread. Folders are watched, and when something happens in one the files that were read are looked at:
//! what differs from what was read is read again, together with all that belongs to it, and if it is right takes effect
//! for the next handshake. Connections that are open keep what they have. A certificate that has come without its key is
//! refused, and read once more when the key comes.

use super::snapshot::Snapshot;
use crate::io::{Layer, Reactor, Task, TokenKind, Wake};
use crate::stats::Block;
use crate::tls::{Context, Files, SdsStats};
use nuncio_reactor::{RawKey, Watcher};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long after a change files are read: others may follow that belong to it.
const SETTLE: Duration = Duration::from_millis(100);
/// The watcher, and the end of [`SETTLE`].
pub(super) const CHANGED: RawKey = RawKey::from_bits(5 << 32);

/// Everything that has certificates.
#[derive(Debug)]
pub(super) struct Certificates {
    contexts: Vec<Watched>,
    watcher: Option<Watcher>,
    /// Folders in which something has happened, until it is looked at.
    changed: HashSet<PathBuf>,
}

#[derive(Debug)]
struct Watched {
    context: Arc<dyn Context>,
    files: Files,
    /// What the files were when they were read.
    seen: Vec<Option<Stamp>>,
}

/// What tells one content of a file from another.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let data = std::fs::metadata(path).ok()?;
        let modified = (data.mtime(), data.mtime_nsec());
        Some(Self { device: data.dev(), inode: data.ino(), size: data.size(), modified })
    }
}

impl Certificates {
    /// Those of a configuration; what they were read from is watched from now on.
    pub(super) fn new(snapshot: &Snapshot, reactor: &Reactor) -> Self {
        let contexts: Vec<_> = snapshot
            .tls()
            .map(|context| {
                let files = context.settings().files().clone();
                let seen = files.files.iter().map(|path| Stamp::of(path)).collect();
                Watched { context, files, seen }
            })
            .collect();
        let watcher = watch(&contexts, reactor);
        Self { contexts, watcher, changed: HashSet::new() }
    }

    /// Something has happened in a folder: it is looked at when things have settled.
    pub(super) fn on_change(&mut self, reactor: &mut Reactor) {
        let Some(watcher) = &mut self.watcher else { return };
        let waiting = !self.changed.is_empty();
        self.changed.extend(watcher.changed());
        if !waiting && !self.changed.is_empty() {
            reactor.arm(SETTLE, Task { layer: Layer::Server, wake: Wake::Alarm, key: CHANGED });
        }
    }

    /// Reads what has changed.
    pub(super) fn reload(&mut self, stats: &Block) {
        let changed = std::mem::take(&mut self.changed);
        let mut counted = Vec::new();
        for Watched { context, files, seen } in &mut self.contexts {
            // Before the files are read: what changes meanwhile is found the next time.
            let now: Vec<_> = files.files.iter().map(|path| Stamp::of(path)).collect();
            if now == *seen && !files.folders.iter().any(|folder| changed.contains(folder)) {
                continue;
            }
            let result = context.reload();
            // Several contexts may have read one secret, which has changed once.
            for source in context.sources() {
                if !counted.contains(source) {
                    source.count(result.is_ok(), stats);
                    counted.push(source.clone());
                }
            }
            match result {
                Ok(()) => {
                    // A secret may name other files than before.
                    let next = context.settings().files().clone();
                    *seen = match next == *files {
                        true => now,
                        false => next.files.iter().map(|path| Stamp::of(path)).collect(),
                    };
                    *files = next;
                    if !context.sources().is_empty() {
                        context.count_update(stats);
                    }
                    log::info!("certificates of {} have been read again", context.name());
                }
                Err(errors) => {
                    for error in errors {
                        log::warn!("certificates of {} are not changed: {error}", context.name());
                    }
                }
            }
            context.show_expiry(stats);
        }
        if let Some(watcher) = &mut self.watcher {
            watch_each(watcher, &folders(&self.contexts));
        }
    }

    /// Counts that everything was read at the start, and shows when certificates expire.
    pub(super) fn count(&self, stats: &Block) {
        let mut counted: Vec<&SdsStats> = Vec::new();
        for Watched { context, .. } in &self.contexts {
            context.show_expiry(stats);
            for source in context.sources() {
                context.count_update(stats);
                if !counted.contains(&source) {
                    source.count(true, stats);
                    counted.push(source);
                }
            }
        }
    }

    /// Seconds until the first OCSP response is old; `None` without any.
    pub(super) fn ocsp_seconds_left(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let first = self.contexts.iter().filter_map(|watched| watched.context.settings().ocsp_until()).min();
        first.map(|first| (first - now).max(0) as u64)
    }

    /// Whole days until the first certificate expires; `None` without certificates.
    pub(super) fn days_left(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let mut first = None;
        for watched in &self.contexts {
            let settings = watched.context.settings();
            let ours = settings.identities().iter().map(|identity| &*identity.leaf);
            let all = ours.chain(settings.authorities().iter().map(|(_, certificate)| certificate));
            first = all.map(|certificate| certificate.facts().not_after).chain(first).min();
        }
        first.map(|first| (first - now).max(0) as u64 / 86400)
    }
}

/// Watches what was read from; nothing if there is nothing.
fn watch(contexts: &[Watched], reactor: &Reactor) -> Option<Watcher> {
    let folders = folders(contexts);
    if folders.is_empty() {
        return None;
    }
    let watcher = Watcher::new().and_then(|mut watcher| {
        watch_each(&mut watcher, &folders);
        reactor.register(&watcher, TokenKind::Server(CHANGED).token())?;
        Ok(watcher)
    });
    watcher.map_err(|error| log::warn!("cannot watch files: {error}; certificates are not read again")).ok()
}

/// The folders of everything that was read, and those that are watched besides.
fn folders(contexts: &[Watched]) -> HashSet<PathBuf> {
    let mut folders = HashSet::new();
    for Watched { files, .. } in contexts {
        folders.extend(files.folders.iter().cloned());
        for file in &files.files {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            folders.insert(folder.unwrap_or(Path::new(".")).to_owned());
        }
    }
    folders
}

fn watch_each(watcher: &mut Watcher, folders: &HashSet<PathBuf>) {
    for folder in folders {
        if let Err(error) = watcher.watch(folder) {
            log::warn!("cannot watch {}: {error}; certificates in it are not read again", folder.display());
        }
    }
}
