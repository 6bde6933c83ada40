//! What status and metrics show of the cluster floor.

use openraft::async_runtime::WatchReceiver;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;

use serde::Serialize;
use vedfolnir_state::NodeId;

use crate::distribution::Distribution;
use crate::handle::Inner;
use crate::hex;

/// What a member is in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Leads the current term.
    Leader,
    /// Votes.
    Voter,
    /// Replicates and serves, does not vote.
    Learner,
}

/// One member as this node sees it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Node id, 16 hexadecimal digits.
    pub id: String,
    /// Its role.
    pub role: Role,
    /// Whether the replicated state holds a live incarnation of it.
    pub live: bool,
    /// Public URL.
    pub url: String,
    /// Admin URL.
    pub admin_url: String,
    /// Cluster HOST:PORT.
    pub cluster_addr: String,
    /// Health's `server_id`.
    pub server_id: String,
    /// Its software's version.
    pub version: String,
    /// The highest format that it speaks; known while this node is connected to it.
    pub format: Option<u8>,
    /// Sessions it owns.
    pub sessions: u64,
    /// Highest log index known to be replicated on it; only the leader knows it of others.
    pub matched_index: Option<u64>,
    /// Milliseconds since the leader last heard from it; only the leader knows it.
    pub last_contact_ms: Option<u64>,
}

/// The cluster as this node sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterStatus {
    /// Cluster id, 32 hexadecimal digits.
    pub cluster_id: String,
    /// This node.
    pub node_id: String,
    /// This node's life.
    pub generation: u64,
    /// The leader, when known.
    pub leader: Option<String>,
    /// The format that the cluster writes.
    pub format: u8,
    /// Raft term.
    pub term: u64,
    /// Committed log index as known here.
    pub committed_index: u64,
    /// Applied log index here.
    pub applied_index: u64,
    /// Last index covered by a snapshot here.
    pub snapshot_index: u64,
    /// How many more voters may fail before the quorum is lost (live voters, as far as known, minus the quorum).
    pub failure_tolerance: u64,
    /// Whether this node can serve, and if not, why.
    pub ready: bool,
    /// The reason when it is not ready.
    pub reason: Option<String>,
    /// Sessions, connected.
    pub sessions_connected: u64,
    /// Sessions inside their recovery window.
    pub sessions_disconnected: u64,
    /// Committed cluster time, milliseconds.
    pub cluster_time_ms: u64,
    /// Members, sorted by id; left out where whoever shows the status says more of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
}

/// How large batches of commands are when they are cut.
#[derive(Debug)]
pub struct Batches {
    /// Commands in each.
    pub commands: Distribution,
    /// Bytes of each, as it is sent.
    pub bytes: Distribution,
}

impl Default for Batches {
    fn default() -> Self {
        Self { commands: Distribution::of_counts(), bytes: Distribution::of_sizes() }
    }
}

/// Counters of the cluster floor since start; read by the metrics page.
#[derive(Debug, Default)]
pub struct ClusterMetrics {
    /// Commands handed to the proposer.
    pub proposals_total: AtomicU64,
    /// Batches sent to a leader, retries included.
    pub batches_total: AtomicU64,
    /// How large they are, each counted once.
    pub batches: Batches,
    /// Batches sent again after a leader change, a gap or silence.
    pub batches_resent_total: AtomicU64,
    /// Commands refused because the proposer's queue was full.
    pub proposals_refused_total: AtomicU64,
    /// Bytes waiting in the proposer or in flight.
    pub proposals_pending_bytes: AtomicU64,
    /// Log entries applied.
    pub entries_applied_total: AtomicU64,
    /// Commands applied.
    pub commands_applied_total: AtomicU64,
    /// Snapshots built.
    pub snapshots_built_total: AtomicU64,
    /// Snapshots being built now.
    pub snapshots_building: AtomicU64,
    /// Microseconds that building took, of all that were built.
    pub snapshot_build_micros_total: AtomicU64,
    /// Snapshots installed from a leader.
    pub snapshots_installed_total: AtomicU64,
    /// Bytes of snapshots received from leaders.
    pub snapshot_bytes_received_total: AtomicU64,
    /// Transfers of snapshots that went on where an earlier one broke off.
    pub snapshot_transfers_resumed_total: AtomicU64,
    /// Bytes that those did not have to send again.
    pub snapshot_bytes_kept_total: AtomicU64,
    /// Snapshots of leaders that were refused: damaged, or of a format that this node does not speak.
    pub snapshot_transfers_refused_total: AtomicU64,
    /// Times that the log was purged although a follower still took a snapshot before it: too much had been written.
    pub log_holds_spent_total: AtomicU64,
    /// Volatile frames dropped, oldest first, because a peer's queue was full.
    pub volatile_dropped_total: AtomicU64,
    /// Volatile frames sent to peers.
    pub volatile_sent_total: AtomicU64,
    /// Times this node gave up the leadership because its disk did not answer.
    pub disk_stalls_total: AtomicU64,
    /// Leader changes seen.
    pub leader_changes_total: AtomicU64,
    /// Linearizable reads that got their read index.
    pub reads_confirmed_total: AtomicU64,
    /// Linearizable reads that no quorum confirmed in time.
    pub reads_unconfirmed_total: AtomicU64,
    /// Linearizable reads refused because too many waited.
    pub reads_refused_total: AtomicU64,
    /// Rounds in which a leader was asked for its read index; each serves all who wait.
    pub read_rounds_total: AtomicU64,
    /// Learners made voters by this node as a leader.
    pub voters_promoted_total: AtomicU64,
    /// Dead voters whose seat this node as a leader gave to a learner.
    pub voters_replaced_total: AtomicU64,
    /// Nodes removed by this node as a leader.
    pub nodes_removed_total: AtomicU64,
    /// Certificates given to nodes that asked this one with a join token.
    pub certificates_issued_total: AtomicU64,
    /// Such requests that were refused.
    pub certificates_refused_total: AtomicU64,
    /// Such requests that came when nobody could sign.
    pub certificates_postponed_total: AtomicU64,
    /// Such requests that were one too many at once, or too soon.
    pub certificates_turned_away_total: AtomicU64,
}

