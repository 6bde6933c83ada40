//! The node as its doors see it: who it is, since when, and its floors once they stand.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use vedfolnir_cluster::Cluster;

use super::checks::Checks;
use super::operations::Operations;
use super::traces::TraceStats;
use super::watchdog::Watchdog;
use crate::alerts::{AlertStats, Thresholds};
use crate::api::ApiStats;
use crate::backend::BackendStats;
use crate::backup::Backups;
use crate::security::secret::Secret;
use crate::service::{Service, Standing};
use crate::tls::ListenerTls;
use crate::webhooks::Webhooks;

/// Shared by the public and the admin routes, from before the cluster is reached until the process ends.
pub struct Node {
    server_id: String,
    started: Instant,
    started_at: SystemTime,
    data_dir: PathBuf,
    cluster_certificate: Option<PathBuf>,
    draining: AtomicBool,
    /// Whether it could serve at any time.
    served: AtomicBool,
    checks: Mutex<Checks>,
    operations: Operations,
    api: ApiStats,
    alerts: Arc<AlertStats>,
    thresholds: ArcSwap<Thresholds>,
    traces: Arc<TraceStats>,
    /// What a scraper of the public listener must show.
    metrics_token: ArcSwapOption<Secret>,
    config_hash: ArcSwap<String>,
    watchdog: Arc<Watchdog>,
    backups: OnceLock<Arc<Backups>>,
    backend: OnceLock<Arc<BackendStats>>,
    webhooks: OnceLock<Arc<Webhooks>>,
    parts: OnceLock<Parts>,
}

/// The floors, once the node is a member of its cluster.
pub struct Parts {
    /// The cluster floor.
    pub cluster: Cluster,
    /// The service floor.
    pub service: Service,
    /// TLS of the public listener.
    pub tls: Option<Arc<ListenerTls>>,
    /// Takes the wish that the node leaves its cluster; one at a time.
    pub leave: mpsc::Sender<LeaveRequest>,
    /// Clients that a drain lets go in a second unless it is told otherwise.
    pub drain_rate: u32,
    /// After so long without a connection a client is bound to no node any more.
    pub affinity_timeout: Duration,
}

/// The wish that the node leaves its cluster and ends.
pub struct LeaveRequest {
    /// Is told what came of it.
    pub done: oneshot::Sender<Result<(), String>>,
}

impl Node {
    /// A node that has bound its listeners and is not yet a member.
    #[must_use]
    pub fn new(server_id: String, data_dir: PathBuf) -> Self {
        Self {
            server_id,
            started: Instant::now(),
            started_at: SystemTime::now(),
            data_dir,
            cluster_certificate: None,
            draining: AtomicBool::new(false),
            served: AtomicBool::new(false),
            checks: Mutex::new(Checks::new(1)),
            operations: Operations::default(),
            api: ApiStats::default(),
            alerts: Arc::default(),
            thresholds: ArcSwap::default(),
            traces: Arc::default(),
            metrics_token: ArcSwapOption::empty(),
            config_hash: ArcSwap::default(),
            watchdog: Arc::default(),
            backups: OnceLock::new(),
            backend: OnceLock::new(),
            webhooks: OnceLock::new(),
            parts: OnceLock::new(),
        }
    }

    /// The same with the file of its certificate for its peers.
    #[must_use]
    pub fn with_cluster_certificate(self, file: Option<PathBuf>) -> Self {
        Self { cluster_certificate: file, ..self }
    }

    /// The file of its certificate for its peers; `None`: it shows them none.
    #[must_use]
    pub fn cluster_certificate(&self) -> Option<&std::path::Path> {
        self.cluster_certificate.as_deref()
    }

    /// `hostname_startepoch_random6`.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// Seconds since the process started serving.
    #[must_use]
    pub fn uptime_seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// When it started, by the wall clock; for display.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// The floors; `None` until the node is a member.
    #[must_use]
    pub fn parts(&self) -> Option<&Parts> {
        self.parts.get()
    }

