//! The durable log's disk.

use vedfolnir_cluster::StorageMetrics;

use super::{Families, get};

pub(super) fn of_storage(families: &mut Families, metrics: &StorageMetrics) {
    families.histogram_us(
        "vedfolnir_log_fsync_seconds",
        "Synced writes of the durable log",
        metrics.fsync_buckets(),
        &metrics.fsync_micros_total,
    );
    families.gauge(
        "vedfolnir_log_fsync_seconds_max",
        "The longest of them since the start",
        get(&metrics.fsync_micros_max) / 1e6,
    );
    families.counter("vedfolnir_log_entries_total", "Entries written to the durable log", get(&metrics.entries_total));
    families.counter("vedfolnir_log_bytes_total", "Bytes written to the durable log", get(&metrics.bytes_total));
}
