//! Backups of the cluster's state: where they are kept, who makes them when, how many stay, and how a new cluster starts
//! from one. And the log from one to the next, for every position between them.
//!
//! ```text
//!   schedule (the leader) ─┐
//!   POST /backups ─────────┼─► create ─► Cluster::write_backup ─► Location: aside, reread, in its place ─► prune
//!   vedfolnir backup ──────┘                                         │
//!   archive (the leader) ─► committed entries ─► segments ───────────┤
//!                       a start that would form an empty cluster ◄───┘  recover
//! ```
//!
//! A location is a narrow door: list, read, write aside and put in its place, delete. What is in a file is the storage
//! floor's to say, what is in the state the cluster floor's.

pub mod archive;
mod create;
mod directory;
mod duty;
pub mod json;
mod listing;
mod location;
mod prune;
mod recover;
mod room;
pub mod s3;
mod schedule;
mod stats;
mod stream;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Mutex, OwnedMutexGuard};
use vedfolnir_cluster::backup::Packing;
use vedfolnir_cluster::state::Contents;

use crate::observability::unix_ms;
use room::Room;

pub(crate) use create::request;
pub use create::{CreateError, Created, create, id_of, keep, timestamp_of};
pub(crate) use duty::Duty;
pub use listing::{ListedBackup, RollsForwardTo, list};
pub use location::{Location, LocationError, LocationSpec, Pending, Stored, StoredSegment};
pub use prune::{Keep, prune};
pub use recover::RecoveryError;
pub(crate) use recover::recover;
pub(crate) use room::run as watch_room;
pub(crate) use schedule::{make, run as run_schedule};
pub use stats::BackupStats;
pub(crate) use stream::{stream, written};
pub use vedfolnir_cluster::backup::{About, BackupId, BackupIdError};
pub use vedfolnir_cluster::restore::{ArchivedLog, RestoreOptions, Restored, Until, restore, restore_to};
pub use verify::{SegmentView, VerifyView, verify_one, verify_segments};

/// What a node is told about backups.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// Where they are kept; `None`: nowhere.
    pub location: Option<LocationSpec>,
    /// From one to the next; `None`: only when somebody asks for one.
    pub interval: Option<Duration>,
    /// How often what is committed meanwhile is archived; `None`: it is not.
    pub archive_interval: Option<Duration>,
    /// How many stay.
    pub keep: Keep,
    /// How they are written.
    pub packing: Packing,
    /// What of the sessions is in them.
    pub contents: Contents,
    /// What of the state is in documents that they are exported as.
    pub exported: json::Keep,
    /// How a new cluster starts from one; `None`: it starts empty.
    pub recovery: Option<RecoveryConfig>,
}

/// How a new cluster starts from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryConfig {
    /// Reading one may take so long.
    pub timeout: Duration,
    /// So many are tried, the newest first.
    pub attempts: usize,
    /// Whether a cluster that cannot be recovered must not start empty.
    pub is_required: bool,
}

/// A node's backups: one is made at a time.
pub struct Backups {
    config: BackupConfig,
    location: Option<Arc<dyn Location>>,
    running: Arc<Mutex<()>>,
    /// One at or behind this log index is to be made at once; 0: none is.
    wanted: AtomicU64,
    stats: BackupStats,
    /// While this node leads, and backups are scheduled.
    duty: parking_lot::Mutex<Option<Duty>>,
    room: Room,
}

impl Backups {
    /// As they are configured.
    #[must_use]
    pub fn new(config: BackupConfig) -> Self {
        let location = config.location.as_ref().map(LocationSpec::open);
        Self {
            config,
            location,
            running: Arc::default(),
            wanted: AtomicU64::new(0),
            stats: BackupStats::default(),
            duty: parking_lot::Mutex::default(),
            room: Room::default(),
        }
    }

    /// What was configured.
    #[must_use]
    pub const fn config(&self) -> &BackupConfig {
        &self.config
    }

    /// Where they are kept; `None`: the node was told of no place, it only writes backups for whoever keeps them.
    #[must_use]
    pub fn location(&self) -> Option<Arc<dyn Location>> {
        self.location.clone()
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &BackupStats {
        &self.stats
    }

    /// Bytes that were free in the place a few seconds ago; `None`: that cannot be told, or it does not answer.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        self.room.free_bytes(Instant::now())
    }

    /// Whether whoever leads makes them by itself.
    pub(crate) const fn is_scheduled(&self) -> bool {
        self.config.interval.is_some() && self.location.is_some()
    }

    /// What this node knows of them as the leader; `None`: it does not lead, or they are not scheduled.
    pub(crate) fn duty(&self) -> Option<Duty> {
        self.duty.lock().clone()
    }

    /// The schedule is to make one that has at least this log index, at once.
    pub(crate) fn want_backup(&self, index: u64) {
        self.wanted.fetch_max(index.max(1), Ordering::AcqRel);
    }

    /// Whether one is wanted at once.
    pub(crate) fn is_backup_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire) > 0
    }

    /// One was made that has everything up to here.
    pub(crate) fn have_backup(&self, index: u64) {
        let served = |wanted| (wanted > 0 && wanted <= index).then_some(0);
        // What is wanted since is behind it, and stays wanted.
        let _ = self.wanted.fetch_update(Ordering::AcqRel, Ordering::Acquire, served);
    }

    /// The right to make one; `None`: one is being made.
    #[must_use]
    pub fn begin(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.running).try_lock_owned().ok()
    }
}

/// In seconds since 1970, as backups are named.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    unix_ms(time) / 1_000
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
