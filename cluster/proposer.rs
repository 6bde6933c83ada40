//! The proposer: turns commands into batches, has a leader commit them, and retries until this node's own replica
//! has applied them, exactly once and in order.
//!
//! ```text
//!   propose() ─► waiting: one line for each session ─► cut round-robin ─► │ batch │ batch │ batch │ ─► a leader
//!                                                                         ▲               ▲
//!                                                                      applied          sent    rewind: sent = none
//! ```
//!
//! A batch is cut when there is room for it and enough waits beside what is in flight, and gets its sequences then:
//! sessions take turns, one command each, so a session that floods delays another one by little more than a batch. What
//! is cut stays as it is. Sequences are dense
//! per incarnation, so the state refuses gaps and drops repeats: sending every batch that is not applied again is always
//! safe. That is what happens when the leader changes, a stream breaks, the state reports a gap, or nothing moves for
//! [`SILENCE_MS_MAX`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use vedfolnir_state::{
    Change, Command, Format, Incarnation, Manage, Origin, Outcome, Proposal, PublishOnce, Response, Whom,
    encode_proposal,
};

use crate::handle::{ProposeError, Ticket};
use crate::proposer_lines::{Lines, Pending, Reply};
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
/// Batches handed to a leader and not applied here yet: while they are under way the next batch grows. Fewer leave the
/// disk idle, more make batches small: with 1,024 proposers 2, 3, 4 and 6 gave 123, 137, 154 and 114 thousand commands a
/// second (`vedfolnir-bench commands`).
const IN_FLIGHT_BATCHES_MAX: usize = 4;
/// While batches are in flight another one is cut only once this share of their commands waits, or as many bytes as a batch
/// takes. A batch costs every node a write and several wake-ups, however small it is; proposers that wait for their answers would
/// otherwise come to few a batch.
const WAITING_PERCENT_MIN: usize = 50;
/// Without progress for this long everything in flight is sent again.
const SILENCE_MS_MAX: u64 = 1_000;

/// A batch that has its sequences.
struct Cut {
    first_sequence: u64,
    /// Who waits for its commands, in order; the first is for the sequence after `acked` in the oldest batch.
    replies: VecDeque<Reply>,
    /// Estimated bytes of all its commands.
    bytes: usize,
    /// The encoded proposal; `None` only while it is being encoded, under `Proposer::cutting`.
    encoded: Option<Bytes>,
}

/// Invariants: `cut` holds the sequences from `acked + 1` on, densely; the first `sent` batches of `cut` are in flight;
/// `pending_bytes` is the sum over `cut` and `waiting`.
struct Queue {
    incarnation: Incarnation,
    waiting: Lines,
    cut: VecDeque<Cut>,
    /// Commands in `cut` that are not applied yet.
    cut_commands: usize,
    pending_bytes: usize,
    acked: u64,
    sent: usize,
    in_flight_bytes: usize,
    progress_at: Instant,
    /// In which batches are written: the cluster's, as far as this node has applied.
    format: Format,
    /// Set from the fencing of the incarnation until the next one is live.
    fenced: bool,
    closed: bool,
}

