//! Webhooks: what this node has told the receiver, and what the cluster keeps about it.

use super::{Families, get};
use crate::webhooks::WebhookStats;

/// What the replicated state holds.
#[derive(Clone, Copy, Default)]
pub(super) struct Kept {
    pub(super) dead_letters: u64,
    pub(super) dead_dropped: u64,
}

pub(super) fn of_webhooks(families: &mut Families, stats: &WebhookStats, kept: Kept) {
    families.counters(
        "vedfolnir_webhook_messages_total",
        "Messages that this node had the receiver take, attempts that failed and were made again, and messages it gave up",
        &[
            ("outcome", "delivered", get(&stats.delivered_total)),
            ("outcome", "retried", get(&stats.retried_total)),
            ("outcome", "dead", get(&stats.dead_total)),
        ],
    );
    families.times("vedfolnir_webhook_attempt_seconds", "How long attempts took", "", &[("", &stats.attempts)]);
    families.gauge("vedfolnir_webhook_pending", "Messages that wait to be taken, on the leader", get(&stats.pending));
    families.gauge(
        "vedfolnir_webhook_failed_in_a_row",
        "Attempts that failed since the last one that did not, on the leader",
        get(&stats.failed_in_a_row),
    );
    families.counter(
        "vedfolnir_webhook_events_lost_total",
        "Times that events were no longer kept when it was their turn",
        get(&stats.lost_total),
    );
    families.gauge(
        "vedfolnir_webhook_dead_letters",
        "Messages that were given up and are kept",
        kept.dead_letters as f64,
    );
    families.counter(
        "vedfolnir_webhook_dead_letters_dropped_total",
        "Dead letters that were dropped because there were too many, in the cluster's life",
        kept.dead_dropped as f64,
    );
}
