//! Validated configuration: what [`crate::server::Server`] is started with.
//!
//! [`Settings`] holds the words as they were typed (option or environment variable); [`Settings::validate`] turns them
//! into a [`Config`] or into one line that names the setting, the value, the reason and the accepted form.
//! Nothing below this module reads the environment.

mod error;
mod secret;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod validate;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use vedfolnir_cluster::state::Format;
use vedfolnir_cluster::{ClusterTls, RaftTiming, ReplicatedLimits};

pub use error::ConfigError;
pub use secret::Secret;
pub use settings::{DEFAULT_ADMIN_ADDR, DEFAULT_DATA_DIR, LogSettings, Settings};
pub use value::parse_duration;

/// A node's whole configuration; every value has been checked, alone and against the others.
#[derive(Clone, Debug)]
pub struct Config {
    /// Production mode: no built-in application unless asked for, JSON logs unless asked otherwise.
    pub production: bool,
    /// Where the node keeps its state.
    pub data_dir: PathBuf,
    /// The public listener.
    pub public: PublicConfig,
    /// The operators' listener.
    pub admin_bind: SocketAddr,
    /// The cluster floor's part.
    pub cluster: ClusterPart,
    /// Whether the built-in relay application answers.
    pub relay: bool,
    /// Logs.
    pub log: LogConfig,
    /// Threads of the runtime; `None`: one per core.
    pub worker_threads: Option<usize>,
    /// How long a shutdown may drain clients before it goes on.
    pub drain_timeout: Duration,
}

/// The public listener.
#[derive(Clone, Debug)]
pub struct PublicConfig {
    /// Where it listens; port 0: chosen by the system.
    pub bind: SocketAddr,
    /// URL that clients use, without a trailing slash; `None`: made from the bound address.
    pub url: Option<String>,
    /// Engine.IO sessions at once.
    pub connections_max: usize,
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
}

/// What the cluster floor is told; addresses stay as they were given, they are resolved at every attempt.
#[derive(Clone, Debug)]
pub struct ClusterPart {
    /// UDP address of the endpoint.
    pub bind: SocketAddr,
    /// HOST:PORT that peers use; `None`: the bound address.
    pub advertise: Option<String>,
    /// Peers to join through.
    pub bootstrap: Vec<String>,
    /// How many empty nodes form a new cluster.
    pub bootstrap_expect: Option<usize>,
    /// Certificates between peers.
    pub tls: ClusterTls,
    /// The authority's private key, on a node that signs certificates.
    pub tls_ca_key: Option<PathBuf>,
    /// The highest format that the node speaks.
    pub format_version: Format,
    /// Raft's clock.
    pub timing: RaftTiming,
    /// Limits that a new cluster commits.
    pub limits: ReplicatedLimits,
    /// Voters at most.
    pub voters_max: usize,
    /// Without quorum contact for this long, clients are let go.
    pub isolation_after: Duration,
    /// A peer unheard for this long is declared down.
    pub node_down_after: Duration,
    /// A voter unheard for this long is replaced by a learner.
    pub replace_after: Duration,
    /// Log entries between snapshots.
    pub snapshot_every_entries: u64,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `tracing` filter directives.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
    /// One JSON object a line, in the Bunyan schema.
    Bunyan,
}
