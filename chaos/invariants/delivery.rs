//! I2, delivery: the oracle's verdict on everything that was published and received.

use super::Finding;
use super::hole::Holes;
use crate::history::{History, Membership, Publish, Reception};
use crate::oracle::check_delivery;
use crate::record::Record;

pub(super) fn judge(record: &Record, holes: &Holes) -> Finding {
    let mut finding = Finding::new(
        "I2",
        "every acknowledged message reaches every member once, in one order, without a gap; otherwise recovered=false is said",
    );
    let publishes = record
        .publishes
        .iter()
        .map(|publish| Publish {
            id: publish.id,
            room: publish.room,
            invoked_at: publish.invoked_at,
            outcome: publish.outcome,
        })
        .collect();
    let receptions = record
        .listeners
        .iter()
        .flat_map(|listener| listener.receptions.iter().zip(holes.of_sessions(listener)))
        .map(|(session, hole)| Reception {
            memberships: session
                .rooms
                .iter()
                .map(|&(room, joined_at, left_at)| {
                    let left_at = [left_at, hole].into_iter().flatten().min();
                    Membership { room, joined_at, left_at }
                })
                .collect(),
            deliveries: session.deliveries.iter().map(|&(id, _)| id).collect(),
        })
        .collect();
    let verdict = check_delivery(&History { publishes, receptions });
    finding.checked = verdict.to_string();
    finding.violations = verdict.lost + verdict.duplicated + verdict.out_of_order + verdict.phantom;
    finding.examples = verdict.examples;
    finding
}
