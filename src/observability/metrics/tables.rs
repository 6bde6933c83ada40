//! Tables of the replicated state: the same on every node that has applied the same.

use vedfolnir_cluster::state::{EventStats, KvStats, OnceStats, State};

use super::Families;

/// What the page shows of them.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) store: KvStats,
    pub(super) events: EventStats,
    pub(super) once: OnceStats,
    pub(super) history_records: usize,
    pub(super) history_bytes: u64,
    pub(super) history_age_ms: u64,
}

impl Tables {
    pub(super) fn of(state: &State) -> Self {
        let (history_records, history_bytes) = state.history_size();
        Self {
            store: state.kv_stats(),
            events: state.event_stats(),
            once: state.once_stats(),
            history_records,
            history_bytes,
            history_age_ms: state.history_age_ms(),
        }
    }
}

pub(super) fn of_tables(families: &mut Families, tables: &Tables) {
    let Tables { store, events, once, .. } = tables;
    families.gauge("vedfolnir_history_records", "Events kept for replay", tables.history_records as f64);
    families.gauge("vedfolnir_history_bytes", "What they weigh", tables.history_bytes as f64);
    families.gauge(
        "vedfolnir_history_window_seconds",
        "Age of the oldest of them, in cluster time: a client that was away for less misses nothing",
        tables.history_age_ms as f64 / 1e3,
    );
    families.gauge("vedfolnir_store_entries", "Entries of the key-value store", store.entries as f64);
    families.gauge("vedfolnir_store_bytes", "What they weigh", store.bytes as f64);
    families.counter(
        "vedfolnir_store_expired_total",
        "Entries of the key-value store whose time was over",
        store.expired_total as f64,
    );
    families.counters(
        "vedfolnir_store_refused_total",
        "Writes that changed nothing in the key-value store",
        &[("reason", "conflict", store.conflicts_total as f64), ("reason", "limit", store.refused_total as f64)],
    );
    families.gauge("vedfolnir_events_kept", "Events kept for those who follow them", events.kept as f64);
    families.gauge("vedfolnir_events_kept_bytes", "What they weigh", events.bytes as f64);
    families.counter("vedfolnir_events_total", "Events of sessions and rooms", events.total as f64);
    families.counter("vedfolnir_events_dropped_total", "Events no longer kept", events.dropped_total as f64);
    families.gauge("vedfolnir_idempotency_keys", "Idempotency keys that are remembered", once.kept as f64);
    families.counter(
        "vedfolnir_idempotency_keys_dropped_total",
        "Idempotency keys forgotten before their time, because there were too many",
        once.dropped_total as f64,
    );
}
