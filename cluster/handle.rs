//! The door of the cluster floor: propose, read, watch, leave.

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use vedfolnir_state::{Command, EffectAt, Incarnation, LogPosition, NodeId, Record, Response, State};
use vedfolnir_storage::{SnapshotStore, Storage, StorageError};

use crate::compaction::Transfers;
use crate::config::{ClusterConfig, ReplicatedLimits};
use crate::events::{EventStream, EventsFrom};
use crate::identity::LocalNode;
use crate::join_token::JoinToken;
use crate::membership::{self, MembershipError};
use crate::network::{Endpoint, LocalIdentity};
use crate::peer_service::PeerService;
use crate::proposer::Proposer;
use crate::raft::Raft;
use crate::readiness::Contact;
use crate::reads::{self, ReadError, Reads};
use crate::replica::Replica;
use crate::signer::Signer;
use crate::status::{ClusterMetrics, ClusterStatus, NodeStatus};
use crate::wire::{self, ClusterId, MembershipReply, MembershipRequest, PeerStatus};
use crate::{enrol, remove};

/// A member that lives says Hello within this time.
const GREETING_TIMEOUT: Duration = Duration::from_millis(700);
/// A change of the membership is asked for this long; one that waits for a leader's election included.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running node of a cluster; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) inner: Arc<Inner>,
    start: StartKind,
}

/// What the node's tasks share. They hold it weakly and end with it.
pub(crate) struct Inner {
    pub(crate) config: ClusterConfig,
    pub(crate) cluster_addr: String,
    pub(crate) local: LocalNode,
    pub(crate) hello: Arc<LocalIdentity>,
    pub(crate) endpoint: Endpoint,
    pub(crate) storage: Storage,
    pub(crate) snapshots: SnapshotStore,
    /// Snapshots on their way to followers.
    pub(crate) transfers: Transfers,
    /// What of the log is committed is archived from here.
    #[cfg(not(feature = "simulation"))]
    pub(crate) log: vedfolnir_storage::LogReader<crate::type_config::TypeConfig>,
    pub(crate) raft: Raft,
    pub(crate) replica: Arc<Replica>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) metrics: Arc<ClusterMetrics>,
    pub(crate) contact: Contact,
    pub(crate) reads: Reads,
    /// SHA-256 of the authority's certificate, with certificates.
    pub(crate) authority: Option<[u8; 32]>,
    /// The authorities that the nodes trust; empty without certificates.
    pub(crate) authorities: Vec<rustls_pki_types::CertificateDer<'static>>,
    /// On a node that was given the authority's key.
    pub(crate) signer: Option<Signer>,
    /// openraft wants membership changes one at a time.
    pub(crate) membership_change: tokio::sync::Mutex<()>,
    /// The leader commits the starts of nodes one at a time.
    pub(crate) starting: Arc<tokio::sync::Mutex<()>>,
    /// Why a listed address did not answer last time; at most one line for each listed address.
    pub(crate) last_refusal: Mutex<BTreeMap<String, String>>,
    /// Why the leader's snapshot was refused last; said once.
    pub(crate) snapshot_refusal: Mutex<Option<String>>,
    pub(crate) readiness: watch::Receiver<Readiness>,
    /// What answers the services of other nodes; set once by the floor above.
    pub(crate) peer_service: OnceLock<Arc<dyn PeerService>>,
    /// Places for questions of other nodes that are being answered.
    pub(crate) questions: tokio::sync::Semaphore,
    /// Set once, when the node must stop.
    pub(crate) fatal: watch::Sender<Option<String>>,
}

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// 32 hexadecimal digits.
    pub cluster_id: String,
    /// The node.
    pub node_id: NodeId,
    /// How it came to be in the cluster.
    pub start: StartKind,
    /// HOST:PORT that peers reach it at.
    pub cluster_addr: String,
}

/// How a start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartKind {
    /// This node (with others, perhaps) formed a new cluster.
    Initialized,
    /// It was added to a living cluster.
    Joined,
    /// It found its state in its data directory.
    Restarted,
}

/// Why a node does not start; the message names the setting or peer, the value, the reason and the fix.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// See [`StartError`].
    #[error("{0}")]
    Refused(String),
    /// The cluster is about to be formed, by this node, of nodes that are all empty, and [`ClusterConfig::recovers`]: the
    /// newest backup goes into the data directory first ([`RestoreOptions::as_planned`](crate::restore::RestoreOptions)),
    /// if there is one; then the node is started again without that wish.
    #[error("a new cluster is to be formed from a backup, which was not looked for")]
    RecoveryDue,
}