/// Gathers what this node knows.
pub(crate) fn of(node: &Inner) -> ClusterStatus {
    let me = node.local.node_id();
    let heard = node.last_heard();
    let readiness = node.readiness.borrow().clone();
    let metrics = node.raft.metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let leader = metrics.current_leader;
    let leads = leader == Some(me);
    // Asked before the state is read: a connection looks into the state while it is locked itself.
    let formats: BTreeMap<NodeId, u8> =
        membership.nodes().filter_map(|(id, member)| Some((*id, spoken(node, *id, &member.addr)?))).collect();
    let nodes: Vec<NodeStatus> = node.replica.read(|state| {
        membership
            .nodes()
            .map(|(id, member)| {
                let (live, info) = state.node_info(*id).map_or((false, None), |(live, info)| (live, Some(info)));
                let info = info.cloned().unwrap_or_default();
                let matched = metrics.replication.as_ref().and_then(|replication| replication.get(id)?.as_ref());
                NodeStatus {
                    id: format!("{id:016x}"),
                    role: match (leader == Some(*id), voters.contains(id)) {
                        (true, _) => Role::Leader,
                        (false, true) => Role::Voter,
                        (false, false) => Role::Learner,
                    },
                    live,
                    url: info.url,
                    admin_url: info.admin_url,
                    cluster_addr: member.addr.clone(),
                    server_id: info.server_id,
                    version: info.version,
                    format: formats.get(id).copied(),
                    sessions: state.node_session_count(*id),
                    matched_index: match (leads, *id == me) {
                        (true, true) => metrics.last_log_index,
                        (true, false) => matched.map(|log_id| log_id.index),
                        (false, _) => None,
                    },
                    last_contact_ms: (leads && *id != me)
                        .then(|| heard.get(id).map(|age| age.as_millis() as u64))
                        .flatten(),
                }
            })
            .collect()
    });
    let live_voters = nodes.iter().filter(|member| member.live && member.role != Role::Learner).count() as u64;
    let quorum = voters.len() as u64 / 2 + 1;
    let (connected, disconnected, cluster_time_ms, format) = node
        .replica
        .read(|state| (state.connected_count(), state.disconnected_count(), state.cluster_time_ms(), state.format()));
    ClusterStatus {
        cluster_id: node.local.cluster_id().map(|id| hex(&id)).unwrap_or_default(),
        node_id: format!("{me:016x}"),
        generation: node.proposer.incarnation().generation,
        leader: leader.map(|id| format!("{id:016x}")),
        format: format.number(),
        term: metrics.current_term,
        committed_index: metrics.cluster_committed.as_ref().map_or(0, |log_id| log_id.index),
        applied_index: node.replica.applied_index(),
        snapshot_index: metrics.snapshot.as_ref().map_or(0, |log_id| log_id.index),
        failure_tolerance: live_voters.saturating_sub(quorum),
        ready: readiness.ready,
        reason: readiness.reason,
        sessions_connected: connected,
        sessions_disconnected: disconnected,
        cluster_time_ms,
        nodes,
    }
}

/// The highest format that a member speaks, as it said when it was connected to.
fn spoken(node: &Inner, id: NodeId, addr: &str) -> Option<u8> {
    if id == node.local.node_id() {
        return Some(node.config.format_version.number());
    }
    let peer = node.endpoint.peer(addr, Some(id)).connected_to()?;
    u8::try_from(peer.format).ok()
}
