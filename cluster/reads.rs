//! Linearizable reads: the read index of the Raft paper (§6.4), from the leader here or over QUIC, then the local replica.
//!
//! ```text
//!   read_index() ─► waiting ─► round: leader, what is committed? ─► it asks a quorum whether it leads ─► index
//!                                                                                                         │
//!          this replica applied it ◄─ all who waited when the round began ◄───────────────────────────────┘
//! ```
//!
//! One round is under way at a time; whoever comes meanwhile waits for the next one, because the index of a round counts
//! only for those who asked before it began. No clock is trusted: not even the leader answers from its lease.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use vedfolnir_state::LogPosition;

use crate::handle::Inner;
use crate::wire::{self, ReadIndexReply, kind};

/// Reads that may wait for a round; beyond it they are refused.
const WAITING_MAX: usize = 65_536;
/// One attempt to get an index may take this long, if no other leader is heard of before; then the leader is looked for again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after an attempt that failed: an election takes a few of them.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Why a read could not be made linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader with a quorum answered, or this replica did not catch up, in time.
    #[error("no quorum confirmed the read within {} s; a local read may be stale", .0.as_secs_f64())]
    NoQuorum(Duration),
    /// Too many reads wait.
    #[error("the node has {WAITING_MAX} reads waiting for a quorum; try again later")]
    Overloaded,
    /// The node is stopping.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Who waits for the next round.
///
/// Invariant: while somebody is in `next`, a task runs that will take them.
#[derive(Default)]
pub(crate) struct Reads {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: Vec<oneshot::Sender<u64>>,
    running: bool,
}

pub(crate) async fn read_index(node: &Arc<Inner>, within: Duration) -> Result<LogPosition, ReadError> {
    let result = match enter(node) {
        Err(error) => Err(error),
        Ok(receiver) => {
            tokio::time::timeout(within, reached(node, receiver)).await.unwrap_or(Err(ReadError::NoQuorum(within)))
        }
    };
    let counter = match result {
        Ok(_) => &node.metrics.reads_confirmed_total,
        Err(ReadError::Overloaded) => &node.metrics.reads_refused_total,
        Err(_) => &node.metrics.reads_unconfirmed_total,
    };
    counter.fetch_add(1, Relaxed);
    result
}

/// The index of the round, once this replica has applied it.
async fn reached(node: &Inner, receiver: oneshot::Receiver<u64>) -> Result<LogPosition, ReadError> {
    let index = receiver.await.map_err(|_| ReadError::ShuttingDown)?;
    #[cfg(feature = "planted-bugs")]
    let index = crate::planted::awaited(index);
    if node.replica.applied(index).await { Ok(LogPosition::end_of(index)) } else { Err(ReadError::ShuttingDown) }
}

fn enter(node: &Arc<Inner>) -> Result<oneshot::Receiver<u64>, ReadError> {
    if node.proposer.is_closed() {
        return Err(ReadError::ShuttingDown);
    }
    let (sender, receiver) = oneshot::channel();
    let mut waiting = node.reads.waiting.lock();
    if waiting.next.len() >= WAITING_MAX {
        // Some of them may have given up.
        waiting.next.retain(|sender| !sender.is_closed());
        if waiting.next.len() >= WAITING_MAX {
            return Err(ReadError::Overloaded);
        }
    }
    waiting.next.push(sender);
    if !std::mem::replace(&mut waiting.running, true) {
        tokio::spawn(run(Arc::downgrade(node)));
    }
    Ok(receiver)
}

/// Rounds for as long as somebody waits.
async fn run(weak: Weak<Inner>) {
    let mut round: Vec<oneshot::Sender<u64>> = Vec::new();
    loop {
        let Some(node) = weak.upgrade() else { return };
        {
            let mut waiting = node.reads.waiting.lock();
            // Also into a round that failed: its next attempt begins after they came.
            round.append(&mut waiting.next);
            round.retain(|sender| !sender.is_closed());
            if round.is_empty() {
                waiting.running = false;
                return;
            }
        }
        if node.proposer.is_closed() {
            // Dropping the senders tells why.
            round.clear();
            continue;
        }
        node.metrics.read_rounds_total.fetch_add(1, Relaxed);
        let index = tokio::select! {
            biased;
            // A dead leader is not waited for once another is elected.
            () = another_leads(&node) => None,
            index = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt(&node)) => index.ok().flatten(),
        };
        match index {
            Some(index) => {
                for sender in round.drain(..) {
                    // Whoever asked may have given up.
                    let _ = sender.send(index);
                }
            }
            None => {
                drop(node);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Returns once this node takes another one for the leader than when it was first polled, or none, or Raft has ended.
async fn another_leads(node: &Inner) {
    let mut leadership = node.raft.server_metrics();
    let leader = node.leader();
    while node.leader() == leader {
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// An index at or below which everything is that was committed before this call.
async fn attempt(node: &Inner) -> Option<u64> {
    let (leader, addr) = node.leader()?;
    if leader == node.local.node_id() {
        return confirmed_index(node).await;
    }
    let peer = node.endpoint.peer(&addr, Some(leader));
    let reply = match peer.request(kind::READ_INDEX, Bytes::new(), ATTEMPT_TIMEOUT).await {
        Ok(reply) => reply,
        Err(error) => {
            tracing::debug!(leader = addr, %error, "the leader did not tell its read index");
            return None;
        }
    };
    match wire::decode("read index", &reply) {
        Ok(ReadIndexReply::Index(index)) => Some(index),
        Ok(ReadIndexReply::NotConfirmed) => None,
        Err(error) => {
            tracing::warn!(leader = addr, %error, "the leader's read index does not decode");
            None
        }
    }
}

/// As a leader: what is committed, once a quorum has confirmed after this call that it still leads. Covers the first
/// entry of its own term, so that what an earlier leader had committed is below it.
async fn confirmed_index(node: &Inner) -> Option<u64> {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is_read_unconfirmed() {
        return Some(node.replica.applied_index());
    }
    match node.raft.read_linearizer().await {
        Ok(linearizer) => Some(linearizer.read_log_id().log_id().index),
        Err(error) => {
            tracing::debug!(%error, "this node could not confirm that it leads");
            None
        }
    }
}

/// A peer asks.
pub(crate) async fn answer(node: &Inner) -> ReadIndexReply {
    match confirmed_index(node).await {
        Some(index) => ReadIndexReply::Index(index),
        None => ReadIndexReply::NotConfirmed,
    }
}