/// Why a proposal has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The proposer's queue is full: nothing was proposed.
    #[error("the node has too many proposals waiting")]
    Overloaded,
    /// This life of the node was declared down: whether the command was committed is unknown.
    #[error("the node was fenced by its cluster")]
    Fenced,
    /// The command was applied, but its response was lost with the entries that a snapshot replaced.
    #[error("the command was applied, its response is lost")]
    ResponseLost,
    /// The node is shutting down: whether the command was committed is unknown.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The cluster still writes a format that has no such command: nothing was proposed.
    #[error("a node of an older release is still a member of the cluster; this is there once all nodes are upgraded")]
    OldFormat,
}

/// What comes up from the cluster floor, in the one total order, over one bounded channel.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An entry was applied on this replica.
    Applied {
        /// Its log index; every effect has it in its position.
        index: u64,
        /// What is to be done.
        effects: Vec<EffectAt>,
        /// When this node, as the leader, was handed the entry; known only where traces are on.
        handed: Option<Instant>,
    },
    /// A snapshot replaced the state: rebuild what was derived from effects by reading the state,
    /// every socket catches up by its cursor.
    Resync {
        /// Everything up to here is in the state.
        applied: LogPosition,
    },
    /// A volatile broadcast from a peer; not in the log, no order promised.
    Volatile(Arc<Record>),
    /// This node was declared down while alive and now lives under a new incarnation: every local socket of the
    /// old one must already be closed on the `NodeDown` effect before.
    Reincarnated(Incarnation),
}

/// Whether the node can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Caught up, in contact with a quorum, its incarnation live.
    pub ready: bool,
    /// Out of contact with a quorum, or without apply progress, for longer than the configured time:
    /// clients are let go.
    pub isolated: bool,
    /// Why it is not ready.
    pub reason: Option<String>,
}

/// The response to a proposed command: ready once this node's own replica has applied it.
#[derive(Debug)]
pub struct Ticket {
    pub(crate) receiver: oneshot::Receiver<Result<Response, ProposeError>>,
}

impl Future for Ticket {
    type Output = Result<Response, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|result| result.unwrap_or(Err(ProposeError::ShuttingDown)))
    }
}

impl StartError {
    pub(crate) fn storage(error: StorageError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Inner {
    pub(crate) fn adopt(&self, cluster_id: ClusterId) -> Result<(), StartError> {
        self.local.adopt(cluster_id)?;
        self.hello.set_cluster_id(cluster_id);
        Ok(())
    }

    pub(crate) async fn is_initialized(&self) -> Result<bool, StartError> {
        self.raft.is_initialized().await.map_err(|error| StartError::Refused(format!("Raft does not run: {error}")))
    }

    pub(crate) fn leads(&self) -> bool {
        self.raft.is_leader()
    }

    pub(crate) fn term(&self) -> u64 {
        let metrics = self.raft.metrics();
        metrics.borrow_watched().current_term
    }

    /// The leader and its HOST:PORT, as far as known.
    pub(crate) fn leader(&self) -> Option<(NodeId, String)> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let addr = metrics.membership_config.get_node(&leader)?.addr.clone();
        Some((leader, addr))
    }

    /// HOST:PORT of every other member.
    pub(crate) fn other_members(&self) -> Vec<(NodeId, String)> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let me = self.local.node_id();
        metrics
            .membership_config
            .nodes()
            .filter(|(id, _)| **id != me)
            .map(|(id, member)| (*id, member.addr.clone()))
            .collect()
    }

