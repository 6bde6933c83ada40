//! The room of each user: every session of a user is in it, and nobody enters or leaves it otherwise. What is for a user is
//! for a room, then, and replay, retention and delivery know no other kind of audience.

use std::sync::Arc;

use crate::effect::Effect;
use crate::format::Format;
use crate::identifier::{LogPosition, PidHash};
use crate::limits;
use crate::room::user_room;
use crate::state::{Effects, State};

impl State {
    /// The cluster's format rises, or stays.
    pub(crate) fn raise_format(&mut self, format: Format, effects: &mut Effects) {
        let had_user_rooms = self.format >= Format::MANAGED;
        self.format = self.format.max(format);
        if !had_user_rooms && self.format >= Format::MANAGED {
            self.vacate_reserved_rooms(effects);
            self.rooms.adopt_from = (self.sessions.len() > 0).then_some(PidHash([0; 16]));
        }
    }

    /// Until now clients could call a room as they liked: whoever gave it a name that is the server's own from here on would
    /// hear what is for others.
    fn vacate_reserved_rooms(&mut self, effects: &mut Effects) {
        for key in self.rooms.reserved() {
            let members: Vec<PidHash> = self.rooms.members(&key).collect();
            for pid in members {
                let Some(session) = self.sessions.get_mut(&pid) else { continue };
                session.leave(&key.1, effects.position);
                let user = session.user.clone();
                self.rooms.leave(&key, &pid, user.as_ref());
                self.forget_old_stays(&pid);
                effects.push(Effect::Left { pid, room: Arc::clone(&key.1) });
            }
        }
    }

    /// Puts some sessions that began before there were such rooms into those of their users; false: all are in.
    pub(crate) fn adopt_some(&mut self, effects: &mut Effects) -> bool {
        let Some(from) = self.rooms.adopt_from else { return false };
        let mut pids: Vec<PidHash> = self.sessions.pids_from(from).take(limits::ADOPTED_PER_TICK_MAX + 1).collect();
        self.rooms.adopt_from = (pids.len() > limits::ADOPTED_PER_TICK_MAX).then(|| pids.pop()).flatten();
        for pid in pids {
            if let Some(room) = self.enter_user_room(&pid, effects.position) {
                effects.push(Effect::Joined { pid, room });
            }
        }
        self.rooms.adopt_from.is_some()
    }

    /// A session enters its user's room; `None`: it has no user, is in it, or there are no such rooms yet.
    pub(crate) fn enter_user_room(&mut self, pid: &PidHash, position: LogPosition) -> Option<Arc<str>> {
        if self.format < Format::MANAGED {
            return None;
        }
        let session = self.sessions.get(pid)?;
        let user = session.user.clone()?;
        let room = user_room(&user);
        if session.is_member(&room) {
            return None;
        }
        let key = self.rooms.intern((Arc::clone(&session.namespace), room));
        let first_stay = self.sessions.get_mut(pid)?.join(Arc::clone(&key.1), position);
        self.rooms.enter(&key, *pid, Some(&user), first_stay);
        Some(key.1)
    }
}
