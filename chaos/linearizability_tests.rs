//! The search for a linearization beside an existing one (`todc-utils`, after Wing, Gong and Lowe as well): the same verdict on
//! thousands of complete histories of a session, good and bad. That one knows no operation without an answer.

use todc_utils::{Action, History, Specification, WGLChecker};

use crate::invariants::registry::{State, step};
use crate::linearizability::{Step, Timed, is_linearizable};
use crate::record::{RegistryAct, RegistryAnswer, RegistryCall};

const HISTORIES: u64 = 4_000;
const RIVALS: usize = 4;
const CALLS: usize = 14;

struct Session;

impl Specification for Session {
    type State = State;
    type Operation = RegistryAct;

    fn init() -> State {
        State::Absent
    }

    fn apply(operation: &RegistryAct, state: &State) -> (bool, State) {
        match step(*state, operation) {
            Step::Impossible => (false, *state),
            Step::Same => (true, *state),
            Step::To(next) => (true, next),
        }
    }
}

/// What each rival asked and was answered, in the order in which it was seen: asked (`false`) or answered (`true`).
fn history(random: &mut fastrand::Rng) -> Vec<(usize, bool, RegistryAct)> {
    let act = |call| RegistryAct { session: 0, call, invoked_at: 0, answer: Some((RegistryAnswer::Done, 0)) };
    let mut state = State::Absent;
    let mut asked: Vec<Option<RegistryAct>> = vec![None; RIVALS];
    let mut events = Vec::new();
    let mut calls = 0;
    while calls < CALLS || asked.iter().any(Option::is_some) {
        let rival = random.usize(..RIVALS);
        match asked[rival].take() {
            None if calls < CALLS => {
                calls += 1;
                let call = match (state, random.u8(..4)) {
                    (State::Absent, _) if calls == 1 => RegistryCall::Register,
                    (_, 0 | 1) => RegistryCall::Read,
                    _ => RegistryCall::Resume,
                };
                asked[rival] = Some(act(call));
                events.push((rival, false, act(call)));
            }
            None => {}
            Some(mut asked) => {
                // As it would be answered if it took effect now; now and then as it would not.
                let truth = match (asked.call, state) {
                    (RegistryCall::Register, _) => RegistryAnswer::Done,
                    (_, State::Absent | State::Gone) => RegistryAnswer::Gone,
                    (RegistryCall::Read, State::Open(owners)) => RegistryAnswer::Epoch(owners),
                    (_, State::Open(_)) => RegistryAnswer::Done,
                };
                let lie = random.u8(..8) == 0;
                let answer = match truth {
                    RegistryAnswer::Epoch(owners) if lie => {
                        RegistryAnswer::Epoch(random.u64(owners.saturating_sub(2)..=owners + 1))
                    }
                    truth => truth,
                };
                asked.answer = Some((answer, 0));
                if let Step::To(next) = step(state, &asked) {
                    state = next;
                }
                events.push((rival, true, asked));
            }
        }
    }
    events
}

#[test]
fn the_search_agrees_with_an_existing_one() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..HISTORIES {
        let events = history(&mut fastrand::Rng::with_seed(seed));
        let mut open: Vec<Option<usize>> = vec![None; RIVALS];
        let mut timed: Vec<Timed<RegistryAct>> = Vec::new();
        for (at, (rival, is_answer, act)) in events.iter().enumerate() {
            let at = at as u64;
            if *is_answer {
                let asked = &mut timed[open[*rival].take().expect("asked before")];
                (asked.operation, asked.returned_at) = (*act, Some(at));
            } else {
                open[*rival] = Some(timed.len());
                timed.push(Timed { operation: *act, invoked_at: at, returned_at: None });
            }
        }
        let ours = is_linearizable(State::Absent, &timed, step).expect("few operations");
        let actions = events
            .into_iter()
            .map(|(rival, is_answer, act)| (rival, if is_answer { Action::Response(act) } else { Action::Call(act) }))
            .collect();
        let theirs = WGLChecker::<Session>::is_linearizable(History::from_actions(actions));
        assert_eq!(ours, theirs, "seed {seed}: {timed:?}");
        if ours { good += 1 } else { bad += 1 }
    }
    assert!(good > HISTORIES / 10 && bad > HISTORIES / 10, "{good} good and {bad} bad histories compare nothing");
}
