//! I6, failover: how long it took from a kill to each client's `recovered`, and where the time went.
//!
//! ```text
//!   kill ──detect──► the client notices ──reconnect──► recovered ──replay──► has what was acknowledged before
//!   kill ──elect───► a survivor knows another leader (0 when a follower was killed)
//! ```
//!
//! Clients that were connected to the killed node are timed. Detection and election go on side by side; what the client waits for a
//! leader is a part of its reconnection.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Finding;
use crate::clock::{MS, Nanos, SECOND};
use crate::history::{MessageId, Outcome};
use crate::record::{ListenerKind, Mark, Record};

/// A reconnection that comes later is not due to the kill.
const RELATED_WITHIN: Nanos = 120 * SECOND;

/// One client's way back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Resume {
    /// What kind of client.
    pub kind: ListenerKind,
    /// Whether the killed node led.
    pub of_leader: bool,
    /// From the kill until the client noticed.
    pub detect: Nanos,
    /// From the kill until a survivor knew another leader.
    pub elect: Nanos,
    /// From the notice until `recovered`.
    pub reconnect: Nanos,
    /// From `recovered` until it had everything that was acknowledged before.
    pub replay: Nanos,
    /// From the kill until `recovered`.
    pub total: Nanos,
}

/// Every client's way back from every kill.
#[must_use]
pub fn resumes(record: &Record) -> Vec<Resume> {
    let acknowledged: BTreeMap<MessageId, Nanos> = record
        .publishes
        .iter()
        .filter_map(|publish| match publish.outcome {
            Outcome::Ok { at } => Some((publish.id, at)),
            Outcome::Failed | Outcome::Unknown => None,
        })
        .collect();
    let mut resumes = Vec::new();
    for kill in record.marks.iter().filter(|mark| mark.is_kill) {
        let elect = if kill.was_leader { elected(kill, record).unwrap_or(0) } else { 0 };
        for listener in &record.listeners {
            let next_kill =
                record.marks.iter().filter(|mark| mark.is_kill && mark.at > kill.at).map(|mark| mark.at).min();
            let until = next_kill.unwrap_or(Nanos::MAX).min(kill.at + RELATED_WITHIN);
            let Some(broke) = listener.disconnects.iter().find(|one| (kill.at..until).contains(&one.at)) else {
                continue;
            };
            // The official clients know one address, a load balancer, and not the node: an end of the connection in the second
            // after the kill is due to it.
            let is_related = match broke.node {
                Some(node) => Some(node) == kill.node,
                None => broke.at < kill.at + SECOND,
            };
            let Some(back) = listener.connects.iter().find(|connect| connect.at > broke.at && connect.at < until)
            else {
                continue;
            };
            if !is_related || !back.recovered {
                continue;
            }
            let deliveries = listener.receptions.iter().flat_map(|session| &session.deliveries);
            let caught_up = deliveries
                .filter(|(id, at)| *at >= back.at && acknowledged.get(id).is_some_and(|acked| *acked <= back.at))
                .map(|(_, at)| *at)
                .max();
            resumes.push(Resume {
                kind: listener.kind,
                of_leader: kill.was_leader,
                detect: broke.at - kill.at,
                elect,
                reconnect: back.at - broke.at,
                replay: caught_up.map_or(0, |at| at - back.at),
                total: back.at - kill.at,
            });
        }
    }
    resumes
}

fn elected(kill: &Mark, record: &Record) -> Option<Nanos> {
    let next = record.leaders.iter().find(|seen| {
        seen.at > kill.at && seen.node.is_some() && seen.node != kill.node && Some(seen.seen_by) != kill.node
    })?;
    Some(next.at - kill.at)
}

/// Percentiles of one group of resumes, in nanoseconds: median, 99th, largest.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResumeTimes {
    /// What kind of client.
    pub kind: ListenerKind,
    /// Whether the killed node led.
    pub of_leader: bool,
    /// How many.
    pub count: usize,
    /// From the kill to `recovered`.
    pub total: [Nanos; 3],
    /// Its parts.
    pub detect: [Nanos; 3],
    /// See [`Resume::elect`].
    pub elect: [Nanos; 3],
    /// See [`Resume::reconnect`].
    pub reconnect: [Nanos; 3],
    /// See [`Resume::replay`].
    pub replay: [Nanos; 3],
}

/// The resumes by kind of client and by who was killed.
#[must_use]
pub fn times(resumes: &[Resume]) -> Vec<ResumeTimes> {
    let mut groups: BTreeMap<(ListenerKind, bool), Vec<&Resume>> = BTreeMap::new();
    for resume in resumes {
        groups.entry((resume.kind, resume.of_leader)).or_default().push(resume);
    }
    groups
        .into_iter()
        .map(|((kind, of_leader), group)| {
            let of = |part: fn(&Resume) -> Nanos| percentiles(group.iter().map(|resume| part(resume)).collect());
            ResumeTimes {
                kind,
                of_leader,
                count: group.len(),
                total: of(|resume| resume.total),
                detect: of(|resume| resume.detect),
                elect: of(|resume| resume.elect),
                reconnect: of(|resume| resume.reconnect),
                replay: of(|resume| resume.replay),
            }
        })
        .collect()
}

/// Median, 99th percentile (nearest rank) and the largest.
fn percentiles(mut values: Vec<Nanos>) -> [Nanos; 3] {
    values.sort_unstable();
    let at = |share: usize| {
        let rank = (values.len() * share).div_ceil(100).max(1);
        values.get(rank - 1).copied().unwrap_or(0)
    };
    [at(50), at(99), at(100)]
}

/// Resume times are published, not bounded here: a slow machine breaks no promise.
pub(super) fn judge(record: &Record) -> Finding {
    let mut finding = Finding::new("I6", "resume times are known (published, not judged)");
    let groups = times(&resumes(record));
    let words: Vec<String> = groups
        .iter()
        .map(|group| {
            let [p50, p99, max] = group.total.map(|time| time / MS);
            let whom = if group.of_leader { "leader" } else { "follower" };
            format!("{}, of a {whom}: {} resumes, p50 {p50} ms, p99 {p99} ms, max {max} ms", group.kind, group.count)
        })
        .collect();
    finding.checked = if words.is_empty() { "no node was killed".to_owned() } else { words.join("; ") };
    finding
}
