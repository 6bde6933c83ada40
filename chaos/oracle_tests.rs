//! The oracle against histories whose verdict is known: a judge that cannot find a planted fault judges nothing.

use crate::history::{History, Membership, MessageId, Outcome, Publish, Reception};
use crate::oracle::{Verdict, check_delivery};

fn id(publisher: u32, sequence: u64) -> MessageId {
    MessageId { publisher, sequence }
}

/// Publisher 1 sends 1, 2, 3 ... to room 7 at 10, 20, 30 ...; each is acknowledged five later.
fn published(count: u64) -> Vec<Publish> {
    (1..=count)
        .map(|sequence| Publish {
            id: id(1, sequence),
            room: 7,
            invoked_at: sequence * 10,
            outcome: Outcome::Ok { at: sequence * 10 + 5 },
        })
        .collect()
}

/// A client in room 7 from the start, which received these of publisher 1.
fn received(sequences: &[u64]) -> Reception {
    Reception {
        memberships: vec![Membership { room: 7, joined_at: 0, left_at: None }],
        deliveries: sequences.iter().map(|&sequence| id(1, sequence)).collect(),
    }
}

#[track_caller]
fn check(publishes: Vec<Publish>, receptions: Vec<Reception>, expected: (u64, u64, u64, u64)) -> Verdict {
    let verdict = check_delivery(&History { publishes, receptions });
    let found = (verdict.lost, verdict.duplicated, verdict.out_of_order, verdict.phantom);
    assert_eq!(found, expected, "(lost, duplicated, out of order, phantom): {verdict:?}");
    assert_eq!(verdict.is_clean(), expected == (0, 0, 0, 0));
    assert_eq!(verdict.examples.is_empty(), verdict.is_clean());
    verdict
}

#[test]
fn all_received_once_in_order_is_clean() {
    let verdict = check(published(3), vec![received(&[1, 2, 3]), received(&[1, 2, 3])], (0, 0, 0, 0));
    assert_eq!((verdict.owed, verdict.delivered), (6, 6));
}

#[test]
fn an_empty_history_is_clean() {
    check(Vec::new(), Vec::new(), (0, 0, 0, 0));
}

#[test]
fn a_gap_is_a_loss() {
    check(published(3), vec![received(&[1, 3])], (1, 0, 0, 0));
}

#[test]
fn a_missing_tail_is_a_loss() {
    check(published(3), vec![received(&[1, 2, 3]), received(&[1])], (2, 0, 0, 0));
}

#[test]
fn twice_is_a_duplicate() {
    check(published(3), vec![received(&[1, 2, 2, 3])], (0, 1, 0, 0));
}

#[test]
fn a_repeated_tail_is_duplicates_and_not_disorder() {
    check(published(3), vec![received(&[1, 2, 3, 2, 3])], (0, 2, 0, 0));
}

#[test]
fn one_late_message_is_one_out_of_order() {
    check(published(3), vec![received(&[1, 3, 2])], (0, 0, 1, 0));
}

#[test]
fn receivers_that_disagree_are_out_of_order() {
    let mut publishes = published(1);
    publishes.push(Publish { id: id(2, 1), room: 7, invoked_at: 10, outcome: Outcome::Ok { at: 15 } });
    let one = Reception { deliveries: vec![id(1, 1), id(2, 1)], ..received(&[]) };
    let other = Reception { deliveries: vec![id(2, 1), id(1, 1)], ..received(&[]) };
    check(publishes.clone(), vec![one.clone(), one.clone()], (0, 0, 0, 0));
    check(publishes, vec![one, other], (0, 0, 1, 0));
}

#[test]
fn three_receivers_in_a_circle_are_found_though_each_pair_agrees() {
    let publishes = (1..=3)
        .map(|publisher| Publish { id: id(publisher, 1), room: 7, invoked_at: 20, outcome: Outcome::Unknown })
        .collect();
    // Late joiners, so that none of them is owed the one it lacks.
    let saw = |first, second| Reception {
        memberships: vec![Membership { room: 7, joined_at: 30, left_at: None }],
        deliveries: vec![id(first, 1), id(second, 1)],
    };
    check(publishes, vec![saw(1, 2), saw(2, 3), saw(3, 1)], (0, 0, 1, 0));
}

#[test]
fn what_was_never_published_is_a_phantom() {
    check(published(2), vec![received(&[1, 2, 3])], (0, 0, 0, 1));
}

#[test]
fn what_was_refused_is_a_phantom() {
    let mut publishes = published(2);
    publishes[1].outcome = Outcome::Failed;
    check(publishes.clone(), vec![received(&[1])], (0, 0, 0, 0));
    check(publishes, vec![received(&[1, 2])], (0, 0, 0, 1));
}

#[test]
fn another_rooms_message_is_a_phantom() {
    let mut publishes = published(2);
    publishes[1].room = 8;
    check(publishes, vec![received(&[1, 2])], (0, 0, 0, 1));
}

#[test]
fn an_unanswered_publish_is_owed_to_all_or_none() {
    let mut publishes = published(3);
    publishes[1].outcome = Outcome::Unknown;
    check(publishes.clone(), vec![received(&[1, 3]), received(&[1, 3])], (0, 0, 0, 0));
    check(publishes.clone(), vec![received(&[1, 2, 3]), received(&[1, 2, 3])], (0, 0, 0, 0));
    check(publishes, vec![received(&[1, 2, 3]), received(&[1, 3])], (1, 0, 0, 0));
}

#[test]
fn what_crosses_a_join_or_a_leave_may_come_or_not() {
    let member = |joined_at, left_at, sequences: &[u64]| Reception {
        memberships: vec![Membership { room: 7, joined_at, left_at }],
        ..received(sequences)
    };
    // The first was in flight at the join, the third at the leave.
    for sequences in [&[1, 2, 3][..], &[2], &[1, 2], &[2, 3]] {
        check(published(3), vec![member(12, Some(32), sequences)], (0, 0, 0, 0));
    }
    check(published(3), vec![member(12, Some(32), &[1, 3])], (1, 0, 0, 0));
    check(published(3), vec![member(12, None, &[1, 2])], (1, 0, 0, 0));
}

#[test]
fn two_rooms_have_one_order() {
    let mut publishes = published(2);
    publishes.push(Publish { id: id(2, 1), room: 8, invoked_at: 10, outcome: Outcome::Ok { at: 15 } });
    let both = |deliveries| Reception {
        memberships: [7, 8].map(|room| Membership { room, joined_at: 0, left_at: None }).to_vec(),
        deliveries,
    };
    let (a, b) = (vec![id(1, 1), id(2, 1), id(1, 2)], vec![id(1, 1), id(1, 2), id(2, 1)]);
    check(publishes.clone(), vec![both(a.clone()), both(a.clone()), received(&[1, 2])], (0, 0, 0, 0));
    check(publishes, vec![both(a), both(b)], (0, 0, 1, 0));
}

#[test]
fn examples_are_bounded() {
    let verdict = check(published(100), vec![received(&[])], (100, 0, 0, 0));
    assert_eq!(verdict.examples.len(), 10);
}

#[test]
fn a_million_deliveries_are_judged() {
    let sequences: Vec<u64> = (1..=1_000).collect();
    let mut receptions = vec![received(&sequences); 1_000];
    check(published(1_000), receptions.clone(), (0, 0, 0, 0));
    receptions[500].deliveries.swap(300, 301);
    check(published(1_000), receptions, (0, 0, 1, 0));
}
