//! A state with less in it, for backups that are not to hold everything.

use std::sync::Arc;

use crate::room::{EVERYONE, Rooms};
use crate::session::Sessions;
use crate::state::State;

/// What of the sessions is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Sessions at all: without them nobody resumes.
    pub sessions: bool,
    /// The rooms that they are in.
    pub rooms: bool,
}

impl Default for Contents {
    fn default() -> Self {
        Self { sessions: true, rooms: true }
    }
}

impl State {
    /// The state with only that in it. History, store, events, keys and time stay as they are. A session without its rooms left them
    /// at the last position: what it missed until then it is still owed.
    #[must_use]
    pub fn with(mut self, contents: Contents) -> Self {
        if !contents.sessions {
            self.sessions = Sessions::default();
            self.rooms = Rooms::default();
        } else if !contents.rooms {
            self.leave_rooms();
        }
        self
    }

    fn leave_rooms(&mut self) {
        let position = self.applied();
        let pids: Vec<_> = self.sessions.pids().collect();
        for pid in pids {
            let Some(session) = self.sessions.get(&pid) else { continue };
            let own = [EVERYONE, &*session.sid];
            let rooms: Vec<_> = session.rooms().into_iter().filter(|room| !own.contains(&&**room)).collect();
            let (namespace, user) = (Arc::clone(&session.namespace), session.user.clone());
            for room in rooms {
                if let Some(session) = self.sessions.get_mut(&pid) {
                    session.leave(&room, position);
                }
                self.rooms.leave(&(Arc::clone(&namespace), room), &pid, user.as_ref());
            }
        }
    }
}
