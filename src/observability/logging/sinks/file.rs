//! A log file: appended to, rotated by size, opened again on demand, and no reason for the service to stop when it is full.
//!
//! The file is opened with `O_APPEND` and mode 0640. A batch of lines is one write that ends with a line, so that
//! rotation by others (rename and SIGHUP, or copy and truncate) never finds half a line; a file that was moved away is
//! noticed within [`LOOK_EVERY`] even without a signal. When a write fails (no room, mostly), its lines are lost and
//! counted, what was written of them is cut off again, and the next batch is tried as if nothing had been.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::line::Line;
use super::super::notices::{Complaints, Notices};
use super::super::queue::Batching;
use super::super::stats::{SinkStats, add};
use super::super::worker::Sink;
use super::rotation;

/// For the service and its group; nobody else.
const MODE: u32 = 0o640;
/// How often the path is looked at: is it still this file?
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a rotation that failed, how long the file grows before the next attempt.
const ROTATE_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// When a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file does not grow beyond it, but for a single longer line.
    pub bytes_max: u64,
    /// Old files that are kept.
    pub backups: u32,
}

/// Why a log file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The directory is not there.
    #[error("the log file {} cannot be opened: the directory {} does not exist; create it, writable for the service's user", .path.display(), .directory.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
    },
    /// It is a directory, or something else that takes no lines.
    #[error("the log file {} cannot be opened: it is {what}; name a file", .path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The system's reason.
    #[error("the log file {} cannot be opened ({source}); the service's user must be able to write to {}", .path.display(), .directory.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl FileError {
    /// The same, said of another file in the same directory.
    fn of(self, path: &Path) -> Self {
        let path = path.to_owned();
        match self {
            Self::NoDirectory { directory, .. } => Self::NoDirectory { path, directory },
            Self::NoFile { what, .. } => Self::NoFile { path, what },
            Self::Open { directory, source, .. } => Self::Open { path, directory, source },
        }
    }
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    let directory = directory_of(path);
    if !directory.is_dir() {
        return Err(FileError::NoDirectory { path: path.to_owned(), directory });
    }
    let what = match fs::metadata(path).map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_dir() => Some("a directory"),
        Ok(kind) if kind.is_socket() => Some("a socket"),
        Ok(kind) if kind.is_block_device() => Some("a block device"),
        // A pipe without a reader would not even open.
        Ok(kind) if kind.is_fifo() => Some("a pipe"),
        _ => None,
    };
    if let Some(what) = what {
        return Err(FileError::NoFile { path: path.to_owned(), what });
    }
    let opened = OpenOptions::new().append(true).create(true).mode(MODE).open(path);
    opened.map_err(|source| FileError::Open { path: path.to_owned(), directory, source })
}

/// Whether a log file could be written: for those who check a configuration without using it, also while the file is in use.
/// A file that is not there is neither made nor removed: whoever uses it may be making it right now. Its directory is asked
/// with a file of another name instead.
///
/// # Errors
/// [`FileError`], as when the log is started.
pub fn check_file(path: &Path) -> Result<(), FileError> {
    if fs::symlink_metadata(path).is_ok() {
        return open(path).map(drop);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".check-{}", std::process::id()));
    let beside = path.with_file_name(name);
    open(&beside).map_err(|error| error.of(path))?;
    // It stays, empty, if it cannot be removed.
    let _ = fs::remove_file(&beside);
    Ok(())
}

/// See the module.
pub(crate) struct FileSink {
    path: PathBuf,
    file: File,
    /// As far as this process knows; others may truncate the file.
    bytes: u64,
    rotation: Option<Rotation>,
    stats: Arc<SinkStats>,
    notices: Notices,
    complaints: Complaints,
    looked_at: Instant,
    rotate_after: Option<Instant>,
    /// Lines lost since the last that was written.
    lost: u64,
    /// Whether half a line may stand at the end.
    is_torn: bool,
    buffer: Vec<u8>,
}

