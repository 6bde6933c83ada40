//! Presence: who is in a room, which users, how many. Read from one replica, a bounded page at a time.
//!
//! Members and users are kept in order, so a page costs what it shows, and counts cost a look-up. The one index that
//! exists for this is the number of sessions of each user in each room: without it, the users of a large room could be
//! told apart only by visiting every member. It costs one entry for each room and user, is derived from the sessions, and
//! is therefore in no snapshot. How many members of a room are connected is in no index: every disconnect would have to
//! touch every room of its session.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::Arc;

use crate::identifier::{Incarnation, PidHash};
use crate::limits;
use crate::room::{EVERYONE, RoomKey};
use crate::session::Session;
use crate::state::State;

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its public id.
    pub sid: Arc<str>,
    /// Its user.
    pub user: Option<Arc<str>>,
    /// Whether a transport is connected; otherwise it is inside its recovery window.
    pub connected: bool,
    /// Its owner, or its last one while it is disconnected.
    pub owner: Incarnation,
}

/// Where a page of members ended. It holds for as long as anything does: members that come and go do not invalidate it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MemberCursor(PidHash);

impl fmt::Debug for MemberCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberCursor(…)")
    }
}

/// Some members, in an order that does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberPage {
    /// The members.
    pub members: Vec<Member>,
    /// Where to go on; `None`: there is nobody more.
    pub next: Option<MemberCursor>,
}

/// A user in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSessions {
    /// Who.
    pub user: Arc<str>,
    /// With how many sessions, connected or inside their recovery window.
    pub sessions: u64,
}

/// Some users, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPage {
    /// The users.
    pub users: Vec<UserSessions>,
    /// The name after which to go on; `None`: there is nobody more.
    pub next: Option<Arc<str>>,
}

/// How many are in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomCount {
    /// Sessions, connected or inside their recovery window, with a user or without.
    pub sessions: u64,
    /// Different users among them.
    pub users: u64,
}

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The namespace.
    pub namespace: Arc<str>,
    /// Members of any of these rooms; empty: the whole namespace. At most [`limits::PRESENCE_ROOMS_MAX`] are looked at.
    pub rooms: Vec<Arc<str>>,
    /// But not members of these. At most [`limits::PRESENCE_ROOMS_MAX`] are looked at.
    pub except: Vec<Arc<str>>,
}

impl State {
    /// Some members, after a cursor: at most `members_max`, and never more than [`limits::PRESENCE_PAGE_MAX`]. A page may
    /// be empty and still name a `next`, after [`limits::PRESENCE_LOOKS_MAX`] members that were all left out.
    #[must_use]
    pub fn members(&self, audience: &Audience, after: Option<MemberCursor>, members_max: usize) -> MemberPage {
        let after = after.map(|MemberCursor(pid)| pid);
        let everyone = [Arc::from(EVERYONE)];
        let rooms = if audience.rooms.is_empty() { &everyone[..] } else { &audience.rooms };
        let keys = rooms.iter().take(limits::PRESENCE_ROOMS_MAX);
        let keys = keys.map(|room| (Arc::clone(&audience.namespace), Arc::clone(room)));
        let keys: Vec<RoomKey> = keys.collect();
        let mut lists: Vec<_> = keys.iter().map(|key| self.rooms.members_after(key, after)).collect();
        let mut heads = BinaryHeap::new();
        for (list, members) in lists.iter_mut().enumerate() {
            heads.extend(members.next().map(|pid| Reverse((pid, list))));
        }
        let members_max = members_max.clamp(1, limits::PRESENCE_PAGE_MAX);
        let (mut page, mut last, mut looked) = (MemberPage::default(), None, 0);
        while let Some(Reverse((pid, list))) = heads.pop() {
            if last != Some(pid) {
                if page.members.len() == members_max || looked == limits::PRESENCE_LOOKS_MAX {
                    page.next = last.map(MemberCursor);
                    break;
                }
                looked += 1;
                last = Some(pid);
                let session = self.sessions.get(&pid);
                page.members.extend(session.filter(|session| !is_in_any(session, &audience.except)).map(member));
            }
            heads.extend(lists[list].next().map(|pid| Reverse((pid, list))));
        }
        page
    }

    /// How many are in a room (`None`: in the namespace), at the cost of a look-up.
    #[must_use]
    pub fn room_count(&self, namespace: &Arc<str>, room: Option<&Arc<str>>) -> RoomCount {
        let (sessions, users) = self.rooms.count(&room_key(namespace, room));
        RoomCount { sessions, users }
    }

    /// How many sessions of a user are in a room (`None`: in the namespace), those that can still be resumed among them; at
    /// the cost of a look-up.
    #[must_use]
    pub fn user_sessions(&self, namespace: &Arc<str>, room: Option<&Arc<str>>, user: &Arc<str>) -> u64 {
        self.rooms.sessions_of(&room_key(namespace, room), user)
    }

    /// Some users of a room (`None`: of the namespace), after a name: at most `users_max`, and never more than
    /// [`limits::PRESENCE_PAGE_MAX`].
    #[must_use]
    pub fn room_users(
        &self,
        namespace: &Arc<str>,
        room: Option<&Arc<str>>,
        after: Option<&Arc<str>>,
        users_max: usize,
    ) -> UserPage {
        let users_max = users_max.clamp(1, limits::PRESENCE_PAGE_MAX);
        let key = room_key(namespace, room);
        let mut users = self.rooms.users_after(&key, after);
        let mut page = UserPage::default();
        page.users.extend(users.by_ref().take(users_max).map(|(user, sessions)| UserSessions { user, sessions }));
        if users.next().is_some() {
            page.next = page.users.last().map(|last| Arc::clone(&last.user));
        }
        page
    }
}

fn room_key(namespace: &Arc<str>, room: Option<&Arc<str>>) -> RoomKey {
    (Arc::clone(namespace), room.map_or_else(|| Arc::from(EVERYONE), Arc::clone))
}

fn is_in_any(session: &Session, rooms: &[Arc<str>]) -> bool {
    rooms.iter().take(limits::PRESENCE_ROOMS_MAX).any(|room| session.is_member(room))
}

fn member(session: &Session) -> Member {
    Member {
        sid: Arc::clone(&session.sid),
        user: session.user.clone(),
        connected: session.deadline_ms.is_none(),
        owner: session.owner,
    }
}
