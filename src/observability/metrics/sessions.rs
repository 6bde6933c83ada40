//! Sessions and what is delivered to them.

use super::{Families, get};
use crate::service::ServiceStats;

pub(super) fn of_sessions(families: &mut Families, stats: &ServiceStats) {
    families.counter(
        "vedfolnir_sessions_registered_total",
        "New sessions committed for clients of this node",
        get(&stats.sessions_registered_total),
    );
    families.counters(
        "vedfolnir_resumes_total",
        "Clients that came back with a session",
        &[
            ("outcome", "recovered", get(&stats.resumes_recovered_total)),
            ("outcome", "unknown", get(&stats.resumes_unknown_total)),
            ("outcome", "hole", get(&stats.resumes_hole_total)),
            ("outcome", "bad_offset", get(&stats.resumes_bad_offset_total)),
            ("outcome", "foreign", get(&stats.resumes_foreign_total)),
            ("outcome", "epoch_moved", get(&stats.resumes_epoch_moved_total)),
        ],
    );
    families.counter(
        "vedfolnir_newcomers_postponed_total",
        "New clients told to come back later, because there was room only for those who come back",
        get(&stats.newcomers_postponed_total),
    );
    families.counter(
        "vedfolnir_fenced_total",
        "Transports closed because their session has a newer owner",
        get(&stats.fenced_total),
    );
    families.counter("vedfolnir_deliveries_total", "Durable events handed to sockets", get(&stats.deliveries_total));
    families.counter(
        "vedfolnir_deliveries_replayed_total",
        "Those of them that came from the history",
        get(&stats.deliveries_replayed_total),
    );
    families.counters(
        "vedfolnir_publishes_total",
        "Durable publishes of clients of this node",
        &[
            ("result", "acknowledged", get(&stats.publishes_acked_total)),
            ("result", "failed", get(&stats.publishes_failed_total)),
            ("result", "repeated", get(&stats.publishes_repeated_total)),
        ],
    );
    families.counter(
        "vedfolnir_outbox_overflows_total",
        "Sockets that fell behind and went on from the history",
        get(&stats.overflows_total),
    );
    families.counters(
        "vedfolnir_volatile_events_total",
        "Volatile events at this node's sockets",
        &[
            ("result", "delivered", get(&stats.volatile_delivered_total)),
            ("result", "dropped", get(&stats.volatile_dropped_total)),
        ],
    );
    families.counters(
        "vedfolnir_client_acks_total",
        "Events of the application that a client was to acknowledge, and acks that nobody waited for",
        &[
            ("outcome", "answered", get(&stats.asks_answered_total)),
            ("outcome", "timed_out", get(&stats.asks_timed_out_total)),
            ("outcome", "disconnected", get(&stats.asks_disconnected_total)),
            ("outcome", "refused", get(&stats.asks_refused_total)),
            ("outcome", "unexpected", get(&stats.acks_unexpected_total)),
        ],
    );
    families.times(
        "vedfolnir_resume_seconds",
        "From a client's wish to have its session back until it was its own again, or refused",
        "",
        &[("", &stats.distributions.resumes)],
    );
    families.counts(
        "vedfolnir_fan_out_sockets",
        "Durable events, by the sockets of this node that each was for",
        &stats.distributions.fan_out,
    );
}
