//! Whether a history of concurrent operations on one object is linearizable (Herlihy and Wing 1990): whether some order of them,
//! each at one moment between its call and its return, explains every answer.
//!
//! A search after Wing and Gong with Lowe's memory of configurations that led nowhere: whichever operation could have been next is
//! tried, and a set of operations that left the object in the same state twice is not looked at again. An operation without an
//! answer may have taken place at any time after its call, or never.

use std::collections::HashSet;
use std::hash::Hash;

const WORDS: usize = 16;
/// Operations of one object that can be searched.
pub const OPERATIONS_MAX: usize = WORDS * 64;

/// One operation with its times, in any unit.
#[derive(Clone, Copy, Debug)]
pub struct Timed<O> {
    /// What was asked, and what was answered.
    pub operation: O,
    /// When it was asked.
    pub invoked_at: u64,
    /// When it was answered; `None`: it never was.
    pub returned_at: Option<u64>,
}

/// What an operation does to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<S> {
    /// It would not have been answered like that.
    Impossible,
    /// Its answer fits, and nothing changes.
    Same,
    /// Its answer fits, or there is none, and this is the state then.
    To(S),
}

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
pub fn is_linearizable<S, O>(initial: S, operations: &[Timed<O>], step: impl Fn(S, &O) -> Step<S>) -> Option<bool>
where
    S: Copy + Eq + Hash,
{
    if operations.len() > OPERATIONS_MAX {
        return None;
    }
    let nothing = Done([0; WORDS]);
    let answered = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.returned_at.is_some())
        .fold(nothing, |set, (at, _)| set.with(at));
    let mut seen = HashSet::new();
    let mut stack = vec![(nothing, initial)];
    while let Some((done, state)) = stack.pop() {
        if done.covers(&answered) {
            return Some(true);
        }
        if !seen.insert((done, state)) {
            continue;
        }
        // Whatever returned first among the rest bounds who may be next.
        let rest = || operations.iter().enumerate().filter(|(at, _)| !done.has(*at));
        let first_return = rest().filter_map(|(_, operation)| operation.returned_at).min().unwrap_or(u64::MAX);
        let (mut next, mut guessed) = (Vec::new(), Vec::new());
        for (at, operation) in rest().filter(|(_, operation)| operation.invoked_at <= first_return) {
            match step(state, &operation.operation) {
                Step::To(after) if after != state => {
                    let those = if operation.returned_at.is_some() { &mut next } else { &mut guessed };
                    those.push((done.with(at), after));
                }
                // What fits here and changes nothing may as well be next: nothing else has to be tried.
                Step::Same | Step::To(_) if operation.returned_at.is_some() => {
                    next = vec![(done.with(at), state)];
                    guessed.clear();
                    break;
                }
                // If it took place it changed something, or it is of no interest.
                Step::Same | Step::To(_) | Step::Impossible => {}
            }
        }
        // Looked at last: what nobody was answered took place at a time that the rest has to tell.
        stack.append(&mut guessed);
        stack.append(&mut next);
    }
    Some(false)
}
