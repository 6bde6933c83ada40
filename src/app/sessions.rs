//! The sessions of a namespace, with all that is known of them, on whichever node they are; from this node's replica.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use vedfolnir_cluster::state::{MemberCursor, SessionFilter, SessionView, State, is_reserved_room};

use super::read::{Read, ReadError};
use crate::service::{self, session_data};

/// A session, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSession {
    /// What is known of it; its data are the application's.
    pub session: SessionView,
    /// The `server_id` of its node, or of its last one while it is disconnected; `None`: that is a member no more.
    pub node: Option<String>,
}

impl FoundSession {
    fn of(state: &State, mut session: SessionView) -> Self {
        session.data = session_data::app(&session.data);
        let node = state.node_info(session.owner.node).map(|(_, info)| info.server_id.clone());
        Self { session, node }
    }
}

/// Some sessions, in an order that does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundSessions {
    /// The sessions.
    pub sessions: Vec<FoundSession>,
    /// Where to go on; `None`: there is nobody more. A page may be empty and still have one.
    pub next: Option<MemberCursor>,
}

/// A page of sessions, read when it is awaited.
#[must_use = "a read does nothing until it is awaited"]
pub struct FetchSessions {
    service: Arc<service::Inner>,
    namespace: Arc<str>,
    filter: SessionFilter,
    after: Option<MemberCursor>,
    sessions_max: usize,
    linearizable: bool,
}

impl FetchSessions {
    pub(crate) fn new(service: &Arc<service::Inner>, namespace: Arc<str>) -> Self {
        Self {
            service: Arc::clone(service),
            namespace,
            filter: SessionFilter::default(),
            after: None,
            sessions_max: 100,
            linearizable: false,
        }
    }

    /// Only those in this room.
    pub fn in_room(mut self, room: impl Into<Arc<str>>) -> Self {
        self.filter.room = Some(room.into());
        self
    }

    /// Only those of this user.
    pub fn of_user(mut self, user: impl Into<Arc<str>>) -> Self {
        self.filter.user = Some(user.into());
        self
    }

    /// Only those that are connected, or only those that are inside their recovery window.
    pub fn connected(mut self, is_connected: bool) -> Self {
        self.filter.connected = Some(is_connected);
        self
    }

    /// Goes on where a page ended. Pages are no snapshot: whoever comes or goes between two of them may be in either.
    pub fn after(mut self, cursor: MemberCursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// At most so many, 100 unless said; never more than 1000, or about 1 MiB.
    pub fn limit(mut self, sessions_max: usize) -> Self {
        self.sessions_max = sessions_max;
        self
    }

    /// See [`Read::linearizable`].
    pub fn linearizable(mut self) -> Self {
        self.linearizable = true;
        self
    }
}

impl IntoFuture for FetchSessions {
    type Output = Result<FoundSessions, ReadError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { service, namespace, filter, after, sessions_max, linearizable } = self;
        let read = Read::new(&service, move |state| {
            if filter.room.as_deref().is_some_and(is_reserved_room) {
                return Err(ReadError::ReservedRoom);
            }
            let page = state.session_page(&namespace, &filter, after, sessions_max);
            let sessions = page.sessions.into_iter().map(|session| FoundSession::of(state, session)).collect();
            Ok(FoundSessions { sessions, next: page.next })
        });
        if linearizable { read.linearizable().into_future() } else { read.into_future() }
    }
}

/// The session with a sid.
pub(crate) fn one(service: &Arc<service::Inner>, namespace: Arc<str>, sid: Arc<str>) -> Read<Option<FoundSession>> {
    Read::new(service, move |state| {
        let session = state.session_by_sid(&namespace, &sid).and_then(|pid| state.session(&pid));
        Ok(session.map(|session| FoundSession::of(state, session)))
    })
}

impl fmt::Debug for FetchSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchSessions")
            .field("namespace", &self.namespace)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}
