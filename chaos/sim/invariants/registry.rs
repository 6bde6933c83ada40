//! Invariant I1, registry: the operations on each session are linearizable.

use vedfolnir_chaos::linearizability::{self, Step};
use vedfolnir_cluster::state::Epoch;

use super::timed;

pub use vedfolnir_chaos::linearizability::OPERATIONS_MAX;

/// What was asked of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// It begins.
    Register,
    /// A new owner takes it, if its epoch is still this one.
    Resume {
        /// As the node saw it; `None`: it saw no such session.
        expected: Option<Epoch>,
    },
    /// Its transport is gone.
    Disconnect {
        /// The owner's.
        epoch: Epoch,
    },
    /// It ends.
    Close {
        /// The owner's.
        epoch: Epoch,
    },
    /// It is looked at, linearizably.
    Read,
    /// The cluster itself disconnects it: its node is down.
    Orphan,
    /// The cluster itself ends it: its window has passed.
    Expire,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done; for a beginning or a resume, under this epoch.
    Done(Epoch),
    /// Not under this epoch (any more).
    Stale,
    /// There is no such session.
    Unknown,
    /// Refused for a reason that says nothing of the epoch.
    Other,
    /// Its epoch, and whether it has a transport; `None`: there is no such session.
    Seen(Option<(Epoch, bool)>),
}

/// One operation on a session.
pub type Operation = super::Operation<Call, Answer>;

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not begun.
    Absent,
    /// It has an epoch, and a transport or not.
    Open {
        /// Of its owner.
        epoch: Epoch,
        /// Whether there is a transport.
        connected: bool,
    },
    /// Over.
    Gone,
}

impl State {
    /// What the operation does to it and answers.
    #[must_use]
    pub fn step(self, call: Call) -> (Self, Answer) {
        let same = |answer| (self, answer);
        match (call, self) {
            (Call::Register, Self::Absent) => (Self::Open { epoch: 1, connected: true }, Answer::Done(1)),
            (Call::Register, _) => same(Answer::Other),
            (Call::Resume { .. }, Self::Absent | Self::Gone) => same(Answer::Unknown),
            (Call::Resume { expected }, Self::Open { epoch, .. }) if expected == Some(epoch) => {
                (Self::Open { epoch: epoch + 1, connected: true }, Answer::Done(epoch + 1))
            }
            (Call::Resume { .. }, Self::Open { .. }) => same(Answer::Stale),
            (Call::Disconnect { .. } | Call::Close { .. }, Self::Absent | Self::Gone) => same(Answer::Unknown),
            (Call::Disconnect { epoch: by }, Self::Open { epoch, connected: true }) if by == epoch => {
                (Self::Open { epoch, connected: false }, Answer::Done(0))
            }
            (Call::Close { epoch: by }, Self::Open { epoch, connected: true }) if by == epoch => {
                (Self::Gone, Answer::Done(0))
            }
            (Call::Disconnect { .. } | Call::Close { .. }, Self::Open { .. }) => same(Answer::Stale),
            (Call::Read, Self::Absent | Self::Gone) => same(Answer::Seen(None)),
            (Call::Read, Self::Open { epoch, connected }) => same(Answer::Seen(Some((epoch, connected)))),
            (Call::Orphan, Self::Open { epoch, connected: true }) => {
                (Self::Open { epoch, connected: false }, Answer::Done(0))
            }
            (Call::Expire, Self::Open { connected: false, .. }) => (Self::Gone, Answer::Done(0)),
            (Call::Orphan | Call::Expire, _) => same(Answer::Other),
        }
    }
}

/// Whether some order of the operations explains every answer. `None`: more than [`OPERATIONS_MAX`].
#[must_use]
pub fn is_linearizable(operations: &[Operation]) -> Option<bool> {
    linearizability::is_linearizable(State::Absent, &timed(operations), |state, operation| {
        let (after, answer) = state.step(operation.call);
        match operation.answer {
            None => Step::To(after),
            // What other reasons say is not of the epoch: any session may answer so.
            Some(Answer::Other) => Step::Same,
            Some(given) if given == answer => Step::To(after),
            Some(_) => Step::Impossible,
        }
    })
}
