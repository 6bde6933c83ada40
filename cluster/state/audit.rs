//! What was committed for one session, by its stays at each record's position: the replicated half of a delivery audit.

use std::sync::Arc;

use crate::command::Record;
use crate::effect::EndReason;
use crate::event::EventKind;
use crate::identifier::{LogPosition, PidHash};
use crate::session::SessionView;
use crate::state::State;

/// Records of one room that an audit looks at, newest first.
pub const AUDIT_RECORDS_MAX: usize = 1 << 20;

/// What the replica says of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The session.
    pub session: SessionView,
    /// Where each retained record is that is for it, in order.
    pub positions: Vec<LogPosition>,
    /// The last of these records.
    pub latest: Vec<(LogPosition, Arc<Record>)>,
    /// Something for it before `counted_after` may have been there as well: the history keeps it no longer, or it was too
    /// much to look at.
    pub incomplete: bool,
    /// Everything for it after this is in `positions`.
    pub counted_after: LogPosition,
}

/// How a session came to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// Where in the log.
    pub position: LogPosition,
    /// How long ago, in milliseconds of cluster time.
    pub ago_ms: u64,
    /// Why.
    pub reason: EndReason,
}

impl State {
    /// The sessions that go by a sid in any namespace, or in one; by namespace. More than one only by a chance that random
    /// sids do not leave.
    #[must_use]
    pub fn sessions_called(&self, sid: &Arc<str>, namespace: Option<&Arc<str>>) -> Vec<PidHash> {
        match namespace {
            Some(namespace) => self.sessions.by_sid(namespace, sid).into_iter().collect(),
            None => self.sessions.by_sid_anywhere(sid),
        }
    }

    /// What was committed for a session since it began, with the last `latest_max` records themselves. `None`: no such
    /// session. Costs time for each retained record of its rooms.
    #[must_use]
    pub fn audit(&self, pid: &PidHash, latest_max: usize) -> Option<Audit> {
        let (session, view) = (self.sessions.get(pid)?, self.session(pid)?);
        let started = session.started();
        let mut counted_after = started;
        let mut positions = Vec::new();
        for (name, stays) in session.stays_by_room() {
            let key = (Arc::clone(&session.namespace), Arc::clone(name));
            for (looked, position) in self.rooms.records_after(&key, started).rev().enumerate() {
                if looked == AUDIT_RECORDS_MAX {
                    counted_after = counted_after.max(position);
                    break;
                }
                if stays.iter().any(|stay| stay.covers(position)) {
                    positions.push(position);
                }
            }
        }
        positions.sort_unstable();
        positions.dedup();
        positions.retain(|position| {
            let excepted = |record: &Record| record.except.iter().any(|room| session.was_member_at(room, *position));
            *position > counted_after && self.history.get(*position).is_some_and(|record| !excepted(record))
        });
        if self.has_hole(session, started) {
            counted_after = counted_after.max(self.history.floor());
        }
        let incomplete = counted_after > started;
        let first_shown = positions.len().saturating_sub(latest_max);
        let latest = positions[first_shown..].iter();
        let latest =
            latest.filter_map(|position| Some((*position, Arc::clone(self.history.get(*position)?)))).collect();
        Some(Audit { session: view, positions, latest, incomplete, counted_after })
    }

    /// How the session that went by a sid ended; `None`: it has not, or the events do not reach back so far.
    #[must_use]
    pub fn end_of_session(&self, sid: &str) -> Option<SessionEnd> {
        self.events_newest_first().find_map(|event| {
            let reason = match &event.kind {
                EventKind::Expired { session } if session.sid.as_ref() == sid => EndReason::Expired,
                EventKind::Closed { session } if session.sid.as_ref() == sid => EndReason::Closed,
                _ => return None,
            };
            let ago_ms = self.cluster_time_ms().saturating_sub(event.at_ms);
            Some(SessionEnd { position: event.id.position, ago_ms, reason })
        })
    }
}
