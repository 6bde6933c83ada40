//! A data directory that is filled at once: it holds all of it, or what it held before, whenever the process ends.
//!
//! ```text
//!   begin: a mark, synced ─► snapshots ─► complete: vote, records, the mark gone, in one synced write
//!                                └─ a start that finds the mark removes the snapshots, then the mark
//! ```
//! Only a directory without log, vote and snapshots is filled, so that whatever stands beside the mark is of the filling.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rocksdb::{DB, WriteBatch};
use serde::Serialize;

use crate::database;
use crate::error::StorageError;
use crate::schema::{CF_META, KEY_RESTORING, KEY_VOTE, encode, meta_key};
use crate::storage::{Storage, lock};

/// What [`set_aside`] moves, the database last: were it gone first, a crash would leave snapshots for a node that is new.
const CONTENT: [&str; 3] = ["snapshots", "durable", "db"];

impl Storage {
    /// Whether there is a log, a vote or a snapshot: the directory is that of a node that has taken part in a cluster.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn holds_state(&self) -> Result<bool, StorageError> {
        let inner = &self.inner;
        let voted = inner.db.get_cf(inner.cf(CF_META)?, KEY_VOTE)?.is_some();
        let logged = inner.purged_end() > 0 || database::last_index(&inner.db, 0)?.is_some();
        Ok(voted || logged || self.snapshots().latest()?.is_some())
    }

    /// Begins to fill the directory: until [`Storage::complete_restore`] a start finds it as it is now.
    ///
    /// # Errors
    /// [`StorageError`]; it holds state already.
    pub fn begin_restore(&self) -> Result<(), StorageError> {
        if self.holds_state()? {
            let path = self.inner.db.path().parent().unwrap_or_else(|| Path::new("")).to_owned();
            let reason = "it holds a node's state; a restore needs an empty directory".to_owned();
            return Err(StorageError::Directory { path, reason });
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.inner.cf(CF_META)?, KEY_RESTORING, b"");
        self.inner.write_synced(batch, None)
    }

    /// The snapshot that was written since counts from now on, and so do this vote and these records of the floors above.
    ///
    /// # Errors
    /// [`StorageError`]; nothing counts.
    pub fn complete_restore<V: Serialize>(&self, vote: &V, records: &[(&str, &[u8])]) -> Result<(), StorageError> {
        let meta = self.inner.cf(CF_META)?;
        let mut batch = WriteBatch::default();
        let vote = encode(vote).map_err(|error| StorageError::io(self.inner.db.path(), error))?;
        batch.put_cf(meta, KEY_VOTE, vote);
        for (key, value) in records {
            batch.put_cf(meta, meta_key(key), value);
        }
        batch.delete_cf(meta, KEY_RESTORING);
        self.inner.write_synced(batch, None)
    }

    /// What was begun and not completed is gone: the directory is as it was.
    ///
    /// # Errors
    /// [`StorageError`]; the next start does it.
    pub fn abandon_restore(&self, data_dir: &Path) -> Result<(), StorageError> {
        let done = discard_unfinished(&self.inner.db, &data_dir.join("snapshots"))?;
        debug_assert!(done, "it was begun");
        Ok(())
    }
}

/// At a start: removes what an unfinished restore has left; says whether there was one.
pub(crate) fn discard_unfinished(db: &DB, snapshots: &Path) -> Result<bool, StorageError> {
    let meta = database::family(db, CF_META)?;
    if db.get_cf(meta, KEY_RESTORING)?.is_none() {
        return Ok(false);
    }
    match fs::remove_dir_all(snapshots) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StorageError::io(snapshots, error)),
        _ => {}
    }
    fs::create_dir_all(snapshots).map_err(|error| StorageError::io(snapshots, error))?;
    let mut batch = WriteBatch::default();
    batch.delete_cf(meta, KEY_RESTORING);
    db.write_opt(batch, &database::synced())?;
    Ok(true)
}

/// Moves a node's state into a directory inside its own, which is returned; `None`: there was none. Nothing is removed,
/// and what is no state (certificates, logs) stays where it is.
///
/// # Errors
/// [`StorageError`]: a process uses it, or the system refuses.
pub fn set_aside(data_dir: &Path, name: &str) -> Result<Option<PathBuf>, StorageError> {
    if !data_dir.join("db").exists() {
        return Ok(None);
    }
    let _lock = lock(data_dir)?;
    let aside = data_dir.join(name);
    fs::DirBuilder::new().mode(0o700).create(&aside).map_err(|error| StorageError::io(&aside, error))?;
    for item in CONTENT {
        let from = data_dir.join(item);
        match fs::rename(&from, aside.join(item)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StorageError::io(&from, error)),
            _ => {}
        }
    }
    for dir in [&aside, data_dir] {
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| StorageError::io(dir, error))?;
    }
    Ok(Some(aside))
}
