//! The table of sessions: who owns each, since when, until when it can be resumed, and where it stayed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize, Serializer};

use crate::command::Register;
use crate::identifier::{Epoch, Incarnation, LogPosition, NodeId, PidHash};
use crate::names::{self, Name, NamePair};
use crate::packed::{MaybePacked, Packed};
use crate::room::{EVERYONE, RoomKey, is_hidden};
use crate::table;

/// A stay in a room: records after `joined` and before `left` are for the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stay {
    #[serde(deserialize_with = "names::one")]
    room: Arc<str>,
    joined: Packed,
    left: MaybePacked,
}

impl Stay {
    fn begin(room: Arc<str>, joined: LogPosition) -> Self {
        Self { room, joined: joined.into(), left: None.into() }
    }

    pub(crate) fn joined(&self) -> LogPosition {
        self.joined.into()
    }

    pub(crate) fn left(&self) -> Option<LogPosition> {
        self.left.into()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.left().is_none()
    }

    pub(crate) fn covers(&self, position: LogPosition) -> bool {
        position > self.joined() && self.left().is_none_or(|left| position < left)
    }
}

/// A stay that a session has forgotten; `last`: its stays do not name the room any more.
pub(crate) struct Forgotten {
    pub(crate) room: Arc<str>,
    pub(crate) joined: LogPosition,
    pub(crate) left: LogPosition,
    pub(crate) last: bool,
}

/// Invariants: `epoch` only grows; `deadline_ms` is set exactly while no transport is connected; `stays` are sorted by
/// room and place, and of a room's only the last can be open; `ended` names exactly those that are not open, in the order
/// of their ends; the stays in the session's own sid and in [`EVERYONE`] are open from `started` on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    #[serde(deserialize_with = "names::one")]
    pub(crate) sid: Arc<str>,
    #[serde(deserialize_with = "names::one")]
    pub(crate) namespace: Arc<str>,
    #[serde(deserialize_with = "names::optional")]
    pub(crate) user: Option<Arc<str>>,
    pub(crate) data: Bytes,
    pub(crate) epoch: Epoch,
    pub(crate) owner: Incarnation,
    pub(crate) deadline_ms: Option<u64>,
    started: Packed,
    stays: Box<[Stay]>,
    ended: Ended,
    pruned_visible: Packed,
    /// When it last published, in cluster time; 0: not since the format of the cluster has a word for it
    /// ([`Format::MANAGED`](crate::Format::MANAGED)).
    #[serde(default, skip_serializing_if = "is_never")]
    pub(crate) last_active_ms: u64,
}

fn is_never(last_active_ms: &u64) -> bool {
    *last_active_ms == 0
}

/// The stays that are not open, in the order of their ends. Most sessions have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "VecDeque<(LogPosition, Name)>")]
struct Ended(Option<Box<Ends>>);

/// Where each stay ended, and in which room.
type Ends = VecDeque<(LogPosition, Arc<str>)>;

impl Session {
    /// A session that opens at a position, in its own room and in [`EVERYONE`], under epoch 1.
    pub(crate) fn open(register: Register, owner: Incarnation, position: LogPosition, everyone: Arc<str>) -> Self {
        let Register { sid, namespace, user, data, .. } = register;
        Self {
            stays: Box::new([Stay::begin(everyone, position), Stay::begin(Arc::clone(&sid), position)]),
            sid,
            namespace,
            user,
            data,
            epoch: 1,
            owner,
            deadline_ms: None,
            started: position.into(),
            ended: Ended::default(),
            pruned_visible: LogPosition::default().into(),
            last_active_ms: 0,
        }
    }

    /// Where it began.
    pub(crate) fn started(&self) -> LogPosition {
        self.started.into()
    }

    /// Something that was for this session up to here may have been dropped, in rooms whose stays are forgotten.
    pub(crate) fn pruned_visible(&self) -> LogPosition {
        self.pruned_visible.into()
    }

    pub(crate) fn raise_pruned_visible(&mut self, position: LogPosition) {
        self.pruned_visible = self.pruned_visible().max(position).into();
    }

    /// Where a room's stays are, or would be.
    fn stays_at(&self, room: &str) -> Range<usize> {
        let from = self.stays.partition_point(|stay| stay.room.as_ref() < room);
        let count = self.stays[from..].partition_point(|stay| stay.room.as_ref() == room);
        from..from + count
    }

    fn stays_in(&self, room: &str) -> &[Stay] {
        &self.stays[self.stays_at(room)]
    }

