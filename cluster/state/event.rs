//! What happened to sessions and rooms, as events for applications: each once in the log, with an id that every node
//! agrees on, kept for a while so that whoever follows them can go on after the last one it has processed.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::identifier::{Epoch, Incarnation, LogPosition};
use crate::limits;
use crate::names;
use crate::room::{RoomKey, is_hidden};
use crate::session::Session;
use crate::state::{Effects, State};
use crate::table;

/// An event's name: unique in the cluster's life, equal on every node, ascending in the order of the log.
///
/// As text: `HISTORY-INDEX.ORDINAL.N`, the history in 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// Which history; positions of different histories do not compare.
    pub history_id: u64,
    /// The command that caused it.
    pub position: LogPosition,
    /// Which of the command's events, from 0.
    pub ordinal: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}.{}", self.history_id, self.position, self.ordinal)
    }
}

/// A text that is no [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id reads HISTORY-INDEX.ORDINAL.N, the history in 16 hexadecimal digits")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let (history, rest) = text.split_once('-').filter(|(history, _)| history.len() == 16).ok_or(EventIdError)?;
        let mut numbers = rest.split('.');
        let mut number = || numbers.next().and_then(|number| number.parse::<u64>().ok()).ok_or(EventIdError);
        let (index, ordinal, event) = (number()?, number()?, number()?);
        let id = Self {
            history_id: u64::from_str_radix(history, 16).map_err(|_| EventIdError)?,
            position: LogPosition::new(index, u32::try_from(ordinal).map_err(|_| EventIdError)?),
            ordinal: u32::try_from(event).map_err(|_| EventIdError)?,
        };
        // Exactly one text for each id: no signs, no leading zeros, nothing behind it.
        if id.to_string() == text { Ok(id) } else { Err(EventIdError) }
    }
}

/// Something that happened, for applications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its name and place in the order.
    pub id: EventId,
    /// Committed cluster time when it happened, milliseconds.
    pub at_ms: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A session lost its transport; its client may come back within the window. A session that another connection takes
    /// over is not disconnected.
    Disconnected {
        /// Which session.
        session: SessionRef,
        /// Who owned it.
        owner: Incarnation,
        /// Whether it was the node that was lost, and not only the connection.
        node_down: bool,
    },
    /// A session's window has passed: it is gone for good.
    Expired {
        /// Which session.
        session: SessionRef,
    },
    /// A session was closed by its client or by the server: it is gone for good.
    Closed {
        /// Which session.
        session: SessionRef,
    },
    /// A room that was empty has a member. The room that each session is by its own sid says nothing of that session.
    RoomOccupied {
        /// The namespace.
        #[serde(deserialize_with = "names::one")]
        namespace: Arc<str>,
        /// The room.
        #[serde(deserialize_with = "names::one")]
        room: Arc<str>,
    },
    /// A room's last member is gone: it left, was closed or expired. A disconnected session that can come back is a member.
    RoomVacated {
        /// The namespace.
        #[serde(deserialize_with = "names::one")]
        namespace: Arc<str>,
        /// The room.
        #[serde(deserialize_with = "names::one")]
        room: Arc<str>,
    },
}

/// A session, as events name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRef {
    /// Its namespace.
    #[serde(deserialize_with = "names::one")]
    pub namespace: Arc<str>,
    /// Its public id.
    #[serde(deserialize_with = "names::one")]
    pub sid: Arc<str>,
    /// Its user.
    #[serde(deserialize_with = "names::optional")]
    pub user: Option<Arc<str>>,
    /// Its epoch when it happened: how many owners it had had.
    pub epoch: Epoch,
}

impl SessionRef {
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            namespace: Arc::clone(&session.namespace),
            sid: Arc::clone(&session.sid),
            user: session.user.clone(),
            epoch: session.epoch,
        }
    }

    fn names_bytes(&self) -> usize {
        self.namespace.len() + self.sid.len() + self.user.as_ref().map_or(0, |user| user.len())
    }
}

/// Where an event stands in one history.
type Key = (LogPosition, u32);

/// The kept events.
///
/// Invariants: `bytes` is the sum of what `kept` weighs; everything at or below `floor` has been dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Events {
    #[serde(deserialize_with = "table::map")]
    kept: OrdMap<Key, Arc<Event>>,
    bytes: u64,
    floor: Key,
    total: u64,
    dropped_total: u64,
}

/// Some events, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// They are all that happened after this and up to the last of them: the asked one, or the last that was dropped.
    pub after: EventId,
    /// Something between the asked one and the first of these has been dropped, or the asked one is of another history.
    pub hole: bool,
}

/// What is kept of the events; the same on every replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventStats {
    /// Kept events.
    pub kept: u64,
    /// What they weigh.
    pub bytes: u64,
    /// Events that ever happened.
    pub total: u64,
    /// Those of them that are no longer kept.
    pub dropped_total: u64,
}

fn key(id: EventId) -> Key {
    (id.position, id.ordinal)
}

fn weight(event: &Event) -> u64 {
    let names = match &event.kind {
        EventKind::Disconnected { session, .. } | EventKind::Expired { session } | EventKind::Closed { session } => {
            session.names_bytes()
        }
        EventKind::RoomOccupied { namespace, room } | EventKind::RoomVacated { namespace, room } => {
            namespace.len() + room.len()
        }
    };
    names as u64 + limits::EVENT_OVERHEAD_BYTES
}

