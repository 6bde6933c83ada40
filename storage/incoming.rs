//! A peer's snapshot coming in: what came before a transfer broke off is kept, and the next one goes on from there.
//!
//! ```text
//!   POSITION-BYTES-CHECK.arriving ──complete──► NUMBER.partial ──verified as a whole──► POSITION-NUMBER.snapshot
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::error::StorageError;
use crate::snapshot_file::{HEAD_BYTES, SnapshotFile, SnapshotId, check_head};
use crate::snapshot_store::{Partial, SYNC_EVERY_BYTES, SnapshotStore};

/// Unfinished files that are kept for the next transfer.
pub const SNAPSHOT_PARTIALS_MAX: usize = 1;
const EXTENSION: &str = "arriving";

/// Who may write to the unfinished file.
///
/// Invariant: only the transfer that was begun last, and only under this lock; so no two write to one file, and its
/// length is what was received.
#[derive(Debug)]
pub(crate) struct Arrivals {
    last: Mutex<u64>,
}

impl Arrivals {
    /// Keeps what may be of use, and removes the rest.
    pub(crate) fn open(dir: &Path) -> Result<Self, StorageError> {
        let mut known: Vec<PathBuf> = Vec::new();
        for path in unfinished(dir)? {
            if parse(&path).is_some() { known.push(path) } else { remove(&path)? }
        }
        known.sort_unstable();
        for path in known.iter().rev().skip(SNAPSHOT_PARTIALS_MAX) {
            remove(path)?;
        }
        Ok(Self { last: Mutex::new(0) })
    }

