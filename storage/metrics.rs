//! Counters of the durable log since start.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Upper bounds of the fsync histogram's buckets, in microseconds; the last bucket has none.
pub const FSYNC_BUCKETS_MICROS: [u64; 12] =
    [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 1_000_000];

/// See the module.
#[derive(Debug)]
pub struct StorageMetrics {
    /// Synced writes.
    pub fsync_total: AtomicU64,
    /// Their time, microseconds.
    pub fsync_micros_total: AtomicU64,
    /// The longest.
    pub fsync_micros_max: AtomicU64,
    /// Entries appended.
    pub entries_total: AtomicU64,
    /// Bytes appended.
    pub bytes_total: AtomicU64,
    buckets: [AtomicU64; FSYNC_BUCKETS_MICROS.len() + 1],
    started: Instant,
    /// Microseconds from `started` to the beginning of the synced write that is running, plus one; 0 when none is.
    fsync_began: AtomicU64,
}

impl Default for StorageMetrics {
    fn default() -> Self {
        Self {
            fsync_total: AtomicU64::default(),
            fsync_micros_total: AtomicU64::default(),
            fsync_micros_max: AtomicU64::default(),
            entries_total: AtomicU64::default(),
            bytes_total: AtomicU64::default(),
            buckets: Default::default(),
            started: Instant::now(),
            fsync_began: AtomicU64::default(),
        }
    }
}

impl StorageMetrics {
    /// Times one synced write.
    pub(crate) fn observe_fsync<R>(&self, write: impl FnOnce() -> R) -> R {
        let began = self.started.elapsed();
        self.fsync_began.store(micros(began) + 1, Relaxed);
        let result = write();
        self.fsync_began.store(0, Relaxed);
        let took = micros(self.started.elapsed().saturating_sub(began));
        self.fsync_total.fetch_add(1, Relaxed);
        self.fsync_micros_total.fetch_add(took, Relaxed);
        self.fsync_micros_max.fetch_max(took, Relaxed);
        let bucket = FSYNC_BUCKETS_MICROS.partition_point(|bound| *bound < took);
        self.buckets[bucket].fetch_add(1, Relaxed);
        result
    }

    /// Counts per bucket, not cumulated: (upper bound in microseconds, count); the last has no bound.
    pub fn fsync_buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.buckets
            .iter()
            .enumerate()
            .map(|(bucket, count)| (FSYNC_BUCKETS_MICROS.get(bucket).copied(), count.load(Relaxed)))
    }

    /// How long the synced write that is running has been running: a leader whose disk hangs must give up leading,
    /// although its heartbeats go on.
    #[must_use]
    pub fn fsync_running_for(&self) -> Option<Duration> {
        let began = self.fsync_began.load(Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_micros(began)))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX - 1)
}
