//! The WebSocket service: TCP connections in, commands down to the cluster, effects up to the sockets of this node.
//!
//! ```text
//!   listener ─► http ─┬─► websocket ─┐                        ┌─► resume ──── Register · Resume ─► Cluster
//!                     └─► polling ───┴─► driver ─► router ────┴─► app handlers ── Publish · Join ─►   │
//!                                          ▲                                                          │ Notice
//!                                        outbox ◄── hub ◄── dispatcher ◄──────────────────────────────┘
//! ```
//!
//! One task drives one connection. The dispatcher alone changes the hub, in log order, and never waits for a socket.

mod affinity;
mod arrival;
pub(crate) mod asks;
mod config;
mod dispatcher;
mod drain;
mod driver;
#[cfg(feature = "echo")]
mod echo;
mod forward;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod hooks;
mod http;
mod hub;
mod io;
mod journal;
mod link;
mod listener;
mod maintenance;
mod outbox;
mod plain;
#[cfg(feature = "planted-bugs")]
#[path = "../../chaos/planted/service.rs"]
pub(crate) mod planted;
mod polling;
mod progress;
pub(crate) mod questions;
mod random;
mod registry;
mod release;
mod respond;
mod resume;
mod router;
pub(crate) mod session;
pub(crate) mod session_data;
mod slow_lines;
mod standing;
mod stats;
mod telling;
mod trace;
mod traced;
mod tunnels;
mod unread;
mod upgrade;
mod vitals;
mod websocket;

#[cfg(test)]
mod service_tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};
use vedfolnir_cluster::state::{Epoch, Incarnation, PidHash, SidKey};
use vedfolnir_cluster::{Cluster, Notice, Readiness};

use crate::app::{App, PlainHandler, ServerHandle};
use crate::security::affinity::{AffinityKey, AffinityRule};
use crate::security::csrf::CsrfGuard;
use crate::security::events::SecurityCounters;
use crate::security::guard::{Guard, csrf_guard};
use crate::security::rules::CsrfRule;

pub use config::ServiceConfig;
pub(crate) use dispatcher::deliver_volatile;
pub(crate) use drain::JITTER_MAX;
pub use drain::{AlreadyDraining, DrainStatus};
pub use journal::ResumeOutcome;
pub use link::{CloseCause, Transport};
pub use listener::Door;
pub use maintenance::MaintenanceError;
pub use outbox::OutboxLimits;
pub(crate) use release::EPOCH_OF_NEW;
pub(crate) use resume::offset_of;
pub use standing::Standing;
use stats::EventCounts;
pub use stats::{Distribution, ServiceStats};
pub(crate) use telling::{Handled, tell_handled, tenths};
pub use trace::{
    Committed, HandedOver, LISTED_MAX, Listed, NodeMemory, NodeTrace, Trace, TraceError, TracedDeparture, TracedResume,
    TracedSession, TracedSocket,
};
pub use vitals::Vitals;

/// The WebSocket service of one node; cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

/// What all connections share.
pub(crate) struct Inner {
    pub(crate) config: ServiceConfig,
    /// Who may come in, and how often.
    pub(crate) guard: Arc<Guard>,
    pub(crate) app: App,
    pub(crate) cluster: Cluster,
    pub(crate) hub: RwLock<hub::Hub<session::SessionSocket>>,
    pub(crate) progress: progress::Progress,
    pub(crate) registry: registry::Registry,
    pub(crate) stats: ServiceStats,
    pub(crate) releases: release::Releases,
    /// Places for what this node's application asks of all nodes.
    pub(crate) asking: Arc<tokio::sync::Semaphore>,
    /// Places for what the applications on other nodes say to this one's.
    pub(crate) handling: Arc<tokio::sync::Semaphore>,
    /// What an operator may ask about resumes.
    pub(crate) journal: journal::Journal,
    readiness: watch::Receiver<Readiness>,
    /// What is being done about the clients.
    pub(crate) drains: drain::Drains,
    /// WebSockets on their way to other nodes.
    pub(crate) tunnels: tunnels::Tunnels,
    maintenance: maintenance::Known,
    /// This node's figures of late, for the others.
    vitals: Mutex<Option<Vitals>>,
    /// Theirs.
    heard: Mutex<vitals::Heard>,
    /// Whether there is no memory for more clients.
    shedding: AtomicBool,
    /// Whether what memory there is is for those who come back.
    crowded: AtomicBool,
    /// 0: not read yet.
    history_id: AtomicU64,
    /// Judges requests that cookies authenticate, once the cluster's key is known.
    csrf: OnceLock<Option<CsrfGuard>>,
    /// Signs which node a client was given to, once the cluster's key is known.
    affinity: OnceLock<AffinityKey>,
}

