//! The table of rooms: who is in, and where in the history something was said to them.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::identifier::{LogPosition, PidHash};
use crate::limits;
use crate::names::{self, NamePair};
use crate::session::Session;
use crate::table;

/// The room that every session of a namespace is in; no client can name it.
pub(crate) const EVERYONE: &str = "";
/// Rooms whose names begin with it are the server's own: from [`Format::MANAGED`](crate::Format::MANAGED) on nobody enters
/// or leaves one by its name, and sessions do not show that they are in one.
pub const RESERVED_ROOM_PREFIX: &str = "\0";
/// What stands before a user's name in the name of its room.
const USER_ROOM_PREFIX: &str = "\0user:";

/// The reserved room that every session of a user is in, from [`Format::MANAGED`](crate::Format::MANAGED) on.
#[must_use]
pub fn user_room(user: &str) -> Arc<str> {
    format!("{USER_ROOM_PREFIX}{user}").into()
}

/// Whose room it is; `None`: no user's.
#[must_use]
pub fn user_of_room(room: &str) -> Option<&str> {
    room.strip_prefix(USER_ROOM_PREFIX)
}

/// Whether a name is one of the server's own.
#[must_use]
pub fn is_reserved_room(room: &str) -> bool {
    room.starts_with(RESERVED_ROOM_PREFIX)
}

/// Whether sessions do not show that they are in it.
pub(crate) fn is_hidden(room: &str) -> bool {
    room == EVERYONE || is_reserved_room(room)
}

/// Whether a session can enter or leave a room of this name because somebody says so.
pub(crate) fn is_enterable(room: &str) -> bool {
    !is_hidden(room) && room.len() <= limits::NAME_BYTES_MAX
}

/// Whether something can be for the members of a room of this name.
pub(crate) fn is_addressable(room: &str) -> bool {
    user_of_room(room).map_or_else(|| is_enterable(room), |user| user.len() <= limits::NAME_BYTES_MAX)
}

/// Namespace and name.
pub(crate) type RoomKey = (Arc<str>, Arc<str>);

/// A room's number. A room that is gone and comes again has another one.
pub(crate) type RoomId = u64;

/// Invariant: `members` is how many sessions are in; `stayed` counts those, members or not, whose stays still name the
/// room; it goes when there is none. `users` is how many different users the members are of. The three fit into 32 bits
/// because sessions do ([`crate::limits::SESSIONS_MAX`]); most rooms are those that sessions are by their own name, so
/// their size counts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RoomRead")]
struct Room {
    id: RoomId,
    members: u32,
    stayed: u32,
    users: u32,
    pruned: Option<Box<Pruned>>,
}

/// What the history has dropped of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pruned {
    /// The last record.
    last: LogPosition,
    /// The only room that it left out, if exactly one.
    except: Option<Arc<str>>,
    /// The last one that left out something else.
    other: Option<LogPosition>,
}

/// A room as snapshots have it.
#[derive(Deserialize)]
struct RoomRead {
    id: RoomId,
    members: u32,
    stayed: u32,
    pruned: Option<LogPosition>,
    #[serde(deserialize_with = "names::optional")]
    pruned_except: Option<Arc<str>>,
    pruned_other: Option<LogPosition>,
}

impl From<RoomRead> for Room {
    fn from(read: RoomRead) -> Self {
        let RoomRead { id, members, stayed, pruned, pruned_except: except, pruned_other: other } = read;
        let pruned = pruned.map(|last| Box::new(Pruned { last, except, other }));
        Self { id, members, stayed, users: 0, pruned }
    }
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pruned = self.pruned.as_deref();
        let mut room = serializer.serialize_struct("Room", 6)?;
        room.serialize_field("id", &self.id)?;
        room.serialize_field("members", &self.members)?;
        room.serialize_field("stayed", &self.stayed)?;
        room.serialize_field("pruned", &pruned.map(|pruned| pruned.last))?;
        room.serialize_field("pruned_except", &pruned.and_then(|pruned| pruned.except.as_ref()))?;
        room.serialize_field("pruned_other", &pruned.and_then(|pruned| pruned.other))?;
        room.end()
    }
}