    /// The stays of each room that they name, by room.
    pub(crate) fn stays_by_room(&self) -> impl Iterator<Item = (&Arc<str>, &[Stay])> {
        self.stays.chunk_by(|a, b| a.room == b.room).map(|stays| (&stays[0].room, stays))
    }

    /// How many stays are remembered.
    pub(crate) fn stays_len(&self) -> usize {
        self.stays.len()
    }

    pub(crate) fn is_member(&self, room: &str) -> bool {
        self.stays_in(room).last().is_some_and(Stay::is_open)
    }

    pub(crate) fn was_member_at(&self, room: &str, position: LogPosition) -> bool {
        self.stays_in(room).iter().any(|stay| stay.covers(position))
    }

    /// Begins a stay; true: no stay named the room before.
    pub(crate) fn join(&mut self, room: Arc<str>, position: LogPosition) -> bool {
        let at = self.stays_at(&room);
        self.change_stays(|stays| {
            stays.reserve_exact(1);
            stays.insert(at.end, Stay::begin(room, position));
        });
        at.is_empty()
    }

    /// Only for a planted bug.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn lose_rooms(&mut self) {
        let sid = Arc::clone(&self.sid);
        self.change_stays(|stays| stays.retain(|stay| stay.room.as_ref() == EVERYONE || stay.room == sid));
        self.ended = Ended::default();
    }

    /// Ends the open stay in a room.
    pub(crate) fn leave(&mut self, room: &Arc<str>, position: LogPosition) {
        let at = self.stays_at(room);
        if let Some(stay) = self.stays[at].last_mut() {
            stay.left = Some(position).into();
            self.ended.0.get_or_insert_default().push_back((position, Arc::clone(&stay.room)));
        }
    }

    /// The stay that ended first, if it ended at or before a position (`None`: whenever it ended), is forgotten.
    pub(crate) fn forget_stay(&mut self, up_to: Option<LogPosition>) -> Option<Forgotten> {
        let ended = self.ended.0.as_mut()?;
        let (left, _) = ended.front()?;
        if up_to.is_some_and(|up_to| *left > up_to) {
            return None;
        }
        let (left, room) = ended.pop_front()?;
        if ended.is_empty() {
            self.ended = Ended::default();
        }
        let at = self.stays_at(&room);
        // A room's stays ascend, so the one that ended first is its first.
        let joined = self.change_stays(|stays| stays.remove(at.start)).joined();
        Some(Forgotten { room, joined, left, last: at.len() == 1 })
    }

    /// They are kept without spare room: sessions are many and change their rooms seldom.
    fn change_stays<R>(&mut self, change: impl FnOnce(&mut Vec<Stay>) -> R) -> R {
        let mut stays = std::mem::take(&mut self.stays).into_vec();
        let result = change(&mut stays);
        self.stays = stays.into_boxed_slice();
        result
    }

    /// The rooms as clients know them: sorted, the own sid among them, without those that are the server's own.
    pub(crate) fn rooms(&self) -> Vec<Arc<str>> {
        let open = self.stays.iter().filter(|stay| stay.is_open() && !is_hidden(&stay.room));
        open.map(|stay| Arc::clone(&stay.room)).collect()
    }

    /// The rooms in which something may be said to it: those that it does not show as well, but for [`EVERYONE`].
    pub(crate) fn heard_rooms(&self) -> Vec<Arc<str>> {
        let open = self.stays.iter().filter(|stay| stay.is_open() && stay.room.as_ref() != EVERYONE);
        open.map(|stay| Arc::clone(&stay.room)).collect()
    }
}

impl Serialize for Ended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flat_map(|ended| ended.iter()))
    }
}

impl From<VecDeque<(LogPosition, Name)>> for Ended {
    fn from(ended: VecDeque<(LogPosition, Name)>) -> Self {
        let ended: Ends = ended.into_iter().map(|(left, room)| (left, room.into())).collect();
        Self((!ended.is_empty()).then(|| Box::new(ended)))
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
    /// When it last published, in cluster time; 0: it has not, or nobody noted it.
    pub last_active_ms: u64,
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        Self {
            sid: Arc::clone(&session.sid),
            namespace: Arc::clone(&session.namespace),
            user: session.user.clone(),
            rooms: session.rooms(),
            data: session.data.clone(),
            epoch: session.epoch,
            owner: session.owner,
            connected: session.deadline_ms.is_none(),
            deadline_ms: session.deadline_ms,
            started: session.started(),
            last_active_ms: session.last_active_ms,
        }
    }
}

