//! Assembly: one validated configuration becomes a node, the floors wired together, and is taken down again in order.
//!
//! ```text
//!   bind public + admin ──► Cluster::start ──► Service::start ──► serve          (ready)
//!        │ health answers from here on: live, not ready
//!   stop: not ready ──► hand leadership over ──► drain clients ──► stop Raft     (within 5 s)
//! ```

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::state::NodeInfo;
use vedfolnir_cluster::{Cluster, ClusterConfig, ClusterTls, StartError, StartKind};

use crate::admin;
use crate::app::{App, relay};
use crate::config::Config;
use crate::observability::{self, LeaveRequest, Node, Parts};
use crate::service::{Service, ServiceConfig};

/// Connections the kernel queues before they are accepted: a herd that reconnects fits in.
const ACCEPT_QUEUE_MAX: u32 = 4096;
/// While a node cannot serve yet, the reason is logged this often.
const READY_SAID_EVERY: Duration = Duration::from_secs(5);
/// Handing leadership over may take this long in a shutdown.
const TRANSFER_TIMEOUT: Duration = Duration::from_millis(500);
/// Answers to operators that are on their way get this long in a shutdown.
const ADMIN_STOP_TIMEOUT: Duration = Duration::from_millis(300);
/// Stopping Raft and closing the store may take this long in a shutdown.
const CLUSTER_STOP_TIMEOUT: Duration = Duration::from_millis(1500);

/// A running node.
pub struct Server {
    node: Arc<Node>,
    report: StartReport,
    drain_timeout: Duration,
    /// Ends the public listener.
    public_stop: CancellationToken,
    public: JoinHandle<io::Result<()>>,
    /// Ends the operators' listeners.
    admin_stop: CancellationToken,
    admin_doors: Vec<JoinHandle<()>>,
    /// Somebody wants the node to leave its cluster.
    leave_requests: tokio::sync::mpsc::Receiver<LeaveRequest>,
}

/// What the start block shows.
#[derive(Clone, Debug)]
pub struct StartReport {
    /// Public URL, without a trailing slash.
    pub url: String,
    /// Admin URL, without a trailing slash.
    pub admin_url: String,
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
        "--data-dir (WEBSOCKET_CLUSTER_DATA_DIR) = {path:?} cannot be used: {source}; accepted: a directory that this user may write to"
    )]
    DataDir {
        /// Its value.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The admin socket cannot be used: most often a second process.
    #[error("--data-dir (WEBSOCKET_CLUSTER_DATA_DIR): {0}")]
    AdminSocket(#[from] admin::SocketError),
    /// The cluster floor refused to start.
    #[error("{0}")]
    Cluster(#[from] StartError),
    /// A listener ended while the node was running.
    #[error("the public listener failed: {0}")]
    Listener(io::Error),
    /// The cluster floor had to stop.
    #[error("the node had to stop: {0}")]
    Failed(String),
}

impl Server {
    /// Binds the listeners, forms, joins or rejoins the cluster, starts the service.
    ///
    /// From the moment the listeners are bound, health answers: live, and not ready until this returns.
    ///
    /// # Errors
    /// One line that names the setting or peer, the value, the reason and the fix.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        prepare_data_dir(&config.data_dir)?;
        let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
        let admin_socket = admin::bind_socket(&data_dir).await.map(Some).or_else(tolerate_long_path)?;
        let (public, starting) = bind_public(config.public.bind)?;
        let admin_listener = bind("--admin-addr (WEBSOCKET_ADMIN_ADDR)", config.admin_bind)?;

        let public_url = config.public.url.clone().unwrap_or_else(|| url_of(local(&public, config.public.bind)));
        let admin_url = url_of(local(&admin_listener, config.admin_bind));
        let node = Arc::new(Node::new(observability::server_id(), data_dir.clone()));

        let admin_stop = CancellationToken::new();
        let admin_router = admin::router(Arc::clone(&node)).merge(observability::router(Arc::clone(&node)));
        let mut admin_doors = vec![serve_until(admin_listener, admin_router.clone(), admin_stop.clone())];
        if let Some(socket) = admin_socket {
            admin_doors.push(serve_until(socket, admin_router, admin_stop.clone()));
        }
        // Ends with this function, however it ends.
        let starting_stop = CancellationToken::new();
        let starting_guard = starting_stop.clone().drop_guard();
        let admin_guard = admin_stop.clone().drop_guard();
        serve_until(starting, starting_router(&node), starting_stop);

        let info = NodeInfo {
            url: public_url.clone(),
            admin_url: admin_url.clone(),
            server_id: node.server_id().to_owned(),
            ..NodeInfo::default()
        };
        let (cluster, notices) = Cluster::start(cluster_config(&config, info)).await?;
        let app = if config.relay { relay::app() } else { App::builder().build() };
        let service = Service::start(service_config(&config), app, cluster.clone(), notices);

        let identity = cluster.identity().clone();
        let report = StartReport {
            url: public_url,
            admin_url,
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
            relay: config.relay,
            warnings: warnings(&config, &identity.cluster_addr),
        };
        let (leave, leave_requests) = tokio::sync::mpsc::channel(1);
        node.attach(Parts { cluster, service: service.clone(), leave });
        let public_stop = CancellationToken::new();
        let routes = observability::router(Arc::clone(&node));
        drop(starting_guard);
        let stop = public_stop.clone();
        let public = tokio::spawn(async move { service.serve(public, routes, stop).await });
        drop(admin_guard.disarm());
        for warning in &report.warnings {
            tracing::warn!("insecure: {warning}");
        }
        tracing::info!(
            url = report.url,
            admin_url = report.admin_url,
            cluster_addr = report.cluster_addr,
            cluster_id = report.cluster_id,
            node_id = report.node_id,
            server_id = report.server_id,
            "member of the cluster: {}",
            report.start
        );
        let drain_timeout = config.drain_timeout;
        Ok(Self { node, report, drain_timeout, public_stop, public, admin_stop, admin_doors, leave_requests })
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
                        tracing::info!(reason, "the node does not serve yet");
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
                    Some(parts) => parts.cluster.failed().await,
                    None => std::future::pending().await,
                }
            }
        };
        let failure = tokio::select! {
            () = shutdown => None,
            Some(request) = self.leave_requests.recv() => self.leave(request).await.err().map(ServerError::Failed),
            reason = failed => Some(ServerError::Failed(reason)),
            ended = &mut self.public => Some(ServerError::Listener(match ended {
                Ok(Ok(())) => io::Error::other("it ended by itself"),
                Ok(Err(error)) => error,
                Err(panic) => io::Error::other(panic),
            })),
        };
        self.stop().await;
        failure.map_or(Ok(()), Err)
    }

    /// Lets the clients go, leaves the cluster for good and says what came of it. The rest is an ordinary stop.
    async fn leave(&self, request: LeaveRequest) -> Result<(), String> {
        let Some(parts) = self.node.parts() else { return Ok(()) };
        tracing::info!("leaving the cluster");
        self.node.set_draining();
        if tokio::time::timeout(TRANSFER_TIMEOUT, parts.cluster.transfer_leadership()).await.is_err() {
            tracing::warn!(?TRANSFER_TIMEOUT, "no other voter took the leadership over in time");
        }
        parts.service.drain(self.drain_timeout).await;
        let left = parts.cluster.leave().await.map_err(|error| {
            format!("the node let its clients go but could not leave its cluster: {error}; it is a member still")
        });
        // Whoever asked may have gone away.
        let _ = request.done.send(left.clone());
        left
    }

    async fn stop(&mut self) {
        self.node.set_draining();
        if let Some(parts) = self.node.parts() {
            // First the leadership: clients that leave need a leader to be resumed by.
            if tokio::time::timeout(TRANSFER_TIMEOUT, parts.cluster.transfer_leadership()).await.is_err() {
                tracing::warn!(?TRANSFER_TIMEOUT, "no other voter took the leadership over in time");
            }
            parts.service.drain(self.drain_timeout).await;
            self.public_stop.cancel();
            if tokio::time::timeout(CLUSTER_STOP_TIMEOUT, parts.cluster.shutdown()).await.is_err() {
                tracing::warn!(?CLUSTER_STOP_TIMEOUT, "the cluster floor did not stop in time");
            }
        }
        self.public_stop.cancel();
        self.admin_stop.cancel();
        // An answer that is on its way, to whoever made the node leave.
        let doors = futures_util::future::join_all(self.admin_doors.drain(..));
        if tokio::time::timeout(ADMIN_STOP_TIMEOUT, doors).await.is_err() {
            tracing::debug!("an operator's request was cut off");
        }
        let _ = std::fs::remove_file(self.node.data_dir().join(admin::SOCKET_NAME));
        tracing::info!("stopped");
    }
}

