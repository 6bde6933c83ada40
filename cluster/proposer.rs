//! The proposer: turns commands into batches, has a leader commit them, and retries until this node's own replica
//! has applied them, exactly once and in order.
//!
//! ```text
//!   propose() ─► queue: │ applied │ in flight (sent to a leader) │ waiting │ ─► next batch
//!                                 ▲                              ▲
//!                               acked                           sent        rewind: sent = acked
//! ```
//!
//! Sequences are dense per incarnation, so the state refuses gaps and drops repeats: sending everything above
//! `acked` again is always safe. That is what happens when the leader changes, a stream breaks, the state reports a
//! gap, or nothing moves for [`SILENCE_MS_MAX`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use vedfolnir_state::{Command, Incarnation, Origin, Outcome, Proposal, Response, encode_proposal};

use crate::handle::{ProposeError, Ticket};
use crate::status::ClusterMetrics;

/// Commands that may wait or be in flight; beyond it `propose` refuses.
const PENDING_COMMANDS_MAX: usize = 262_144;
/// Their estimated bytes; beyond it `propose` refuses.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// Bytes of one batch (a single larger command goes alone).
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Commands of one batch.
const BATCH_COMMANDS_MAX: usize = 4096;
/// Bytes handed to a leader and not applied here yet.
const IN_FLIGHT_BYTES_MAX: usize = 8 << 20;
/// Batches handed to a leader and not applied here yet: while they are under way the next batch grows.
const IN_FLIGHT_BATCHES_MAX: usize = 6;
/// Without progress for this long everything in flight is sent again.
const SILENCE_MS_MAX: u64 = 1_000;

struct Pending {
    command: Command,
    bytes: usize,
    reply: Option<oneshot::Sender<Result<Response, ProposeError>>>,
}

/// Invariants: `pending[i]` has sequence `acked + 1 + i`; `acked <= sent <= acked + pending.len()`.
struct Queue {
    incarnation: Incarnation,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    acked: u64,
    sent: u64,
    /// (last sequence, bytes) of the batches in flight, oldest first.
    in_flight: VecDeque<(u64, usize)>,
    in_flight_bytes: usize,
    progress_at: Instant,
    /// Set from the fencing of the incarnation until the next one is live.
    fenced: bool,
    closed: bool,
}

/// See the module.
pub(crate) struct Proposer {
    queue: Mutex<Queue>,
    wake: Notify,
    metrics: Arc<ClusterMetrics>,
}

/// A batch on its way to a leader.
pub(crate) struct Batch {
    pub(crate) bytes: Bytes,
}

impl Proposer {
    pub(crate) fn new(incarnation: Incarnation, metrics: Arc<ClusterMetrics>) -> Self {
        Self {
            queue: Mutex::new(Queue {
                incarnation,
                pending: VecDeque::new(),
                pending_bytes: 0,
                acked: 0,
                sent: 0,
                in_flight: VecDeque::new(),
                in_flight_bytes: 0,
                progress_at: Instant::now(),
                fenced: true,
                closed: false,
            }),
            wake: Notify::new(),
            metrics,
        }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.queue.lock().incarnation
    }

    /// Whether this incarnation is known to be live.
    pub(crate) fn is_live(&self) -> bool {
        !self.queue.lock().fenced
    }

    /// Enqueues a command, in the order of calls.
    pub(crate) fn propose(&self, command: Command) -> Result<Ticket, ProposeError> {
        let bytes = estimated_bytes(&command);
        let (reply, receiver) = oneshot::channel();
        {
            let mut queue = self.queue.lock();
            if queue.closed {
                return Err(ProposeError::ShuttingDown);
            }
            if queue.fenced {
                return Err(ProposeError::Fenced);
            }
            if queue.pending.len() >= PENDING_COMMANDS_MAX || queue.pending_bytes + bytes > PENDING_BYTES_MAX {
                self.metrics.proposals_refused_total.fetch_add(1, Relaxed);
                return Err(ProposeError::Overloaded);
            }
            if queue.pending.is_empty() {
                queue.progress_at = Instant::now();
            }
            queue.pending_bytes += bytes;
            self.metrics.proposals_pending_bytes.store(queue.pending_bytes as u64, Relaxed);
            queue.pending.push_back(Pending { command, bytes, reply: Some(reply) });
        }
        self.metrics.proposals_total.fetch_add(1, Relaxed);
        self.wake.notify_one();
        Ok(Ticket { receiver })
    }

    /// Waits until there may be something to send.
    pub(crate) async fn ready(&self) {
        self.wake.notified().await;
    }

