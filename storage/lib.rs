//! What survives a crash: the Raft log and the node's metadata in RocksDB, snapshots in files.
//!
//! ```text
//!   openraft ──append/vote/truncate/purge──► one bounded queue ──► one writer thread ──► one WriteBatch, one fsync
//!      ▲                                                                                   │
//!      └────────────────────── callbacks, in the order of the calls ◄──────────────────────┘
//! ```
//!
//! Nothing is acknowledged before it is fsynced; votes and entries are never reordered; an I/O error is final: it is
//! reported to openraft and through [`Storage::failed`], and the node stops. The crate knows no commands.
//!
//! Backup files ([`backup`]) stand apart from all that: they are read and written anywhere.

pub mod backup;
mod database;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod incoming;
mod log_reader;
mod log_store;
mod marker;
mod metrics;
#[cfg(feature = "planted-bugs")]
#[path = "../chaos/planted/storage.rs"]
mod planted;
mod restore;
mod schema;
mod snapshot_file;
mod snapshot_store;
mod storage;
mod writer;

pub use error::StorageError;
pub use incoming::{IncomingSnapshot, SNAPSHOT_PARTIALS_MAX};
pub use log_reader::LogReader;
pub use log_store::LogStore;
pub use metrics::StorageMetrics;
pub use restore::set_aside;
pub use snapshot_file::{SnapshotBody, SnapshotFile, SnapshotId};
pub use snapshot_store::{SnapshotStore, SnapshotWriter};
pub use storage::{Storage, StorageOptions};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
mod tests;
