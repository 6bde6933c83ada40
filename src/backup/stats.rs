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
}