/// See the module.
pub(crate) struct Proposer {
    queue: Mutex<Queue>,
    /// Held while a batch is cut and encoded, so that batches leave in the order of their sequences.
    cutting: Mutex<()>,
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
                waiting: Lines::default(),
                cut: VecDeque::new(),
                cut_commands: 0,
                pending_bytes: 0,
                acked: 0,
                sent: 0,
                in_flight_bytes: 0,
                progress_at: Instant::now(),
                format: Format::FIRST,
                fenced: true,
                closed: false,
            }),
            cutting: Mutex::new(()),
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

    /// The cluster writes this format from now on.
    pub(crate) fn set_format(&self, format: Format) {
        self.queue.lock().format = format;
    }

    /// Enqueues a command; those of one session keep the order of calls.
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
            // A trace is left out where there is no room for it; another command would make its whole batch unreadable.
            if !matches!(command, Command::Publish(_)) && command.since() > queue.format {
                return Err(ProposeError::OldFormat);
            }
            let pending = queue.cut_commands + queue.waiting.len();
            if pending >= PENDING_COMMANDS_MAX
                || queue.pending_bytes + bytes > PENDING_BYTES_MAX
                || !queue.waiting.has_room(&command, bytes)
            {
                self.metrics.proposals_refused_total.fetch_add(1, Relaxed);
                return Err(ProposeError::Overloaded);
            }
            if pending == 0 {
                queue.progress_at = Instant::now();
            }
            queue.pending_bytes += bytes;
            self.metrics.proposals_pending_bytes.store(queue.pending_bytes as u64, Relaxed);
            queue.waiting.push(Pending { command, bytes, reply });
        }
        self.metrics.proposals_total.fetch_add(1, Relaxed);
        self.wake.notify_one();
        Ok(Ticket { receiver })
    }

    /// Waits until there may be something to send.
    pub(crate) async fn ready(&self) {
        self.wake.notified().await;
    }

    /// The next batch for the leader, if the window is open: one that was cut before, as it was, or a new one.
    pub(crate) fn next_batch(&self) -> Option<Batch> {
        let _cutting = self.cutting.lock();
        let (format, (origin, commands)) = {
            let mut queue = self.queue.lock();
            if queue.fenced || queue.sent >= IN_FLIGHT_BATCHES_MAX || queue.in_flight_bytes >= IN_FLIGHT_BYTES_MAX {
                return None;
            }
            if queue.sent == 0 {
                queue.progress_at = Instant::now();
            }
            if queue.sent < queue.cut.len() {
                let next = queue.sent;
                queue.sent += 1;
                queue.in_flight_bytes += queue.cut[next].bytes;
                self.metrics.batches_total.fetch_add(1, Relaxed);
                // Encoded by whoever cut it, before it let go of `cutting`.
                return queue.cut[next].encoded.clone().map(|bytes| Batch { bytes });
            }
            if queue.sent > 0 && !queue.is_worth_a_batch() {
                // Whatever is applied lowers what it is measured by, and wakes who asks here.
                return None;
            }
            (queue.format, queue.cut_batch()?)
        };
        let Origin::Node { first_sequence, .. } = origin else { return None };
        let mut commands = commands;
        if format < Format::TRACED {
            forget_traces(&mut commands);
        }
        let count = commands.len() as u64;
        let bytes = encode_proposal(format, &Proposal { origin, commands });
        // Meanwhile this life may have ended, and the batch with it.
        self.queue.lock().cut.back_mut().filter(|cut| cut.first_sequence == first_sequence)?.encoded =
            Some(bytes.clone());
        self.metrics.batches_total.fetch_add(1, Relaxed);
        self.metrics.batches.commands.observe(count);
        self.metrics.batches.bytes.observe(bytes.len() as u64);
        Some(Batch { bytes })
    }

    /// Everything not applied yet is to be sent again.
    pub(crate) fn rewind(&self) {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_rewind_forgotten() {
            return;
        }
        let mut queue = self.queue.lock();
        let resent = queue.sent as u64;
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
            queue.sent > 0 && now.saturating_duration_since(queue.progress_at) > Duration::from_millis(SILENCE_MS_MAX)
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
        while queue.acked < last && !queue.cut.is_empty() {
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
    /// Whether enough waits for another batch beside those in flight.
    fn is_worth_a_batch(&self) -> bool {
        let cut_bytes: usize = self.cut.iter().map(|cut| cut.bytes).sum();
        self.waiting.len() * 100 >= self.cut_commands * WAITING_PERCENT_MIN
            || self.pending_bytes - cut_bytes >= BATCH_BYTES_MAX
    }

    /// Takes one command of each line in turn until the batch is full; gives the batch its sequences.
    fn cut_batch(&mut self) -> Option<(Origin, Vec<Command>)> {
        let room = self.waiting.len().min(BATCH_COMMANDS_MAX);
        let (mut commands, mut replies, mut bytes) = (Vec::with_capacity(room), VecDeque::with_capacity(room), 0);
        // The first may be of any size.
        let mut room = usize::MAX;
        while commands.len() < BATCH_COMMANDS_MAX
            && let Some(Pending { command, bytes: its_bytes, reply }) = self.waiting.take(room)
        {
            bytes += its_bytes;
            room = BATCH_BYTES_MAX.saturating_sub(bytes);
            commands.push(command);
            replies.push_back(reply);
        }
        self.waiting.end_batch();
        if commands.is_empty() {
            return None;
        }
        let first_sequence = self.acked + self.cut_commands as u64 + 1;
        self.cut_commands += commands.len();
        self.cut.push_back(Cut { first_sequence, replies, bytes, encoded: None });
        self.sent += 1;
        self.in_flight_bytes += bytes;
        Some((Origin::Node { incarnation: self.incarnation, first_sequence }, commands))
    }

    fn complete_front(&mut self, result: Result<Response, ProposeError>) {
        let Some(front) = self.cut.front_mut() else { return };
        let reply = front.replies.pop_front();
        self.acked += 1;
        self.cut_commands -= 1;
        if front.replies.is_empty() {
            let bytes = front.bytes;
            self.cut.pop_front();
            self.pending_bytes -= bytes;
            // An earlier sending of it may be what was applied: then it is not in flight now.
            if self.sent > 0 {
                self.sent -= 1;
                self.in_flight_bytes -= bytes;
            }
        }
        if let Some(reply) = reply {
            // Whoever asked may have gone away; the command is committed all the same.
            let _ = reply.send(result);
        }
    }

    fn rewind(&mut self) {
        self.sent = 0;
        self.in_flight_bytes = 0;
        self.progress_at = Instant::now();
    }

    fn fail_all(&mut self, error: ProposeError) {
        let cut = self.cut.drain(..).flat_map(|cut| cut.replies);
        for reply in cut.chain(self.waiting.drain()) {
            let _ = reply.send(Err(error));
        }
        self.cut_commands = 0;
        self.pending_bytes = 0;
        self.sent = 0;
        self.in_flight_bytes = 0;
    }
}

/// Older formats have no room for them; a trace ends here then.
fn forget_traces(commands: &mut [Command]) {
    for command in commands {
        if let Command::Publish(publish) = command {
            publish.trace = None;
        }
    }
}

/// What a command weighs in queues and batches: its variable parts plus a flat share for the rest.
fn estimated_bytes(command: &Command) -> usize {
    const FLAT: usize = 96;
    FLAT + match command {
        Command::Publish(publish) | Command::PublishOnce(PublishOnce { publish, .. }) => {
            let record = &publish.record;
            let names = record.rooms.iter().chain(&record.except).map(|name| name.len() + 8).sum::<usize>();
            names
                + record.payload.text.len()
                + record.payload.attachments.iter().map(|attachment| attachment.len()).sum::<usize>()
        }
        Command::Register(register) => register.data.len() + register.sid.len() + register.namespace.len(),
        Command::SetData { data, .. } => data.len(),
        Command::Join { room, .. } | Command::Leave { room, .. } => room.len(),
        Command::KvPut(put) => put.key.len() + put.value.len(),
        Command::KvDelete(delete) => delete.key.len(),
        Command::Manage(manage) => weight_of(manage),
        _ => 0,
    }
}

fn weight_of(Manage { namespace, whom, change }: &Manage) -> usize {
    let names = |names: &[Arc<str>]| names.iter().map(|name| name.len() + 8).sum::<usize>();
    let whom = match whom {
        Whom::Session(sid) => sid.len(),
        Whom::Members { rooms, except, .. } => names(rooms) + names(except),
    };
    let change = match change {
        Change::Join(rooms) | Change::Leave(rooms) => names(rooms),
        Change::Disconnect => 0,
    };
    namespace.len() + whom + change
}

#[cfg(test)]
#[path = "proposer_tests.rs"]
mod tests;
