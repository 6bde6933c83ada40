//! A namespace socket that this node owns: one client in one namespace under one epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use vedfolnir_cluster::Ticket;
use vedfolnir_cluster::state::{Epoch, LogPosition, Payload, PidHash, Record, Response};
use vedfolnir_protocol::{EncodedEvent, encode_ack, encode_disconnect, encode_event, encode_offset};

use super::Inner;
use super::asks::Asks;
use super::link::Link;
use super::outbox::{OnWritten, Outbox, Pushed};
use super::release;
use super::stats::ServiceStats;
use crate::app::{Args, Namespace};
use crate::observability::traces::Parent;
use crate::security::auth::Identity;

/// Emits that nobody waits for and whose acks still do; older ones are no longer waited for.
const ORPHANS_MAX: usize = 1024;
/// Bytes of history that are pulled and encoded at once.
pub(crate) const REPLAY_BYTES_MAX: usize = 256 << 10;

/// A namespace socket.
///
/// Invariant: it acts under one epoch only; a resume makes another one.
pub(crate) struct SessionSocket {
    pub(crate) service: Arc<Inner>,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) pid: PidHash,
    pub(crate) epoch: Epoch,
    pub(crate) sid: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    /// Who it showed to be; `None`: authentication is off.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) data: Bytes,
    pub(crate) outbox: Outbox,
    pub(crate) link: Arc<Link>,
    /// What it has asked its client.
    pub(crate) asks: Asks,
    /// The trace that the client's connection is in; looked for only where traces are on.
    pub(crate) trace: Option<Parent>,
    /// Its client can resume: the namespace offers that, and the client has not declined it.
    recovers: bool,
    /// Emits in flight whose futures were dropped: acks stand behind them all the same.
    orphans: Mutex<Vec<Ticket>>,
    /// The highest log index that an emit of this socket is known to have.
    emitted: AtomicU64,
    /// The application has ended the session; that is not committed yet, or just now.
    ends: AtomicBool,
    /// The server has ended the session, and the client is being told so.
    dismissed: AtomicBool,
}

/// What a pull from the history came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// There may be more: frames were queued, or something was dispatched meanwhile.
    Again,
    /// The socket is live, or was not catching up.
    Live,
    /// Something is no longer retained.
    Hole,
    /// Another owner has the session.
    Gone,
    /// The session is over: the dispatcher is about to say so.
    Over,
}

