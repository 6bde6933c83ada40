//! I1, registry: what was asked of each session is linearizable.
//!
//! | call | on a session | answer |
//! |---|---|---|
//! | register | that is not there | done; it has one owner |
//! | resume | that is open | done; one owner more |
//! | resume, read | that is gone or not there | gone |
//! | read | that is open | how many owners it has had |
//! | close | that is open | done; it is gone. By a connection that lost the session in the meantime: nothing happens |

use std::collections::BTreeMap;

use super::Finding;
use crate::linearizability::{OPERATIONS_MAX, Step, Timed, is_linearizable};
use crate::record::{Record, RegistryAct, RegistryAnswer, RegistryCall};

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Absent,
    /// So many owners so far.
    Open(u64),
    Gone,
}

pub(crate) fn step(state: State, act: &RegistryAct) -> Step<State> {
    let answer = act.answer.map(|(answer, _)| answer);
    match (act.call, state, answer) {
        (RegistryCall::Register, State::Absent, Some(RegistryAnswer::Done) | None) => Step::To(State::Open(1)),
        (RegistryCall::Resume, State::Open(owners), Some(RegistryAnswer::Done) | None) => {
            Step::To(State::Open(owners + 1))
        }
        (RegistryCall::Resume | RegistryCall::Read, State::Absent | State::Gone, Some(RegistryAnswer::Gone)) => {
            Step::Same
        }
        (RegistryCall::Read, State::Open(owners), Some(RegistryAnswer::Epoch(seen))) if owners == seen => Step::Same,
        // Nobody confirms a close: it is sent on a connection that may have lost the session a moment before.
        (RegistryCall::Close, State::Open(_), None) => Step::To(State::Gone),
        (_, _, None) => Step::Same,
        _ => Step::Impossible,
    }
}

pub(super) fn judge(record: &Record) -> Finding {
    let mut finding = Finding::new("I1", "what is asked of sessions is linearizable");
    let mut sessions: BTreeMap<u32, Vec<Timed<RegistryAct>>> = BTreeMap::new();
    for act in &record.registry {
        let timed = Timed { operation: *act, invoked_at: act.invoked_at, returned_at: act.answer.map(|(_, at)| at) };
        sessions.entry(act.session).or_default().push(timed);
    }
    for (session, acts) in &sessions {
        match is_linearizable(State::Absent, acts, step) {
            Some(true) => {}
            Some(false) => finding.broken(|| format!("session {session}: no order explains {}", told(acts))),
            None => {
                finding.broken(|| format!("session {session}: {} calls, {OPERATIONS_MAX} can be judged", acts.len()))
            }
        }
    }
    finding.checked = format!("{} calls to {} sessions", record.registry.len(), sessions.len());
    finding
}

/// The calls in the order in which they were made, in milliseconds from the first.
fn told(acts: &[Timed<RegistryAct>]) -> String {
    let mut acts = acts.to_vec();
    acts.sort_unstable_by_key(|act| act.invoked_at);
    let from = acts.first().map_or(0, |act| act.invoked_at);
    let ms = |at: u64| (at - from) as f64 / crate::clock::MS as f64;
    let words = acts.iter().map(|act| {
        let RegistryAct { call, answer, .. } = act.operation;
        match answer {
            Some((answer, at)) => format!("{call:?} {:.1}-{:.1} {answer:?}", ms(act.invoked_at), ms(at)),
            None => format!("{call:?} {:.1}- unanswered", ms(act.invoked_at)),
        }
    });
    words.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(call: RegistryCall, answer: RegistryAnswer, invoked_at: u64, returned_at: u64) -> RegistryAct {
        RegistryAct { session: 0, call, invoked_at, answer: Some((answer, returned_at)) }
    }

    fn violations(registry: Vec<RegistryAct>) -> u64 {
        judge(&Record { registry, ..Record::default() }).violations
    }

    #[test]
    fn two_rivals_make_two_owners() {
        use RegistryAnswer::{Done, Epoch};
        use RegistryCall::{Read, Register, Resume};
        let begun = [act(Register, Done, 0, 1), act(Resume, Done, 2, 9), act(Resume, Done, 3, 8)];
        let with = |seen| [&begun[..], &[act(Read, Epoch(seen), 10, 11)]].concat();
        assert_eq!((violations(with(3)), violations(with(2))), (0, 1));
    }

    #[test]
    fn a_close_takes_effect_once_or_never() {
        use RegistryAnswer::{Done, Epoch, Gone};
        use RegistryCall::{Close, Read, Register, Resume};
        let close = RegistryAct { session: 0, call: Close, invoked_at: 2, answer: None };
        let begun = [act(Register, Done, 0, 1), close];
        let with = |more: &[RegistryAct]| violations([&begun[..], more].concat());
        assert_eq!(with(&[act(Read, Gone, 3, 4)]), 0);
        assert_eq!(with(&[act(Resume, Done, 3, 4), act(Resume, Gone, 5, 6)]), 0);
        assert_eq!(with(&[act(Read, Gone, 3, 4), act(Read, Epoch(1), 5, 6)]), 1, "what is gone does not come back");
    }
}
