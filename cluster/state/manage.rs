//! Sessions that are changed from outside: they enter rooms, leave them, or end, whoever owns them.
//!
//! Whom a command concerns is found where it stands in the order: what was committed before is in it, on whichever node, and
//! no replica has to be asked first. A command changes so many sessions at most; the next goes on behind them.

use std::sync::Arc;

use crate::command::{Change, Manage, Whom};
use crate::effect::EndReason;
use crate::format::Format;
use crate::identifier::PidHash;
use crate::limits;
use crate::presence::Audience;
use crate::response::{Refusal, Response};
use crate::room::{is_addressable, is_enterable};
use crate::state::{Effects, State};

impl Change {
    /// How many sessions one command changes at most.
    #[must_use]
    pub fn sessions_max(&self) -> usize {
        match self {
            Self::Join(rooms) | Self::Leave(rooms) => {
                (limits::MANAGE_CHANGES_MAX / rooms.len().max(1)).clamp(1, limits::MANAGE_SESSIONS_MAX)
            }
            Self::Disconnect => limits::MANAGE_SESSIONS_MAX,
        }
    }

    fn is_fit(&self) -> bool {
        match self {
            Self::Join(rooms) | Self::Leave(rooms) => {
                (1..=limits::MANAGE_ROOMS_MAX).contains(&rooms.len()) && rooms.iter().all(|room| is_enterable(room))
            }
            Self::Disconnect => true,
        }
    }
}

impl Whom {
    fn is_fit(&self) -> bool {
        match self {
            Self::Session(_) => true,
            // Nothing is everybody's room by an empty name: whoever leaves out the rooms means the namespace.
            Self::Members { rooms, except, .. } => [rooms, except].into_iter().all(|names| {
                names.len() <= limits::PRESENCE_ROOMS_MAX && names.iter().all(|room| is_addressable(room))
            }),
        }
    }
}

impl State {
    pub(crate) fn manage(&mut self, manage: Manage, effects: &mut Effects) -> Response {
        let Manage { namespace, whom, change } = manage;
        if self.format < Format::MANAGED {
            return Response::Refused(Refusal::NotAllowed);
        }
        if !change.is_fit() || !whom.is_fit() {
            return Response::Refused(Refusal::LimitExceeded);
        }
        let (pids, next) = match whom {
            Whom::Session(sid) => (self.sessions.by_sid(&namespace, &sid).into_iter().collect(), None),
            Whom::Members { rooms, except, after } => {
                let audience = Audience { namespace, rooms, except };
                self.page(&audience, after, change.sessions_max(), usize::MAX, |pid, _| Some((pid, 0)))
            }
        };
        let concerned = pids.len() as u64;
        let refused = pids.into_iter().filter(|pid| !self.change(*pid, &change, effects)).count() as u64;
        Response::Managed { sessions: concerned - refused, refused, next }
    }

    /// False: not all of it could be done.
    fn change(&mut self, pid: PidHash, change: &Change, effects: &mut Effects) -> bool {
        match change {
            Change::Join(rooms) => {
                let entered = rooms.iter().filter(|room| self.enter(pid, Arc::clone(room), effects) == Response::Done);
                entered.count() == rooms.len()
            }
            Change::Leave(rooms) => {
                for room in rooms {
                    // Its own room it does not leave, whoever else does.
                    self.exit(pid, room, effects);
                }
                true
            }
            Change::Disconnect => {
                self.end(pid, EndReason::Closed, effects);
                true
            }
        }
    }
}
