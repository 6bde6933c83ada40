//! A socket's outbox: what waits to be written, and the cursor that makes replay and live one gapless sequence.
//!
//! ```text
//!   dispatcher ── push_live(position) ──► [ frames ] ── take ──► connection task ──► transport
//!                    │ CatchingUp: ignored     ▲
//!                    └ overflow: CatchingUp     └── replayed(chunk, reached) ◄── history, pulled by the connection task
//! ```
//!
//! The dispatcher never waits for a socket: one that overflows catches up from the history by its cursor.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use vedfolnir_cluster::state::LogPosition;
use vedfolnir_protocol::{EncodedEvent, Message};

/// Bytes of live events that wait for one socket at most; beyond them it catches up from the history.
pub(crate) const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Frames that wait for one socket at most; beyond them it catches up from the history.
pub(crate) const OUTBOX_FRAMES_MAX: usize = 16_384;
/// A volatile event is dropped when more than this waits before it, in bytes.
pub(crate) const VOLATILE_BYTES_BEFORE_MAX: usize = OUTBOX_BYTES_MAX / 2;
/// A queue that was longer than this gives its memory back once it is empty, in frames.
const FRAMES_KEPT: usize = 32;

/// Bounds of one outbox.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Bytes of queued live events.
    pub bytes_max: usize,
    /// Queued frames.
    pub frames_max: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { bytes_max: OUTBOX_BYTES_MAX, frames_max: OUTBOX_FRAMES_MAX }
    }
}

/// A frame in its wire form, with its attachments.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Encoded once for every socket of this node.
    Shared(Arc<EncodedEvent>),
    /// For this socket alone.
    Own(EncodedEvent),
    /// Shared, and somebody wants to know when it was written.
    Watched(Box<(Arc<EncodedEvent>, OnWritten)>),
    /// No packet of Socket.IO.
    Plain(Message),
}

/// Called once its frame was written; dropped uncalled when it never was.
pub(crate) struct OnWritten(pub(crate) Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for OnWritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnWritten")
    }
}

impl Frame {
    /// The packet of Socket.IO, if it is one.
    pub(crate) fn event(&self) -> Option<&EncodedEvent> {
        match self {
            Self::Shared(event) => Some(event),
            Self::Own(event) => Some(event),
            Self::Watched(watched) => Some(&watched.0),
            Self::Plain(_) => None,
        }
    }

    /// Whom whoever writes it has to tell when it is.
    pub(crate) fn into_watcher(self) -> Option<OnWritten> {
        match self {
            Self::Watched(watched) => Some(watched.1),
            Self::Shared(_) | Self::Own(_) | Self::Plain(_) => None,
        }
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(message) => message.len(),
            _ => self.event().map_or(0, EncodedEvent::len),
        }
    }

    /// Its messages: the text, then the attachments.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message> {
        let event = self.event();
        let first = match self {
            Self::Plain(message) => Some(message.clone()),
            _ => event.map(|event| Message::Text(event.text.clone())),
        };
        let attachments = event.into_iter().flat_map(|event| event.attachments.iter().cloned().map(Message::Binary));
        first.into_iter().chain(attachments)
    }
}

/// A frame that waits. `at` is where its event is in the order; before everything: it is no durable event.
#[derive(Debug)]
struct Waiting {
    at: LogPosition,
    frame: Frame,
}

impl Waiting {
    fn durable(at: LogPosition, frame: Frame) -> Self {
        Self { at, frame }
    }

    fn other(event: EncodedEvent) -> Self {
        Self { at: LogPosition::default(), frame: Frame::Own(event) }
    }

    fn is_durable(&self) -> bool {
        self.at > LogPosition::default()
    }
}

/// How far an outbox has come; for an operator who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    /// Every durable event up to here that concerns the socket was taken for the transport, or the client said itself that
    /// it has it.
    pub(crate) up_to: LogPosition,
    /// Durable events that wait.
    pub(crate) waiting_events: usize,
    /// Bytes of all that waits.
    pub(crate) waiting_bytes: usize,
    /// What was said meanwhile is pulled from the history.
    pub(crate) catches_up: bool,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits; `first`: nothing waited before, the connection task must be woken.
    Queued {
        /// Nothing waited before.
        first: bool,
    },
    /// The socket has it already, will pull it from the history, or is closed.
    Ignored,
    /// The socket has fallen behind with this very push: it catches up from the history.
    Overflowed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The connection task pulls what is after the cursor from the history; live pushes are ignored.
    CatchingUp,
    /// The dispatcher pushes.
    Live,
    /// Nothing is taken in any more.
    Closed,
}

