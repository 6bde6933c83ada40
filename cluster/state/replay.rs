//! Replay: what a session missed, by its stays at each record's position, at the cost of what it missed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::Record;
use crate::identifier::{LogPosition, PidHash};
use crate::limits::REPLAY_POSITIONS_MAX;
use crate::session::Session;
use crate::state::State;

/// One step of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// What the session is to see, in order.
    pub records: Vec<(LogPosition, Arc<Record>)>,
    /// Everything for the session after the asked position and up to here is in `records`.
    pub reached: LogPosition,
    /// `reached` is all that has been applied.
    pub complete: bool,
    /// Something after the asked position may have been dropped from the history.
    pub hole: bool,
}

impl State {
    /// What a session missed after a position, up to about `bytes_max` (at least one record). `None`: no such session.
    #[must_use]
    pub fn replay(&self, pid: &PidHash, after: LogPosition, bytes_max: usize) -> Option<Replay> {
        let session = self.sessions.get(pid)?;
        let applied = self.applied();
        let mut reached = applied;
        #[cfg(feature = "planted-bugs")]
        let after = crate::planted::seam(after);
        let mut positions = BTreeSet::new();
        for (name, stays) in session.stays_by_room() {
            let key = (Arc::clone(&session.namespace), Arc::clone(name));
            for (looked, position) in self.rooms.records_after(&key, after).enumerate() {
                if looked == REPLAY_POSITIONS_MAX {
                    // This room has more: nothing beyond its last look may be delivered in this step.
                    reached = reached.min(positions_before(position));
                    break;
                }
                let covered = stays.iter().any(|stay| stay.covers(position));
                #[cfg(feature = "planted-bugs")]
                let covered = crate::planted::covered(covered, session.is_member(name));
                if covered {
                    positions.insert(position);
                }
            }
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        for position in positions.range(..=reached) {
            let Some(record) = self.history.get(*position) else { continue };
            let excepted = record.except.iter().any(|room| session.was_member_at(room, *position));
            #[cfg(feature = "planted-bugs")]
            let excepted = crate::planted::excepted(excepted);
            if excepted {
                continue;
            }
            bytes += record.payload.text.len() + record.payload.attachments.iter().map(|a| a.len()).sum::<usize>();
            if bytes > bytes_max && !records.is_empty() {
                reached = positions_before(*position);
                break;
            }
            records.push((*position, Arc::clone(record)));
        }
        Some(Replay { records, reached, complete: reached == applied, hole: self.has_hole(session, after) })
    }

    /// Whether something for the session after the position may have been dropped. Errs only towards yes.
    pub(crate) fn has_hole(&self, session: &Session, after: LogPosition) -> bool {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_hole_not_said() {
            return false;
        }
        if after >= self.history.floor() {
            return false;
        }
        if session.pruned_visible() > after {
            return true;
        }
        session.stays_by_room().any(|(name, stays)| {
            let key = (Arc::clone(&session.namespace), Arc::clone(name));
            let Some(pruned) = self.rooms.pruned_for(&key, &session.sid) else { return false };
            // The room remembers only its last dropped record: of a stay that ended before it, an earlier one may be
            // gone as well.
            stays.iter().any(|stay| {
                let seen = after.max(stay.joined());
                pruned > seen && stay.left().is_none_or(|left| left > seen)
            })
        })
    }
}

/// The greatest position below this one.
fn positions_before(position: LogPosition) -> LogPosition {
    match position.ordinal.checked_sub(1) {
        Some(ordinal) => LogPosition { ordinal, ..position },
        None => LogPosition::end_of(position.index.saturating_sub(1)),
    }
}
