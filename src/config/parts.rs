//! A node's whole configuration, by part; every value has been checked, alone and against the others.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vedfolnir_cluster::state::Format;
use vedfolnir_cluster::{ClusterTls, RaftTiming, ReplicatedLimits};

use crate::alerts::{AlertConfig, Thresholds};
use crate::backend::BackendConfig;
use crate::backup::BackupConfig;
use crate::observability::logging::{HttpConfig, Levels, Pii, Rotation, SyslogConfig, Target};
use crate::observability::traces::TraceConfig;
use crate::security::affinity::AffinityRule;
use crate::security::auth::{Authenticator, JwksUrl};
use crate::security::proxy_protocol::Mode as ProxyProtocol;
use crate::security::rules::Rules;
use crate::security::secret::Secret;
use crate::service::Transport;
use crate::tls::{TlsFiles, TlsSettings};
use crate::webhooks::WebhookConfig;

/// See the module.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the node is.
    pub node: NodeConfig,
    /// The public listeners.
    pub public: PublicConfig,
    /// The operators' listener.
    pub admin: AdminConfig,
    /// The HTTP API's listener; `None`: there is none.
    pub api: Option<ApiConfig>,
    /// The cluster floor's part.
    pub cluster: ClusterPart,
    /// Who may come in.
    pub security: SecurityConfig,
    /// Where health and metrics are served.
    pub monitoring: MonitoringConfig,
    /// Logs.
    pub log: LogConfig,
    /// Backups.
    pub backup: BackupConfig,
    /// The backend proxy; `None`: no backend is asked.
    pub backend: Option<BackendConfig>,
    /// Webhooks; `None`: nobody is told what happens.
    pub webhooks: Option<WebhookConfig>,
    /// Names what applies: SHA-256, in hexadecimal digits, of every setting's name and text as `config show` has them. Of
    /// secrets it tells only whether they are given.
    pub hash: String,
}

/// What the node is.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Production mode: no built-in application unless asked for, JSON logs unless asked otherwise.
    pub production: bool,
    /// Debug mode.
    pub debug: bool,
    /// Where the node keeps its state.
    pub data_dir: PathBuf,
    /// The name that it goes by; `None`: made of the host's name and the start.
    pub server_id: Option<String>,
    /// Whether the built-in relay application answers.
    pub relay: bool,
    /// Threads of the runtime; `None`: one per core.
    pub worker_threads: Option<usize>,
    /// How it ends.
    pub stop: StopConfig,
}

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopConfig {
    /// How long it goes on serving while balancers look away.
    pub delay: Duration,
    /// After that the process is gone within this time.
    pub timeout: Duration,
    /// Clients that are let go in a second; more, where the time-out needs it.
    pub rate: u32,
}

/// The public listeners.
#[derive(Clone, Debug)]
pub struct PublicConfig {
    /// Where the plain one listens; port 0: chosen by the system.
    pub bind: SocketAddr,
    /// The one with TLS.
    pub tls: Option<TlsConfig>,
    /// URL that clients use, without a trailing slash; `None`: made from the bound address.
    pub url: Option<String>,
    /// Engine.IO sessions at once.
    pub connections_max: usize,
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// How long a client may take to join a namespace.
    pub connect_timeout: Duration,
    /// How long an upgrade may take.
    pub upgrade_timeout: Duration,
    /// How long each step of a handshake may take.
    pub handshake_timeout: Duration,
    /// The largest message and polling payload, in bytes.
    pub payload_bytes_max: usize,
    /// Transports that clients may use.
    pub transports: Vec<Transport>,
    /// What clients are told about their node, for balancers; `None`: nothing.
    pub affinity: Option<AffinityRule>,
    /// After so long without a connection a client is bound to no node any more.
    pub affinity_timeout: Duration,
    /// Whether requests of sessions of other nodes are passed on.
    pub forwards: bool,
    /// Whether TCP keep-alive is on.
    pub keep_alive: bool,
    /// Versions of the PROXY protocol that are spoken.
    pub proxy_protocol: ProxyProtocol,
    /// Events that are counted by name.
    pub counted_events: Vec<Arc<str>>,
    /// Whether sessions are committed with who connected from where.
    pub notes_connections: bool,
}

/// TLS of the public listener.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Its files.
    pub files: TlsFiles,
    /// What it speaks.
    pub settings: TlsSettings,
    /// When its files are read again.
    pub reload: TlsReload,
}

/// When changed certificate files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsReload {
    /// By themselves, some seconds later, and at SIGHUP.
    Auto,
    /// At SIGHUP only.
    Sighup,
}

