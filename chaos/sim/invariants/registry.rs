//! Invariant I1, registry: the operations on each session are linearizable.
//!
//! A search after Wing and Gong with Lowe's memory of configurations that led nowhere: whichever operation could have
//! been next is tried, and a set of operations that left the session in the same state twice is not looked at again.
//! An operation without an answer may have taken place at any time after its call, or never.

use std::collections::HashSet;

use vedfolnir_cluster::state::Epoch;

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
}

/// One operation with its time; without an answer it returns never.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What was asked.
    pub call: Call,
    /// What was answered, if anything was.
    pub answer: Option<Answer>,
    /// When it was asked.
    pub invoked_us: u64,
    /// When it was answered.
    pub returned_us: u64,
}

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
            (Call::Orphan, Self::Open { epoch, connected: true }) => {
                (Self::Open { epoch, connected: false }, Answer::Done(0))
            }
            (Call::Expire, Self::Open { connected: false, .. }) => (Self::Gone, Answer::Done(0)),
            (Call::Orphan | Call::Expire, _) => same(Answer::Other),
        }
    }
}

/// Operations of one session that are searched; beyond it the history is too long to judge, and says so.
pub const OPERATIONS_MAX: usize = 128;

/// Whether some order of the operations explains every answer. `None`: too many to say.
#[must_use]
pub fn is_linearizable(operations: &[Operation]) -> Option<bool> {
    if operations.len() > OPERATIONS_MAX {
        return None;
    }
    let answered = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.answer.is_some())
        .fold(0u128, |set, (at, _)| set | 1 << at);
    let mut seen = HashSet::new();
    let mut stack = vec![(0u128, State::Absent)];
    while let Some((done, state)) = stack.pop() {
        if done & answered == answered {
            return Some(true);
        }
        if !seen.insert((done, state)) {
            continue;
        }
        // Whatever returned first among the rest bounds who may be next.
        let rest = || operations.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let first_return = rest().map(|(_, operation)| operation.returned_us).min().unwrap_or(u64::MAX);
        for (at, operation) in rest() {
            if operation.invoked_us > first_return {
                continue;
            }
            let (next, answer) = state.step(operation.call);
            let fits = match operation.answer {
                None => next != state,
                // What other reasons say is not of the epoch: any open session may answer so.
                Some(Answer::Other) => true,
                Some(given) => given == answer,
            };
            if fits {
                let next = if operation.answer == Some(Answer::Other) { state } else { next };
                stack.push((done | 1 << at, next));
            }
        }
    }
    Some(false)
}
