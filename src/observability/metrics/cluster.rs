//! The cluster floor's counters.

use vedfolnir_cluster::ClusterMetrics;

use super::{Families, get};

pub(super) fn of_cluster(families: &mut Families, metrics: &ClusterMetrics) {
    families.counter("vedfolnir_proposals_total", "Commands handed to the proposer", get(&metrics.proposals_total));
    families.counter(
        "vedfolnir_proposals_refused_total",
        "Commands refused because the proposer's queue was full",
        get(&metrics.proposals_refused_total),
    );
    families.gauge(
        "vedfolnir_proposals_pending_bytes",
        "Bytes waiting in the proposer or in flight",
        get(&metrics.proposals_pending_bytes),
    );
    families.counter(
        "vedfolnir_batches_total",
        "Batches of commands sent to a leader, retries included",
        get(&metrics.batches_total),
    );
    families.counts(
        "vedfolnir_batch_commands",
        "Commands in each batch, however often it is sent",
        &metrics.batches.commands,
    );
    families.sizes("vedfolnir_batch_bytes", "Bytes of each batch, however often it is sent", &metrics.batches.bytes);
    families.counter(
        "vedfolnir_batches_resent_total",
        "Batches sent again after a leader change, a gap or silence",
        get(&metrics.batches_resent_total),
    );
    families.counter("vedfolnir_log_entries_applied_total", "Log entries applied", get(&metrics.entries_applied_total));
    families.counter("vedfolnir_commands_applied_total", "Commands applied", get(&metrics.commands_applied_total));
    families.counter(
        "vedfolnir_snapshots_built_total",
        "Snapshots of the replicated state built here",
        get(&metrics.snapshots_built_total),
    );
    families.gauge(
        "vedfolnir_snapshots_building",
        "Snapshots of the replicated state being built here now",
        get(&metrics.snapshots_building),
    );
    families.counter(
        "vedfolnir_snapshot_build_seconds_total",
        "Time that building them took",
        get(&metrics.snapshot_build_micros_total) / 1e6,
    );
    families.counter(
        "vedfolnir_snapshots_installed_total",
        "Snapshots of the replicated state taken from a leader",
        get(&metrics.snapshots_installed_total),
    );
    families.counter(
        "vedfolnir_log_holds_spent_total",
        "Times that the log was purged although a follower still took a snapshot, which will need another one",
        get(&metrics.log_holds_spent_total),
    );
    families.counter(
        "vedfolnir_snapshot_received_bytes_total",
        "Bytes of snapshots received from leaders",
        get(&metrics.snapshot_bytes_received_total),
    );
    families.counters(
        "vedfolnir_snapshot_transfers_total",
        "Transfers of snapshots from leaders that did not simply come through",
        &[
            ("outcome", "resumed", get(&metrics.snapshot_transfers_resumed_total)),
            ("outcome", "refused", get(&metrics.snapshot_transfers_refused_total)),
        ],
    );
    families.counter(
        "vedfolnir_snapshot_kept_bytes_total",
        "Bytes that resumed transfers did not have to send again",
        get(&metrics.snapshot_bytes_kept_total),
    );
    families.counters(
        "vedfolnir_volatile_frames_total",
        "Volatile broadcasts to peers",
        &[
            ("result", "sent", get(&metrics.volatile_sent_total)),
            ("result", "dropped", get(&metrics.volatile_dropped_total)),
        ],
    );
    families.counter(
        "vedfolnir_disk_stalls_total",
        "Times this node gave up the leadership because its disk did not answer",
        get(&metrics.disk_stalls_total),
    );
    families.counter("vedfolnir_leader_changes_total", "Leader changes seen", get(&metrics.leader_changes_total));
    families.counters(
        "vedfolnir_linearizable_reads_total",
        "Linearizable reads of this node",
        &[
            ("result", "confirmed", get(&metrics.reads_confirmed_total)),
            ("result", "no_quorum", get(&metrics.reads_unconfirmed_total)),
            ("result", "refused", get(&metrics.reads_refused_total)),
        ],
    );
    families.counter(
        "vedfolnir_read_rounds_total",
        "Questions to the leader for its read index; each serves all reads that wait",
        get(&metrics.read_rounds_total),
    );
    families.counters(
        "vedfolnir_membership_changes_total",
        "Changes of the membership made by this node as the leader",
        &[
            ("change", "promoted", get(&metrics.voters_promoted_total)),
            ("change", "replaced", get(&metrics.voters_replaced_total)),
            ("change", "removed", get(&metrics.nodes_removed_total)),
        ],
    );
    families.counters(
        "vedfolnir_certificate_requests_total",
        "Requests for certificates by nodes with a join token",
        &[
            ("result", "issued", get(&metrics.certificates_issued_total)),
            ("result", "refused", get(&metrics.certificates_refused_total)),
            ("result", "postponed", get(&metrics.certificates_postponed_total)),
            ("result", "turned_away", get(&metrics.certificates_turned_away_total)),
        ],
    );
}