impl Service {
    /// Starts the dispatcher and the watch over readiness. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(
        config: ServiceConfig,
        guard: Arc<Guard>,
        app: App,
        cluster: Cluster,
        notices: mpsc::Receiver<Notice>,
    ) -> Self {
        let stats = ServiceStats { events_in: EventCounts::of(&config.counted_events), ..ServiceStats::default() };
        let inner = Arc::new(Inner {
            readiness: cluster.readiness(),
            config,
            guard,
            app,
            cluster,
            hub: RwLock::default(),
            progress: progress::Progress::default(),
            registry: registry::Registry::default(),
            stats,
            releases: release::Releases::default(),
            asking: Arc::new(tokio::sync::Semaphore::new(questions::ASKING_MAX)),
            handling: Arc::new(tokio::sync::Semaphore::new(questions::HANDLED_MAX)),
            journal: journal::Journal::default(),
            drains: drain::Drains::default(),
            tunnels: tunnels::Tunnels::default(),
            maintenance: maintenance::Known::default(),
            vitals: Mutex::new(None),
            heard: Mutex::default(),
            shedding: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            history_id: AtomicU64::new(0),
            csrf: OnceLock::new(),
            affinity: OnceLock::new(),
        });
        inner.app.attach(Arc::downgrade(&inner));
        inner.cluster.serve_peers(Arc::new(forward::Forwarded(Arc::downgrade(&inner))));
        tokio::spawn(dispatcher::run(Arc::clone(&inner), notices));
        tokio::spawn(drain::let_go_when_isolated(Arc::clone(&inner)));
        tokio::spawn(vitals::follow(Arc::downgrade(&inner)));
        Self { inner }
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &ServiceStats {
        &self.inner.stats
    }

    /// Whether new clients are refused because there is no memory for them.
    #[must_use]
    pub fn is_shedding(&self) -> bool {
        self.inner.shedding.load(Ordering::Relaxed)
    }

    pub(crate) fn set_shedding(&self, shedding: bool) {
        self.inner.shedding.store(shedding, Ordering::Relaxed);
    }

    pub(crate) fn set_crowded(&self, crowded: bool) {
        self.inner.crowded.store(crowded, Ordering::Relaxed);
    }

    /// What applications reach beside their clients' sockets.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.inner))
    }

    /// The application's namespaces and others that have sockets here, with how many; sorted.
    #[must_use]
    pub fn namespaces(&self) -> Vec<(Arc<str>, u64)> {
        let mut namespaces: BTreeMap<Arc<str>, u64> = self.inner.app.namespaces().map(|name| (name, 0)).collect();
        namespaces.extend(self.inner.hub.read().sizes());
        namespaces.into_iter().collect()
    }

    /// The same with all dynamic namespaces of a pattern together under its label, so that clients cannot make more of them.
    #[must_use]
    pub fn labelled_namespaces(&self) -> Vec<(Arc<str>, u64)> {
        let app = &self.inner.app;
        let mut labels: BTreeMap<Arc<str>, u64> = app.labels().map(|label| (label, 0)).collect();
        let sizes: Vec<_> = self.inner.hub.read().sizes().collect();
        for (name, count) in sizes {
            *labels.entry(app.label(&name)).or_default() += count;
        }
        labels.into_iter().collect()
    }

    /// What was refused.
    #[must_use]
    pub fn security_counters(&self) -> &SecurityCounters {
        self.inner.guard.counters()
    }

    /// Closes every transport, spread over `jitter`; clients come back by themselves, here or elsewhere.
    pub async fn close_all(&self, cause: CloseCause, jitter: Duration) {
        drain::close_all(&self.inner, cause, jitter).await;
    }

    /// How the node stands towards clients.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.inner.standing()
    }

    /// From here on the node counts as one that is about to end, and goes on serving until [`Service::drain`].
    pub fn announce_stop(&self) {
        self.inner.drains.announce_stop();
    }

    /// Whether clients have been let go for good.
    pub(crate) fn drain_is_final(&self) -> bool {
        self.inner.drains.are_final()
    }

    /// Refuses new clients for good, lets go of those there are, `rate` of them a second or as fast as `within` needs, and
    /// waits until their disconnects are committed or that time has passed. Their sessions stay resumable on the other
    /// nodes; if there is none to go to, they go within a second.
    pub async fn drain(&self, rate: u32, within: Duration) {
        drain::drain(&self.inner, rate, within).await;
    }

    /// Refuses new clients and lets go of those there are, `rate` of them a second, until [`Service::stop_drain`].
    ///
    /// # Errors
    /// A drain is under way, or the node is about to end.
    pub fn start_drain(&self, rate: u32) -> Result<(), AlreadyDraining> {
        drain::start(&self.inner, rate)
    }

    /// Takes clients again; false: no operator has drained the node.
    pub fn stop_drain(&self) -> bool {
        drain::stop(&self.inner)
    }

    /// How a drain is going.
    #[must_use]
    pub fn drain_status(&self) -> DrainStatus {
        drain::status(&self.inner)
    }

    /// What clients are told about their node; `None`: nothing.
    #[must_use]
    pub fn affinity(&self) -> Option<&AffinityRule> {
        self.inner.config.affinity.as_ref()
    }

    /// Clients that drains have let go since the start of the process.
    #[must_use]
    pub fn drained_total(&self) -> u64 {
        self.inner.drains.moved_total.load(Ordering::Relaxed)
    }
}

