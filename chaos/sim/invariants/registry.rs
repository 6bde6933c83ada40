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

const WORDS: usize = 16;
/// Operations of one session that can be searched.
pub const OPERATIONS_MAX: usize = WORDS * 64;

/// Operations that have taken place, by their number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Done([u64; WORDS]);

impl Done {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn with(mut self, at: usize) -> Self {
        self.0[at / 64] |= 1 << (at % 64);
        self
    }

    fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own & other == *other)
    }
}

/// Whether some order of the operations explains every answer. `None`: more than [`OPERATIONS_MAX`].
#[must_use]
pub fn is_linearizable(operations: &[Operation]) -> Option<bool> {
    if operations.len() > OPERATIONS_MAX {
        return None;
    }
    let nothing = Done([0; WORDS]);
    let answered = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.answer.is_some())
        .fold(nothing, |set, (at, _)| set.with(at));
    let mut seen = HashSet::new();
    let mut stack = vec![(nothing, State::Absent)];
    while let Some((done, state)) = stack.pop() {
        if done.covers(&answered) {
            return Some(true);
        }
        if !seen.insert((done, state)) {
            continue;
        }
        // Whatever returned first among the rest bounds who may be next.
        let rest = || operations.iter().enumerate().filter(|(at, _)| !done.has(*at));
        let first_return = rest().map(|(_, operation)| operation.returned_us).min().unwrap_or(u64::MAX);
        let mut next = Vec::new();
        for (at, operation) in rest().filter(|(_, operation)| operation.invoked_us <= first_return) {
            let (after, answer) = state.step(operation.call);
            match operation.answer {
                // If it took place it changed something, or it is of no interest.
                None if after != state => next.push((done.with(at), after)),
                None => {}
                // What other reasons say is not of the epoch: any session may answer so.
                Some(Answer::Other) => next = vec![(done.with(at), state)],
                // What fits here and changes nothing may as well be next: nothing else has to be tried.
                Some(given) if given == answer && after == state => next = vec![(done.with(at), state)],
                Some(given) if given == answer => next.push((done.with(at), after)),
                Some(_) => continue,
            }
            if next.last().is_some_and(|(_, after)| *after == state) {
                break;
            }
        }
        stack.append(&mut next);
    }
    Some(false)
}