    /// For a leader: how long ago a quorum answered it. The only voter is its own quorum, and nobody answers it.
    pub(crate) fn quorum_silence(&self) -> Option<Duration> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if !metrics.state.is_leader() {
            return None;
        }
        let mut voters = metrics.membership_config.membership().voter_ids();
        if voters.next() == Some(self.local.node_id()) && voters.next().is_none() {
            return Some(Duration::ZERO);
        }
        metrics.last_quorum_acked.map(|at| at.elapsed())
    }

    pub(crate) fn quorum_acked_within(&self, limit: Duration) -> bool {
        self.quorum_silence().is_some_and(|silence| silence <= limit)
    }

    /// For a leader: how long ago each follower answered. Whoever never answered is missing.
    pub(crate) fn last_heard(&self) -> BTreeMap<NodeId, Duration> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let Some(heartbeat) = metrics.heartbeat.as_ref() else { return BTreeMap::new() };
        heartbeat.iter().filter_map(|(id, at)| at.map(|at| (*id, at.into_inner().elapsed()))).collect()
    }

    pub(crate) fn peer_status(&self) -> PeerStatus {
        let initialized = self.raft.server_metrics().borrow_watched().membership_config.log_id().is_some();
        PeerStatus {
            node_id: self.local.node_id(),
            cluster_addr: self.cluster_addr.clone(),
            member_of: self.local.cluster_id().filter(|_| initialized),
            promised: self.local.plan(),
            leader: self.leader(),
        }
    }

    /// The node must stop; the first reason stands.
    pub(crate) fn fail(&self, reason: String) {
        self.fatal.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(reason, "the node must stop");
                *known = Some(reason);
            }
            first
        });
    }
}

impl Cluster {
    /// Starts the node: opens the data directory, binds the endpoint, forms, joins or rejoins the cluster.
    ///
    /// Returns once it is settled which cluster the node belongs to; [`Cluster::readiness`] tells when it serves.
    ///
    /// # Errors
    /// [`StartError`], one line that names the setting or peer, the value, the reason and the fix.
    pub async fn start(config: ClusterConfig) -> Result<(Self, mpsc::Receiver<Notice>), StartError> {
        crate::start::start(config).await
    }

