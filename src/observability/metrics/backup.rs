//! Backups; only where they are made on a schedule.

use super::{Families, get};
use crate::backup::Backups;

pub(super) fn of_backups(families: &mut Families, backups: &Backups) {
    let Some(interval) = backups.config().interval else { return };
    let stats = backups.stats();
    families.counters(
        "vedfolnir_backups_total",
        "Backups that this node made and read back, and those that it could not make",
        &[("result", "made", get(&stats.made_total)), ("result", "failed", get(&stats.failed_total))],
    );
    families.counter(
        "vedfolnir_backups_pruned_total",
        "Backups that this node removed because enough newer ones are there",
        get(&stats.pruned_total),
    );
    families.gauge("vedfolnir_backup_running", "1 while this node makes a backup", get(&stats.running));
    families.gauge(
        "vedfolnir_backup_last_success_timestamp_seconds",
        "When the newest backup that this node knows of was begun, since the Unix epoch; 0: it knows of none",
        get(&stats.newest_unix_seconds),
    );
    families.gauge(
        "vedfolnir_backup_last_size_bytes",
        "Bytes of the last backup that this node made",
        get(&stats.newest_bytes),
    );
    families.gauge(
        "vedfolnir_backup_last_duration_seconds",
        "How long it took, reading it back included",
        get(&stats.newest_duration_ms) / 1e3,
    );
    families.gauge(
        "vedfolnir_backup_kept",
        "Backups in the location, as far as this node has looked",
        get(&stats.kept),
    );
    families.gauge(
        "vedfolnir_backup_interval_seconds",
        "From one backup of the schedule to the next",
        interval.as_secs_f64(),
    );
    let Some(interval) = backups.config().archive_interval else { return };
    families.counters(
        "vedfolnir_backup_archive_segments_total",
        "Pieces of the log that this node archived, and attempts that failed",
        &[("result", "made", get(&stats.segments_made_total)), ("result", "failed", get(&stats.segments_failed_total))],
    );
    families.counter(
        "vedfolnir_backup_archive_gaps_total",
        "Times that entries of the log were purged before they were archived",
        get(&stats.archive_gaps_total),
    );
    families.gauge(
        "vedfolnir_backup_archive_kept",
        "Pieces of the log in the location, as far as this node has looked",
        get(&stats.segments_kept),
    );
    families.gauge(
        "vedfolnir_backup_archive_index",
        "The last log index that this node has archived; 0: none",
        get(&stats.archived_index),
    );
    families.gauge(
        "vedfolnir_backup_archive_timestamp_seconds",
        "When that entry had been applied, since the Unix epoch; 0: none",
        get(&stats.archived_unix_ms) / 1e3,
    );
    families.gauge(
        "vedfolnir_backup_archive_interval_seconds",
        "From one piece of the archived log to the next",
        interval.as_secs_f64(),
    );
}
