//! Opens the data directory: one process, one format, one database.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use openraft::RaftTypeConfig;
use parking_lot::Mutex;
use rocksdb::{DB, WriteBatch};
use tokio::sync::watch;

use crate::database;
use crate::error::StorageError;
use crate::log_store::LogStore;
use crate::marker::{Durable, Marker};
use crate::metrics::StorageMetrics;
use crate::restore;
use crate::schema::{CF_META, FORMAT_VERSION, KEY_FORMAT, meta_key};
use crate::snapshot_store::SnapshotStore;

/// How much memory and disk storage may use.
#[derive(Clone, Copy, Debug)]
pub struct StorageOptions {
    /// Log entries kept in memory for replication and application; what is not on disk yet is kept in any case.
    pub log_cache_bytes_max: usize,
    /// RocksDB's block cache. Hardly a block of the log is read from disk twice: what fills it is the index of each file that
    /// was written, which stays after the file has gone, until it falls out (docs/decisions/0027).
    pub block_cache_bytes: usize,
    /// One memtable.
    pub memtable_bytes: usize,
    /// A snapshot file from a peer may have this many bytes at most; beyond it is refused and removed.
    pub snapshot_file_bytes_max: u64,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            log_cache_bytes_max: 16 << 20,
            block_cache_bytes: 2 << 20,
            memtable_bytes: 16 << 20,
            snapshot_file_bytes_max: 16 << 30,
        }
    }
}

/// The open data directory; cheap to clone. It is closed when the last clone and the last log store are gone.
#[derive(Clone)]
pub struct Storage {
    pub(crate) inner: Arc<StorageInner>,
}

pub(crate) struct StorageInner {
    pub(crate) db: DB,
    /// Whoever writes holds it: then the sequence number after a synced write covers nothing that is not synced.
    marker: Mutex<Marker>,
    pub(crate) metrics: Arc<StorageMetrics>,
    pub(crate) options: StorageOptions,
    failure: watch::Sender<Option<String>>,
    snapshots: SnapshotStore,
    /// Below this index the log is gone, whatever RocksDB still has there.
    pub(crate) purged_end: Arc<AtomicU64>,
    /// Whether a log store is open; there is one writer at a time.
    pub(crate) log_open: AtomicBool,
    /// Held for its lock, released by the system even after a kill.
    _lock: File,
}

impl Storage {
    /// Opens or creates `data_dir` (0700).
    ///
    /// # Errors
    /// [`StorageError`]: the directory cannot be used, is in use, was written by a newer binary, or its log or
    /// snapshots do not reach as far as they once did.
    pub fn open(data_dir: &Path, options: StorageOptions) -> Result<Self, StorageError> {
        create_dir(data_dir)?;
        let lock = lock(data_dir)?;
        let db = database::open(&data_dir.join("db"), &options)?;
        let formatted = database::check_format(&db, data_dir)?;
        let purged_end = database::purged_end(&db, data_dir)?;
        let marker = Marker::open(&data_dir.join("durable"))?;
        #[cfg(feature = "planted-bugs")]
        let marker = crate::planted::opened(&db, marker, purged_end)?;
        database::check_marker(&db, &marker, purged_end, data_dir)?;
        if restore::discard_unfinished(&db, &data_dir.join("snapshots"))? {
            tracing::warn!(path = %data_dir.display(), "what an unfinished restore has left here was removed");
        }
        let purged_end = Arc::new(AtomicU64::new(purged_end));
        let snapshots =
            SnapshotStore::open(data_dir.join("snapshots"), Arc::clone(&purged_end), options.snapshot_file_bytes_max)?;
        let inner = StorageInner {
            db,
            marker: Mutex::new(marker),
            metrics: Arc::new(StorageMetrics::default()),
            options,
            failure: watch::channel(None).0,
            snapshots,
            purged_end,
            log_open: AtomicBool::new(false),
            _lock: lock,
        };
        if !formatted {
            let mut batch = WriteBatch::default();
            batch.put_cf(inner.cf(CF_META)?, KEY_FORMAT, FORMAT_VERSION.to_be_bytes());
            inner.write_synced(batch, None)?;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Metadata of the floors above.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub fn get_meta(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.inner.db.get_cf(self.inner.cf(CF_META)?, meta_key(key))?)
    }

    /// Metadata of the floors above; on disk when this returns.
    ///
    /// # Errors
    /// [`StorageError`]; a failed write is final, see [`Storage::failed`].
    pub fn put_meta(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.put_meta_many(&[(key, value)])
    }

    /// All of it or nothing; on disk when this returns.
    ///
    /// # Errors
    /// [`StorageError`]; a failed write is final, see [`Storage::failed`].
    pub fn put_meta_many(&self, records: &[(&str, &[u8])]) -> Result<(), StorageError> {
        let meta = self.inner.cf(CF_META)?;
        let mut batch = WriteBatch::default();
        for (key, value) in records {
            batch.put_cf(meta, meta_key(key), value);
        }
        self.inner.write_synced(batch, None).inspect_err(|error| self.inner.fail(&error.to_string()))
    }

    /// The log, for openraft; its writer thread ends with it. There can be one at a time: every operation of a second
    /// one is an error.
    #[must_use]
    pub fn log_store<C>(&self) -> LogStore<C>
    where
        C: RaftTypeConfig,
        C::Entry: Clone + serde::Serialize + serde::de::DeserializeOwned,
    {
        LogStore::new(self.clone())
    }

    /// The snapshots.
    #[must_use]
    pub fn snapshots(&self) -> SnapshotStore {
        self.inner.snapshots.clone()
    }

    /// Counters.
    #[must_use]
    pub fn metrics(&self) -> &StorageMetrics {
        &self.inner.metrics
    }

    /// Resolves when a write failed, with the reason; the node must stop.
    pub async fn failed(&self) -> String {
        let mut failure = self.inner.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }
}

impl StorageInner {
    pub(crate) fn cf(&self, name: &str) -> Result<&rocksdb::ColumnFamily, StorageError> {
        database::family(&self.db, name)
    }