    pub(crate) fn of(inner: Arc<Inner>, start: StartKind) -> Self {
        Self { inner, start }
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            cluster_id: self.inner.local.cluster_id().map(|id| crate::hex(&id)).unwrap_or_default(),
            node_id: self.inner.local.node_id(),
            start: self.start,
            cluster_addr: self.inner.cluster_addr.clone(),
        }
    }

    /// This node's current life.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.inner.proposer.incarnation()
    }

    /// Enqueues a command, in the order of calls, without waiting.
    ///
    /// # Errors
    /// [`ProposeError::Overloaded`] when the bounded queue is full, [`ProposeError::Fenced`] while this life of the
    /// node is not known to be live, [`ProposeError::OldFormat`], [`ProposeError::ShuttingDown`].
    pub fn propose(&self, command: Command) -> Result<Ticket, ProposeError> {
        #[cfg(feature = "planted-bugs")]
        if let Some(ticket) = crate::planted::answered_early(&self.inner.proposer, &command) {
            return ticket;
        }
        self.inner.proposer.propose(command)
    }

    /// Reads the local replica under its lock: be brief, never await inside.
    pub fn read<R>(&self, view: impl FnOnce(&State) -> R) -> R {
        self.inner.replica.read(view)
    }

    /// Waits until the local replica has everything that any node had committed when this was called (the read index of
    /// the Raft paper, §6.4): a [`Cluster::read`] after it is linearizable. Those who wait at the same time share a round.
    ///
    /// # Errors
    /// [`ReadError`]: no quorum within the time, or too many wait already.
    pub async fn read_index(&self, within: Duration) -> Result<LogPosition, ReadError> {
        reads::read_index(&self.inner, within).await
    }

    /// Follows what happens to sessions and rooms, see [`EventStream`].
    #[must_use]
    pub fn events(&self, from: EventsFrom) -> EventStream {
        EventStream::open(&self.inner, from)
    }

    /// Follows whether the node can serve.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.inner.readiness.clone()
    }

    /// The limits that a new cluster of this node is configured with.
    #[must_use]
    pub fn limits(&self) -> &ReplicatedLimits {
        &self.inner.config.limits
    }

    /// The cluster as this node sees it.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        crate::status::of(&self.inner)
    }

    /// Whether this node leads, as far as it knows.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.inner.leads()
    }

    /// Counters since start.
    #[must_use]
    pub fn metrics(&self) -> &ClusterMetrics {
        &self.inner.metrics
    }

    /// Counters of the durable log.
    #[must_use]
    pub fn storage_metrics(&self) -> &vedfolnir_storage::StorageMetrics {
        self.inner.storage.metrics()
    }

    /// Sends a volatile broadcast to every peer, bounded, oldest dropped first; local delivery is the caller's.
    pub fn publish_volatile(&self, record: Arc<Record>) {
        let Ok(body) = wire::encode("volatile record", record.as_ref()) else { return };
        for (id, addr) in self.inner.other_members() {
            self.inner.endpoint.peer(&addr, Some(id)).send_volatile(body.clone());
            self.inner.metrics.volatile_sent_total.fetch_add(1, Relaxed);
        }
    }

    /// Makes a join token that is good for one node, for so long in cluster time.
    ///
    /// # Errors
    /// [`MembershipError`]: a cluster without certificates, or one where no live node can sign.
    pub async fn create_join_token(&self, ttl: Duration) -> Result<JoinToken, MembershipError> {
        enrol::create_token(&self.inner, ttl).await
    }

    /// The members with what only the leader knows of them, when a leader answers within `limit`.
    pub async fn members(&self, limit: Duration) -> Vec<NodeStatus> {
        // A leader that has just died is waited for longer than that: its connection stands for a while.
        let asked = membership::ask(&self.inner, MembershipRequest::Contacts, limit);
        let contacts = match tokio::time::timeout(limit, asked).await {
            Ok(Ok(MembershipReply::Contacts(contacts))) => contacts,
            _ => Vec::new(),
        };
        self.greet_members().await;
        let mut nodes = self.status().nodes;
        for node in &mut nodes {
            if let Some(contact) = contacts.iter().find(|contact| format!("{:016x}", contact.node) == node.id) {
                node.matched_index = contact.matched_index;
                node.last_contact_ms = contact.last_contact_ms;
            }
        }
        nodes
    }

    /// Connects to every member that it is not connected to, so that its Hello tells what it speaks.
    async fn greet_members(&self) {
        let node = &self.inner;
        let hellos = node.other_members().into_iter().map(|(id, addr)| async move {
            // Who does not answer is dead or on its way; the status says so.
            let _ = tokio::time::timeout(GREETING_TIMEOUT, node.endpoint.peer(&addr, Some(id)).hello()).await;
        });
        futures_util::future::join_all(hellos).await;
    }

    /// Removes a dead node for good; `force`: also one that is alive. Done already is done.
    ///
    /// # Errors
    /// [`MembershipError`]: no such member, alive, or the rest would be no healthy majority.
    pub async fn remove(&self, node: NodeId, force: bool) -> Result<(), MembershipError> {
        let request = MembershipRequest::Remove { node, force, check_only: false };
        membership::ask(&self.inner, request, MEMBERSHIP_TIMEOUT).await.map(drop)
    }

    /// Hands the leadership to a voter, any other one if none is named; returns who leads then.
    ///
    /// # Errors
    /// [`MembershipError`]: no voter, one that does not answer, or one that did not take it in time.
    pub async fn transfer_leadership_to(&self, node: Option<NodeId>) -> Result<Option<NodeId>, MembershipError> {
        let request = MembershipRequest::Transfer { to: node };
        match membership::ask(&self.inner, request, MEMBERSHIP_TIMEOUT).await? {
            MembershipReply::LedBy(leader) => Ok(Some(leader)),
            _ => Ok(None),
        }
    }

    /// Whether this node may leave the cluster; changes nothing.
    ///
    /// # Errors
    /// [`MembershipError`]: the last voter, or the rest would be no healthy majority.
    pub async fn may_leave(&self) -> Result<(), MembershipError> {
        remove::may_leave(&self.inner).await
    }

    /// Leaves the cluster for good: leadership handed over, removed from the membership, remembered in the data
    /// directory. What remains is [`Cluster::shutdown`].
    ///
    /// # Errors
    /// As [`Cluster::may_leave`]; the node is a member still.
    pub async fn leave(&self) -> Result<(), MembershipError> {
        remove::leave(&self.inner).await
    }

    /// Hands leadership to another voter if this node leads; waits a little for it to happen.
    pub async fn transfer_leadership(&self) {
        crate::transfer::transfer_leadership(&self.inner).await;
    }

    /// Hands leadership over, stops Raft and closes the endpoint.
    pub async fn shutdown(&self) {
        crate::start::shutdown(&self.inner).await;
    }

    /// Cuts the node off without a word, as a crash would look to its peers; for tests of their reaction.
    #[doc(hidden)]
    pub fn stop_abruptly(&self) {
        self.inner.endpoint.close();
    }

    /// Resolves when the node must stop because of a fatal error (disk, a stale data directory); says why.
    pub async fn failed(&self) -> String {
        let mut fatal = self.inner.fatal.subscribe();
        match fatal.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }
}
