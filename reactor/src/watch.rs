//! Folders that are watched: what is moved into them, written or made in them.
//!
//! inotify(7), as a source of a [`crate::Reactor`]: register it, and when it is readable ask it which folders have
//! changed. What has changed in them is for the caller to find out, since a name alone says little: an atomic
//! replacement may come as a symbolic link that is moved.

use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// Watches folders.
#[derive(Debug)]
pub struct Watcher {
    fd: OwnedFd,
    folders: Vec<(i32, PathBuf)>,
}

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// If the system has no more of these.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: sys::inotify()?, folders: Vec::new() })
    }

    /// Watches a folder; one that is watched already is watched once.
    ///
    /// # Errors
    /// If there is no such folder, or the system watches too many.
    pub fn watch(&mut self, folder: &Path) -> io::Result<()> {
        if self.folders.iter().any(|(_, known)| known == folder) {
            return Ok(());
        }
        let watch = sys::watch_folder(&self.fd, folder)?;
        self.folders.push((watch, folder.to_owned()));
        Ok(())
    }

    /// The folders in which something has happened since this was last asked, in no order.
    pub fn changed(&mut self) -> Vec<PathBuf> {
        let mut changed: Vec<PathBuf> = Vec::new();
        let mut room = [0; 4096];
        loop {
            let Ok(n) = sys::read(&self.fd, &mut room) else { return changed };
            if n == 0 {
                return changed;
            }
            let mut rest = &room[..n];
            // Descriptor, mask, cookie, length of the name, the name.
            while let Some((header, after)) = rest.split_first_chunk::<16>() {
                let number = |at: usize| {
                    let mut bytes = [0; 4];
                    bytes.copy_from_slice(&header[at..at + 4]);
                    u32::from_ne_bytes(bytes)
                };
                let (watch, mask, length) = (number(0) as i32, number(4), number(12) as usize);
                rest = after.get(length..).unwrap_or_default();
                for (_, folder) in self.folders.iter().filter(|(known, _)| *known == watch || lost(mask)) {
                    if !changed.contains(folder) {
                        changed.push(folder.clone());
                    }
                }
            }
        }
    }
}

/// Events were lost: anything may have happened.
fn lost(mask: u32) -> bool {
    mask & libc::IN_Q_OVERFLOW != 0
}

impl AsRawFd for Watcher {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_written_and_moved_is_told() {
        let base = std::env::temp_dir().join(format!("nuncio-watch-{}", std::process::id()));
        let (one, two) = (base.join("one"), base.join("two"));
        fs::create_dir_all(&one).expect("a folder");
        fs::create_dir_all(&two).expect("a folder");
        let mut watcher = Watcher::new().expect("inotify");
        watcher.watch(&one).expect("a folder");
        watcher.watch(&one).expect("a folder");
        assert_eq!(watcher.changed(), [] as [PathBuf; 0]);
        fs::write(one.join("a"), "1").expect("a file");
        assert_eq!(watcher.changed(), std::slice::from_ref(&one));
        assert_eq!(watcher.changed(), [] as [PathBuf; 0]);
        fs::write(two.join("b"), "1").expect("a file");
        assert_eq!(watcher.changed(), [] as [PathBuf; 0], "not watched");
        fs::rename(two.join("b"), one.join("a")).expect("a file");
        assert_eq!(watcher.changed(), std::slice::from_ref(&one));
        watcher.watch(&base.join("none")).expect_err("no such folder");
        fs::remove_dir_all(&base).expect("ours");
    }
}
