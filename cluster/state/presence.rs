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

use serde::{Deserialize, Serialize};

use crate::identifier::{Incarnation, PidHash};
use crate::limits;
use crate::room::{EVERYONE, RoomKey, user_room};
use crate::session::{Session, SessionView};
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
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCursor(PidHash);

impl MemberCursor {
    /// For whoever hands it out of the process and takes it back. It says nothing of any secret: a hash of one is cut short
    /// in it.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        let Self(PidHash(bytes)) = self;
        bytes
    }

    /// As it was handed out; any bytes are a place in the order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(PidHash(bytes))
    }
}

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

/// Which sessions of a namespace a list shows; nothing: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those in this room.
    pub room: Option<Arc<str>>,
    /// Those of this user.
    pub user: Option<Arc<str>>,
    /// Those whose transport is connected, or those inside their recovery window.
    pub connected: Option<bool>,
}

/// Some sessions, in an order that does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionView>,
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
        let (members, next) =
            self.page(audience, after, members_max, usize::MAX, |_, session| Some((member(session), 0)));
        MemberPage { members, next }
    }

    /// Some sessions of a namespace with all that is known of them, after a cursor: at most `sessions_max`, and never more
    /// than [`limits::PRESENCE_PAGE_MAX`] or [`limits::SESSIONS_PAGE_BYTES_MAX`]. A page may be empty and still name a `next`,
    /// as that of [`State::members`].
    #[must_use]
    pub fn session_page(
        &self,
        namespace: &Arc<str>,
        filter: &SessionFilter,
        after: Option<MemberCursor>,
        sessions_max: usize,
    ) -> SessionPage {
        let SessionFilter { room, user, connected } = filter;
        // A user has fewer sessions than most rooms.
        let base = user.as_deref().map(user_room).or_else(|| room.clone());
        let audience =
            Audience { namespace: Arc::clone(namespace), rooms: base.into_iter().collect(), except: Vec::new() };
        let (sessions, next) =
            self.page(&audience, after, sessions_max, limits::SESSIONS_PAGE_BYTES_MAX, |_, session| {
                let is_asked = room.as_ref().is_none_or(|room| session.is_member(room))
                    && connected.is_none_or(|connected| connected == session.deadline_ms.is_none());
                is_asked.then(|| {
                    let view = SessionView::from(session);
                    let bytes = view.data.len() + view.rooms.iter().map(|room| room.len()).sum::<usize>();
                    (view, bytes)
                })
            });
        SessionPage { sessions, next }
    }

    /// What `pick` makes of the members, with what it weighs, until there is enough of it or so many were looked at. Each
    /// page has at least one, if there is any.
    pub(crate) fn page<T>(
        &self,
        audience: &Audience,
        after: Option<MemberCursor>,
        members_max: usize,
        bytes_max: usize,
        mut pick: impl FnMut(PidHash, &Session) -> Option<(T, usize)>,
    ) -> (Vec<T>, Option<MemberCursor>) {
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
        let (mut picked, mut bytes, mut next) = (Vec::new(), 0_usize, None);
        let (mut last, mut looked) = (None, 0);
        while let Some(Reverse((pid, list))) = heads.pop() {
            if last != Some(pid) {
                if picked.len() == members_max || bytes >= bytes_max || looked == limits::PRESENCE_LOOKS_MAX {
                    next = last.map(MemberCursor);
                    break;
                }
                looked += 1;
                last = Some(pid);
                let session = self.sessions.get(&pid).filter(|session| !is_in_any(session, &audience.except));
                if let Some((one, its_bytes)) = session.and_then(|session| pick(pid, session)) {
                    picked.push(one);
                    bytes = bytes.saturating_add(its_bytes);
                }
            }
            heads.extend(lists[list].next().map(|pid| Reverse((pid, list))));
        }
        (picked, next)
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
