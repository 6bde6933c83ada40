//! The door of the cluster floor: propose, read, watch, leave.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot, watch};
use vedfolnir_state::{Command, EffectAt, Incarnation, LogPosition, NodeId, Record, Response};

use crate::config::ClusterConfig;
use crate::status::{ClusterMetrics, ClusterStatus};

/// A running node of a cluster; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {}

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
    /// The node is shutting down: whether the command was committed is unknown.
    #[error("the node is shutting down")]
    ShuttingDown,
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

impl Cluster {
    /// Starts the node: opens the data directory, binds the endpoint, forms, joins or rejoins the cluster.
    ///
    /// Returns once the node is a member whose incarnation is committed, or with the reason why not.
    pub async fn start(config: ClusterConfig) -> Result<(Self, mpsc::Receiver<Notice>), StartError> {
        let _ = config;
        Err(StartError::Refused(String::new()))
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        loop {}
    }

    /// This node's current life.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        loop {}
    }

    /// Enqueues a command, in the order of calls, without waiting.
    ///
    /// # Errors
    /// [`ProposeError::Overloaded`] when the bounded queue is full.
    pub fn propose(&self, command: Command) -> Result<Ticket, ProposeError> {
        let _ = command;
        Err(ProposeError::Overloaded)
    }

    /// Reads the local replica under its lock: be brief, never await inside.
    pub fn read<R>(&self, view: impl FnOnce(&vedfolnir_state::State) -> R) -> R {
        let _ = view;
        loop {}
    }

    /// Follows whether the node can serve.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        loop {}
    }

    /// The cluster as this node sees it.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        loop {}
    }

    /// Counters since start.
    #[must_use]
    pub fn metrics(&self) -> &ClusterMetrics {
        loop {}
    }

    /// Sends a volatile broadcast to every peer, bounded, oldest dropped first; local delivery is the caller's.
    pub fn publish_volatile(&self, record: Arc<Record>) {
        let _ = record;
    }

    /// Hands leadership to another voter if this node leads; best effort.
    pub async fn transfer_leadership(&self) {}

    /// Hands leadership over, stops Raft, closes the endpoint and the store.
    pub async fn shutdown(&self) {}

    /// Resolves when the node must stop because of a fatal error (disk, fencing by removal); says why.
    pub async fn failed(&self) -> String {
        std::future::pending().await
    }
}
