//! What status and metrics show of the cluster floor.

use std::sync::atomic::AtomicU64;

use serde::Serialize;
use vedfolnir_state::NodeId;

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
    /// Members, sorted by id.
    pub nodes: Vec<NodeStatus>,
}

/// Counters of the cluster floor since start; read by the metrics page.
#[derive(Debug, Default)]
pub struct ClusterMetrics {
    /// Commands handed to the proposer.
    pub proposals_total: AtomicU64,
    /// Batches sent to a leader, retries included.
    pub batches_total: AtomicU64,
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
    /// Snapshots installed from a leader.
    pub snapshots_installed_total: AtomicU64,
    /// Volatile frames dropped, oldest first, because a peer's queue was full.
    pub volatile_dropped_total: AtomicU64,
    /// Volatile frames sent to peers.
    pub volatile_sent_total: AtomicU64,
    /// Leader changes seen.
    pub leader_changes_total: AtomicU64,
}
