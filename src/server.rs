//! Assembly: one validated configuration becomes a node, the floors wired together, and is taken down again in order.
//!
//! ```text
//!   bind public + admin ──► Cluster::start ──► Service::start ──► serve          (ready)
//!        │ health answers from here on: live, not ready
//!   stop: not ready ──► hand leadership over ──► serve for the delay ──► drain clients ──► stop Raft
//! ```

mod builder;
mod listeners;
mod reload;
mod run;
mod stop;

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::state::NodeInfo;
use vedfolnir_cluster::{Cluster, ClusterConfig, ClusterTls, Notice, StartError, StartKind, issued_certificate};

use crate::admin;
use crate::alerts;
use crate::api;
use crate::app::App;
use crate::backend::Backend;
use crate::backup::{self, Backups, RecoveryError};
use crate::config::{Config, JwksConfig, MonitoringConfig, StopConfig};
use crate::observability::monitor::Monitor;
use crate::observability::traces::{TraceConfig, Tracer};
use crate::observability::{self, LeaveRequest, Node, Parts};
use crate::security::auth::{self, Authenticator};
use crate::security::guard::Guard;
use crate::security::rules::HttpsRule;
use crate::service::{Door, Service, ServiceConfig};
use crate::tls;
use crate::webhooks::{self, Webhooks};

pub(crate) use listeners::ACCEPT_QUEUE_MAX;
use listeners::{bind, bind_public, bind_tls, local, serve_operators, serve_until, url_of};

pub use builder::ServerBuilder;
pub use reload::Reloader;

const API_SETTING: &str = "--api-addr (WEBSOCKET_API_ADDR)";
/// While a node cannot serve yet, the reason is logged this often.
const READY_SAID_EVERY: Duration = Duration::from_secs(5);

/// A running node.
pub struct Server {
    node: Arc<Node>,
    report: StartReport,
    stopping: StopConfig,
    /// Ends the public listeners, and what serves them.
    public_stop: CancellationToken,
    public: Vec<JoinHandle<io::Result<()>>>,
    reloader: Reloader,
    /// Ends the operators' listeners.
    admin_stop: CancellationToken,
    /// What serves them, and the HTTP API's, which ends with the public ones.
    admin_doors: Vec<JoinHandle<()>>,
    /// Somebody wants the node to leave its cluster.
    leave_requests: tokio::sync::mpsc::Receiver<LeaveRequest>,
}

