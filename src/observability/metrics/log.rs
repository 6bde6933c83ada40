//! The log itself: how much, and what found no room.

use super::Families;
use crate::observability::logging::{Category, Level, SinkReading, Stats};

/// Without a pipeline (an application that embeds the server has its own) there is nothing to show but zero.
pub(super) fn of_log(families: &mut Families, stats: Option<&Stats>) {
    let mut records = Vec::new();
    for category in Category::ALL {
        for level in Level::SHOWN {
            let count = stats.map_or(0, |stats| stats.records(category, level));
            records.push((category.name(), level.name(), count as f64));
        }
    }
    let help = "Log records, by category and level";
    families.counters_of_two("vedfolnir_log_records_total", help, ["category", "level"], &records);
    let sinks: Vec<(String, SinkReading)> = stats.map_or_else(
        || vec![("log".to_owned(), SinkReading::default())],
        |stats| stats.sinks().iter().map(|sink| (sink.name().to_owned(), sink.read())).collect(),
    );
    let of = |value: fn(&SinkReading) -> u64| -> Vec<_> {
        sinks.iter().map(|(sink, reading)| ("sink", sink.as_str(), value(reading) as f64)).collect()
    };
    families.counters("vedfolnir_log_written_total", "Lines written, by sink", &of(|reading| reading.written));
    families.counters(
        "vedfolnir_log_dropped_total",
        "Lines that are not in it: its queue was full, or it did not take them",
        &of(|reading| reading.dropped),
    );
    families.counters("vedfolnir_log_written_bytes_total", "Bytes written, by sink", &of(|reading| reading.bytes));
    families.counters("vedfolnir_log_errors_total", "Writes and sendings that failed", &of(|reading| reading.errors));
    families.counters("vedfolnir_log_rotations_total", "Files that were full", &of(|reading| reading.rotated));
    families.gauges("vedfolnir_log_queued_lines", "Lines that wait, by sink", &of(|reading| reading.queued_lines));
    families.counter(
        "vedfolnir_log_secrets_hidden_total",
        "Fields and texts in which something that looked like a secret was hidden",
        stats.map_or(0, Stats::secrets_hidden) as f64,
    );
}
