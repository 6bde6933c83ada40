//! The table of settings: one option and one environment variable each, as typed.
//!
//! All values are text here; [`super::validate`] checks them, so that every refusal reads the same. An empty value is
//! the same as none.

use clap::Args;

use super::secret::Secret;

/// Where a node keeps its state when nothing else is said.
pub const DEFAULT_DATA_DIR: &str = "./vedfolnir-data";
/// Where operators reach a node when nothing else is said.
pub const DEFAULT_ADMIN_ADDR: &str = "127.0.0.1:5002";

/// The settings of `vedfolnir start`.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Directory of the node's identity, log and snapshots [default: ./vedfolnir-data]
    #[arg(long, value_name = "DIR", env = "WEBSOCKET_CLUSTER_DATA_DIR", help_heading = "Node")]
    pub data_dir: Option<String>,
    /// true: relay off unless asked for, JSON logs [default: false]
    #[arg(long, value_name = "BOOL", env = "WEBSOCKET_PRODUCTION_MODE", help_heading = "Node")]
    pub production: Option<String>,
    /// Built-in relay application (join, publish, echo ...): on or off [default: on; off in production mode]
    #[arg(long, value_name = "on|off", env = "WEBSOCKET_RELAY", help_heading = "Node")]
    pub relay: Option<String>,
    /// Threads of the runtime [default: one per core]
    #[arg(long, value_name = "N", env = "WEBSOCKET_WORKER_THREADS", help_heading = "Node")]
    pub worker_threads: Option<String>,

    /// Address of the WebSocket service; anything but loopback is plain text on your network [default: 127.0.0.1]
    #[arg(long, value_name = "HOST", env = "WEBSOCKET_HOST", help_heading = "Service")]
    pub host: Option<String>,
    /// TCP port of the WebSocket service; 0: chosen by the system [default: 5000]
    #[arg(long, value_name = "PORT", env = "WEBSOCKET_PORT", help_heading = "Service")]
    pub port: Option<String>,
    /// URL that clients use for this node, shown by status [default: from host and port]
    #[arg(long, value_name = "URL", env = "WEBSOCKET_PUBLIC_URL", help_heading = "Service")]
    pub public_url: Option<String>,
    /// Address of the operators' listener [default: 127.0.0.1:5002]
    #[arg(long, value_name = "HOST:PORT", env = "WEBSOCKET_ADMIN_ADDR", help_heading = "Service")]
    pub admin_addr: Option<String>,
    /// Connections (Engine.IO sessions) at once; one more is answered with 503 [default: 200000]
    #[arg(long, value_name = "N", env = "WEBSOCKET_MAX_CONNECTIONS_PER_SERVER", help_heading = "Service")]
    pub connections_max: Option<String>,
    /// From one ping to the next [default: 25s]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_PING_INTERVAL", help_heading = "Service")]
    pub ping_interval: Option<String>,
    /// How long a pong may take [default: 20s]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_PING_TIMEOUT", help_heading = "Service")]
    pub ping_timeout: Option<String>,
    /// How long a shutdown lets clients go before it goes on, at most 3s [default: 2s]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_DRAIN_TIMEOUT", help_heading = "Service")]
    pub drain_timeout: Option<String>,

    /// Peers to join through, separated by commas; any live one will do
    #[arg(long, value_name = "HOST:PORT,...", env = "WEBSOCKET_CLUSTER_BOOTSTRAP", help_heading = "Cluster")]
    pub bootstrap: Option<String>,
    /// How many empty nodes form a new cluster together; without it a node with --bootstrap only joins
    #[arg(long, value_name = "N", env = "WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT", help_heading = "Cluster")]
    pub bootstrap_expect: Option<String>,
    /// UDP address of the cluster endpoint [default: 127.0.0.1:5001]
    #[arg(long, value_name = "HOST:PORT", env = "WEBSOCKET_CLUSTER_ADDR", help_heading = "Cluster")]
    pub cluster_addr: Option<String>,
    /// HOST:PORT that peers reach this node at [default: the cluster address]
    #[arg(long, value_name = "HOST:PORT", env = "WEBSOCKET_CLUSTER_ADVERTISE", help_heading = "Cluster")]
    pub cluster_advertise: Option<String>,
    /// PEM file of the authority that signs the nodes' certificates
    #[arg(long, value_name = "FILE", env = "WEBSOCKET_CLUSTER_TLS_CA_FILE", help_heading = "Cluster")]
    pub tls_ca: Option<String>,
    /// PEM file of this node's certificate
    #[arg(long, value_name = "FILE", env = "WEBSOCKET_CLUSTER_TLS_CERT_FILE", help_heading = "Cluster")]
    pub tls_cert: Option<String>,
    /// PEM file of this node's private key
    #[arg(long, value_name = "FILE", env = "WEBSOCKET_CLUSTER_TLS_KEY_FILE", help_heading = "Cluster")]
    pub tls_key: Option<String>,
    /// PEM file of the authority's key, for nodes that sign certificates of nodes with a join token
    #[arg(long, value_name = "FILE", env = "WEBSOCKET_CLUSTER_TLS_CA_KEY_FILE", help_heading = "Cluster")]
    pub tls_ca_key: Option<String>,
    /// Lets a node without certificates join, once (vedfolnir token create --join); better given in a file
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WEBSOCKET_CLUSTER_JOIN_TOKEN",
        hide_env_values = true,
        help_heading = "Cluster"
    )]
    pub join_token: Option<Secret>,
    /// File that holds the join token
    #[arg(long, value_name = "FILE", env = "WEBSOCKET_CLUSTER_JOIN_TOKEN_FILE", help_heading = "Cluster")]
    pub join_token_file: Option<String>,
    /// Format of the log, of snapshots and between nodes that this node speaks at most: the newest one, or the one before
    /// it, so that an older binary can take over again [default: the newest]
    #[arg(long, value_name = "N", env = "VEDFOLNIR_FORMAT_VERSION", help_heading = "Cluster")]
    pub format_version: Option<String>,
    /// Voters at most, odd; further nodes are learners [default: 5]
    #[arg(long, value_name = "N", env = "WEBSOCKET_CLUSTER_VOTERS_MAX", help_heading = "Cluster")]
    pub voters_max: Option<String>,
    /// Between Raft heartbeats [default: 50ms]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_CLUSTER_HEARTBEAT", help_heading = "Cluster")]
    pub heartbeat: Option<String>,
    /// A follower waits at least this long for its leader [default: 150ms]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_CLUSTER_ELECTION_MIN", help_heading = "Cluster")]
    pub election_min: Option<String>,
    /// And at most this long; also the leader's lease [default: 300ms]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_CLUSTER_ELECTION_MAX", help_heading = "Cluster")]
    pub election_max: Option<String>,
    /// Without a quorum for this long the node lets its clients go [default: 5s]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_CLUSTER_ISOLATION_AFTER", help_heading = "Cluster")]
    pub isolation_after: Option<String>,
    /// A peer unheard for this long is declared down [default: 6s]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_CLUSTER_NODE_DOWN_AFTER", help_heading = "Cluster")]
    pub node_down_after: Option<String>,
    /// A voter unheard for this long is replaced by a caught-up learner, if there is one [default: 30s]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_CLUSTER_REPLACE_AFTER", help_heading = "Cluster")]
    pub replace_after: Option<String>,
    /// Log entries between snapshots; each node adds up to half as many, so that not all are busy at once [default: 50000]
    #[arg(long, value_name = "N", env = "WEBSOCKET_CLUSTER_SNAPSHOT_ENTRIES", help_heading = "Cluster")]
    pub snapshot_entries: Option<String>,

    /// How long a disconnected session can be resumed; committed when a cluster is formed [default: 120s]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_RECOVERY_WINDOW", help_heading = "Recovery")]
    pub recovery_window: Option<String>,
    /// How long delivered events are kept for replay [default: 180s, or one and a half recovery windows]
    #[arg(long, value_name = "DURATION", env = "WEBSOCKET_HISTORY_AGE", help_heading = "Recovery")]
    pub history_age: Option<String>,
    /// How much of them is kept [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "WEBSOCKET_HISTORY_SIZE", help_heading = "Recovery")]
    pub history_size: Option<String>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,

    /// Shut down when standard input ends (how a supervisor's children go with it).
    #[arg(long, hide = true)]
    pub exit_with_stdin: bool,
}

/// The settings of logs.
#[derive(Args, Clone, Debug, Default)]
pub struct LogSettings {
    /// trace, debug, info, warning, error or critical [default: info]
    #[arg(long, value_name = "LEVEL", env = "WEBSOCKET_LOG_LEVEL", help_heading = "Logs")]
    pub log_level: Option<String>,
    /// human, json or bunyan [default: human; json in production mode]
    #[arg(long, value_name = "FORMAT", env = "WEBSOCKET_LOG_FORMAT", help_heading = "Logs")]
    pub log_format: Option<String>,
    /// tracing directives instead of a level, such as info,vedfolnir_cluster=debug
    #[arg(long, value_name = "DIRECTIVES", env = "WEBSOCKET_LOG_FILTER", help_heading = "Logs")]
    pub log_filter: Option<String>,
}