/// The operators' listener.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Its tokens.
    pub tokens: AdminTokens,
}

/// The operators' tokens; none: whoever reaches the listener may do everything.
#[derive(Clone, Debug, Default)]
pub struct AdminTokens {
    /// Everything.
    pub admin: Option<Secret>,
    /// Reading, and what can be undone.
    pub operate: Option<Secret>,
    /// Reading.
    pub read: Option<Secret>,
}

impl AdminTokens {
    /// Whether nobody needs one.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.admin.is_none() && self.operate.is_none() && self.read.is_none()
    }
}

/// The HTTP API's listener.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Its tokens.
    pub tokens: ApiTokens,
}

/// The tokens of programs; none: whoever reaches the listener may do everything.
#[derive(Clone, Debug, Default)]
pub struct ApiTokens {
    /// Everything.
    pub admin: Option<Secret>,
    /// Publishing.
    pub publish: Option<Secret>,
    /// Reading.
    pub read: Option<Secret>,
}

/// Who may come in.
#[derive(Clone, Debug)]
pub struct SecurityConfig {
    /// What can change while the node runs.
    pub rules: Arc<Rules>,
    /// Who clients are.
    pub authenticator: Arc<Authenticator>,
    /// Where keys are fetched.
    pub jwks: Option<JwksConfig>,
}

/// Where keys of tokens are fetched.
#[derive(Clone, Debug)]
pub struct JwksConfig {
    /// The address.
    pub url: JwksUrl,
    /// Authorities of that server, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How often.
    pub refresh: Duration,
}

/// Where health and metrics are served on the public listener.
#[derive(Clone, Debug)]
pub struct MonitoringConfig {
    /// Health; `/ready` and `/live` are below it. `None`: not at all.
    pub health: Option<String>,
    /// A load balancer's own path.
    pub health_alias: Option<String>,
    /// Metrics. `None`: not at all.
    pub metrics: Option<String>,
    /// What a scraper must show.
    pub metrics_token: Option<Secret>,
    /// What it is shown.
    pub shown: MetricsConfig,
    /// Whether operators are shown each part's state.
    pub detailed_health: bool,
    /// The node's checks of its own parts.
    pub checks: CheckConfig,
    /// Where alerts go; `None`: there are none.
    pub alerts: Option<AlertConfig>,
    /// Where traces go; `None`: they are off.
    pub traces: Option<TraceConfig>,
    /// The values beyond which they fire.
    pub thresholds: Thresholds,
}

/// The node's checks of its own parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// From one round to the next.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row are one.
    pub retries: u32,
    /// Resident memory, nine tenths of which new clients are refused at; `None`: there is no limit.
    pub memory_bytes_max: Option<u64>,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), timeout: Duration::from_secs(5), retries: 3, memory_bytes_max: None }
    }
}

/// What a page of metrics holds, and its form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The form.
    pub form: MetricsForm,
    /// Families that can be left out.
    pub families: MetricFamilies,
}

/// Families of metrics that can be left out; all others are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricFamilies {
    /// The process, and operators' requests.
    pub performance: bool,
    /// `websocket_connections_*`.
    pub connections: bool,
    /// `websocket_messages_*` and `websocket_message_*`.
    pub messages: bool,
    /// `websocket_errors_total`.
    pub errors: bool,
}

impl Default for MetricFamilies {
    fn default() -> Self {
        Self { performance: true, connections: true, messages: true, errors: true }
    }
}

/// The form of a page of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsForm {
    /// Prometheus' text, version 0.0.4; OpenMetrics for those who ask for it.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// JSON.
    Json,
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
    /// Bytes of log between snapshots.
    pub snapshot_every_bytes: u64,
}

/// Logs: where they go and what becomes a line.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// What is logged.
    pub levels: Levels,
    /// How a line looks.
    pub format: LogFormat,
    /// How much of clients is shown.
    pub pii: Pii,
    /// Where lines go that have no place of their own.
    pub target: Target,
    /// Where security events go instead.
    pub security_file: Option<PathBuf>,
    /// Where performance records go instead.
    pub performance_file: Option<PathBuf>,
    /// Where errors of every category go, too.
    pub error_file: Option<PathBuf>,
    /// When files are rotated; `None`: by others, or never.
    pub rotation: Option<Rotation>,
    /// A syslog receiver.
    pub syslog: Option<SyslogConfig>,
    /// A receiver over HTTP.
    pub http: Option<HttpConfig>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line, in the Bunyan schema.
    Bunyan,
}