impl FileSink {
    /// Opens the file.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn open(
        path: &Path,
        rotation: Option<Rotation>,
        stats: Arc<SinkStats>,
        notices: Notices,
        complaints: Complaints,
    ) -> Result<Self, FileError> {
        let file = open(path)?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        if let Some(rotation) = rotation {
            rotation::remove_beyond(path, rotation.backups);
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            rotation,
            stats,
            notices,
            complaints,
            looked_at: Instant::now(),
            rotate_after: None,
            lost: 0,
            is_torn: false,
            buffer: Vec::new(),
        })
    }

    fn failed(&mut self, error: &str, lost: u64) {
        add(&self.stats.errors, 1);
        add(&self.stats.dropped, lost);
        self.lost += lost;
        self.complaints.complain(error, lost);
    }

    /// Opens the path again if it is another file by now.
    fn look(&mut self) {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        let here = self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let there = fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        match (here, there) {
            (Ok(here), Ok(there)) if here == there => {}
            _ => drop(self.open_again()),
        }
    }

    /// Takes the file that is at the path now. If that cannot be opened, the old one goes on.
    fn open_again(&mut self) -> bool {
        match open(&self.path) {
            Ok(file) => {
                self.bytes = file.metadata().map_or(0, |metadata| metadata.len());
                (self.file, self.is_torn) = (file, false);
                true
            }
            Err(error) => {
                self.failed(&error.to_string(), 0);
                false
            }
        }
    }

    /// Whether that many more bytes are for the next file.
    fn is_full(&mut self, more: u64, pending: u64) -> bool {
        let Some(rotation) = self.rotation else { return false };
        if self.bytes + pending + more <= rotation.bytes_max || self.bytes + pending == 0 {
            return false;
        }
        if self.rotate_after.is_some_and(|after| Instant::now() < after) {
            return false;
        }
        // Others may have truncated it.
        if let Ok(metadata) = self.file.metadata() {
            self.bytes = metadata.len();
        }
        self.bytes + pending + more > rotation.bytes_max && self.bytes + pending > 0
    }

    fn rotate(&mut self) {
        let Some(rotation) = self.rotation else { return };
        let bytes = self.bytes;
        let moved = rotation::rotate(&self.path, rotation.backups);
        match moved {
            Ok(()) if self.open_again() => {
                self.rotate_after = None;
                add(&self.stats.rotated, 1);
                let notice = self.notices.rotated(self.stats.name(), bytes);
                self.append(&notice);
            }
            Ok(()) => self.rotate_after = Some(Instant::now() + ROTATE_AGAIN_AFTER),
            Err(error) => {
                self.rotate_after = Some(Instant::now() + ROTATE_AGAIN_AFTER);
                self.failed(&format!("{} cannot be rotated ({error}); it grows", self.path.display()), 0);
            }
        }
    }

    /// Puts a line into the buffer.
    fn append(&mut self, line: &Line) {
        self.buffer.extend_from_slice(line.local().as_bytes());
        self.buffer.push(b'\n');
    }

    /// Writes the buffer, which holds so many lines.
    fn flush(&mut self, lines: u64) {
        if self.buffer.is_empty() {
            return;
        }
        if self.lost > 0 {
            // Where they are missing.
            let notice = self.notices.dropped(self.stats.name(), self.lost);
            let mut whole = notice.local().as_bytes().to_vec();
            whole.push(b'\n');
            whole.append(&mut self.buffer);
            self.buffer = whole;
        }
        if self.is_torn {
            self.buffer.insert(0, b'\n');
        }
        let bytes = self.buffer.len();
        match self.file.write_all(&self.buffer) {
            Ok(()) => {
                self.bytes += bytes as u64;
                self.stats.wrote(lines, bytes);
                (self.is_torn, self.lost) = (false, 0);
                self.complaints.recovered();
            }
            Err(error) => {
                self.cut_off();
                let reason = match error.kind() {
                    ErrorKind::StorageFull => "no room on the disk".to_owned(),
                    _ => error.to_string(),
                };
                self.failed(&format!("{}: {reason}", self.path.display()), lines);
            }
        }
        self.buffer.clear();
    }

    /// Removes what a failed write left, so that the file ends with a line.
    fn cut_off(&mut self) {
        let Ok(metadata) = self.file.metadata() else { return };
        if !metadata.is_file() || metadata.len() == self.bytes {
            return;
        }
        // Shorter means that others truncated it: where our lines begin is not known.
        let is_ours = metadata.len() > self.bytes;
        self.is_torn |= !is_ours || self.file.set_len(self.bytes).is_err();
    }
}

impl Sink for FileSink {
    fn batching(&self) -> Batching {
        super::LOCAL_BATCHING
    }

    fn write(&mut self, lines: &mut VecDeque<Line>) -> Option<Duration> {
        self.look();
        let mut count = 0;
        for line in lines.drain(..) {
            if self.is_full(line.local().len() as u64 + 1, self.buffer.len() as u64) {
                self.flush(count);
                count = 0;
                self.rotate();
            }
            self.append(&line);
            count += 1;
        }
        self.flush(count);
        None
    }

    fn reopen(&mut self) {
        if self.open_again() {
            self.rotate_after = None;
            let notice = self.notices.reopened(self.stats.name());
            self.append(&notice);
            self.flush(0);
        }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