/// Invariants: every durable frame up to `cursor` that concerns the socket was queued once, in log order; none after it
/// was; `handed` is that of the last one taken, or where the socket began; `bytes` is the sum over `frames`; `held` is
/// empty in `Live`.
#[derive(Debug)]
struct Queue {
    frames: VecDeque<Waiting>,
    bytes: usize,
    cursor: LogPosition,
    handed: LogPosition,
    mode: Mode,
    /// Acks, and events that ask for one, that stand behind emits up to a log index which the socket has not pulled yet. Of
    /// the former at most as many as handlers may be in flight, of the latter what the limits allow.
    held: Vec<(u64, EncodedEvent)>,
}

/// The queue of one namespace socket.
#[derive(Debug)]
pub(crate) struct Outbox {
    limits: OutboxLimits,
    queue: Mutex<Queue>,
}

impl Outbox {
    /// Empty, catching up from `cursor`.
    pub(crate) fn new(limits: OutboxLimits, cursor: LogPosition) -> Self {
        let (frames, held) = (VecDeque::new(), Vec::new());
        let queue = Queue { frames, bytes: 0, cursor, handed: cursor, mode: Mode::CatchingUp, held };
        Self { limits, queue: Mutex::new(queue) }
    }

    /// Where to go on pulling, while it catches up and has nothing left to write.
    pub(crate) fn pull_from(&self) -> Option<LogPosition> {
        let queue = self.queue.lock();
        (queue.mode == Mode::CatchingUp && queue.frames.is_empty()).then_some(queue.cursor)
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.lock().bytes
    }

    /// How far it has come.
    pub(crate) fn handed(&self) -> Handed {
        let queue = self.queue.lock();
        Handed {
            up_to: queue.handed,
            waiting_events: queue.frames.iter().filter(|waiting| waiting.is_durable()).count(),
            waiting_bytes: queue.bytes,
            catches_up: queue.mode == Mode::CatchingUp,
        }
    }

    /// A durable event, from the dispatcher.
    pub(crate) fn push_live(
        &self,
        position: LogPosition,
        event: &Arc<EncodedEvent>,
        watcher: Option<OnWritten>,
    ) -> Pushed {
        let mut queue = self.queue.lock();
        #[cfg(feature = "planted-bugs")]
        if queue.mode == Mode::CatchingUp && super::planted::is_seam_doubled() {
            return queue.push(Waiting::durable(position, Frame::Shared(Arc::clone(event))));
        }
        if queue.mode != Mode::Live || position <= queue.cursor {
            return Pushed::Ignored;
        }
        let full = queue.bytes + event.len() > self.limits.bytes_max || queue.frames.len() >= self.limits.frames_max;
        #[cfg(feature = "planted-bugs")]
        let full = super::planted::full(full);
        if full {
            #[cfg(feature = "planted-bugs")]
            if super::planted::is_overflow_dropped() {
                return Pushed::Ignored;
            }
            // All that came before it was queued or does not concern the socket.
            queue.cursor = queue.cursor.max(before(position));
            queue.mode = Mode::CatchingUp;
            return Pushed::Overflowed;
        }
        queue.cursor = position;
        let event = Arc::clone(event);
        let frame = match watcher {
            None => Frame::Shared(event),
            Some(watcher) => Frame::Watched(Box::new((event, watcher))),
        };
        queue.push(Waiting::durable(position, frame))
    }

    /// A volatile event; `encode` is given the cursor, which is the offset that it carries. Ignored when too much waits.
    ///
    /// `completed` is the last index that the dispatcher is done with: a live socket has all of it.
    pub(crate) fn push_volatile(&self, completed: u64, encode: impl FnOnce(LogPosition) -> EncodedEvent) -> Pushed {
        let mut queue = self.queue.lock();
        let room = queue.bytes <= self.limits.bytes_max.min(VOLATILE_BYTES_BEFORE_MAX)
            && queue.frames.len() < self.limits.frames_max / 2;
        if queue.mode != Mode::Live || !room {
            return Pushed::Ignored;
        }
        let event = encode(queue.cursor.max(LogPosition::end_of(completed)));
        queue.push(Waiting::other(event))
    }

    /// The CONNECT reply: before everything else.
    pub(crate) fn push_first(&self, packet: EncodedEvent) {
        let mut queue = self.queue.lock();
        queue.bytes += packet.len();
        queue.frames.push_front(Waiting::other(packet));
    }

    /// An ack. It stands behind every durable event up to log index `after` that concerns this socket. Bounded by the
    /// handlers in flight, whose input waits while too much is queued.
    pub(crate) fn push_ack(&self, after: u64, ack: EncodedEvent) -> Pushed {
        self.queue.lock().push_behind(after, ack)
    }

