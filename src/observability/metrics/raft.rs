//! Raft and the cluster as this node sees them.

use vedfolnir_cluster::ClusterStatus;

use super::Families;

pub(super) fn of_status(families: &mut Families, status: Option<&ClusterStatus>) {
    let of = |value: fn(&ClusterStatus) -> u64| status.map_or(0.0, |status| value(status) as f64);
    let leads = |status: &ClusterStatus| u64::from(status.leader.as_ref() == Some(&status.node_id));
    families.gauge("vedfolnir_raft_term", "Raft term", of(|status| status.term));
    families.gauge("vedfolnir_raft_is_leader", "1 while this node leads", of(leads));
    families.gauge(
        "vedfolnir_raft_has_leader",
        "1 while a leader is known",
        of(|status| u64::from(status.leader.is_some())),
    );
    families.gauge(
        "vedfolnir_raft_committed_index",
        "Committed log index known here",
        of(|status| status.committed_index),
    );
    families.gauge("vedfolnir_raft_applied_index", "Log index applied here", of(|status| status.applied_index));
    families.gauge(
        "vedfolnir_raft_snapshot_index",
        "Log index that the last snapshot here covers",
        of(|status| status.snapshot_index),
    );
    families.gauge(
        "vedfolnir_cluster_format",
        "Format that the cluster writes; it rises once every member speaks a higher one",
        of(|status| u64::from(status.format)),
    );
    families.gauge("vedfolnir_node_format", "Highest format that this node speaks", of(own_format));
    families.gauge("vedfolnir_nodes", "Members of the cluster", of(|status| status.nodes.len() as u64));
    families.gauge(
        "vedfolnir_failure_tolerance",
        "How many more voters may fail before the quorum is lost",
        of(|status| status.failure_tolerance),
    );
    families.gauges(
        "vedfolnir_sessions",
        "Sessions of the whole cluster",
        &[
            ("state", "connected", of(|status| status.sessions_connected)),
            ("state", "disconnected", of(|status| status.sessions_disconnected)),
        ],
    );
    let behind = |status: &ClusterStatus| status.committed_index.saturating_sub(status.applied_index);
    families.gauge(
        "vedfolnir_raft_apply_lag_entries",
        "Entries that are known here to be committed and are not applied here yet",
        of(behind),
    );
    of_followers(families, status);
    families.gauge(
        "vedfolnir_cluster_time_seconds",
        "Committed cluster time; it stands still without a quorum",
        status.map_or(0.0, |status| status.cluster_time_ms as f64 / 1e3),
    );
}

fn own_format(status: &ClusterStatus) -> u64 {
    let own = status.nodes.iter().find(|node| node.id == status.node_id);
    own.and_then(|node| node.format).map_or(0, u64::from)
}

/// How far each other member is behind: only the leader knows, elsewhere there are no samples. As many as there are members.
fn of_followers(families: &mut Families, status: Option<&ClusterStatus>) {
    let leader = status.filter(|status| status.leader.as_ref() == Some(&status.node_id));
    let others = || leader.into_iter().flat_map(|status| status.nodes.iter().filter(|node| node.id != status.node_id));
    let last = leader.map_or(0, |status| status.committed_index);
    let lags: Vec<_> = others()
        .map(|node| ("node", node.id.as_str(), last.saturating_sub(node.matched_index.unwrap_or(0)) as f64))
        .collect();
    families.gauges(
        "vedfolnir_raft_replication_lag_entries",
        "Committed entries that a member is not known to hold; told by the leader",
        &lags,
    );
    let contacts: Vec<_> =
        others().filter_map(|node| Some(("node", node.id.as_str(), node.last_contact_ms? as f64 / 1e3))).collect();
    families.gauges(
        "vedfolnir_raft_last_contact_seconds",
        "Since a member last answered; told by the leader",
        &contacts,
    );
}