impl Events {
    fn push(&mut self, event: Arc<Event>) {
        let now_ms = event.at_ms;
        self.bytes += weight(&event);
        self.total += 1;
        self.kept.insert(key(event.id), event);
        self.prune(now_ms, limits::EVENTS_PRUNED_PER_EVENT_MAX);
    }

    /// Drops what is too much or too old, oldest first, so many at once.
    pub(crate) fn prune(&mut self, now_ms: u64, events_max: usize) {
        for _ in 0..events_max {
            let Some((oldest, event)) = self.kept.get_min() else { return };
            let too_old = now_ms.saturating_sub(event.at_ms) > limits::EVENTS_AGE_MS_MAX;
            if !too_old && self.kept.len() <= limits::EVENTS_MAX && self.bytes <= limits::EVENTS_BYTES_MAX {
                return;
            }
            let oldest = *oldest;
            self.bytes -= weight(event);
            self.kept.remove(&oldest);
            self.floor = oldest;
            self.dropped_total += 1;
        }
    }
}

/// What applying commands says to those who follow events.
impl State {
    /// Says that something happened, in the command that is being applied.
    pub(crate) fn say(&mut self, kind: EventKind, effects: &mut Effects) {
        let id = EventId {
            history_id: self.history_id().unwrap_or_default(),
            position: effects.position,
            ordinal: effects.next_event(),
        };
        let event = Arc::new(Event { id, at_ms: self.cluster_time_ms(), kind });
        self.events.push(Arc::clone(&event));
        effects.push(Effect::Event(event));
    }

    /// A session has entered a room that it was not in.
    pub(crate) fn say_if_occupied(&mut self, key: &RoomKey, effects: &mut Effects) {
        if self.occupants(key) == 1 {
            self.say(EventKind::RoomOccupied { namespace: Arc::clone(&key.0), room: Arc::clone(&key.1) }, effects);
        }
    }

    /// A session has left a room that it was in.
    pub(crate) fn say_if_vacated(&mut self, key: &RoomKey, effects: &mut Effects) {
        if self.occupants(key) == 0 {
            self.say(EventKind::RoomVacated { namespace: Arc::clone(&key.0), room: Arc::clone(&key.1) }, effects);
        }
    }

    /// A session is gone; it has left all its rooms.
    pub(crate) fn say_ended(&mut self, session: &Session, kind: EventKind, effects: &mut Effects) {
        self.say(kind, effects);
        for (room, stays) in session.stays_by_room() {
            let was_member = stays.last().is_some_and(|stay| stay.is_open());
            if was_member && !is_hidden(room) && *room != session.sid {
                self.say_if_vacated(&(Arc::clone(&session.namespace), Arc::clone(room)), effects);
            }
        }
    }

    /// Members of a room, but for the session whose own room it is.
    fn occupants(&self, key: &RoomKey) -> u64 {
        let (members, _) = self.rooms.count(key);
        // Only few of them can be none or one without their owner.
        let own = members <= 2 && self.sessions.by_sid(&key.0, &key.1).is_some();
        members.saturating_sub(u64::from(own))
    }
}

/// Events as the floors above read them.
impl State {
    /// The events after one, or from the oldest kept one on: at most `events_max`, and never more than
    /// [`limits::EVENTS_PAGE_MAX`].
    #[must_use]
    pub fn events_after(&self, after: Option<EventId>, events_max: usize) -> EventPage {
        let floor = self.events.floor;
        let (from, hole) = match after {
            // From the oldest on: nothing was promised before it.
            None => (floor, false),
            Some(id)
                if Some(id.history_id) != self.history_id() && !self.history.shares(id.history_id, id.position) =>
            {
                (floor, true)
            }
            Some(id) => (key(id).max(floor), key(id) < floor),
        };
        let events_max = events_max.min(limits::EVENTS_PAGE_MAX);
        let kept = self.events.kept.range::<_, Key>((Bound::Excluded(&from), Bound::Unbounded));
        let events = kept.take(events_max).map(|(_, event)| Arc::clone(event)).collect();
        let history_id = self.history_id().unwrap_or_default();
        EventPage { events, after: EventId { history_id, position: from.0, ordinal: from.1 }, hole }
    }

    /// Every kept event, the newest first.
    pub(crate) fn events_newest_first(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.kept.values().rev()
    }

    /// The place after everything that has happened so far: following from here shows only what is new. `None`: there is
    /// no history yet.
    #[must_use]
    pub fn events_end(&self) -> Option<EventId> {
        Some(EventId { history_id: self.history_id()?, position: self.applied(), ordinal: u32::MAX })
    }

    /// Which of these sessions, by namespace and sid, were closed by their client or by the server, as far back as events are
    /// kept. One pass over the events.
    #[must_use]
    pub fn closed_among(&self, mut sessions: BTreeSet<(Arc<str>, Arc<str>)>) -> BTreeSet<(Arc<str>, Arc<str>)> {
        let mut closed = BTreeSet::new();
        for event in self.events_newest_first() {
            if sessions.is_empty() {
                break;
            }
            if let EventKind::Closed { session } = &event.kind {
                closed.extend(sessions.take(&(Arc::clone(&session.namespace), Arc::clone(&session.sid))));
            }
        }
        closed
    }

    /// What is kept.
    #[must_use]
    pub fn event_stats(&self) -> EventStats {
        EventStats {
            kept: self.events.kept.len() as u64,
            bytes: self.events.bytes,
            total: self.events.total,
            dropped_total: self.events.dropped_total,
        }
    }
}
