//! How soon another node leads after something happened to the one that led: a part of I6, published and not judged.

use std::collections::BTreeMap;

use serde::Serialize;

use super::failover::{elected, percentiles};
use crate::clock::{Nanos, SECOND};
use crate::record::{Mark, MarkKind, Record};

/// A leader that is elected so long after a fault has healed is not due to it.
const RELATED_WITHIN: Nanos = 2 * SECOND;

/// What faults of one kind did to leaders. A fault that a leader can bear (a disk that is merely slow) moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moves {
    /// The kind of fault.
    pub kind: MarkKind,
    /// Faults of a node that led.
    pub faults: usize,
    /// After so many of them another one led.
    pub moved: usize,
    /// From the fault until another node knew another leader, in nanoseconds: median, 99th percentile, largest.
    pub after: [Nanos; 3],
}

/// The moves of a run, by kind of fault.
#[must_use]
pub fn moves(record: &Record) -> Vec<Moves> {
    let mut groups: BTreeMap<MarkKind, (usize, Vec<Nanos>)> = BTreeMap::new();
    for mark in record.marks.iter().filter(|mark| mark.node.is_some() && leads(mark, record)) {
        let (faults, after) = groups.entry(mark.kind).or_default();
        *faults += 1;
        let until = mark.until.unwrap_or(record.ended) + RELATED_WITHIN;
        after.extend(elected(mark, record).filter(|time| mark.at + time < until));
    }
    groups
        .into_iter()
        .map(|(kind, (faults, after))| Moves { kind, faults, moved: after.len(), after: percentiles(after) })
        .collect()
}

/// Whether the node that the fault is about led when it began: the last word of the newest term.
fn leads(mark: &Mark, record: &Record) -> bool {
    let known = record.leaders.iter().filter(|seen| seen.at <= mark.at && seen.node.is_some());
    known.max_by_key(|seen| (seen.term, seen.at)).is_some_and(|seen| seen.node == mark.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LeaderSeen;

    fn seen(at: Nanos, seen_by: usize, term: u64, node: usize) -> LeaderSeen {
        let leader = Some(node.to_string());
        LeaderSeen { at, seen_by, pid: 1, term, leader, node: Some(node), cluster_id: String::new() }
    }

    fn fault(at: Nanos, until: Nanos, node: usize) -> Mark {
        let (kind, what, node) = (MarkKind::Disk, String::new(), Some(node));
        Mark { at, until: Some(until), kind, what, node, loss: None, was_leader: false }
    }

    #[test]
    fn a_move_is_timed_from_the_fault_of_the_leader_to_what_another_node_knows() {
        let leaders = vec![seen(1, 0, 1, 0), seen(2, 1, 1, 0), seen(50, 0, 2, 1), seen(60, 2, 2, 1)];
        // The first fault is one of a follower, the last one moves nothing.
        let marks = vec![fault(10, 20, 2), fault(30, 90, 0), fault(100, 110, 1)];
        let record = Record { leaders, marks, ended: 200, ..Record::default() };
        let after = [30; 3];
        assert_eq!(moves(&record), [Moves { kind: MarkKind::Disk, faults: 2, moved: 1, after }]);
    }

    #[test]
    fn a_leader_that_is_elected_long_after_is_not_due_to_the_fault() {
        let leaders = vec![seen(1, 0, 1, 0), seen(10 * SECOND, 1, 2, 1)];
        let record = Record { leaders, marks: vec![fault(2, 3, 0)], ended: 20 * SECOND, ..Record::default() };
        assert_eq!(moves(&record), [Moves { kind: MarkKind::Disk, faults: 1, moved: 0, after: [0; 3] }]);
    }
}
