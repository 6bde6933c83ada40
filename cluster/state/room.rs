//! The table of rooms: who is in, and where in the history something was said to them.

use std::ops::Bound;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};

use crate::identifier::{LogPosition, PidHash};
use crate::session::Session;

/// The room that every session of a namespace is in; no client can name it.
pub(crate) const EVERYONE: &str = "";

/// Namespace and name.
pub(crate) type RoomKey = (Arc<str>, Arc<str>);

/// Invariants: `records` ascend and are all in the history; a record is listed only if somebody was in the room when
/// it was published; `stayed` counts the sessions, members or not, whose stays still name the room; `users` counts the
/// different users among the members.
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
    #[serde(skip)]
    pub(crate) users: u64,
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

/// See the module. Invariant: `users` holds how many members of each room are of each user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rooms {
    rooms: OrdMap<RoomKey, Room>,
    /// Derived from members and sessions; not in snapshots. Namespace, room, user.
    #[serde(skip)]
    users: OrdMap<(Arc<str>, Arc<str>, Arc<str>), u64>,
}

impl Rooms {
    pub(crate) fn get(&self, key: &RoomKey) -> Option<&Room> {
        self.rooms.get(key)
    }

    /// A session enters; `first_stay`: its stays did not name the room before.
    pub(crate) fn enter(&mut self, key: &RoomKey, pid: PidHash, user: Option<&Arc<str>>, first_stay: bool) {
        let room = self.rooms.entry(key.clone()).or_default();
        let entered = room.members.insert(pid).is_none();
        room.stayed += u64::from(first_stay);
        if entered {
            self.count_user(key, user);
        }
    }

    /// A session leaves; its stays still name the room.
    pub(crate) fn leave(&mut self, key: &RoomKey, pid: &PidHash, user: Option<&Arc<str>>) {
        if let Some(room) = self.rooms.get_mut(key)
            && room.members.remove(pid).is_some()
        {
            self.discount_user(key, user);
        }
    }

    /// A session's stays do not name the room any more.
    pub(crate) fn forget(&mut self, key: &RoomKey, pid: &PidHash, user: Option<&Arc<str>>) {
        self.leave(key, pid, user);
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.stayed = room.stayed.saturating_sub(1);
        if room.stayed == 0 {
            self.rooms.remove(key);
        }
    }

    fn count_user(&mut self, key: &RoomKey, user: Option<&Arc<str>>) {
        let Some(user) = user else { return };
        let sessions = self.users.entry(user_key(key, user)).or_default();
        *sessions += 1;
        if *sessions == 1
            && let Some(room) = self.rooms.get_mut(key)
        {
            room.users += 1;
        }
    }

    fn discount_user(&mut self, key: &RoomKey, user: Option<&Arc<str>>) {
        let Some(user) = user else { return };
        let user_key = user_key(key, user);
        let Some(sessions) = self.users.get_mut(&user_key) else { return };
        *sessions = sessions.saturating_sub(1);
        if *sessions == 0 {
            self.users.remove(&user_key);
            if let Some(room) = self.rooms.get_mut(key) {
                room.users = room.users.saturating_sub(1);
            }
        }
    }

    /// The users of a room and how many members are theirs, sorted, after a name.
    pub(crate) fn users_after<'a>(
        &'a self,
        key: &'a RoomKey,
        after: Option<&Arc<str>>,
    ) -> impl Iterator<Item = (Arc<str>, u64)> + 'a {
        let from = match after {
            Some(after) => Bound::Excluded(user_key(key, after)),
            // No name is less than the empty one.
            None => Bound::Included(user_key(key, &Arc::from(""))),
        };
        let users = self.users.range((from, Bound::Unbounded));
        let users = users.take_while(move |((namespace, room, _), _)| *namespace == key.0 && *room == key.1);
        users.map(|((_, _, user), sessions)| (Arc::clone(user), *sessions))
    }

    /// After reading a snapshot: counts the users of one more session.
    pub(crate) fn count_users_of(&mut self, session: &Session) {
        if session.user.is_none() {
            return;
        }
        for room in session.stays.keys().filter(|room| session.is_member(room)) {
            self.count_user(&(Arc::clone(&session.namespace), Arc::clone(room)), session.user.as_ref());
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

fn user_key(key: &RoomKey, user: &Arc<str>) -> (Arc<str>, Arc<str>, Arc<str>) {
    (Arc::clone(&key.0), Arc::clone(&key.1), Arc::clone(user))
}
