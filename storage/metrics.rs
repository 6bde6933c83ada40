//! Counters of the durable log since start.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the fsync histogram's buckets, in microseconds; the last bucket has none.
pub const FSYNC_BUCKETS_MICROS: [u64; 12] =
    [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 1_000_000];

/// See the module.
#[derive(Debug, Default)]
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
}

impl StorageMetrics {
    pub(crate) fn observe_fsync(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        self.fsync_total.fetch_add(1, Relaxed);
        self.fsync_micros_total.fetch_add(micros, Relaxed);
        self.fsync_micros_max.fetch_max(micros, Relaxed);
        let bucket = FSYNC_BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
    }

    /// Counts per bucket, not cumulated: (upper bound in microseconds, count); the last has no bound.
    pub fn fsync_buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        self.buckets
            .iter()
            .enumerate()
            .map(|(bucket, count)| (FSYNC_BUCKETS_MICROS.get(bucket).copied(), count.load(Relaxed)))
    }
}
