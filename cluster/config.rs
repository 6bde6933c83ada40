//! What the cluster floor is told at start: addresses, certificates, timing, replicated limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use vedfolnir_state::{Configuration, Format, NodeInfo, SidKey};

use crate::StartError;
use crate::identity::random_bytes;
use crate::join_token::JoinToken;

/// Everything the cluster floor needs; validated by the caller's configuration, checked again where it matters.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Where the node keeps its identity, log and snapshots; created (0700) when missing.
    pub data_dir: PathBuf,
    /// UDP address of the QUIC endpoint; port 0: chosen by the system.
    pub bind: SocketAddr,
    /// HOST:PORT that peers reach this node at; `None`: the bound address (refused when it is unspecified).
    pub advertise: Option<String>,
    /// Peers to join through, HOST:PORT each; resolved again at every attempt.
    pub bootstrap: Vec<String>,
    /// How many empty nodes form a new cluster together; `None` with an empty `bootstrap`: this node alone.
    pub bootstrap_expect: Option<usize>,
    /// Certificates between peers.
    pub tls: ClusterTls,
    /// PEM of the authority's private key: this node signs certificates of nodes that come with a join token.
    pub tls_ca_key: Option<PathBuf>,
    /// The highest format that this node speaks: [`Format::NEWEST`], or [`Format::PREVIOUS`] so that it can be replaced
    /// by an older binary until the whole cluster has been upgraded.
    pub format_version: Format,
    /// Raft's clock.
    pub timing: RaftTiming,
    /// Limits that this node commits should it be the one to configure a new cluster.
    pub limits: ReplicatedLimits,
    /// Where this node is reached, for status; `cluster_addr` is filled in by the cluster floor.
    pub node_info: NodeInfo,
    /// Voters at most; further nodes are learners. Odd.
    pub voters_max: usize,
    /// Without quorum contact or apply progress for this long the node is isolated.
    pub isolation_after: Duration,
    /// A peer unheard for this long is declared down by the leader.
    pub node_down_after: Duration,
    /// A voter unheard for this long is replaced by a caught-up learner, if there is one.
    pub replace_after: Duration,
    /// A snapshot is taken every so many log entries, on each node after up to half as many more; a quarter as many stay
    /// behind it for slow followers, and all that a follower needs that is just taking a snapshot.
    pub snapshot_every_entries: u64,
    /// And after so many bytes of log, on each node after up to half as many more; a quarter as many stay behind it, if they
    /// are fewer entries than otherwise would, and twice as many for a follower that is just taking a snapshot.
    pub snapshot_every_bytes: u64,
    /// Whether a start that would form a new, empty cluster ends with
    /// [`StartError::RecoveryDue`](crate::StartError::RecoveryDue) instead.
    pub recovers: bool,
    /// Whether it is remembered when entries came to the leader ([`Notice::Applied`](crate::Notice::Applied)).
    pub traces: bool,
}

impl ClusterConfig {
    /// A node on loopback that knows of no other, with the defaults in everything else: where to start from with
    /// `ClusterConfig { bootstrap, ..ClusterConfig::on_loopback(data_dir, bind) }`.
    #[must_use]
    pub fn on_loopback(data_dir: impl Into<PathBuf>, bind: SocketAddr) -> Self {
        Self {
            data_dir: data_dir.into(),
            bind,
            advertise: None,
            bootstrap: Vec::new(),
            bootstrap_expect: None,
            tls: ClusterTls::InsecureLoopback,
            tls_ca_key: None,
            format_version: Format::NEWEST,
            timing: RaftTiming::default(),
            limits: ReplicatedLimits::default(),
            node_info: NodeInfo::default(),
            voters_max: 5,
            isolation_after: Duration::from_secs(5),
            node_down_after: Duration::from_secs(6),
            replace_after: Duration::from_secs(30),
            snapshot_every_entries: 50_000,
            snapshot_every_bytes: 1 << 30,
            recovers: false,
            traces: false,
        }
    }
}

/// Certificates between peers.
#[derive(Clone, Debug)]
pub enum ClusterTls {
    /// Mutual TLS: both sides show a certificate of this authority.
    Mutual {
        /// PEM of the authority's certificate.
        ca_file: PathBuf,
        /// PEM of the node's certificate chain.
        cert_file: PathBuf,
        /// PEM of the node's private key.
        key_file: PathBuf,
    },
    /// Mutual TLS with what is in the data directory: asked for with the token when it is not there yet.
    DataDir {
        /// Lets the node in, once.
        token: Option<JoinToken>,
    },
    /// Encrypted but not authenticated; refused anywhere but on loopback.
    InsecureLoopback,
}

/// Raft's clock, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct RaftTiming {
    /// Between heartbeats.
    pub heartbeat_ms: u64,
    /// A follower waits at least this long for its leader.
    pub election_ms_min: u64,
    /// And at most this long; also the leader's lease.
    pub election_ms_max: u64,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self { heartbeat_ms: 50, election_ms_min: 150, election_ms_max: 300 }
    }
}

/// Limits that become part of the replicated state.
#[derive(Clone, Copy, Debug)]
pub struct ReplicatedLimits {
    /// How long a disconnected session can be resumed.
    pub recovery_window: Duration,
    /// How long the history is kept; at least the recovery window.
    pub history_age_max: Duration,
    /// How much of the history is kept.
    pub history_bytes_max: u64,
}

impl ReplicatedLimits {
    /// What a new cluster is configured with: these limits, a history of its own and a key of its own.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn configuration(&self) -> Result<Configuration, StartError> {
        let window_ms = self.recovery_window.as_millis() as u64;
        Ok(Configuration {
            history_id: u64::from_le_bytes(random_bytes::<8>()?).max(1),
            recovery_window_ms: window_ms,
            history_age_ms_max: (self.history_age_max.as_millis() as u64).max(window_ms),
            history_bytes_max: self.history_bytes_max,
            sid_key: SidKey(random_bytes::<32>()?),
        })
    }
}

impl Default for ReplicatedLimits {
    fn default() -> Self {
        Self {
            recovery_window: Duration::from_secs(120),
            history_age_max: Duration::from_secs(180),
            history_bytes_max: 256 << 20,
        }
    }
}