    /// An event that asks for an ack, where an ack would stand. `None`: it would pass the limits, and something waits: a
    /// client that reads nothing makes no queue.
    pub(crate) fn push_ask(&self, after: u64, event: EncodedEvent) -> Option<Pushed> {
        let mut queue = self.queue.lock();
        let held_bytes: usize = queue.held.iter().map(|(_, held)| held.len()).sum();
        let (frames, bytes) = (queue.frames.len() + queue.held.len(), queue.bytes + held_bytes);
        let full = frames >= self.limits.frames_max || bytes + event.len() > self.limits.bytes_max;
        if frames > 0 && full {
            return None;
        }
        Some(queue.push_behind(after, event))
    }

    /// A chunk of the history after the cursor, each event with its position; everything up to `reached` is in it.
    pub(crate) fn replayed(&self, events: impl Iterator<Item = (LogPosition, EncodedEvent)>, reached: LogPosition) {
        let mut queue = self.queue.lock();
        if queue.mode != Mode::CatchingUp {
            return;
        }
        for (at, event) in events {
            queue.push(Waiting::durable(at, Frame::Own(event)));
        }
        queue.cursor = queue.cursor.max(reached);
        queue.release_held();
    }

    /// After the history was pulled to its end at `applied`: goes live unless something was dispatched meanwhile, which
    /// must be pulled too. `dispatched` is read under the queue's lock: the dispatcher stores an index before it visits
    /// sockets for it, so what is not yet in `dispatched` will be pushed to a live socket.
    pub(crate) fn try_live(&self, applied: LogPosition, dispatched: impl FnOnce() -> u64) -> bool {
        let mut queue = self.queue.lock();
        let behind = queue.cursor < applied || dispatched() > applied.index;
        #[cfg(feature = "planted-bugs")]
        let behind = super::planted::behind(behind);
        if queue.mode != Mode::CatchingUp || behind {
            return queue.mode != Mode::CatchingUp;
        }
        queue.mode = Mode::Live;
        for (_, ack) in std::mem::take(&mut queue.held) {
            queue.push(Waiting::other(ack));
        }
        true
    }

    /// Falls back to the history, as after a snapshot replaced the state; `completed` is the last index before that which
    /// the dispatcher was done with.
    pub(crate) fn catch_up(&self, completed: u64) {
        let mut queue = self.queue.lock();
        if queue.mode == Mode::Live {
            queue.cursor = queue.cursor.max(LogPosition::end_of(completed));
            queue.mode = Mode::CatchingUp;
        }
    }

    /// Nothing more is queued: what waits is still written, and `last` behind it.
    pub(crate) fn end_with(&self, last: EncodedEvent) {
        let mut queue = self.queue.lock();
        if queue.mode == Mode::Closed {
            return;
        }
        for (_, ack) in std::mem::take(&mut queue.held) {
            queue.push(Waiting::other(ack));
        }
        queue.push(Waiting::other(last));
        queue.mode = Mode::Closed;
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().frames.is_empty()
    }

    /// Nothing is queued or written any more.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.mode = Mode::Closed;
        queue.frames = VecDeque::new();
        queue.held = Vec::new();
        queue.bytes = 0;
    }

    /// Moves frames to `out` until it holds `bytes_max` or the queue is empty; returns the bytes moved.
    pub(crate) fn take(&self, out: &mut Vec<Frame>, bytes_max: usize) -> usize {
        let mut queue = self.queue.lock();
        let mut taken = 0;
        while taken < bytes_max {
            let Some(Waiting { at, frame }) = queue.frames.pop_front() else { break };
            queue.handed = queue.handed.max(at);
            taken += frame.len();
            out.push(frame);
        }
        queue.bytes -= taken;
        if queue.frames.is_empty() && queue.frames.capacity() > FRAMES_KEPT {
            queue.frames = VecDeque::new();
        }
        taken
    }
}

impl Queue {
    fn push_behind(&mut self, after: u64, event: EncodedEvent) -> Pushed {
        match self.mode {
            Mode::Closed => Pushed::Ignored,
            Mode::CatchingUp if self.cursor.index < after => {
                self.held.push((after, event));
                Pushed::Queued { first: true }
            }
            _ => self.push(Waiting::other(event)),
        }
    }

    fn push(&mut self, waiting: Waiting) -> Pushed {
        let first = self.frames.is_empty();
        self.bytes += waiting.frame.len();
        self.frames.push_back(waiting);
        Pushed::Queued { first }
    }

    fn release_held(&mut self) {
        let reached = self.cursor.index;
        let mut kept = Vec::new();
        for (after, ack) in std::mem::take(&mut self.held) {
            if after <= reached {
                self.push(Waiting::other(ack));
            } else {
                kept.push((after, ack));
            }
        }
        self.held = kept;
    }
}

/// The position just before another.
const fn before(position: LogPosition) -> LogPosition {
    match position.ordinal.checked_sub(1) {
        Some(ordinal) => LogPosition::new(position.index, ordinal),
        None => LogPosition::end_of(position.index.saturating_sub(1)),
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
