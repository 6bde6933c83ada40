//! The table of rooms: who is in, and where in the history something was said to them.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use crate::identifier::{LogPosition, PidHash};

/// The room that every session of a namespace is in; no client can name it.
pub(crate) const EVERYONE: &str = "";

/// Namespace and name.
pub(crate) type RoomKey = (Arc<str>, Arc<str>);

/// Invariants: `records` ascend and are all in the history; a record is listed only if somebody was in the room when
/// it was published; `stayed` counts the sessions, members or not, whose stays still name the room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) members: OrdSet<PidHash>,
    pub(crate) records: Vector<LogPosition>,
    /// The last record of this room that the history has dropped.
    pruned: Option<LogPosition>,
    /// The only room that it left out, if exactly one.
    pruned_except: Option<Arc<str>>,
    /// The last dropped one that left out something else.
    pruned_other: Option<LogPosition>,
    stayed: u64,
}

impl Room {
    /// The last dropped record that did not leave out the session called `sid`: what a client sends to all others
    /// is no loss to itself.
    pub(crate) fn pruned_for(&self, sid: &str) -> Option<LogPosition> {
        if self.pruned_except.as_deref() == Some(sid) { self.pruned_other } else { self.pruned }
    }

    /// Positions after `after`, ascending.
    pub(crate) fn records_after(&self, after: LogPosition) -> impl Iterator<Item = LogPosition> + '_ {
        let start = match self.records.binary_search(&after) {
            Ok(found) => found + 1,
            Err(insertion) => insertion,
        };
        self.records.focus().narrow(start..).into_iter().copied()
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rooms {
    rooms: OrdMap<RoomKey, Room>,
}

impl Rooms {
    pub(crate) fn get(&self, key: &RoomKey) -> Option<&Room> {
        self.rooms.get(key)
    }

    /// A session enters; `first_stay`: its stays did not name the room before.
    pub(crate) fn enter(&mut self, key: RoomKey, pid: PidHash, first_stay: bool) {
        let room = self.rooms.entry(key).or_default();
        room.members.insert(pid);
        room.stayed += u64::from(first_stay);
    }

    /// A session leaves; its stays still name the room.
    pub(crate) fn leave(&mut self, key: &RoomKey, pid: &PidHash) {
        if let Some(room) = self.rooms.get_mut(key) {
            room.members.remove(pid);
        }
    }

    /// A session's stays do not name the room any more.
    pub(crate) fn forget(&mut self, key: &RoomKey, pid: &PidHash) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.members.remove(pid);
        room.stayed = room.stayed.saturating_sub(1);
        if room.stayed == 0 {
            self.rooms.remove(key);
        }
    }

    /// Something was said to the room.
    pub(crate) fn said(&mut self, key: &RoomKey, position: LogPosition) {
        if let Some(room) = self.rooms.get_mut(key)
            && !room.members.is_empty()
        {
            room.records.push_back(position);
        }
    }

    /// The history dropped a record.
    pub(crate) fn pruned(&mut self, key: &RoomKey, position: LogPosition, except: &[Arc<str>]) {
        if let Some(room) = self.rooms.get_mut(key)
            && room.records.front() == Some(&position)
        {
            room.records.pop_front();
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
}