    /// The next batch for the leader, if the window is open and something waits.
    pub(crate) fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.queue.lock();
        if queue.fenced
            || queue.in_flight.len() >= IN_FLIGHT_BATCHES_MAX
            || queue.in_flight_bytes >= IN_FLIGHT_BYTES_MAX
        {
            return None;
        }
        let first = (queue.sent - queue.acked) as usize;
        let mut bytes = 0;
        let mut commands = Vec::new();
        for pending in queue.pending.iter().skip(first).take(BATCH_COMMANDS_MAX) {
            if !commands.is_empty() && bytes + pending.bytes > BATCH_BYTES_MAX {
                break;
            }
            bytes += pending.bytes;
            commands.push(pending.command.clone());
        }
        if commands.is_empty() {
            return None;
        }
        let origin = Origin::Node { incarnation: queue.incarnation, first_sequence: queue.sent + 1 };
        if queue.in_flight.is_empty() {
            queue.progress_at = Instant::now();
        }
        queue.sent += commands.len() as u64;
        let last = queue.sent;
        queue.in_flight.push_back((last, bytes));
        queue.in_flight_bytes += bytes;
        drop(queue);
        self.metrics.batches_total.fetch_add(1, Relaxed);
        Some(Batch { bytes: encode_proposal(&Proposal { origin, commands }) })
    }

    /// For the simulator's planted bug alone.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn answer_uncommitted(&self) {
        if !vedfolnir_state::planted::is(vedfolnir_state::planted::Bug::AckBeforeCommit) {
            return;
        }
        for pending in &mut self.queue.lock().pending {
            if matches!(pending.command, Command::Publish(_))
                && let Some(reply) = pending.reply.take()
            {
                let _ = reply.send(Ok(Response::Published { position: vedfolnir_state::LogPosition::default() }));
            }
        }
    }

    /// Everything not applied yet is to be sent again.
    pub(crate) fn rewind(&self) {
        let mut queue = self.queue.lock();
        let resent = queue.in_flight.len() as u64;
        queue.rewind();
        drop(queue);
        if resent > 0 {
            self.metrics.batches_resent_total.fetch_add(resent, Relaxed);
            self.wake.notify_one();
        }
    }

    /// Rewinds when something is in flight and nothing has moved for too long; says whether it did.
    pub(crate) fn rewind_if_silent(&self, now: Instant) -> bool {
        let silent = {
            let queue = self.queue.lock();
            !queue.in_flight.is_empty()
                && now.saturating_duration_since(queue.progress_at) > Duration::from_millis(SILENCE_MS_MAX)
        };
        if silent {
            self.rewind();
        }
        silent
    }

    /// The local replica applied a proposal of some node.
    pub(crate) fn handle_applied(&self, origin: Origin, outcome: Outcome) {
        let Origin::Node { incarnation, first_sequence } = origin else { return };
        let mut queue = self.queue.lock();
        if queue.incarnation != incarnation || queue.fenced {
            return;
        }
        match outcome {
            Outcome::Executed { skipped, responses } => {
                for (sequence, response) in (first_sequence + skipped as u64..).zip(responses) {
                    // The state executes sequences densely, so the next one is always at the front.
                    if sequence == queue.acked + 1 {
                        queue.complete_front(Ok(response));
                    }
                }
                queue.progress_at = Instant::now();
                self.metrics.proposals_pending_bytes.store(queue.pending_bytes as u64, Relaxed);
                drop(queue);
                self.wake.notify_one();
            }
            Outcome::Gap { .. } => {
                drop(queue);
                self.rewind();
            }
            // NodeDown fences through its own effect, in the same entry's order.
            _ => {}
        }
    }

    /// A snapshot replaced the state: what it already holds is done, though its responses are lost.
    pub(crate) fn handle_installed(&self, last_sequence: Option<u64>) {
        let mut queue = self.queue.lock();
        let last = last_sequence.unwrap_or(0);
        while queue.acked < last && !queue.pending.is_empty() {
            queue.complete_front(Err(ProposeError::ResponseLost));
        }
        drop(queue);
        self.rewind();
    }

    /// This incarnation was declared down: nothing of it will ever be committed again. False: it is over already, or
    /// the node itself said so as it stops.
    pub(crate) fn fence(&self, incarnation: Incarnation) -> bool {
        let mut queue = self.queue.lock();
        if queue.incarnation != incarnation || queue.fenced || queue.closed {
            return false;
        }
        queue.fenced = true;
        queue.fail_all(ProposeError::Fenced);
        true
    }

    /// A new life begins: sequences start from 1 again.
    pub(crate) fn begin(&self, incarnation: Incarnation) {
        let mut queue = self.queue.lock();
        queue.fail_all(ProposeError::Fenced);
        queue.incarnation = incarnation;
        queue.acked = 0;
        queue.sent = 0;
        queue.fenced = false;
        drop(queue);
        self.wake.notify_one();
    }

    /// Whether the node stops.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// The node stops.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.fail_all(ProposeError::ShuttingDown);
    }
}

impl Queue {
    fn complete_front(&mut self, result: Result<Response, ProposeError>) {
        let Some(mut front) = self.pending.pop_front() else { return };
        self.pending_bytes -= front.bytes;
        self.acked += 1;
        self.sent = self.sent.max(self.acked);
        while self.in_flight.front().is_some_and(|(last, _)| *last <= self.acked) {
            if let Some((_, bytes)) = self.in_flight.pop_front() {
                self.in_flight_bytes -= bytes;
            }
        }
        if let Some(reply) = front.reply.take() {
            // Whoever asked may have gone away; the command is committed all the same.
            let _ = reply.send(result);
        }
    }

    fn rewind(&mut self) {
        self.sent = self.acked;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.progress_at = Instant::now();
    }

    fn fail_all(&mut self, error: ProposeError) {
        for mut pending in self.pending.drain(..) {
            if let Some(reply) = pending.reply.take() {
                let _ = reply.send(Err(error));
            }
        }
        self.pending_bytes = 0;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.sent = self.acked;
    }
}

/// What a command weighs in queues and batches: its variable parts plus a flat share for the rest.
fn estimated_bytes(command: &Command) -> usize {
    const FLAT: usize = 96;
    FLAT + match command {
        Command::Publish(publish) => {
            let record = &publish.record;
            let names = record.rooms.iter().chain(&record.except).map(|name| name.len() + 8).sum::<usize>();
            names
                + record.payload.text.len()
                + record.payload.attachments.iter().map(|attachment| attachment.len()).sum::<usize>()
        }
        Command::Register(register) => register.data.len() + register.sid.len() + register.namespace.len(),
        Command::SetData { data, .. } => data.len(),
        Command::Join { room, .. } | Command::Leave { room, .. } => room.len(),
        _ => 0,
    }
}

#[cfg(test)]
#[path = "proposer_tests.rs"]
mod tests;