    /// A snapshot that reaches this far makes unfinished ones that reach no further useless.
    pub(crate) fn drop_up_to(&self, dir: &Path, position: u64) -> Result<(), StorageError> {
        let mut last = self.last.lock();
        for path in unfinished(dir)? {
            if parse(&path).is_none_or(|id| id.position <= position) {
                *last += 1;
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn unfinished(dir: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let io = |error| StorageError::io(dir, error);
    let mut paths = Vec::new();
    for item in fs::read_dir(dir).map_err(io)? {
        let path = item.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn remove(path: &Path) -> Result<(), StorageError> {
    fs::remove_file(path).map_err(|error| StorageError::io(path, error))
}

fn file_name(id: SnapshotId) -> String {
    format!("{:020}-{}-{:08x}.{EXTENSION}", id.position, id.bytes, id.check)
}

fn parse(path: &Path) -> Option<SnapshotId> {
    let mut parts = path.file_stem()?.to_str()?.split('-');
    let (position, bytes, check) = (parts.next()?, parts.next()?, parts.next()?);
    let check = u32::from_str_radix(check, 16).ok()?;
    let id = SnapshotId { position: position.parse().ok()?, bytes: bytes.parse().ok()?, check };
    (path.file_name()?.to_str()? == file_name(id)).then_some(id)
}

/// See the module.
pub struct IncomingSnapshot {
    store: SnapshotStore,
    part: Part,
    received: u64,
    /// So many of them were synced, or were there before.
    synced: u64,
    /// The file's first bytes, until they are enough to be judged.
    head: Vec<u8>,
}

enum Part {
    /// Of an unknown file: removed with the transfer.
    Unknown(Partial),
    /// Of a known one: kept.
    Known { id: SnapshotId, file: File, path: PathBuf, ordinal: u64 },
}

impl IncomingSnapshot {
    pub(crate) fn unknown(store: SnapshotStore, partial: Partial) -> Self {
        Self { store, part: Part::Unknown(partial), received: 0, synced: 0, head: Vec::new() }
    }

    pub(crate) fn resume(store: SnapshotStore, id: SnapshotId) -> Result<Self, StorageError> {
        let bytes_max = store.inner.file_bytes_max;
        if id.bytes > bytes_max {
            return Err(StorageError::TooLarge { what: "a peer's snapshot", bytes_max });
        }
        let path = store.inner.dir.join(file_name(id));
        let mut last = store.inner.arrivals.last.lock();
        *last += 1;
        let ordinal = *last;
        for other in unfinished(&store.inner.dir)?.into_iter().filter(|other| *other != path) {
            remove(&other)?;
        }
        let io = |error| StorageError::io(&path, error);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(io)?;
        let mut received = file.metadata().map_err(io)?.len();
        if received > id.bytes {
            file.set_len(0).map_err(io)?;
            received = 0;
        }
        drop(last);
        Ok(Self { store, part: Part::Known { id, file, path, ordinal }, received, synced: received, head: Vec::new() })
    }

    /// Bytes that are there, from the file's beginning on.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next bytes of the file.
    ///
    /// # Errors
    /// [`StorageError`]: no file that this binary reads, more than it may have, or a later transfer has begun.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let before = self.received;
        self.received = before.saturating_add(bytes.len() as u64);
        let bytes_max = match &self.part {
            Part::Unknown(_) => self.store.inner.file_bytes_max,
            Part::Known { id, .. } => id.bytes,
        };
        if self.received > bytes_max {
            self.give_up();
            return Err(StorageError::TooLarge { what: "a peer's snapshot", bytes_max });
        }
        if let Err(error) = self.judge_head(before, bytes) {
            self.give_up();
            return Err(error);
        }
        match &mut self.part {
            Part::Unknown(partial) => {
                partial.file.write_all(bytes).map_err(|error| StorageError::io(&partial.path, error))
            }
            Part::Known { file, path, ordinal, .. } => {
                let last = self.store.inner.arrivals.last.lock();
                if *last != *ordinal {
                    return Err(StorageError::Overtaken);
                }
                file.write_all(bytes).map_err(|error| {
                    // A full disk has no room for what is of no use at present.
                    if let Err(error) = fs::remove_file(&*path) {
                        tracing::warn!(path = %path.display(), %error, "an unfinished snapshot could not be removed");
                    }
                    StorageError::io(path, error)
                })
            }
        }
    }

    /// Whether so much came since the last sync that [`IncomingSnapshot::sync`] is due.
    #[must_use]
    pub fn is_sync_due(&self) -> bool {
        self.received - self.synced >= SYNC_EVERY_BYTES
    }

    /// Syncs what came. Not for durability, which [`IncomingSnapshot::finish`] sees to, but to spare the log's syncs beside it
    /// one of the whole file.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn sync(&mut self) -> Result<(), StorageError> {
        let (file, path) = match &self.part {
            Part::Unknown(partial) => (&partial.file, &partial.path),
            Part::Known { file, path, .. } => (file, path),
        };
        file.sync_data().map_err(|error| StorageError::io(path, error))?;
        self.synced = self.received;
        Ok(())
    }

    /// A newer file, or none at all, is refused with its first bytes.
    fn judge_head(&mut self, before: u64, bytes: &[u8]) -> Result<(), StorageError> {
        if before != self.head.len() as u64 || before >= HEAD_BYTES {
            return Ok(());
        }
        let missing = HEAD_BYTES as usize - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        match <&[u8; HEAD_BYTES as usize]>::try_from(self.head.as_slice()) {
            Ok(head) => check_head(head, &self.store.inner.dir).map(drop),
            Err(_) => Ok(()),
        }
    }

    /// What came is of no use.
    fn give_up(&self) {
        let Part::Known { path, ordinal, .. } = &self.part else { return };
        let last = self.store.inner.arrivals.last.lock();
        if *last == *ordinal
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "an unfinished snapshot could not be removed");
        }
    }

    /// Verifies and keeps it.
    ///
    /// # Errors
    /// [`StorageError`]: an incomplete file is kept for the next transfer; a damaged or newer one is removed.
    pub fn finish(self) -> Result<SnapshotFile, StorageError> {
        self.finish_if(|_| Ok(()))
    }

    /// [`IncomingSnapshot::finish`], if the floor above can read what is in it: otherwise it is removed.
    ///
    /// # Errors
    /// [`StorageError`]; [`StorageError::Unreadable`] with the reason that `check` gives.
    pub fn finish_if(
        self,
        check: impl FnOnce(&SnapshotFile) -> Result<(), String>,
    ) -> Result<SnapshotFile, StorageError> {
        let (id, file, path, ordinal) = match self.part {
            Part::Unknown(partial) => return self.store.settle_if(partial, self.received, check),
            Part::Known { id, file, path, ordinal } => (id, file, path, ordinal),
        };
        let partial = {
            let last = self.store.inner.arrivals.last.lock();
            if *last != ordinal {
                return Err(StorageError::Overtaken);
            }
            if self.received < id.bytes {
                return Err(StorageError::Incomplete { received: self.received, bytes: id.bytes });
            }
            // Out of reach of other transfers: the file is complete, and verifying it takes a while.
            let complete = self.store.partial_path();
            fs::rename(&path, &complete).map_err(|error| StorageError::io(&path, error))?;
            Partial { file, path: complete, settled: false }
        };
        self.store.settle_if(partial, id.bytes, |found| {
            if found.id() == id { check(found) } else { Err("it is not the snapshot that was announced".to_owned()) }
        })
    }
}
