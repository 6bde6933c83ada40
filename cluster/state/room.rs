//! The table of rooms: who is in, and where in the history something was said to them.

use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::identifier::{LogPosition, PidHash};

/// The room that every session of a namespace is in; no client can name it.
pub(crate) const EVERYONE: &str = "";

/// Namespace and name.
pub(crate) type RoomKey = (Arc<str>, Arc<str>);

/// A room's number. A room that is gone and comes again has another one.
pub(crate) type RoomId = u64;

/// Invariant: `members` is how many sessions are in; `stayed` counts those, members or not, whose stays still name the
/// room; it goes when there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Room {
    id: RoomId,
    members: u64,
    stayed: u64,
    /// The last record of this room that the history has dropped.
    pruned: Option<LogPosition>,
    /// The only room that it left out, if exactly one.
    pruned_except: Option<Arc<str>>,
    /// The last dropped one that left out something else.
    pruned_other: Option<LogPosition>,
}

/// See the module. Members and records are flat sets over all rooms: most rooms are small, and a tree of their own
/// would cost each of them a kilobyte.
///
/// Invariants: `members` names only rooms that are there; `records` are all in the history, those of rooms that are
/// gone among them; a record is listed only if somebody was in the room when it was published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rooms {
    rooms: OrdMap<RoomKey, Room>,
    members: OrdSet<(RoomId, PidHash)>,
    records: OrdSet<(RoomId, LogPosition)>,
    last_id: RoomId,
}

impl Rooms {
    /// The key as the table holds it, so that equal names share their memory.
    pub(crate) fn intern(&self, key: RoomKey) -> RoomKey {
        self.rooms.get_key_value(&key).map_or(key, |(known, _)| known.clone())
    }

    /// Who is in, sorted.
    pub(crate) fn members(&self, key: &RoomKey) -> impl Iterator<Item = PidHash> + '_ {
        let id = self.rooms.get(key).map(|room| room.id);
        let last = PidHash([u8::MAX; 16]);
        id.into_iter().flat_map(move |id| self.members.range((id, PidHash([0; 16]))..=(id, last)).map(|(_, pid)| *pid))
    }

    /// The last dropped record that did not leave out the session called `sid`: what a client sends to all others
    /// is no loss to itself.
    pub(crate) fn pruned_for(&self, key: &RoomKey, sid: &str) -> Option<LogPosition> {
        let room = self.rooms.get(key)?;
        if room.pruned_except.as_deref() == Some(sid) { room.pruned_other } else { room.pruned }
    }

    /// Positions after `after` where something was said to the room, ascending.
    pub(crate) fn records_after(&self, key: &RoomKey, after: LogPosition) -> impl Iterator<Item = LogPosition> + '_ {
        let id = self.rooms.get(key).map(|room| room.id);
        let last = LogPosition::end_of(u64::MAX);
        id.into_iter().flat_map(move |id| {
            self.records.range((Excluded((id, after)), Included((id, last)))).map(|(_, position)| *position)
        })
    }

    /// A session enters; `first_stay`: its stays did not name the room before.
    pub(crate) fn enter(&mut self, key: RoomKey, pid: PidHash, first_stay: bool) {
        let last_id = &mut self.last_id;
        let room = self.rooms.entry(key).or_insert_with(|| {
            *last_id += 1;
            Room { id: *last_id, members: 0, stayed: 0, pruned: None, pruned_except: None, pruned_other: None }
        });
        room.stayed += u64::from(first_stay);
        if self.members.insert((room.id, pid)).is_none() {
            room.members += 1;
        }
    }

    /// A session leaves; its stays still name the room.
    pub(crate) fn leave(&mut self, key: &RoomKey, pid: &PidHash) {
        if let Some(room) = self.rooms.get_mut(key)
            && self.members.remove(&(room.id, *pid)).is_some()
        {
            room.members -= 1;
        }
    }

    /// A session's stays do not name the room any more.
    pub(crate) fn forget(&mut self, key: &RoomKey, pid: &PidHash) {
        self.leave(key, pid);
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.stayed = room.stayed.saturating_sub(1);
        if room.stayed == 0 {
            self.rooms.remove(key);
        }
    }

    /// Something was said to the room; its number, if anybody is there to hear it.
    pub(crate) fn said(&mut self, key: &RoomKey, position: LogPosition) -> Option<RoomId> {
        let room = self.rooms.get(key).filter(|room| room.members > 0)?;
        self.records.insert((room.id, position));
        Some(room.id)
    }

    /// The history dropped a record that was said to the room under this number.
    pub(crate) fn pruned(&mut self, key: &RoomKey, id: RoomId, position: LogPosition, except: &[Arc<str>]) {
        self.records.remove(&(id, position));
        let Some(room) = self.rooms.get_mut(key).filter(|room| room.id == id) else { return };
        let only = match except {
            [only] => Some(only),
            _ => None,
        };
        if only != room.pruned_except.as_ref() {
            room.pruned_other = room.pruned;
            room.pruned_except = only.cloned();
        }
        room.pruned = Some(position);
    }
}
