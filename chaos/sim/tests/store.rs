//! What is said of histories of the key-value store whose verdict is known.
#![allow(missing_docs)]

use vedfolnir_cluster::state::LogPosition;
use vedfolnir_sim::invariants::store::{Answer, Call, Expected, Operation, Verdict, judge};

fn at(index: u64) -> LogPosition {
    LogPosition::new(index, 0)
}

fn operation(call: Call, answer: Option<Answer>, invoked_us: u64, returned_us: u64) -> Operation {
    Operation { call, answer, invoked_us, returned_us }
}

fn put(write: u64, expected: Expected, answer: Option<Answer>, invoked_us: u64) -> Operation {
    operation(Call::Put { write, expected }, answer, invoked_us, invoked_us + 10)
}

fn stored(index: u64) -> Option<Answer> {
    Some(Answer::Stored(at(index)))
}

fn get(seen: Option<(u64, u64)>, invoked_us: u64) -> Operation {
    let seen = seen.map(|(write, index)| (write, at(index)));
    operation(Call::Get, Some(Answer::Seen(seen)), invoked_us, invoked_us + 10)
}

#[test]
fn one_after_the_other_is_linearizable() {
    let history = [
        get(None, 0),
        put(1, Expected::Absent, stored(5), 20),
        put(2, Expected::Revision(at(5)), stored(7), 40),
        put(3, Expected::Revision(at(5)), Some(Answer::Conflict { current: Some(at(7)) }), 60),
        get(Some((2, 7)), 80),
        operation(Call::Delete { expected: Expected::Anything }, Some(Answer::Deleted { existed: true }), 100, 110),
        get(None, 120),
    ];
    assert_eq!(judge(&history), Verdict::Linearizable);
}

#[test]
fn of_two_that_expect_the_same_only_one_is_met() {
    let both = [
        put(1, Expected::Absent, stored(5), 0),
        put(2, Expected::Revision(at(5)), stored(7), 20),
        put(3, Expected::Revision(at(5)), stored(8), 20),
    ];
    assert_eq!(judge(&both), Verdict::NotLinearizable);
    let absent = [put(1, Expected::Absent, stored(5), 0), put(2, Expected::Absent, stored(6), 20)];
    assert_eq!(judge(&absent), Verdict::NotLinearizable);
}

#[test]
fn a_read_of_what_was_overwritten_before_it_began_is_stale() {
    let writes = [put(1, Expected::Anything, stored(5), 0), put(2, Expected::Anything, stored(7), 20)];
    let with = |read: Operation| judge(&[writes[0], writes[1], read]);
    assert_eq!(with(get(Some((1, 5)), 40)), Verdict::NotLinearizable);
    assert_eq!(with(get(Some((1, 5)), 25)), Verdict::Linearizable, "while it changed");
    assert_eq!(with(get(None, 40)), Verdict::NotLinearizable, "a write is lost");
}

#[test]
fn a_write_without_an_answer_may_have_taken_place_or_not_but_not_both() {
    let unknown = operation(Call::Put { write: 2, expected: Expected::Anything }, None, 20, u64::MAX);
    let first = put(1, Expected::Anything, stored(5), 0);
    assert_eq!(judge(&[first, unknown, get(Some((1, 5)), 40)]), Verdict::Linearizable);
    assert_eq!(judge(&[first, unknown, get(Some((2, 9)), 40)]), Verdict::Linearizable);
    let back = [first, unknown, get(Some((2, 9)), 40), get(Some((1, 5)), 60)];
    assert_eq!(judge(&back), Verdict::NotLinearizable);
    // Whose revision the conflict names nobody was told: it can only be the second's.
    let conflict = put(3, Expected::Absent, Some(Answer::Conflict { current: Some(at(9)) }), 40);
    assert_eq!(judge(&[first, unknown, conflict]), Verdict::Linearizable);
}

#[test]
fn a_revision_that_nobody_was_told_of_decides_nothing() {
    let unknown = operation(Call::Put { write: 2, expected: Expected::Anything }, None, 20, u64::MAX);
    let first = put(1, Expected::Anything, stored(5), 0);
    for answer in [stored(11), Some(Answer::Conflict { current: Some(at(5)) })] {
        let third = put(3, Expected::Revision(at(9)), answer, 40);
        assert_eq!(judge(&[first, unknown, third]), Verdict::Linearizable, "{answer:?}");
    }
}

#[test]
fn each_write_has_one_revision_and_each_revision_one_write() {
    let first = put(1, Expected::Anything, stored(5), 0);
    assert_eq!(judge(&[first, get(Some((1, 6)), 20)]), Verdict::Revisions(at(6)));
    assert_eq!(judge(&[first, put(2, Expected::Anything, stored(5), 20)]), Verdict::Revisions(at(5)));
}
