//! Why storage refuses or fails; each message names the file or directory, the reason and the fix.

use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The directory cannot be used.
    #[error("--data-dir (WEBSOCKET_DATA_DIR) {}: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process has it open.
    #[error(
        "--data-dir (WEBSOCKET_DATA_DIR) {}: another process uses it; stop that one or choose another directory",
        .0.display()
    )]
    Locked(PathBuf),
    /// Written by a newer binary.
    #[error("{}: it has format version {found}, this binary reads up to {known}; use the newer binary", path.display())]
    Newer {
        /// The file or directory.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// The log lost entries that were durable once.
    #[error(
        "{}: the log ends before {end}, but entries before {durable} were durable once: the disk lost them, so this node \
         must not vote; remove the directory and let the node join again under a new identity",
        path.display()
    )]
    LogBehindMarker {
        /// The data directory.
        path: PathBuf,
        /// One past the log's last index.
        end: u64,
        /// What the marker says it was once.
        durable: u64,
    },
    /// The database lost writes that were durable once.
    #[error(
        "{}: the database ends at write {found}, but write {durable} was durable once: the disk lost a vote or entries, \
         so this node must not vote; remove the directory and let the node join again under a new identity",
        path.display()
    )]
    WritesLost {
        /// The data directory.
        path: PathBuf,
        /// The database's last sequence number.
        found: u64,
        /// What the marker says it was once.
        durable: u64,
    },
    /// The log was compacted further than any snapshot reaches.
    #[error(
        "{}: the log before {purged_end} was given up for a snapshot, but the newest one here reaches only {reached}: \
         restore the file, or remove the data directory and let the node join again under a new identity",
        path.display()
    )]
    SnapshotMissing {
        /// The snapshots' directory.
        path: PathBuf,
        /// One past the last index that the log gave up.
        purged_end: u64,
        /// How far the newest snapshot reaches: an index, or "nowhere".
        reached: String,
    },
    /// A file is damaged.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record is damaged.
    #[error("log record {index}: {reason}")]
    Record {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// RocksDB refused.
    #[error("the log database: {0}")]
    Database(#[from] rocksdb::Error),
    /// The file is sound, but it is not what is wanted.
    #[error("{0}")]
    Unreadable(String),
    /// A peer began the transfer of a snapshot anew.
    #[error("the transfer of the snapshot was overtaken by a later one")]
    Overtaken,
    /// The transfer of a snapshot ended before its end.
    #[error("{received} of the snapshot's {bytes} bytes came; they are kept, the next transfer goes on from there")]
    Incomplete {
        /// Bytes there are.
        received: u64,
        /// Bytes there should be.
        bytes: u64,
    },
    /// Something is too large.
    #[error("{what} of more than {bytes_max} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The bound.
        bytes_max: u64,
    },
}

impl StorageError {
    /// Whether somebody else has the data directory open.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked(_))
    }

    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }
}