impl Inner {
    pub(crate) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// Whether requests with this path are Engine.IO's.
    pub(crate) fn serves(&self, path: &str) -> bool {
        path.starts_with(&self.config.path) || self.app.plain(path).is_some()
    }

    /// What answers those whose path is not that of Socket.IO.
    pub(crate) fn plain(&self, path: &str) -> Option<&Arc<PlainHandler>> {
        if path.starts_with(&self.config.path) { None } else { self.app.plain(path) }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drains.are_closed()
    }

    /// Which history offsets point into.
    pub(crate) fn history_id(&self) -> u64 {
        match self.history_id.load(Ordering::Relaxed) {
            0 => {
                let id = self.cluster.read(|state| state.history_id()).unwrap_or_default();
                self.history_id.store(id, Ordering::Relaxed);
                id
            }
            id => id,
        }
    }

    /// The key of the cluster's session ids. A node is not ready before it is committed.
    pub(crate) fn sid_key(&self) -> SidKey {
        self.cluster.read(|state| state.configuration().map(|configuration| configuration.sid_key)).unwrap_or_default()
    }

    /// Judges requests that cookies authenticate.
    pub(crate) fn csrf(&self, rule: &CsrfRule) -> Option<&CsrfGuard> {
        self.csrf.get_or_init(|| csrf_guard(rule, &self.sid_key().0)).as_ref()
    }

    pub(crate) fn forget_history_id(&self) {
        self.history_id.store(0, Ordering::Relaxed);
    }

    /// The rooms of a session if this life of the node owns it under this epoch.
    pub(crate) fn owned_rooms(&self, pid: PidHash, epoch: Epoch, own: Incarnation) -> Option<Vec<Arc<str>>> {
        self.cluster.read(|state| state.heard_rooms(&pid, epoch, own))
    }
}