/// See the module. Members and records are flat sets over all rooms: most rooms are small, and a tree of their own
/// would cost each of them a kilobyte.
///
/// Invariants: `members` names only rooms that are there; `records` are all in the history, those of rooms that are
/// gone among them; a record is listed only if somebody was in the room when it was published; `users` holds how many
/// members of each room are of each user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rooms {
    #[serde(deserialize_with = "table::map_of::<_, NamePair, _, _>")]
    rooms: OrdMap<RoomKey, Room>,
    #[serde(deserialize_with = "table::set")]
    members: OrdSet<(RoomId, PidHash)>,
    #[serde(deserialize_with = "table::set")]
    records: OrdSet<(RoomId, LogPosition)>,
    last_id: RoomId,
    /// Sessions from this key on may not be in the rooms of their users yet; `None`: all are. Without it nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adopt_from: Option<PidHash>,
    /// Derived from members and sessions; not in snapshots.
    #[serde(skip)]
    users: OrdMap<(RoomId, Arc<str>), u64>,
}

impl Rooms {
    /// The key as the table holds it, so that equal names share their memory.
    pub(crate) fn intern(&self, key: RoomKey) -> RoomKey {
        self.rooms.get_key_value(&key).map_or(key, |(known, _)| known.clone())
    }

    /// Rooms that there are, those that sessions are by their own name, those of users and everyone's of each namespace among
    /// them.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Who is in, sorted.
    pub(crate) fn members(&self, key: &RoomKey) -> impl Iterator<Item = PidHash> + '_ {
        self.members_after(key, None)
    }

    /// Who is in, sorted, after one of them.
    pub(crate) fn members_after(&self, key: &RoomKey, after: Option<PidHash>) -> impl Iterator<Item = PidHash> + '_ {
        let id = self.rooms.get(key).map(|room| room.id);
        let last = PidHash([u8::MAX; 16]);
        id.into_iter().flat_map(move |id| {
            let from = after.map_or(Included((id, PidHash([0; 16]))), |after| Excluded((id, after)));
            self.members.range((from, Included((id, last)))).map(|(_, pid)| *pid)
        })
    }

    /// How many sessions are in, and of how many users.
    pub(crate) fn count(&self, key: &RoomKey) -> (u64, u64) {
        self.rooms.get(key).map_or((0, 0), |room| (room.members.into(), room.users.into()))
    }

    /// How many members are a user's.
    pub(crate) fn sessions_of(&self, key: &RoomKey, user: &Arc<str>) -> u64 {
        let room = self.rooms.get(key).map(|room| (room.id, Arc::clone(user)));
        room.and_then(|key| self.users.get(&key)).copied().unwrap_or(0)
    }

    /// The users in a room and how many members are theirs, sorted, after a name.
    pub(crate) fn users_after(
        &self,
        key: &RoomKey,
        after: Option<&Arc<str>>,
    ) -> impl Iterator<Item = (Arc<str>, u64)> + '_ {
        // No name is less than the empty one.
        let from = |id| after.map_or_else(|| Included((id, Arc::from(""))), |after| Excluded((id, Arc::clone(after))));
        let range = self.rooms.get(key).map(|room| (room.id, from(room.id)));
        range.into_iter().flat_map(move |(id, from)| {
            let users = self.users.range((from, Unbounded)).take_while(move |((room, _), _)| *room == id);
            users.map(|((_, user), sessions)| (Arc::clone(user), *sessions))
        })
    }

    /// Every room of the server's own, but [`EVERYONE`]; at the cost of what it finds and a step for each namespace.
    pub(crate) fn reserved(&self) -> Vec<RoomKey> {
        let mut found = Vec::new();
        let mut from: RoomKey = (Arc::from(""), Arc::from(""));
        while let Some(((namespace, _), _)) = self.rooms.range(from..).next() {
            let first = (Arc::clone(namespace), Arc::from(RESERVED_ROOM_PREFIX));
            let reserved =
                self.rooms.range(first..).take_while(|((its, room), _)| its == namespace && is_reserved_room(room));
            found.extend(reserved.map(|(key, _)| key.clone()));
            // The least name after it.
            from = (format!("{namespace}\0").into(), Arc::from(""));
        }
        found
    }

    fn count_user(&mut self, key: &RoomKey, user: Option<&Arc<str>>) {
        // Of a user's own room it would say what is known.
        let user = user.filter(|_| !is_reserved_room(&key.1));
        let Some((user, room)) = user.zip(self.rooms.get_mut(key)) else { return };
        let sessions = self.users.entry((room.id, Arc::clone(user))).or_default();
        *sessions += 1;
        room.users += u32::from(*sessions == 1);
    }

    fn discount_user(&mut self, key: &RoomKey, user: Option<&Arc<str>>) {
        let user = user.filter(|_| !is_reserved_room(&key.1));
        let Some((user, room)) = user.zip(self.rooms.get_mut(key)) else { return };
        let user = (room.id, Arc::clone(user));
        match self.users.get_mut(&user) {
            Some(sessions) if *sessions > 1 => *sessions -= 1,
            Some(_) => {
                self.users.remove(&user);
                room.users -= 1;
            }
            None => {}
        }
    }

    /// After a snapshot was read: counts the user of one more session.
    pub(crate) fn count_user_of(&mut self, session: &Session) {
        if session.user.is_none() {
            return;
        }
        for (room, _) in session.stays_by_room().filter(|(room, _)| session.is_member(room)) {
            self.count_user(&(Arc::clone(&session.namespace), Arc::clone(room)), session.user.as_ref());
        }
    }

    /// The last dropped record that did not leave out the session called `sid`: what a client sends to all others
    /// is no loss to itself.
    pub(crate) fn pruned_for(&self, key: &RoomKey, sid: &str) -> Option<LogPosition> {
        let pruned = self.rooms.get(key)?.pruned.as_deref()?;
        if pruned.except.as_deref() == Some(sid) { pruned.other } else { Some(pruned.last) }
    }

    /// The last record said to the room that the history has dropped.
    pub(crate) fn pruned_last(&self, key: &RoomKey) -> Option<LogPosition> {
        Some(self.rooms.get(key)?.pruned.as_deref()?.last)
    }

    /// Positions after `after` where something was said to the room, ascending.
    pub(crate) fn records_after(
        &self,
        key: &RoomKey,
        after: LogPosition,
    ) -> impl DoubleEndedIterator<Item = LogPosition> + '_ {
        let id = self.rooms.get(key).map(|room| room.id);
        let last = LogPosition::end_of(u64::MAX);
        id.into_iter().flat_map(move |id| {
            self.records.range((Excluded((id, after)), Included((id, last)))).map(|(_, position)| *position)
        })
    }

    /// A session enters; `first_stay`: its stays did not name the room before.
    pub(crate) fn enter(&mut self, key: &RoomKey, pid: PidHash, user: Option<&Arc<str>>, first_stay: bool) {
        let last_id = &mut self.last_id;
        let room = self.rooms.entry(key.clone()).or_insert_with(|| {
            *last_id += 1;
            Room { id: *last_id, members: 0, stayed: 0, users: 0, pruned: None }
        });
        room.stayed += u32::from(first_stay);
        if self.members.insert((room.id, pid)).is_none() {
            room.members += 1;
            self.count_user(key, user);
        }
    }

    /// A session leaves; its stays still name the room.
    pub(crate) fn leave(&mut self, key: &RoomKey, pid: &PidHash, user: Option<&Arc<str>>) {
        if let Some(room) = self.rooms.get_mut(key)
            && self.members.remove(&(room.id, *pid)).is_some()
        {
            room.members -= 1;
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
        match &mut room.pruned {
            None => room.pruned = Some(Box::new(Pruned { last: position, except: only.cloned(), other: None })),
            Some(pruned) => {
                if only != pruned.except.as_ref() {
                    pruned.other = Some(pruned.last);
                    pruned.except = only.cloned();
                }
                pruned.last = position;
            }
        }
    }
}
