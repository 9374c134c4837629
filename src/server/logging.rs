//! The process's own log: to standard error or a file, in the shape of Envoy's.

use super::log_format::{LogFormat, name, target};
use log::LevelFilter;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The file that the log goes to, if it does.
static FILE: OnceLock<(PathBuf, Mutex<File>)> = OnceLock::new();

/// Starts logging at `level`, once for the process: to a file or to standard error.
///
/// # Errors
/// The file cannot be opened.
pub fn init(level: LevelFilter, format: Option<LogFormat>, path: Option<&Path>) -> io::Result<()> {
    let mut builder = env_logger::Builder::new();
    if let Some(path) = path {
        let file = open(path)?;
        if FILE.set((path.to_owned(), Mutex::new(file))).is_ok() {
            builder.target(env_logger::Target::Pipe(Box::new(ToFile)));
        }
    }
    let result = builder
        // What is logged is decided by `log::max_level`, which may change while the process runs.
        .filter_level(LevelFilter::Trace)
        .format(move |out, record| {
            if let Some(format) = &format {
                return format.write(record, &jiff::Zoned::now(), out);
            }
            let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%3f");
            writeln!(out, "[{now}][{}][{}] {}", name(record.level()), target(record), record.args())
        })
        .try_init();
    log::set_max_level(level);
    // Somebody else (a test) has started logging before: theirs stays.
    drop(result);
    Ok(())
}

/// Closes the file of the log and opens it again, after it was rotated.
pub(super) fn reopen() {
    let Some((path, file)) = FILE.get() else { return };
    match open(path) {
        Ok(new) => *file.lock().unwrap_or_else(PoisonError::into_inner) = new,
        // It is the old one that has this line.
        Err(error) => log::warn!("the log {} cannot be opened again: {error}", path.display()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Whatever the file is at the moment.
struct ToFile;

impl Write for ToFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match FILE.get() {
            Some((_, file)) => file.lock().unwrap_or_else(PoisonError::into_inner).write(text),
            None => Ok(text.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