    /// Why nothing can be written any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    pub(crate) fn fail(&self, reason: &str) {
        self.failure.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(reason, "the disk failed; nothing is acknowledged any more");
                *known = Some(reason.to_owned());
            }
            first
        });
    }

    /// One synced write. `end`: one past the log's last index afterwards, and the lowest it has in between.
    ///
    /// After one failed write nothing is known about the disk: no later write may look like a success.
    pub(crate) fn write_synced(&self, batch: WriteBatch, end: Option<LogEnd>) -> Result<(), StorageError> {
        let mut marker = self.marker.lock();
        self.refuse_after_failure()?;
        let known = marker.known();
        if let Some(LogEnd { lowest, .. }) = end
            && lowest < known.end
        {
            // Lowered first: a crash in between must not make a shorter log look like a lost one.
            marker.write(Durable { end: lowest, ..known })?;
        }
        self.metrics.observe_fsync(|| self.db.write_opt(batch, &database::synced()))?;
        let end = end.map_or(known.end, |end| end.after);
        marker.write(Durable { end, sequence: self.db.latest_sequence_number() })
    }

    /// A write that the next synced one makes durable.
    pub(crate) fn write_unsynced(&self, batch: WriteBatch) -> Result<(), StorageError> {
        let _marker = self.marker.lock();
        self.refuse_after_failure()?;
        Ok(self.db.write(batch)?)
    }

    pub(crate) fn refuse_after_failure(&self) -> Result<(), StorageError> {
        self.failure().map_or(Ok(()), |reason| Err(StorageError::io(self.db.path(), io::Error::other(reason))))
    }

    /// While it is held nothing reaches the disk, as with a disk that hangs.
    #[cfg(test)]
    pub(crate) fn hang_disk(&self) -> impl Drop + '_ {
        struct Hanging<'a>(Option<parking_lot::MutexGuard<'a, Marker>>);
        impl Drop for Hanging<'_> {
            fn drop(&mut self) {
                self.0 = None;
            }
        }
        Hanging(Some(self.marker.lock()))
    }

    pub(crate) fn purged_end(&self) -> u64 {
        self.purged_end.load(Ordering::Acquire)
    }
}

/// How a batch moves the end of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEnd {
    /// The lowest end in between: truncated to.
    pub(crate) lowest: u64,
    /// One past the last index afterwards.
    pub(crate) after: u64,
}

impl LogEnd {
    pub(crate) fn moved_to(previous: Option<Self>, end: u64) -> Self {
        Self { lowest: previous.map_or(end, |previous| previous.lowest.min(end)), after: end }
    }
}

fn create_dir(path: &Path) -> Result<(), StorageError> {
    let existed = path.is_dir();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| directory(path, &error))?;
    if !existed && let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // So that the new directory itself survives a power loss.
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| directory(path, &error))?;
    }
    Ok(())
}

fn directory(path: &Path, error: &io::Error) -> StorageError {
    StorageError::Directory {
        path: path.to_owned(),
        reason: format!("it cannot be used: {error}; choose a directory that this user can write"),
    }
}

pub(crate) fn lock(data_dir: &Path) -> Result<File, StorageError> {
    let path: PathBuf = data_dir.join("LOCK");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| directory(data_dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StorageError::Locked(data_dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(directory(data_dir, &error)),
    }
}
