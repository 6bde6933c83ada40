//! Traces.

use super::{Families, get};
use crate::observability::traces::TraceStats;

pub(super) fn of_traces(families: &mut Families, stats: &TraceStats) {
    families.counters(
        "vedfolnir_trace_spans_total",
        "Spans of traces: taken by the receiver, refused by it, or without room in the queue",
        &[
            ("result", "exported", get(&stats.exported_total)),
            ("result", "refused", get(&stats.refused_total)),
            ("result", "queue_full", get(&stats.queue_full_total)),
        ],
    );
    families.counter(
        "vedfolnir_trace_export_failures_total",
        "Attempts to hand spans to their receiver that failed",
        get(&stats.attempts_failed_total),
    );
    families.counter(
        "vedfolnir_traces_limited_total",
        "Events that were sampled but not told, because too many were in that second",
        get(&stats.limited_total),
    );
}
