//! The search behind invariant I1 against histories whose verdict is known.
#![allow(missing_docs)]

use vedfolnir_sim::invariants::registry::{Answer, Call, OPERATIONS_MAX, Operation, is_linearizable};

fn operation(call: Call, answer: Option<Answer>, invoked_us: u64, returned_us: u64) -> Operation {
    Operation { call, answer, invoked_us, returned_us }
}

fn registered() -> Operation {
    operation(Call::Register, Some(Answer::Done(1)), 0, 10)
}

fn resume(expected: u64, answer: Option<Answer>, invoked_us: u64, returned_us: u64) -> Operation {
    operation(Call::Resume { expected: Some(expected) }, answer, invoked_us, returned_us)
}

fn read(seen: Option<(u64, bool)>, invoked_us: u64, returned_us: u64) -> Operation {
    operation(Call::Read, Some(Answer::Seen(seen)), invoked_us, returned_us)
}

#[test]
fn one_after_the_other_is_linearizable() {
    let history = [registered(), resume(1, Some(Answer::Done(2)), 20, 30), read(Some((2, true)), 40, 50)];
    assert_eq!(is_linearizable(&history), Some(true));
}

#[test]
fn two_owners_of_one_epoch_are_not() {
    let both = [registered(), resume(1, Some(Answer::Done(2)), 20, 30), resume(1, Some(Answer::Done(2)), 20, 30)];
    assert_eq!(is_linearizable(&both), Some(false));
}

#[test]
fn a_read_of_what_was_overwritten_before_it_began_is_stale() {
    let late = [registered(), resume(1, Some(Answer::Done(2)), 20, 30), read(Some((1, true)), 31, 40)];
    assert_eq!(is_linearizable(&late), Some(false));
    let while_it_changed = [registered(), resume(1, Some(Answer::Done(2)), 20, 30), read(Some((1, true)), 25, 40)];
    assert_eq!(is_linearizable(&while_it_changed), Some(true));
}

#[test]
fn an_operation_without_an_answer_may_have_taken_place_or_not() {
    let unknown = resume(1, None, 20, u64::MAX);
    for seen in [1, 2] {
        assert_eq!(is_linearizable(&[registered(), unknown, read(Some((seen, true)), 30, 40)]), Some(true));
    }
    let back = [registered(), unknown, read(Some((2, true)), 30, 40), read(Some((1, true)), 50, 60)];
    assert_eq!(is_linearizable(&back), Some(false), "it took place and then it did not");
    let before = [registered(), read(Some((2, true)), 12, 15), unknown];
    assert_eq!(is_linearizable(&before), Some(false), "it was seen before it was asked for");
}

#[test]
fn what_the_cluster_does_by_itself_has_its_place_too() {
    let expired = operation(Call::Expire, Some(Answer::Done(0)), 0, 60);
    let gone = operation(Call::Disconnect { epoch: 1 }, Some(Answer::Done(0)), 20, 30);
    let history = [registered(), gone, expired, read(None, 70, 80)];
    assert_eq!(is_linearizable(&history), Some(true));
    assert_eq!(is_linearizable(&[registered(), expired, read(None, 70, 80)]), Some(false), "it was connected");
}

#[test]
fn long_histories_are_judged_and_too_long_ones_are_said_to_be() {
    let mut history = vec![registered()];
    let reads = OPERATIONS_MAX as u64 - 1;
    history.extend((0..reads).map(|at| read(Some((1, true)), 20 + at, 30 + at)));
    assert_eq!(is_linearizable(&history), Some(true));
    history.push(read(None, 2_000, 2_001));
    assert_eq!(is_linearizable(&history), None);
    history.remove(1);
    assert_eq!(is_linearizable(&history), Some(false));
}
