//! What a client reads of a node's `/status`; unknown fields are skipped, so that a newer node can be asked.

use super::backups::ScheduleView;
use serde::Deserialize;

use crate::service::Vitals;

/// The cluster as the asked node sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct StatusView {
    /// Cluster id.
    pub cluster_id: String,
    /// The asked node.
    pub node_id: String,
    /// Its process.
    pub server_id: String,
    /// The leader, when known.
    pub leader: Option<String>,
    /// The format that the cluster writes; 0: a node that does not say.
    #[serde(default)]
    pub format: u8,
    /// Raft term.
    pub term: u64,
    /// Committed log index.
    pub committed_index: u64,
    /// Applied log index.
    pub applied_index: u64,
    /// Last index in a snapshot.
    pub snapshot_index: u64,
    /// How many more voters may fail.
    pub failure_tolerance: u64,
    /// Whether the asked node can serve.
    pub ready: bool,
    /// Why it cannot.
    pub reason: Option<String>,
    /// Sessions, connected.
    pub sessions_connected: u64,
    /// Sessions inside their recovery window.
    pub sessions_disconnected: u64,
    /// Its clock, in milliseconds since 1970; `None`: a node that does not say.
    #[serde(default)]
    pub unix_ms: Option<u64>,
    /// When its certificate for its peers expires, in seconds since 1970, if it has one.
    #[serde(default)]
    pub cluster_certificate_expires: Option<i64>,
    /// TLS of its public listener.
    #[serde(default)]
    pub tls: TlsSeen,
    /// Members.
    pub nodes: Vec<NodeView>,
    /// Alerts about the whole cluster that fire; a node of an older release does not say.
    #[serde(default)]
    pub alerts: Vec<AlertView>,
    /// When backups are made, and how far the log between them is archived; `None`: the node was told of no place for them.
    #[serde(default)]
    pub backups: Option<ScheduleView>,
}

/// An alert about the whole cluster.
#[derive(Clone, Debug, Deserialize)]
pub struct AlertView {
    /// Its name.
    pub alert: String,
    /// The member that it is about.
    #[serde(default)]
    pub node: Option<String>,
    /// Since when, RFC 3339.
    pub since: String,
    /// Whether the receiver has been told, or that was given up.
    pub told: bool,
}

/// TLS of the asked node's public listener.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TlsSeen {
    /// Certificates in use.
    #[serde(default)]
    pub certificates: Vec<CertificateSeen>,
}

/// A certificate in use.
#[derive(Clone, Debug, Deserialize)]
pub struct CertificateSeen {
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

/// One member.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeView {
    /// Node id.
    pub id: String,
    /// `leader`, `voter` or `learner`.
    pub role: String,
    /// Whether a life of it is committed.
    pub live: bool,
    /// Public URL.
    pub url: String,
    /// Admin URL.
    pub admin_url: String,
    /// Cluster HOST:PORT.
    pub cluster_addr: String,
    /// The name of its process.
    #[serde(default)]
    pub server_id: String,
    /// Its software's version.
    #[serde(default)]
    pub version: String,
    /// The highest format that it speaks, when known.
    #[serde(default)]
    pub format: Option<u8>,
    /// Sessions it owns.
    pub sessions: u64,
    /// Highest log index known to be on it.
    pub matched_index: Option<u64>,
    /// Since the leader last heard from it.
    pub last_contact_ms: Option<u64>,
    /// How it stands towards clients: `serving`, `maintenance`, `draining` or `stopping`; `None`: not known.
    #[serde(default)]
    pub standing: Option<String>,
    /// Its figures of the last seconds; `None`: it does not say.
    #[serde(default)]
    pub vitals: Option<Vitals>,
}
