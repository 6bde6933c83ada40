//! The table of sessions: who owns each, since when, until when it can be resumed, and where it stayed.

use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::identifier::{Epoch, Incarnation, LogPosition, NodeId, PidHash};
use crate::room::EVERYONE;

/// A stay in a room: records after `joined` and before `left` are for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stay {
    pub(crate) joined: LogPosition,
    pub(crate) left: Option<LogPosition>,
}

impl Stay {
    pub(crate) fn covers(&self, position: LogPosition) -> bool {
        position > self.joined && self.left.is_none_or(|left| position < left)
    }
}

/// A stay that a session has forgotten; `last`: its stays do not name the room any more.
pub(crate) struct Forgotten {
    pub(crate) room: Arc<str>,
    pub(crate) joined: LogPosition,
    pub(crate) left: LogPosition,
    pub(crate) last: bool,
}

/// Invariants: `epoch` only grows; `deadline_ms` is set exactly while no transport is connected; of a room's stays only
/// the last can be open, and they ascend; `ended` names exactly those that are not open; the stays in the session's own
/// sid and in [`EVERYONE`] are open from `started` on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) sid: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) data: Bytes,
    pub(crate) epoch: Epoch,
    pub(crate) owner: Incarnation,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) started: LogPosition,
    pub(crate) stays: OrdMap<Arc<str>, Vec<Stay>>,
    /// Where stays ended, and in which room.
    pub(crate) ended: OrdSet<(LogPosition, Arc<str>)>,
    /// Something that was for this session up to here may have been dropped, in rooms whose stays are forgotten.
    pub(crate) pruned_visible: LogPosition,
}

impl Session {
    pub(crate) fn is_member(&self, room: &str) -> bool {
        self.stays.get(room).and_then(|stays| stays.last()).is_some_and(|stay| stay.left.is_none())
    }

    /// Ends the open stay in a room.
    pub(crate) fn leave(&mut self, room: &Arc<str>, position: LogPosition) {
        if let Some(stay) = self.stays.get_mut(room).and_then(|stays| stays.last_mut()) {
            stay.left = Some(position);
            self.ended.insert((position, Arc::clone(room)));
        }
    }

    /// The stay that ended first, if it ended at or before a position (`None`: whenever it ended), is forgotten.
    pub(crate) fn forget_stay(&mut self, up_to: Option<LogPosition>) -> Option<Forgotten> {
        let (left, room) = self.ended.get_min()?.clone();
        if up_to.is_some_and(|up_to| left > up_to) {
            return None;
        }
        self.ended.remove(&(left, Arc::clone(&room)));
        let stays = self.stays.get_mut(&room)?;
        let joined = stays.remove(0).joined;
        let last = stays.is_empty();
        if last {
            self.stays.remove(&room);
        }
        Some(Forgotten { room, joined, left, last })
    }

    pub(crate) fn was_member_at(&self, room: &str, position: LogPosition) -> bool {
        self.stays.get(room).is_some_and(|stays| stays.iter().any(|stay| stay.covers(position)))
    }

    /// The rooms as clients know them: sorted, the own sid among them, without [`EVERYONE`].
    pub(crate) fn rooms(&self) -> Vec<Arc<str>> {
        let open = |stays: &Vec<Stay>| stays.last().is_some_and(|stay| stay.left.is_none());
        let rooms = self.stays.iter().filter(|(room, stays)| open(stays) && room.as_ref() != EVERYONE);
        rooms.map(|(room, _)| Arc::clone(room)).collect()
    }
}

/// A session as the floors above see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its public id.
    pub sid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its user.
    pub user: Option<Arc<str>>,
    /// Its rooms, sorted, its own sid among them.
    pub rooms: Vec<Arc<str>>,
    /// Its application data.
    pub data: Bytes,
    /// Its current epoch.
    pub epoch: Epoch,
    /// Its owner, or its last one while it is disconnected.
    pub owner: Incarnation,
    /// Whether a transport is connected.
    pub connected: bool,
    /// Until when it can be resumed, in cluster time; `None` while connected.
    pub deadline_ms: Option<u64>,
    /// Where it began.
    pub started: LogPosition,
}