    /// The floors stand; later calls change nothing.
    pub(crate) fn attach(&self, parts: Parts) {
        let _ = self.parts.set(parts);
    }

    /// What the checks of its own parts have found.
    pub(crate) const fn checks(&self) -> &Mutex<Checks> {
        &self.checks
    }

    /// Whether it could serve at any time since its start, as far as somebody asked.
    pub(crate) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// It can serve.
    pub(crate) fn set_served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Whether it has no memory for more clients.
    #[must_use]
    pub fn is_shedding(&self) -> bool {
        self.parts().is_some_and(|parts| parts.service.is_shedding())
    }

    pub(crate) fn set_shedding(&self, shedding: bool) {
        if let Some(parts) = self.parts() {
            parts.service.set_shedding(shedding);
        }
    }

    pub(crate) fn set_crowded(&self, crowded: bool) {
        if let Some(parts) = self.parts() {
            parts.service.set_crowded(crowded);
        }
    }

    /// What alerts count.
    #[must_use]
    pub const fn alerts(&self) -> &Arc<AlertStats> {
        &self.alerts
    }

    /// The values beyond which alerts fire.
    #[must_use]
    pub fn thresholds(&self) -> Arc<Thresholds> {
        self.thresholds.load_full()
    }

    /// From now on these are.
    pub fn set_thresholds(&self, thresholds: Thresholds) {
        self.thresholds.store(Arc::new(thresholds));
    }

    /// What became of the spans of traces.
    #[must_use]
    pub const fn traces(&self) -> &Arc<TraceStats> {
        &self.traces
    }

    /// How long operators' requests took.
    #[must_use]
    pub const fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Requests of the HTTP API.
    #[must_use]
    pub const fn api(&self) -> &ApiStats {
        &self.api
    }

    /// Watches over the runtime.
    #[must_use]
    pub const fn watchdog(&self) -> &Arc<Watchdog> {
        &self.watchdog
    }

    /// Its backups; `None` until it begins to look for its cluster.
    #[must_use]
    pub fn backups(&self) -> Option<&Arc<Backups>> {
        self.backups.get()
    }

    /// How it makes backups; later calls change nothing.
    pub(crate) fn set_backups(&self, backups: Arc<Backups>) {
        let _ = self.backups.set(backups);
    }

    /// Requests to the backend; `None`: none is asked.
    #[must_use]
    pub fn backend(&self) -> Option<&Arc<BackendStats>> {
        self.backend.get()
    }

    /// A backend is asked; later calls change nothing.
    pub(crate) fn set_backend(&self, stats: Arc<BackendStats>) {
        let _ = self.backend.set(stats);
    }

    /// Webhooks; `None`: nobody is told what happens.
    #[must_use]
    pub fn webhooks(&self) -> Option<&Arc<Webhooks>> {
        self.webhooks.get()
    }

    /// A receiver is told; later calls change nothing.
    pub(crate) fn set_webhooks(&self, webhooks: Arc<Webhooks>) {
        let _ = self.webhooks.set(webhooks);
    }

    /// Names the configuration that was read last.
    #[must_use]
    pub fn config_hash(&self) -> String {
        self.config_hash.load().as_ref().clone()
    }

    /// Another configuration was read.
    pub(crate) fn set_config_hash(&self, hash: String) {
        self.config_hash.store(Arc::new(hash));
    }

    /// What a scraper of the public listener must show, if anything.
    #[must_use]
    pub fn metrics_token(&self) -> Option<Arc<Secret>> {
        self.metrics_token.load_full()
    }

    /// From now on a scraper must show this.
    pub fn set_metrics_token(&self, token: Option<Secret>) {
        self.metrics_token.store(token.map(Arc::new));
    }

    /// Transports open on this node.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.parts().map_or(0, |parts| parts.service.stats().connections_active())
    }

    /// How the node stands towards clients.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.draining.load(Ordering::Relaxed) {
            return Standing::Stopping;
        }
        self.parts().map_or(Standing::Serving, |parts| parts.service.standing())
    }

    /// A shutdown has begun: not ready from here on.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
