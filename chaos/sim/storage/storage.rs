//! The data directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use openraft::RaftTypeConfig;
use parking_lot::Mutex;

use crate::disk::{self, Disk};
use crate::log_store::LogStore;
use crate::snapshots::SnapshotStore;

/// Nothing to set.
#[derive(Clone, Copy, Debug, Default)]
pub struct StorageOptions {}

/// What is asked of the disk's counters.
pub struct StorageMetrics {
    disk: Arc<Mutex<Disk>>,
    /// Bytes appended.
    pub bytes_total: AtomicU64,
}

impl StorageMetrics {
    /// How long the write that is running has been running.
    #[must_use]
    pub fn fsync_running_for(&self) -> Option<Duration> {
        self.disk.lock().running_for()
    }
}

/// Why storage refuses.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A snapshot that is none.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A peer began the transfer of a snapshot anew.
    #[error("the transfer of the snapshot was overtaken by a later one")]
    Overtaken,
    /// The transfer of a snapshot ended before its end.
    #[error("{received} of the snapshot's {bytes} bytes came")]
    Incomplete {
        /// Bytes there are.
        received: u64,
        /// Bytes there should be.
        bytes: u64,
    },
}

impl StorageError {
    /// A host runs one process of a node.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        false
    }
}

/// An open data directory; cheap to clone.
#[derive(Clone)]
pub struct Storage {
    pub(crate) disk: Arc<Mutex<Disk>>,
    path: Arc<PathBuf>,
    metrics: Arc<StorageMetrics>,
}

impl Storage {
    /// Opens or creates it.
    ///
    /// # Errors
    /// None.
    pub fn open(data_dir: &Path, _options: StorageOptions) -> Result<Self, StorageError> {
        let disk = disk::of(data_dir);
        disk.lock().open();
        let metrics = Arc::new(StorageMetrics { disk: Arc::clone(&disk), bytes_total: AtomicU64::default() });
        Ok(Self { disk, path: Arc::new(data_dir.to_owned()), metrics })
    }

    /// Metadata.
    ///
    /// # Errors
    /// None.
    pub fn get_meta(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.disk.lock().platter.meta.get(key).cloned())
    }

    /// Metadata; on disk when this returns.
    ///
    /// # Errors
    /// None.
    pub fn put_meta(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.disk.lock().platter.meta.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    /// The log.
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
        SnapshotStore::new(self.clone(), Arc::clone(&self.path))
    }

    /// Counters.
    #[must_use]
    pub fn metrics(&self) -> &StorageMetrics {
        &self.metrics
    }

    /// A simulated disk never says that it failed: it hangs or it forgets.
    pub async fn failed(&self) -> String {
        std::future::pending().await
    }

    /// What the log holds on disk.
    pub(crate) fn log(&self) -> BTreeMap<u64, Vec<u8>> {
        self.disk.lock().platter.log.clone()
    }
}
