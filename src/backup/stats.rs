//! What became of a node's backups since its start.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

/// Counters; read by the metrics page and by health.
#[derive(Debug, Default)]
pub struct BackupStats {
    /// Backups that were made.
    pub made_total: AtomicU64,
    /// Backups that were not.
    pub failed_total: AtomicU64,
    /// Backups that were removed because enough newer ones are there.
    pub pruned_total: AtomicU64,
    /// When the newest one that this node knows of was begun, in seconds since 1970; 0: it knows of none.
    pub newest_unix_seconds: AtomicU64,
    /// Its bytes, if this node made it.
    pub newest_bytes: AtomicU64,
    /// Milliseconds that making it took.
    pub newest_duration_ms: AtomicU64,
    /// Backups in the location, as far as this node has looked.
    pub kept: AtomicU64,
    /// 1 while one is being made.
    pub running: AtomicU64,
    /// Why the last one was not made; `None`: it was.
    pub last_error: Mutex<Option<String>>,
    /// Pieces of the log that were archived.
    pub segments_made_total: AtomicU64,
    /// Attempts to archive the log that failed.
    pub segments_failed_total: AtomicU64,
    /// Times that entries were purged before they were archived.
    pub archive_gaps_total: AtomicU64,
    /// Pieces of the log in the location, as far as this node has looked.
    pub segments_kept: AtomicU64,
    /// The last log index that this node has archived; 0: none.
    pub archived_index: AtomicU64,
    /// When that entry had been applied, in milliseconds since 1970; 0: none.
    pub archived_unix_ms: AtomicU64,
    /// Why the log is not being archived; `None`: it is, or another node does it.
    pub archive_error: Mutex<Option<String>>,
}
