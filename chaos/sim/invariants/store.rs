//! Invariant I1, key-value store: the operations on each key are linearizable, and each write has a revision of its own.

use std::collections::BTreeMap;

use vedfolnir_chaos::linearizability::{self, Step};
use vedfolnir_cluster::state::LogPosition;

use super::timed;

pub use vedfolnir_chaos::linearizability::OPERATIONS_MAX;

/// Names a write: it is the value that was written.
pub type Write = u64;

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything or nothing.
    Anything,
    /// Nothing.
    Absent,
    /// What was written here.
    Revision(LogPosition),
}

/// What was asked of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// It is read, linearizably.
    Get,
    /// It is written, if what is there is as expected.
    Put {
        /// Which write.
        write: Write,
        /// What must be there.
        expected: Expected,
    },
    /// It is removed, if what is there is as expected.
    Delete {
        /// What must be there.
        expected: Expected,
    },
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Whose value is there, and where it was written; `None`: nothing is there.
    Seen(Option<(Write, LogPosition)>),
    /// Written, here.
    Stored(LogPosition),
    /// Removed, and whether anything was there.
    Deleted {
        /// Whether there was.
        existed: bool,
    },
    /// It is not as expected.
    Conflict {
        /// Where what is there was written; `None`: nothing is there.
        current: Option<LogPosition>,
    },
}

/// One operation on a key.
pub type Operation = super::Operation<Call, Answer>;

/// What was found out about a key's operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order explains every answer.
    Linearizable,
    /// None does.
    NotLinearizable,
    /// A write was said to be at two places, or two at one.
    Revisions(LogPosition),
    /// More than [`OPERATIONS_MAX`].
    TooMany,
}

/// Judges all operations on one key.
#[must_use]
pub fn judge(operations: &[Operation]) -> Verdict {
    let writes = match Writes::of(operations) {
        Ok(writes) => writes,
        Err(revision) => return Verdict::Revisions(revision),
    };
    match linearizability::is_linearizable(None, &timed(operations), |held, operation| writes.step(held, operation)) {
        Some(true) => Verdict::Linearizable,
        Some(false) => Verdict::NotLinearizable,
        None => Verdict::TooMany,
    }
}

/// Which write has which revision, as far as anybody was told.
struct Writes(BTreeMap<LogPosition, Write>);

impl Writes {
    /// Or a revision that contradicts another answer.
    fn of(operations: &[Operation]) -> Result<Self, LogPosition> {
        let (mut writes, mut revisions) = (BTreeMap::new(), BTreeMap::new());
        for operation in operations {
            let told = match (operation.call, operation.answer) {
                (Call::Put { write, .. }, Some(Answer::Stored(revision))) => Some((write, revision)),
                (Call::Get, Some(Answer::Seen(seen))) => seen,
                _ => None,
            };
            if let Some((write, revision)) = told
                && (*writes.entry(revision).or_insert(write) != write
                    || *revisions.entry(write).or_insert(revision) != revision)
            {
                return Err(revision);
            }
        }
        Ok(Self(writes))
    }

    /// Whether what is there may be what stands at this revision: of one that nobody was told anything else of, it may be
    /// any write.
    fn may_be(&self, held: Option<Write>, revision: Option<LogPosition>) -> bool {
        match (held, revision) {
            (None, None) => true,
            (Some(held), Some(revision)) => self.0.get(&revision).is_none_or(|write| *write == held),
            _ => false,
        }
    }

    /// `None`: nobody was told whose the expected revision is.
    fn is_met(&self, held: Option<Write>, expected: Expected) -> Option<bool> {
        match (expected, held) {
            (Expected::Anything, _) => Some(true),
            (Expected::Absent, held) => Some(held.is_none()),
            (Expected::Revision(_), None) => Some(false),
            (Expected::Revision(revision), Some(held)) => self.0.get(&revision).map(|write| *write == held),
        }
    }

    fn step(&self, held: Option<Write>, operation: &Operation) -> Step<Option<Write>> {
        let (after, expected) = match operation.call {
            Call::Get => {
                return match operation.answer {
                    None => Step::Same,
                    Some(Answer::Seen(seen)) if seen.map(|(write, _)| write) == held => Step::Same,
                    Some(_) => Step::Impossible,
                };
            }
            Call::Put { write, expected } => (Some(write), expected),
            Call::Delete { expected } => (None, expected),
        };
        let is_met = self.is_met(held, expected);
        let (may_be_met, may_be_unmet) = (is_met.unwrap_or(true), !is_met.unwrap_or(false));
        match operation.answer {
            None if may_be_met => Step::To(after),
            None => Step::Same,
            Some(Answer::Stored(_)) if may_be_met && after.is_some() => Step::To(after),
            Some(Answer::Deleted { existed }) if may_be_met && after.is_none() && existed == held.is_some() => {
                Step::To(after)
            }
            Some(Answer::Conflict { current }) if may_be_unmet && self.may_be(held, current) => Step::Same,
            Some(_) => Step::Impossible,
        }
    }
}
