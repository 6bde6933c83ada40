//! Presence: who is in a room or namespace, on whichever node; answered by this node's replica, never by asking around.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use vedfolnir_cluster::state::{
    Audience, MemberCursor, MemberPage, RoomCount, UserPage, is_reserved_room, limits, user_room,
};

use super::emit::Emitter;
use super::read::{Read, ReadError};
use crate::service;

/// Whom a question is about: a namespace, narrowed to rooms.
///
/// A member is whoever has joined and neither left nor ended. A client that is disconnected but can still come back is a
/// member too, and is shown as such.
#[derive(Clone)]
#[must_use = "ask it something"]
pub struct Presence {
    service: Arc<service::Inner>,
    audience: Audience,
    /// A room of the server's own is among those that were named.
    names_reserved: bool,
}

impl Presence {
    pub(crate) fn new(service: &Arc<service::Inner>, audience: Audience, names_reserved: bool) -> Self {
        Self { service: Arc::clone(service), audience, names_reserved }
    }

    /// Also who is in this room; without any room: the whole namespace.
    pub fn to(mut self, room: impl Into<Arc<str>>) -> Self {
        let room = room.into();
        self.names_reserved |= is_reserved_room(&room);
        self.audience.rooms.push(room);
        self
    }

    /// Also every client of this user.
    pub fn to_user(mut self, user: impl AsRef<str>) -> Self {
        self.audience.rooms.push(user_room(user.as_ref()));
        self
    }

    /// But nobody who is in this room.
    pub fn except(mut self, room: impl Into<Arc<str>>) -> Self {
        let room = room.into();
        self.names_reserved |= is_reserved_room(&room);
        self.audience.except.push(room);
        self
    }

    /// But no client of this user.
    pub fn except_user(mut self, user: impl AsRef<str>) -> Self {
        self.audience.except.push(user_room(user.as_ref()));
        self
    }

    /// The members, a page at a time.
    pub fn fetch_sockets(self) -> FetchSockets {
        FetchSockets { presence: self, after: None, sockets_max: limits::PRESENCE_PAGE_MAX, linearizable: false }
    }

    /// How many sessions and users are in the room, or in the namespace, at the cost of a look-up.
    ///
    /// # Errors
    /// [`ReadError::TooBroad`] for several rooms or with exceptions. A user's clients are counted as a room is: the users in it
    /// are not told.
    pub fn count(self) -> Read<RoomCount> {
        let Self { service, audience, names_reserved } = self;
        Read::new(&service, move |state| {
            let room = single_room(&audience, names_reserved)?;
            Ok(state.room_count(&audience.namespace, room))
        })
    }

    /// How many sessions of a user are in the room, or in the namespace, at the cost of a look-up.
    ///
    /// # Errors
    /// [`ReadError::TooBroad`] for several rooms or with exceptions.
    pub fn sessions_of(self, user: impl Into<Arc<str>>) -> Read<u64> {
        let (Self { service, audience, names_reserved }, user) = (self, user.into());
        Read::new(&service, move |state| {
            let room = single_room(&audience, names_reserved)?;
            Ok(state.user_sessions(&audience.namespace, room, &user))
        })
    }

    /// The users in the room, or in the namespace, with the number of their sessions, a page at a time. Sessions without a
    /// user are not among them.
    pub fn users(self) -> FetchUsers {
        FetchUsers { presence: self, after: None, users_max: limits::PRESENCE_PAGE_MAX, linearizable: false }
    }
}

/// The one room (`None`: the namespace), if the question is about no more than that.
fn single_room(audience: &Audience, names_reserved: bool) -> Result<Option<&Arc<str>>, ReadError> {
    if names_reserved {
        return Err(ReadError::ReservedRoom);
    }
    match (&audience.rooms[..], &audience.except[..]) {
        ([], []) => Ok(None),
        ([room], []) => Ok(Some(room)),
        _ => Err(ReadError::TooBroad),
    }
}

/// A page of members, read when it is awaited.
#[derive(Debug)]
#[must_use = "a read does nothing until it is awaited"]
pub struct FetchSockets {
    presence: Presence,
    after: Option<MemberCursor>,
    sockets_max: usize,
    linearizable: bool,
}

impl FetchSockets {
    /// Goes on where a page ended. Pages are no snapshot: whoever comes or goes between two of them may be in either.
    pub fn after(mut self, cursor: MemberCursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// At most so many; never more than 1000.
    pub fn limit(mut self, sockets_max: usize) -> Self {
        self.sockets_max = sockets_max;
        self
    }

    /// See [`Read::linearizable`].
    pub fn linearizable(mut self) -> Self {
        self.linearizable = true;
        self
    }
}

impl IntoFuture for FetchSockets {
    type Output = Result<MemberPage, ReadError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { presence: Presence { service, audience, names_reserved }, after, sockets_max, linearizable } = self;
        let read = Read::new(&service, move |state| {
            if names_reserved {
                return Err(ReadError::ReservedRoom);
            }
            if audience.rooms.len() > limits::PRESENCE_ROOMS_MAX || audience.except.len() > limits::PRESENCE_ROOMS_MAX {
                return Err(ReadError::TooBroad);
            }
            Ok(state.members(&audience, after, sockets_max))
        });
        if linearizable { read.linearizable().into_future() } else { read.into_future() }
    }
}

/// A page of users, read when it is awaited.
#[derive(Debug)]
#[must_use = "a read does nothing until it is awaited"]
pub struct FetchUsers {
    presence: Presence,
    after: Option<Arc<str>>,
    users_max: usize,
    linearizable: bool,
}

impl FetchUsers {
    /// Goes on after a name.
    pub fn after(mut self, user: impl Into<Arc<str>>) -> Self {
        self.after = Some(user.into());
        self
    }

    /// At most so many; never more than 1000.
    pub fn limit(mut self, users_max: usize) -> Self {
        self.users_max = users_max;
        self
    }

    /// See [`Read::linearizable`].
    pub fn linearizable(mut self) -> Self {
        self.linearizable = true;
        self
    }
}

impl IntoFuture for FetchUsers {
    type Output = Result<UserPage, ReadError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { presence: Presence { service, audience, names_reserved }, after, users_max, linearizable } = self;
        let read = Read::new(&service, move |state| {
            let room = single_room(&audience, names_reserved)?;
            Ok(state.room_users(&audience.namespace, room, after.as_ref(), users_max))
        });
        if linearizable { read.linearizable().into_future() } else { read.into_future() }
    }
}

/// Questions about those whom an emit would go to.
impl Emitter {
    /// See [`Presence::fetch_sockets`].
    pub fn fetch_sockets(&self) -> FetchSockets {
        self.presence().fetch_sockets()
    }

    /// See [`Presence::count`].
    pub fn count(&self) -> Read<RoomCount> {
        self.presence().count()
    }

    /// See [`Presence::sessions_of`].
    pub fn sessions_of(&self, user: impl Into<Arc<str>>) -> Read<u64> {
        self.presence().sessions_of(user)
    }

    /// See [`Presence::users`].
    pub fn users(&self) -> FetchUsers {
        self.presence().users()
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("audience", &self.audience).finish_non_exhaustive()
    }
}