impl SessionSocket {
    pub(crate) fn new(
        service: Arc<Inner>,
        namespace: Arc<Namespace>,
        link: Arc<Link>,
        opened: OpenedSession,
        identity: Option<Arc<Identity>>,
        trace: Option<Parent>,
        recovers: bool,
    ) -> Self {
        let OpenedSession { pid, epoch, sid, user, data, replay_after } = opened;
        let outbox = Outbox::new(service.config.outbox, replay_after);
        let (orphans, emitted) = (Mutex::new(Vec::new()), AtomicU64::new(0));
        let asks = Asks::new(epoch);
        let (ends, dismissed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self {
            service,
            namespace,
            pid,
            epoch,
            sid,
            user,
            identity,
            data,
            outbox,
            link,
            asks,
            trace,
            recovers,
            orphans,
            emitted,
            ends,
            dismissed,
        }
    }

    /// Whether its client can resume, and its events carry offsets.
    pub(crate) const fn recovers(&self) -> bool {
        self.recovers
    }

    /// A durable event, from the dispatcher.
    pub(crate) fn push_live(&self, position: LogPosition, event: &Arc<EncodedEvent>, watcher: Option<OnWritten>) {
        let pushed = self.outbox.push_live(position, event, watcher);
        match pushed {
            Pushed::Queued { .. } => ServiceStats::one(&self.service.stats.deliveries_total),
            Pushed::Overflowed => ServiceStats::one(&self.service.stats.overflows_total),
            Pushed::Ignored => {}
        }
        self.wake_after(pushed);
    }

    /// A volatile event.
    pub(crate) fn push_volatile(&self, record: &Record) {
        let history = self.service.history_id();
        let pushed = self.outbox.push_volatile(self.service.progress.completed(), |cursor| {
            let offset = self.recovers().then(|| encode_offset(history, cursor.index, cursor.ordinal));
            encode_record(record, offset.as_deref())
        });
        match pushed {
            Pushed::Queued { .. } => ServiceStats::one(&self.service.stats.volatile_delivered_total),
            _ => ServiceStats::one(&self.service.stats.volatile_dropped_total),
        }
        self.wake_after(pushed);
    }

    /// The answer to the client's event `id`, behind the emits made before it.
    pub(crate) fn push_ack(&self, id: u64, args: &[u8], attachments: &[Bytes]) {
        let ack = encode_ack(self.namespace.name(), id, args, attachments);
        let pushed = self.outbox.push_ack(self.emitted.load(Ordering::Acquire), ack);
        self.wake_after(pushed);
    }

    /// An event that the client is to acknowledge under `id`, behind the emits made before it; false: too much waits to be
    /// written.
    pub(crate) fn push_ask(&self, id: u64, payload: &Payload) -> bool {
        // Without an offset: the client would take it for its callback.
        let event = encode_event(self.namespace.name(), &payload.text, &payload.attachments, Some(id), None);
        let pushed = self.outbox.push_ask(self.emitted.load(Ordering::Acquire), event);
        if let Some(pushed) = pushed {
            self.wake_after(pushed);
        }
        pushed.is_some()
    }

    /// The client acknowledges an event.
    pub(crate) fn answered(&self, id: u64, args: Args) {
        if !self.asks.answered(id, args) {
            // Too late, or for an earlier connection, or made up.
            ServiceStats::one(&self.service.stats.acks_unexpected_total);
        }
    }

    /// The application ends the session, for good: its client's events are ignored from now on, and it is told so once the end
    /// is committed ([`SessionSocket::dismiss`]).
    pub(crate) fn end(&self) {
        if !self.ends.swap(true, Ordering::AcqRel) {
            release::end_from_here(self);
        }
    }

    /// Whether the application has ended it.
    pub(crate) fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    /// The server has ended the session: the client is told so behind what waits for it, and does not come back by itself.
    pub(crate) fn dismiss(&self) {
        let text = encode_disconnect(self.namespace.name());
        self.outbox.end_with(EncodedEvent { text, attachments: Vec::new() });
        self.asks.close();
        self.dismissed.store(true, Ordering::Release);
        self.link.wake();
    }

    /// Whether [`SessionSocket::dismiss`] was called.
    pub(crate) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Nothing is written or waited for any more.
    pub(crate) fn close(&self) {
        self.outbox.close();
        self.asks.close();
    }

    fn wake_after(&self, pushed: Pushed) {
        if matches!(pushed, Pushed::Queued { first: true } | Pushed::Overflowed) {
            self.link.wake();
        }
    }

    /// Pulls a chunk of the history after the cursor into the outbox, and goes live at its end.
    pub(crate) fn pull(&self) -> Pulled {
        let Some(cursor) = self.outbox.pull_from() else { return Pulled::Live };
        let replay = self.service.cluster.read(|state| {
            let epoch = state.session_epoch(&self.pid).ok_or(Pulled::Over)?;
            if epoch != self.epoch {
                return Err(Pulled::Gone);
            }
            state.replay(&self.pid, cursor, REPLAY_BYTES_MAX).ok_or(Pulled::Over)
        });
        let replay = match replay {
            Ok(replay) => replay,
            Err(pulled) => return pulled,
        };
        if replay.hole {
            return Pulled::Hole;
        }
        let history = self.service.history_id();
        ServiceStats::add(&self.service.stats.deliveries_total, replay.records.len() as u64);
        ServiceStats::add(&self.service.stats.deliveries_replayed_total, replay.records.len() as u64);
        let empty = replay.records.is_empty();
        let events = replay.records.iter().map(|(position, record)| {
            let offset = self.recovers().then(|| encode_offset(history, position.index, position.ordinal));
            #[cfg(feature = "planted-bugs")]
            let offset = super::planted::replayed(offset);
            (*position, encode_record(record, offset.as_deref()))
        });
        self.outbox.replayed(events, replay.reached);
        let complete = replay.complete;
        #[cfg(feature = "planted-bugs")]
        let complete = super::planted::complete(complete);
        let live = complete && self.outbox.try_live(replay.reached, || self.service.progress.dispatched());
        if live && empty { Pulled::Live } else { Pulled::Again }
    }

    /// An emit is known to have this log index.
    pub(crate) fn emitted_at(&self, index: u64) {
        self.emitted.fetch_max(index, Ordering::AcqRel);
    }

    /// Keeps the ticket of an emit that nobody waits for.
    pub(crate) fn adopt(&self, ticket: Ticket) {
        let mut orphans = self.orphans.lock();
        orphans.retain_mut(|ticket| match futures_util::FutureExt::now_or_never(ticket) {
            Some(Ok(Response::Published { position })) => {
                self.emitted_at(position.index);
                false
            }
            Some(_) => false,
            None => true,
        });
        if orphans.len() >= ORPHANS_MAX {
            orphans.remove(0);
        }
        orphans.push(ticket);
    }

    /// Whether an ack may be pushed at once.
    pub(crate) fn emits_settled(&self) -> bool {
        self.orphans.lock().is_empty() && self.service.progress.completed() >= self.emitted.load(Ordering::Acquire)
    }

    /// Waits until every emit made so far is in the order and the dispatcher is past it. Cancel-safe.
    pub(crate) async fn settle_emits(&self) {
        let mut unsettled = Unsettled { socket: self, tickets: std::mem::take(&mut *self.orphans.lock()) };
        while let Some(ticket) = unsettled.tickets.last_mut() {
            if let Ok(Response::Published { position }) = ticket.await {
                self.emitted_at(position.index);
            }
            unsettled.tickets.pop();
        }
        self.service.progress.reached(self.emitted.load(Ordering::Acquire)).await;
    }
}

/// Emits that somebody waits for behind others; if that is given up, the next one to ask waits for them.
struct Unsettled<'a> {
    socket: &'a SessionSocket,
    tickets: Vec<Ticket>,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if !self.tickets.is_empty() {
            self.socket.orphans.lock().append(&mut self.tickets);
        }
    }
}

/// What the cluster says about a session that was opened for this node.
pub(crate) struct OpenedSession {
    pub(crate) pid: PidHash,
    pub(crate) epoch: Epoch,
    pub(crate) sid: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) data: Bytes,
    pub(crate) replay_after: LogPosition,
}

/// The wire form of a record, with the offset as its last argument where clients recover.
pub(crate) fn encode_record(record: &Record, offset: Option<&str>) -> EncodedEvent {
    encode_event(&record.namespace, &record.payload.text, &record.payload.attachments, None, offset)
}
