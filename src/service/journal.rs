//! What this node remembers of resumes and of sockets that went, for an operator who asks: in memory, bounded, not in the log.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::state::{Epoch, LogPosition, PidHash, ResumeRefusal};

use super::link::CloseCause;
use crate::observability::unix_ms;

/// Resumes that a node remembers, of all sessions together; about 2 MiB of them.
pub const RESUMES_KEPT_MAX: usize = 16_384;
/// Sockets that went, of all sessions together, that a node remembers.
pub const DEPARTURES_KEPT_MAX: usize = 16_384;
/// Resumes, and sockets that went, of one session that are shown: the last ones.
pub const SHOWN_PER_SESSION_MAX: usize = 16;

/// What a resume came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeOutcome {
    /// The client has its session back.
    Recovered,
    /// There was no such session (any more): a new one.
    Unknown,
    /// Somebody else resumed it at the same moment: the client tries again.
    EpochMoved,
    /// Another user's, or another namespace's: a new one.
    Foreign,
    /// The offset is none of this history: a new one.
    BadOffset,
    /// Something that the client missed is no longer retained: a new one.
    Hole,
    /// Nothing was decided in time: no quorum, or the client went away.
    NotDecided,
}

impl ResumeOutcome {
    /// As the metric `vedfolnir_resumes_total` names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Unknown => "unknown",
            Self::EpochMoved => "epoch_moved",
            Self::Foreign => "foreign",
            Self::BadOffset => "bad_offset",
            Self::Hole => "hole",
            Self::NotDecided => "not_decided",
        }
    }
}

impl From<ResumeRefusal> for ResumeOutcome {
    fn from(refusal: ResumeRefusal) -> Self {
        match refusal {
            ResumeRefusal::Unknown => Self::Unknown,
            ResumeRefusal::EpochMoved => Self::EpochMoved,
            ResumeRefusal::Foreign => Self::Foreign,
            ResumeRefusal::BadOffset => Self::BadOffset,
            ResumeRefusal::Hole => Self::Hole,
        }
    }
}

/// A resume that was asked of this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumed {
    /// When, in milliseconds since 1970 by this node's clock.
    pub(crate) at_unix_ms: u64,
    /// The offset that the client sent; `None`: none, or none that can be read.
    pub(crate) from: Option<LogPosition>,
    /// What it came to.
    pub(crate) outcome: ResumeOutcome,
    /// Of a recovered one: the new epoch, where in the log it stands, and after which position it was replayed.
    pub(crate) recovered: Option<(Epoch, LogPosition, LogPosition)>,
    /// How long the decision took, in milliseconds.
    pub(crate) took_ms: u64,
}

/// A socket of this node that went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departed {
    /// When, in milliseconds since 1970 by this node's clock.
    pub(crate) at_unix_ms: u64,
    /// Under which epoch it was.
    pub(crate) epoch: Epoch,
    /// What had been taken for its transport.
    pub(crate) handed: LogPosition,
    /// Why this node closed it; `None`: its transport or client ended it.
    pub(crate) cause: Option<CloseCause>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    resumes: Mutex<Ring<Resumed>>,
    departures: Mutex<Ring<Departed>>,
}

impl Journal {
    /// A client asks for its session; what comes of it is remembered once the attempt is dropped.
    pub(crate) fn attempt(&self, pid: PidHash) -> Attempt<'_> {
        let note = Resumed {
            at_unix_ms: unix_ms(SystemTime::now()),
            from: None,
            outcome: ResumeOutcome::NotDecided,
            recovered: None,
            took_ms: 0,
        };
        Attempt { journal: self, pid, began: Instant::now(), note }
    }

    pub(crate) fn departed(&self, pid: PidHash, departed: Departed) {
        self.departures.lock().push(pid, departed, DEPARTURES_KEPT_MAX);
    }

    /// The last resumes of a session, and its last sockets that went; each the oldest first.
    pub(crate) fn of(&self, pid: &PidHash) -> (Vec<Resumed>, Vec<Departed>) {
        (self.resumes.lock().of(pid), self.departures.lock().of(pid))
    }
}

/// A resume that is being decided.
pub(crate) struct Attempt<'a> {
    journal: &'a Journal,
    pid: PidHash,
    began: Instant,
    pub(crate) note: Resumed,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.note.took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.journal.resumes.lock().push(self.pid, self.note, RESUMES_KEPT_MAX);
    }
}

/// The last so many of something, of all sessions.
#[derive(Debug)]
struct Ring<T>(VecDeque<(PidHash, T)>);

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Copy> Ring<T> {
    fn push(&mut self, pid: PidHash, item: T, kept_max: usize) {
        if self.0.len() >= kept_max {
            self.0.pop_front();
        }
        self.0.push_back((pid, item));
    }

    fn of(&self, pid: &PidHash) -> Vec<T> {
        let newest_first = self.0.iter().rev().filter(|(of, _)| of == pid).map(|(_, item)| *item);
        let mut items: Vec<T> = newest_first.take(SHOWN_PER_SESSION_MAX).collect();
        items.reverse();
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_session_are_shown_and_the_oldest_of_all_are_forgotten() {
        let mut ring = Ring::default();
        let (one, other) = (PidHash([1; 16]), PidHash([2; 16]));
        for item in 0..40 {
            ring.push(if item % 2 == 0 { one } else { other }, item, 36);
        }
        assert_eq!(ring.0.len(), 36);
        assert_eq!(ring.of(&one), (8..40).step_by(2).collect::<Vec<_>>(), "sixteen of them, in order");
        assert!(ring.of(&PidHash([3; 16])).is_empty());
        for item in 40..76 {
            ring.push(other, item, 36);
        }
        assert!(ring.of(&one).is_empty());
    }

    #[test]
    fn a_resume_of_which_nothing_came_is_remembered_as_undecided() {
        let journal = Journal::default();
        let pid = PidHash([1; 16]);
        drop(journal.attempt(pid));
        let mut attempt = journal.attempt(pid);
        attempt.note.outcome = ResumeRefusal::Hole.into();
        drop(attempt);
        let (resumes, departures) = journal.of(&pid);
        let outcomes: Vec<_> = resumes.iter().map(|resume| resume.outcome).collect();
        assert_eq!(outcomes, [ResumeOutcome::NotDecided, ResumeOutcome::Hole]);
        assert!(departures.is_empty());
    }
}