/// What the start block shows.
#[derive(Clone, Debug)]
pub struct StartReport {
    /// Public URL, without a trailing slash.
    pub url: String,
    /// The same over TLS, when that is served.
    pub tls_url: Option<String>,
    /// Where health is served.
    pub health_url: Option<String>,
    /// Where metrics are served.
    pub metrics_url: Option<String>,
    /// Admin URL, without a trailing slash.
    pub admin_url: String,
    /// URL of the HTTP API, without a trailing slash, when there is one.
    pub api_url: Option<String>,
    /// HOST:PORT that peers use.
    pub cluster_addr: String,
    /// Absolute where that could be found out.
    pub data_dir: PathBuf,
    /// 32 hexadecimal digits.
    pub cluster_id: String,
    /// 16 hexadecimal digits.
    pub node_id: String,
    /// Name of this process.
    pub server_id: String,
    /// `initialized new cluster`, `joined` or `restarted`.
    pub start: &'static str,
    /// Whether the relay application answers.
    pub relay: bool,
    /// What is insecure, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a node does not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A listener's address is taken.
    #[error("{setting} = {address} is already in use by another program; stop that program or choose another port")]
    AddressInUse {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
    },
    /// A listener cannot be bound for another reason.
    #[error(
        "{setting} = {address} cannot be listened on: {source}; accepted: an address of this machine and a port you may use"
    )]
    Bind {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(
        "--data-dir (WEBSOCKET_DATA_DIR) = {path:?} cannot be used: {source}; accepted: a directory that this user may write to"
    )]
    DataDir {
        /// Its value.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The admin socket cannot be used: most often a second process.
    #[error("--data-dir (WEBSOCKET_DATA_DIR): {0}")]
    AdminSocket(#[from] admin::SocketError),
    /// The cluster floor refused to start.
    #[error("{0}")]
    Cluster(#[from] StartError),
    /// The certificates are not what they were when the configuration was judged.
    #[error("TLS: {0}")]
    Tls(#[from] tls::LoadError),
    /// Keys of tokens cannot be fetched with these authorities.
    #[error("--auth-jwks-ca (WEBSOCKET_AUTH_JWKS_CA_FILE): {0}")]
    Jwks(String),
    /// Traces cannot be sent as the configuration wants it.
    #[error("traces: {0}")]
    Traces(io::Error),
    /// The process cannot be told to stop.
    #[error("handlers of SIGINT and SIGTERM cannot be installed: {0}")]
    Signals(io::Error),
    /// A listener ended while the node was running.
    #[error("the public listener failed: {0}")]
    Listener(io::Error),
    /// The new cluster cannot start from a backup.
    #[error("{0}")]
    Recovery(#[from] RecoveryError),
    /// The cluster floor had to stop.
    #[error("the node had to stop: {0}")]
    Failed(String),
}

impl Server {
    async fn start(config: Config, app: App, backend: Option<Arc<Backend>>) -> Result<Self, ServerError> {
        prepare_data_dir(&config.node.data_dir)?;
        let data_dir = std::path::absolute(&config.node.data_dir).unwrap_or_else(|_| config.node.data_dir.clone());
        let admin_socket = admin::bind_socket(&data_dir).await.map(Some).or_else(tolerate_long_path)?;
        let (public, starting) = bind_public(config.public.bind)?;
        let tls_door = config.public.tls.as_ref().map(bind_tls).transpose()?;
        let admin_listener = bind("--admin-addr (WEBSOCKET_ADMIN_BIND)", config.admin.bind)?;

        let api_listener = config.api.as_ref().map(|api| bind(API_SETTING, api.bind)).transpose()?;

        let tls_port = tls_door.as_ref().map(|door| door.address.port());
        let plain_url = url_of("http", local(&public, config.public.bind));
        let tls_url = tls_door.as_ref().map(|door| url_of("https", door.address));
        let public_url =
            config.public.url.clone().unwrap_or_else(|| tls_url.clone().unwrap_or_else(|| plain_url.clone()));
        let admin_url = url_of("http", local(&admin_listener, config.admin.bind));
        let server_id = config.node.server_id.clone().unwrap_or_else(observability::server_id);
        let cluster_certificate = match &config.cluster.tls {
            ClusterTls::Mutual { cert_file, .. } => Some(cert_file.clone()),
            ClusterTls::DataDir { .. } => Some(issued_certificate(&data_dir)),
            ClusterTls::InsecureLoopback => None,
        };
        let node = Node::new(server_id, data_dir.clone()).with_cluster_certificate(cluster_certificate);
        let node = Arc::new(node);
        node.set_metrics_token(config.monitoring.metrics_token.clone());
        node.set_config_hash(config.hash.clone());

        let admin_stop = CancellationToken::new();
        let debug = if config.node.debug { admin::debug_router() } else { Router::new() };
        let admin_router = admin::router(Arc::clone(&node))
            .merge(debug)
            .merge(observability::operators_router(
                Arc::clone(&node),
                config.monitoring.shown,
                config.monitoring.detailed_health,
            ))
            .layer(from_fn_with_state(Arc::clone(&node), observability::timed));
        let keeper = admin::Doorkeeper::new(config.admin.tokens.clone());
        let mut admin_doors =
            vec![serve_operators(admin_listener, keeper.guard(admin_router.clone()), admin_stop.clone())];
        if let Some(socket) = admin_socket {
            // Who may open the socket may read the node's memory, too.
            admin_doors.push(serve_until(socket, admin::audited(admin_router), admin_stop.clone()));
        }
        let public_stop = CancellationToken::new();
        let public_guard = public_stop.clone().drop_guard();
        let mut api_url = None;
        let api_keeper = config.api.as_ref().zip(api_listener).map(|(api, listener)| {
            api_url = Some(url_of("http", local(&listener, api.bind)));
            let keeper = api::Keeper::new(api.tokens.clone());
            let routes = api::router(Arc::clone(&node), Arc::clone(&keeper));
            admin_doors.push(serve_operators(listener, routes, public_stop.clone()));
            keeper
        });
        // Ends with this function, however it ends.
        let starting_stop = CancellationToken::new();
        let starting_guard = starting_stop.clone().drop_guard();
        let admin_guard = admin_stop.clone().drop_guard();
        serve_until(starting, starting_router(&node, &config.monitoring), starting_stop);

        let info = NodeInfo {
            url: public_url.clone(),
            admin_url: admin_url.clone(),
            server_id: node.server_id().to_owned(),
            ..NodeInfo::default()
        };
        let backups = Arc::new(Backups::new(config.backup.clone()));
        node.set_backups(Arc::clone(&backups));
        let (cluster, notices) = start_cluster(&config, info, &backups).await?;
        let security = &config.security;
        let authenticator = Arc::clone(&security.authenticator);
        let rules = Arc::new(security.rules.with_tls_port(tls_port));
        let guard = Arc::new(Guard::new(rules, authenticator, config.public.connections_max));
        let tracer = config.monitoring.traces.as_ref().map(|traces| start_traces(traces, &node, public_stop.clone()));
        let service_config = ServiceConfig { tracer: tracer.transpose()?, ..service_config(&config) };
        let service = Service::start(service_config, Arc::clone(&guard), app, cluster.clone(), notices);

        *node.checks().lock() = observability::Checks::new(config.monitoring.checks.retries);
        tokio::spawn(observability::run_checks(Arc::clone(&node), config.monitoring.checks, public_stop.clone()));
        tokio::spawn(backup::watch_room(Arc::clone(&backups), public_stop.clone()));
        tokio::spawn(backup::archive::run(Arc::clone(&node), Arc::clone(&backups), public_stop.clone()));
        tokio::spawn(backup::run_schedule(Arc::clone(&node), backups, public_stop.clone()));
        observability::start_watchdog(node.watchdog(), public_stop.clone());
        tokio::spawn(observability::take_vitals(Arc::clone(&node), public_stop.clone()));
        node.set_thresholds(config.monitoring.thresholds.clone());
        if let Some(alerts) = config.monitoring.alerts.clone() {
            if let Some(cluster) = alerts.cluster {
                let watch = alerts::run_cluster(Arc::clone(&node), alerts.clone(), cluster, public_stop.clone());
                tokio::spawn(watch);
            }
            tokio::spawn(alerts::run(Arc::clone(&node), alerts, public_stop.clone()));
        }
        if let Some(config) = config.webhooks.clone() {
            let webhooks = Arc::new(Webhooks::new(config));
            node.set_webhooks(Arc::clone(&webhooks));
            tokio::spawn(webhooks::run(Arc::clone(&node), webhooks, public_stop.clone()));
        }
        if let Some(jwks) = &security.jwks {
            fetch_keys(jwks, &security.authenticator, public_stop.clone())?;
        }
        let identity = cluster.identity().clone();
        let below = |path: &Option<String>| path.as_ref().map(|path| format!("{plain_url}{path}"));
        let report = StartReport {
            health_url: below(&config.monitoring.health),
            metrics_url: below(&config.monitoring.metrics),
            url: plain_url,
            tls_url,
            admin_url,
            api_url,
            cluster_addr: identity.cluster_addr.clone(),
            data_dir,
            cluster_id: identity.cluster_id.clone(),
            node_id: format!("{:016x}", identity.node_id),
            server_id: node.server_id().to_owned(),
            start: match identity.start {
                StartKind::Initialized => "initialized new cluster",
                StartKind::Joined => "joined",
                StartKind::Restarted => "restarted",
            },
            relay: config.node.relay,
            warnings: warnings(&config, &identity.cluster_addr),
        };
        let (leave, leave_requests) = tokio::sync::mpsc::channel(1);
        let routes = public_routes(&node, &config.monitoring);
        drop(starting_guard);
        let mut doors = vec![Door { listener: public, tls: None }];
        let mut listener_tls = None;
        if let Some(door) = tls_door {
            if door.watches {
                tokio::spawn(reload::watch_certificates(Arc::clone(&door.tls), public_stop.clone()));
            }
            listener_tls = Some(Arc::clone(&door.tls));
            doors.push(door.open()?);
        }
        if let Some(backend) = &backend {
            node.set_backend(Arc::clone(backend.stats()));
        }
        let keepers = (keeper, api_keeper);
        let reloader = Reloader::new(guard, listener_tls.clone(), tls_port, keepers, backend, Arc::clone(&node));
        let (drain_rate, affinity_timeout) = (config.node.stop.rate, config.public.affinity_timeout);
        node.attach(Parts {
            cluster,
            service: service.clone(),
            leave,
            drain_rate,
            affinity_timeout,
            tls: listener_tls.clone(),
        });
        let public = doors
            .into_iter()
            .map(|door| {
                let (service, routes, stop) = (service.clone(), routes.clone(), public_stop.clone());
                tokio::spawn(async move { service.serve(door, routes, stop).await })
            })
            .collect();
        drop(admin_guard.disarm());
        drop(public_guard.disarm());
        for warning in &report.warnings {
            tracing::warn!(event_type = "insecure_configuration", "insecure: {warning}");
        }
        tracing::info!(
            url = report.url,
            tls_url = report.tls_url,
            admin_url = report.admin_url,
            api_url = report.api_url,
            cluster_addr = report.cluster_addr,
            cluster_id = report.cluster_id,
            node_id = report.node_id,
            server_id = report.server_id,
            "member of the cluster: {}",
            report.start
        );
        let stopping = config.node.stop;
        Ok(Self { node, report, stopping, public_stop, public, reloader, admin_stop, admin_doors, leave_requests })
    }

    /// Puts in force what may change of a new configuration: rules, keys of tokens, certificates. Clients stay connected.
    /// It reads files.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// What the start block shows.
    #[must_use]
    pub fn report(&self) -> &StartReport {
        &self.report
    }

    /// The node, for doors of an embedding application.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Speaks for the embedding application: log lines, counters, health.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(Arc::clone(&self.node))
    }

    /// Resolves once the node can serve for the first time; says now and then what it waits for.
    pub fn ready(&self) -> impl Future<Output = ()> + use<> {
        let node = Arc::clone(&self.node);
        async move {
            let Some(parts) = node.parts() else { return std::future::pending().await };
            let mut readiness = parts.cluster.readiness();
            loop {
                match tokio::time::timeout(READY_SAID_EVERY, readiness.wait_for(|readiness| readiness.ready)).await {
                    Ok(Ok(_)) => return,
                    // The cluster floor is gone: `run_until` says why.
                    Ok(Err(_)) => return std::future::pending().await,
                    Err(_) => {
                        let reason = observability::readiness_reason(&node);
                        tracing::warn!(event_type = "not_ready", reason, "the node does not serve yet");
                    }
                }
            }
        }
    }

    /// Serves until `shutdown` ends, then leaves in order; returns early when the node cannot go on.
    ///
    /// # Errors
    /// Why the node could not go on.
    pub async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let failed = {
            let node = Arc::clone(&self.node);
            async move {
                match node.parts() {
                    Some(parts) => {
                        let reason = parts.cluster.failed().await;
                        #[cfg(feature = "planted-bugs")]
                        crate::service::planted::failed().await;
                        reason
                    }
                    None => std::future::pending().await,
                }
            }
        };
        let failure = tokio::select! {
            () = shutdown => None,
            Some(request) = self.leave_requests.recv() => self.leave(request).await.err().map(ServerError::Failed),
            reason = failed => Some(ServerError::Failed(reason)),
            (ended, ..) = futures_util::future::select_all(&mut self.public) => Some(ServerError::Listener(match ended {
                Ok(Ok(())) => io::Error::other("it ended by itself"),
                Ok(Err(error)) => error,
                Err(panic) => io::Error::other(panic),
            })),
        };
        match failure {
            // Balancers are given time to look away; a node that cannot go on has none.
            None => self.stop_in_order().await,
            Some(_) => self.stop().await,
        }
        failure.map_or(Ok(()), Err)
    }
}

/// Forms, joins or rejoins the cluster. One that would be formed empty starts from a backup, where there is one.
async fn start_cluster(
    config: &Config,
    info: NodeInfo,
    backups: &Backups,
) -> Result<(Cluster, tokio::sync::mpsc::Receiver<Notice>), ServerError> {
    let recovery = config.backup.recovery.zip(backups.location());
    let as_configured = ClusterConfig { recovers: recovery.is_some(), ..cluster_config(config, info) };
    let started = Cluster::start(as_configured.clone()).await;
    let (Err(StartError::RecoveryDue), Some((recovery, location))) = (&started, recovery) else { return Ok(started?) };
    let key = config.backup.packing.key.clone();
    match backup::recover(&config.node.data_dir, location, key, recovery).await {
        Ok(_) => {}
        Err(error) if recovery.is_required => return Err(error.into()),
        Err(error) => {
            tracing::error!(event_type = "backup_not_restored", %error, "the new cluster starts empty: {error}")
        }
    }
    Ok(Cluster::start(ClusterConfig { recovers: false, ..as_configured }).await?)
}

/// Fetches the keys of tokens until `stop`.
fn fetch_keys(
    config: &JwksConfig,
    authenticator: &Arc<Authenticator>,
    stop: CancellationToken,
) -> Result<(), ServerError> {
    let Some(jwks) = authenticator.jwks.clone() else { return Ok(()) };
    let refused = |error: String| ServerError::Jwks(error);
    let authorities =
        config.ca_file.as_deref().map(std::fs::read).transpose().map_err(|error| refused(error.to_string()))?;
    let tls = auth::client_tls(authorities.as_deref()).map_err(|error| refused(error.to_string()))?;
    let fetcher = auth::Fetcher::new(config.url.clone(), tls, auth::FETCH_TIMEOUT);
    tokio::spawn(async move { jwks.run(&fetcher, &stop).await });
    Ok(())
}

/// By the system's clock, for what is dated by it: certificates.
fn unix_now() -> i64 {
    i64::try_from(crate::security::guard::unix_now()).unwrap_or(i64::MAX)
}

fn start_traces(config: &TraceConfig, node: &Node, stop: CancellationToken) -> Result<Arc<Tracer>, ServerError> {
    let (server_id, stats) = (node.server_id(), Arc::clone(node.traces()));
    Tracer::start(config, server_id, stats, || fastrand::u64(..), stop).map_err(ServerError::Traces)
}

fn service_config(config: &Config) -> ServiceConfig {
    let (public, monitoring) = (&config.public, &config.monitoring);
    let exempt = [&monitoring.health, &monitoring.health_alias, &monitoring.metrics];
    ServiceConfig {
        connections_max: public.connections_max,
        ping_interval: public.ping_interval,
        ping_timeout: public.ping_timeout,
        connect_timeout: public.connect_timeout,
        upgrade_timeout: public.upgrade_timeout,
        handshake_timeout: public.handshake_timeout,
        max_http_buffer_size: public.payload_bytes_max,
        transports: public.transports.clone(),
        affinity: public.affinity.clone(),
        forwards: public.forwards,
        keep_alive: public.keep_alive,
        counted_events: public.counted_events.clone(),
        notes_connections: public.notes_connections,
        proxy_protocol: public.proxy_protocol,
        exempt_paths: exempt.into_iter().flatten().cloned().collect(),
        ..ServiceConfig::default()
    }
}

fn cluster_config(config: &Config, node_info: NodeInfo) -> ClusterConfig {
    let part = config.cluster.clone();
    ClusterConfig {
        data_dir: config.node.data_dir.clone(),
        bind: part.bind,
        advertise: part.advertise,
        bootstrap: part.bootstrap,
        bootstrap_expect: part.bootstrap_expect,
        tls: part.tls,
        tls_ca_key: part.tls_ca_key,
        format_version: part.format_version,
        timing: part.timing,
        limits: part.limits,
        node_info,
        voters_max: part.voters_max,
        isolation_after: part.isolation_after,
        node_down_after: part.node_down_after,
        replace_after: part.replace_after,
        snapshot_every_entries: part.snapshot_every_entries,
        snapshot_every_bytes: part.snapshot_every_bytes,
        recovers: false,
        traces: config.monitoring.traces.is_some(),
    }
}

fn warnings(config: &Config, cluster_addr: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let protected = config.public.tls.is_some() || config.security.rules.https != HttpsRule::Plain;
    if !config.public.bind.ip().is_loopback() && !protected {
        warnings.push(format!(
            "the WebSocket service on {} speaks plain HTTP beyond this machine; give it a certificate (--ssl-cert-file) or put a TLS proxy in front of it",
            config.public.bind
        ));
    }
    if config.node.relay && !config.public.bind.ip().is_loopback() {
        warnings.push(
            "the relay application lets any client join and publish to any room; turn it off with --relay off"
                .to_owned(),
        );
    }
    if matches!(config.cluster.tls, ClusterTls::InsecureLoopback) {
        warnings.push(format!(
            "the cluster port {cluster_addr} has no certificates: any program on this machine may pose as a node"
        ));
    }
    warnings
}

/// Creates the directory (0700) when missing, and finds out now whether it can be written to.
fn prepare_data_dir(path: &Path) -> Result<(), ServerError> {
    let refused = |source| ServerError::DataDir { path: path.to_path_buf(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(refused)?;
    let probe = path.join(".writable");
    std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(refused)
}

/// A socket's path has a bound that a directory's has not: the TCP listener serves then.
fn tolerate_long_path(error: admin::SocketError) -> Result<Option<tokio::net::UnixListener>, admin::SocketError> {
    match error {
        admin::SocketError::Refused { ref source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
            tracing::warn!("{error}; operators reach the node by --addr only");
            Ok(None)
        }
        error => Err(error),
    }
}

/// What the public listeners serve beside Socket.IO.
fn public_routes(node: &Arc<Node>, monitoring: &MonitoringConfig) -> Router {
    observability::router(Arc::clone(node), monitoring)
}

/// Health while the node is on its way; everything else is told to come back.
fn starting_router(node: &Arc<Node>, monitoring: &MonitoringConfig) -> Router {
    public_routes(node, monitoring).fallback(|| async {
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], "the node is not a member of its cluster yet\n")
    })
}
