//! Opens the data directory: one process, one format, one database.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::RaftTypeConfig;
use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, Options, WriteBatch, WriteOptions};
use tokio::sync::watch;

use crate::error::StorageError;
use crate::log_store::LogStore;
use crate::marker::Marker;
use crate::metrics::StorageMetrics;
use crate::schema::{CF_LOG, CF_META, FORMAT_VERSION, KEY_FORMAT, KEY_PURGED, log_index, meta_key};
use crate::snapshot_store::SnapshotStore;

/// How much memory storage may use.
#[derive(Clone, Copy, Debug)]
pub struct StorageOptions {
    /// Log entries kept in memory for replication and application; what is not on disk yet is kept in any case.
    pub log_cache_bytes_max: usize,
    /// RocksDB's block cache.
    pub block_cache_bytes: usize,
    /// One memtable.
    pub memtable_bytes: usize,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self { log_cache_bytes_max: 16 << 20, block_cache_bytes: 8 << 20, memtable_bytes: 16 << 20 }
    }
}

/// The open data directory; cheap to clone. It is closed when the last clone and the last log store are gone.
#[derive(Clone)]
pub struct Storage {
    pub(crate) inner: Arc<StorageInner>,
}

pub(crate) struct StorageInner {
    pub(crate) db: DB,
    pub(crate) marker: Marker,
    pub(crate) metrics: Arc<StorageMetrics>,
    pub(crate) options: StorageOptions,
    pub(crate) failure: watch::Sender<Option<String>>,
    snapshots: SnapshotStore,
    /// Held for its lock, released by the system even after a kill.
    _lock: File,
}

impl Storage {
    /// Opens or creates `data_dir` (0700).
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open(data_dir: &Path, options: StorageOptions) -> Result<Self, StorageError> {
        create_dir(data_dir)?;
        let lock = lock(data_dir)?;
        let db = open_database(&data_dir.join("db"), &options)?;
        check_format(&db, data_dir)?;
        let marker = Marker::open(&data_dir.join("durable"))?;
        check_marker(&db, &marker, data_dir)?;
        let snapshots = SnapshotStore::open(data_dir.join("snapshots"))?;
        let inner = StorageInner {
            db,
            marker,
            metrics: Arc::new(StorageMetrics::default()),
            options,
            failure: watch::channel(None).0,
            snapshots,
            _lock: lock,
        };
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
    /// [`StorageError::Database`].
    pub fn put_meta(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        Ok(self.inner.db.put_cf_opt(self.inner.cf(CF_META)?, meta_key(key), value, &synced())?)
    }

    /// The log, for openraft; its writer thread ends with it.
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
        cf(&self.db, name)
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
}

pub(crate) fn cf<'a>(db: &'a DB, name: &str) -> Result<&'a rocksdb::ColumnFamily, StorageError> {
    db.cf_handle(name).ok_or_else(|| StorageError::corrupt(db.path(), format!("column family {name} is missing")))
}

pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// One past the last index in the log, or past the last purged one.
fn log_end(db: &DB) -> Result<u64, StorageError> {
    let log = cf(db, CF_LOG)?;
    let mut iterator = db.raw_iterator_cf(log);
    iterator.seek_to_last();
    iterator.status()?;
    if let Some(index) = iterator.key().and_then(log_index) {
        return Ok(index + 1);
    }
    match db.get_cf(cf(db, CF_META)?, KEY_PURGED)? {
        // The index stands in front of the encoded log id, so that this check needs no type of openraft's.
        Some(bytes) => Ok(bytes.get(..8).and_then(|head| head.try_into().ok()).map_or(0, |last| u64::from_be_bytes(last) + 1)),
        None => Ok(0),
    }
}

fn create_dir(path: &Path) -> Result<(), StorageError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| directory(path, &error))
}

fn directory(path: &Path, error: &io::Error) -> StorageError {
    StorageError::Directory { path: path.to_owned(), reason: format!("it cannot be used: {error}") }
}

fn lock(data_dir: &Path) -> Result<File, StorageError> {
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

fn open_database(path: &Path, options: &StorageOptions) -> Result<DB, StorageError> {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_max_total_wal_size(4 * options.memtable_bytes as u64);
    database.set_keep_log_file_num(2);
    database.set_max_log_file_size(1 << 20);
    database.set_max_open_files(64);
    database.set_max_background_jobs(2);
    // A torn record at the very end is what a crash in the middle of a write leaves and is dropped; entries that
    // were acknowledged are not lost unnoticed by it, because the marker knows how far the log once reached.
    database.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
    let cache = Cache::new_lru_cache(options.block_cache_bytes);
    let family = || {
        let mut family = Options::default();
        family.set_write_buffer_size(options.memtable_bytes);
        family.set_max_write_buffer_number(3);
        family.set_compression_type(DBCompressionType::Lz4);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        family.set_block_based_table_factory(&blocks);
        family
    };
    let families = [
        ColumnFamilyDescriptor::new("default", family()),
        ColumnFamilyDescriptor::new(CF_META, family()),
        ColumnFamilyDescriptor::new(CF_LOG, family()),
    ];
    Ok(DB::open_cf_descriptors(&database, path, families)?)
}

fn check_format(db: &DB, data_dir: &Path) -> Result<(), StorageError> {
    let meta = cf(db, CF_META)?;
    match db.get_cf(meta, KEY_FORMAT)? {
        None => {
            let mut batch = WriteBatch::default();
            batch.put_cf(meta, KEY_FORMAT, FORMAT_VERSION.to_be_bytes());
            Ok(db.write_opt(batch, &synced())?)
        }
        Some(bytes) => match <[u8; 4]>::try_from(bytes.as_ref()).map(u32::from_be_bytes) {
            Ok(found) if found <= FORMAT_VERSION => Ok(()),
            Ok(found) => Err(StorageError::Newer { path: data_dir.to_owned(), found, known: FORMAT_VERSION }),
            Err(_) => Err(StorageError::corrupt(data_dir, "its format record is damaged")),
        },
    }
}

fn check_marker(db: &DB, marker: &Marker, data_dir: &Path) -> Result<(), StorageError> {
    let end = log_end(db)?;
    match marker.read()? {
        Some(durable) if durable > end => {
            Err(StorageError::LogBehindMarker { path: data_dir.to_owned(), end, durable })
        }
        _ => Ok(()),
    }
}