/// See the module. The indexes hold exactly what the sessions say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sessions {
    sessions: OrdMap<PidHash, Arc<Session>>,
    sids: OrdMap<(Arc<str>, Arc<str>), PidHash>,
    /// Connected sessions by owner.
    owned: OrdMap<Incarnation, OrdSet<PidHash>>,
    /// Disconnected sessions by deadline.
    deadlines: OrdSet<(u64, PidHash)>,
}

impl Sessions {
    pub(crate) fn get(&self, pid: &PidHash) -> Option<&Session> {
        self.sessions.get(pid).map(AsRef::as_ref)
    }

    /// For changes that touch no index.
    pub(crate) fn get_mut(&mut self, pid: &PidHash) -> Option<&mut Session> {
        self.sessions.get_mut(pid).map(Arc::make_mut)
    }

    /// For the simulator's planted bug alone.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn each(&mut self, mut change: impl FnMut(&mut Session)) {
        let pids: Vec<PidHash> = self.sessions.keys().copied().collect();
        for pid in &pids {
            self.get_mut(pid).map(&mut change);
        }
    }

    pub(crate) fn by_sid(&self, namespace: &Arc<str>, sid: &Arc<str>) -> Option<PidHash> {
        self.sids.get(&(Arc::clone(namespace), Arc::clone(sid))).copied()
    }

    pub(crate) fn insert(&mut self, pid: PidHash, session: Session) {
        self.sids.insert((Arc::clone(&session.namespace), Arc::clone(&session.sid)), pid);
        self.index(pid, &session);
        self.sessions.insert(pid, Arc::new(session));
    }

    pub(crate) fn remove(&mut self, pid: &PidHash) -> Option<Arc<Session>> {
        let session = self.sessions.remove(pid)?;
        self.unindex(pid, &session);
        self.sids.remove(&(Arc::clone(&session.namespace), Arc::clone(&session.sid)));
        Some(session)
    }

    /// Changes owner, epoch or deadline, and the indexes with them.
    pub(crate) fn change(&mut self, pid: &PidHash, change: impl FnOnce(&mut Session)) {
        let Some(mut session) = self.sessions.get(pid).cloned() else { return };
        self.unindex(pid, &session);
        change(Arc::make_mut(&mut session));
        self.index(*pid, &session);
        self.sessions.insert(*pid, session);
    }

    fn index(&mut self, pid: PidHash, session: &Session) {
        match session.deadline_ms {
            None => drop(self.owned.entry(session.owner).or_default().insert(pid)),
            Some(deadline) => drop(self.deadlines.insert((deadline, pid))),
        }
    }

    fn unindex(&mut self, pid: &PidHash, session: &Session) {
        match session.deadline_ms {
            None => {
                if let Some(owned) = self.owned.get_mut(&session.owner) {
                    owned.remove(pid);
                    if owned.is_empty() {
                        self.owned.remove(&session.owner);
                    }
                }
            }
            Some(deadline) => drop(self.deadlines.remove(&(deadline, *pid))),
        }
    }

    /// Connected sessions of a life, sorted.
    pub(crate) fn owned_by(&self, incarnation: Incarnation) -> impl Iterator<Item = PidHash> + '_ {
        self.owned.get(&incarnation).into_iter().flat_map(|owned| owned.iter().copied())
    }

    pub(crate) fn count_of_node(&self, node: NodeId) -> u64 {
        let first = Incarnation { node, generation: 0 };
        let last = Incarnation { node, generation: u64::MAX };
        self.owned.range(first..=last).map(|(_, owned)| owned.len() as u64).sum()
    }

    /// The session whose window ends first.
    pub(crate) fn first_deadline(&self) -> Option<(u64, PidHash)> {
        self.deadlines.get_min().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn disconnected(&self) -> usize {
        self.deadlines.len()
    }
}