fn service_config(config: &Config) -> ServiceConfig {
    ServiceConfig {
        connections_max: config.public.connections_max,
        ping_interval: config.public.ping_interval,
        ping_timeout: config.public.ping_timeout,
        ..ServiceConfig::default()
    }
}

fn cluster_config(config: &Config, node_info: NodeInfo) -> ClusterConfig {
    let part = config.cluster.clone();
    ClusterConfig {
        data_dir: config.data_dir.clone(),
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
    }
}

fn warnings(config: &Config, cluster_addr: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if !config.public.bind.ip().is_loopback() {
        warnings.push(format!(
            "the WebSocket service on {} speaks plain HTTP beyond this machine; put a TLS proxy in front of it",
            config.public.bind
        ));
    }
    if config.relay && !config.public.bind.ip().is_loopback() {
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

/// The public listener twice over one socket: for the time until the node is a member, and for after.
fn bind_public(address: SocketAddr) -> Result<(TcpListener, TcpListener), ServerError> {
    const SETTING: &str = "--host/--port (WEBSOCKET_HOST/WEBSOCKET_PORT)";
    let refused = |source| ServerError::Bind { setting: SETTING, address, source };
    let listener = bind(SETTING, address)?.into_std().map_err(refused)?;
    let starting = listener.try_clone().and_then(TcpListener::from_std).map_err(refused)?;
    Ok((TcpListener::from_std(listener).map_err(refused)?, starting))
}

fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, ServerError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    socket
        .and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(ACCEPT_QUEUE_MAX)
        })
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServerError::AddressInUse { setting, address },
            _ => ServerError::Bind { setting, address, source },
        })
}

fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// `http://HOST:PORT`; an unspecified address is shown as the machine's name.
fn url_of(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://{}:{}", observability::host_name(), address.port())
    } else {
        format!("http://{address}")
    }
}

/// Health while the node is on its way; everything else is told to come back.
fn starting_router(node: &Arc<Node>) -> Router {
    observability::router(Arc::clone(node)).fallback(|| async {
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], "the node is not a member of its cluster yet\n")
    })
}

fn serve_until<L>(listener: L, router: Router, stop: CancellationToken) -> JoinHandle<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::spawn(async move {
        // Accept errors are retried inside; there is no other.
        let _ = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    })
}
