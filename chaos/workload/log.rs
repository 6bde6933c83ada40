//! What one client that listens has seen so far, and the shape of the messages that it sees.
//!
//! A message is `publish(room, "m", publisher, sequence, padding)`, a fence the same with the event `f` and the room's number in
//! place of the padding.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::shared::Shared;
use crate::client::packet::{self, Args};
use crate::clock::Nanos;
use crate::history::MessageId;
use crate::record::{Connect, Disconnect, ListenerKind, ListenerLog, SessionLog};

/// The event that is published.
pub const EVENT: &str = "m";
/// The event that closes a room's messages.
pub const FENCE: &str = "f";

/// What came with an event.
pub(super) struct Delivery<'a> {
    pub(super) id: MessageId,
    /// The room that it closes.
    pub(super) fence: Option<u32>,
    pub(super) offset: Option<&'a [u8]>,
}

/// Reads an event's arguments; `None`: it is none of the harness's.
pub(super) fn read(mut args: Args<'_>) -> Option<Delivery<'_>> {
    let event = args.next().and_then(packet::string)?;
    let is_fence = event == FENCE.as_bytes();
    if !is_fence && event != EVENT.as_bytes() {
        return None;
    }
    let publisher = args.next().and_then(packet::number)?;
    let sequence = args.next().and_then(packet::number)?;
    let id = MessageId { publisher: u32::try_from(publisher).ok()?, sequence };
    let padding = args.next()?;
    let fence = if is_fence { Some(u32::try_from(packet::number(padding)?).ok()?) } else { None };
    // The server attaches it.
    let offset = args.next().and_then(packet::string);
    Some(Delivery { id, fence, offset })
}

struct Inner {
    log: ListenerLog,
    is_connected: bool,
    /// When something came last.
    heard_at: Nanos,
    /// Each publisher's highest number so far.
    highest: HashMap<u32, u64>,
    /// Rooms that were closed.
    fences: HashSet<u32>,
}

/// See the module. Shared between the client's task and who collects it.
pub(super) struct Log {
    inner: Mutex<Inner>,
    rooms: Vec<u32>,
}

impl Log {
    pub(super) fn new(name: String, kind: ListenerKind, rooms: Vec<u32>) -> Self {
        let log = ListenerLog { name, kind, connects: vec![], disconnects: vec![], receptions: vec![] };
        let (highest, fences) = (HashMap::new(), HashSet::new());
        Self { inner: Mutex::new(Inner { log, is_connected: false, heard_at: 0, highest, fences }), rooms }
    }

    /// Rooms that its session has not been told to be in.
    pub(super) fn missing_rooms(&self) -> Vec<u32> {
        let inner = self.inner.lock();
        let session = inner.log.receptions.last();
        let is_in = |room: &u32| session.is_some_and(|session| session.rooms.iter().any(|(joined, ..)| joined == room));
        self.rooms.iter().copied().filter(|room| !is_in(room)).collect()
    }

    pub(super) fn name(&self) -> String {
        self.inner.lock().log.name.clone()
    }

    pub(super) fn kind(&self) -> ListenerKind {
        self.inner.lock().log.kind
    }

    pub(super) fn is_connected(&self) -> bool {
        self.inner.lock().is_connected
    }

    /// Whether the last message of each of its rooms has come.
    pub(super) fn has_fences(&self) -> bool {
        let inner = self.inner.lock();
        self.rooms.iter().all(|room| inner.fences.contains(room))
    }

    /// Whether this message has come, or a later one of its publisher.
    pub(super) fn has_come_to(&self, id: MessageId) -> bool {
        self.inner.lock().highest.get(&id.publisher).is_some_and(|highest| *highest > id.sequence)
    }

    pub(super) fn take(&self) -> ListenerLog {
        let mut inner = self.inner.lock();
        let (name, kind) = (inner.log.name.clone(), inner.log.kind);
        let empty = ListenerLog { name, kind, connects: vec![], disconnects: vec![], receptions: vec![] };
        std::mem::replace(&mut inner.log, empty)
    }

    /// The session stands.
    pub(super) fn connected(&self, connect: Connect, shared: &Shared) {
        let mut inner = self.inner.lock();
        inner.is_connected = true;
        let heard_at = inner.heard_at;
        if inner.log.connects.is_empty() {
            inner.log.receptions.push(SessionLog::default());
        } else if connect.recovered {
            shared.counters.recovered.fetch_add(1, Ordering::Relaxed);
        } else {
            shared.counters.unrecovered.fetch_add(1, Ordering::Relaxed);
            // It certainly was a member as long as something came.
            for room in inner.log.receptions.last_mut().iter_mut().flat_map(|session| &mut session.rooms) {
                room.2.get_or_insert(heard_at);
            }
            inner.log.receptions.push(SessionLog::default());
        }
        inner.heard_at = connect.at;
        inner.log.connects.push(connect);
        shared.counters.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// The connection broke.
    pub(super) fn disconnected(&self, node: Option<usize>, reason: String, at: Nanos, shared: &Shared) {
        let mut inner = self.inner.lock();
        if std::mem::take(&mut inner.is_connected) {
            shared.counters.connected.fetch_sub(1, Ordering::Relaxed);
            inner.log.disconnects.push(Disconnect { at, node, reason });
        }
    }

    /// A join was acknowledged.
    pub(super) fn joined(&self, room: u32, at: Nanos) {
        if let Some(session) = self.inner.lock().log.receptions.last_mut() {
            session.rooms.push((room, at, None));
        }
    }

    /// Something came.
    pub(super) fn delivered(&self, id: MessageId, fence: Option<u32>, at: Nanos, shared: &Shared) {
        let mut inner = self.inner.lock();
        inner.heard_at = at;
        shared.counters.delivered.fetch_add(1, Ordering::Relaxed);
        let highest = inner.highest.entry(id.publisher).or_insert(0);
        if *highest > id.sequence {
            shared.counters.odd.fetch_add(1, Ordering::Relaxed);
        }
        *highest = (*highest).max(id.sequence + 1);
        inner.fences.extend(fence);
        if let Some(session) = inner.log.receptions.last_mut() {
            session.deliveries.push((id, at));
        }
    }
}