/// See the module. The indexes hold exactly what the sessions say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sessions {
    #[serde(deserialize_with = "table::map")]
    sessions: OrdMap<PidHash, Arc<Session>>,
    #[serde(deserialize_with = "table::map_of::<_, NamePair, _, _>")]
    sids: OrdMap<RoomKey, PidHash>,
    /// Connected sessions by owner.
    #[serde(deserialize_with = "table::map_of_sets")]
    owned: OrdMap<Incarnation, OrdSet<PidHash>>,
    /// Disconnected sessions by deadline.
    #[serde(deserialize_with = "table::set")]
    deadlines: OrdSet<(u64, PidHash)>,
}

/// In which index a session is.
#[derive(Clone, Copy)]
enum Place {
    Owned(Incarnation),
    Until(u64),
}

impl Place {
    fn of(session: &Session) -> Self {
        session.deadline_ms.map_or(Self::Owned(session.owner), Self::Until)
    }
}

impl Sessions {
    pub(crate) fn get(&self, pid: &PidHash) -> Option<&Session> {
        self.sessions.get(pid).map(AsRef::as_ref)
    }

    /// For changes that touch no index.
    pub(crate) fn get_mut(&mut self, pid: &PidHash) -> Option<&mut Session> {
        self.sessions.get_mut(pid).map(Arc::make_mut)
    }

    pub(crate) fn by_sid(&self, namespace: &Arc<str>, sid: &Arc<str>) -> Option<PidHash> {
        self.sids.get(&(Arc::clone(namespace), Arc::clone(sid))).copied()
    }

    /// In whichever namespace: one step for each of them.
    pub(crate) fn by_sid_anywhere(&self, sid: &Arc<str>) -> Vec<PidHash> {
        let mut found = Vec::new();
        let mut from: Arc<str> = Arc::from("");
        while let Some(((namespace, _), _)) = self.sids.range((from, Arc::from(""))..).next() {
            found.extend(self.by_sid(namespace, sid));
            // The least name after it.
            from = format!("{namespace}\0").into();
        }
        found
    }

    pub(crate) fn insert(&mut self, pid: PidHash, session: Session) {
        self.sids.insert((Arc::clone(&session.namespace), Arc::clone(&session.sid)), pid);
        self.index(pid, Place::of(&session));
        self.sessions.insert(pid, Arc::new(session));
    }

    pub(crate) fn remove(&mut self, pid: &PidHash) -> Option<Arc<Session>> {
        let session = self.sessions.remove(pid)?;
        self.unindex(pid, Place::of(&session));
        self.sids.remove(&(Arc::clone(&session.namespace), Arc::clone(&session.sid)));
        Some(session)
    }

    /// Changes owner, epoch or deadline, and the indexes with them.
    pub(crate) fn change(&mut self, pid: &PidHash, change: impl FnOnce(&mut Session)) {
        let Some(session) = self.get_mut(pid) else { return };
        let before = Place::of(session);
        change(session);
        let after = Place::of(session);
        self.unindex(pid, before);
        self.index(*pid, after);
    }

    fn index(&mut self, pid: PidHash, place: Place) {
        match place {
            Place::Owned(owner) => drop(self.owned.entry(owner).or_default().insert(pid)),
            Place::Until(deadline) => drop(self.deadlines.insert((deadline, pid))),
        }
    }

    fn unindex(&mut self, pid: &PidHash, place: Place) {
        match place {
            Place::Owned(owner) => {
                if let Some(owned) = self.owned.get_mut(&owner) {
                    owned.remove(pid);
                    if owned.is_empty() {
                        self.owned.remove(&owner);
                    }
                }
            }
            Place::Until(deadline) => drop(self.deadlines.remove(&(deadline, *pid))),
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

    /// Disconnected sessions whose window ends after this.
    pub(crate) fn waiting_beyond(&self, deadline_ms: u64) -> u64 {
        let first = (deadline_ms.saturating_add(1), PidHash([0; 16]));
        self.deadlines.range(first..).count() as u64
    }

    /// The keys of sessions from one on, sorted.
    pub(crate) fn pids_from(&self, from: PidHash) -> impl Iterator<Item = PidHash> + '_ {
        self.sessions.range(from..).map(|(pid, _)| *pid)
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = PidHash> + '_ {
        self.sessions.keys().copied()
    }

    /// The session whose window ends first.
    pub(crate) fn first_deadline(&self) -> Option<(u64, PidHash)> {
        self.deadlines.get_min().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().map(AsRef::as_ref)
    }

    /// Only for a planted bug.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn lose_rooms(&mut self) {
        let pids: Vec<PidHash> = self.sessions.keys().copied().collect();
        for pid in &pids {
            if let Some(session) = self.get_mut(pid) {
                session.lose_rooms();
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn disconnected(&self) -> usize {
        self.deadlines.len()
    }
}
