//! I6, failover: how long it took from the loss of a node to each client's `recovered`, and where the time went.
//!
//! ```text
//!   loss ──detect──► the client notices ──reconnect──► recovered ──replay──► has what was acknowledged before
//!   loss ──elect───► a survivor knows another leader (0 when a follower was lost)
//! ```
//!
//! Clients that were connected to the lost node are timed. Detection and election go on side by side; what the client waits for a
//! leader is a part of its reconnection.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Finding;
use crate::clock::{MS, Nanos, SECOND};
use crate::history::{MessageId, Outcome};
use crate::record::{ListenerKind, Loss, Mark, Record};

/// A reconnection that comes later is not due to the loss.
const RELATED_WITHIN: Nanos = 120 * SECOND;

/// One client's way back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Resume {
    /// What kind of client.
    pub kind: ListenerKind,
    /// How its node was lost.
    pub loss: Loss,
    /// Whether that node led.
    pub of_leader: bool,
    /// From the loss until the client noticed.
    pub detect: Nanos,
    /// From the loss until a survivor knew another leader.
    pub elect: Nanos,
    /// From the notice until `recovered`.
    pub reconnect: Nanos,
    /// From `recovered` until it had everything that was acknowledged before.
    pub replay: Nanos,
    /// From the loss until `recovered`.
    pub total: Nanos,
}

/// Every client's way back from every loss of its node.
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
    for mark in &record.marks {
        let Some(loss) = mark.loss else { continue };
        let elect = if mark.was_leader { elected(mark, record).unwrap_or(0) } else { 0 };
        let next =
            record.marks.iter().filter(|next| next.loss.is_some() && next.at > mark.at).map(|next| next.at).min();
        let until = next.unwrap_or(Nanos::MAX).min(mark.at + RELATED_WITHIN);
        // The official clients know one address, a load balancer, and not the node. An end of the connection in the second after
        // a kill is due to it; a node that is frozen or isolated is noticed while it is so.
        let due_until = match loss {
            Loss::Killed => mark.at + SECOND,
            Loss::Frozen | Loss::Isolated => mark.until.unwrap_or(record.ended) + SECOND,
        };
        for listener in &record.listeners {
            let Some(broke) = listener.disconnects.iter().find(|one| (mark.at..until).contains(&one.at)) else {
                continue;
            };
            let is_related = match broke.node {
                Some(node) => Some(node) == mark.node,
                None => broke.at < due_until,
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
                loss,
                of_leader: mark.was_leader,
                detect: broke.at - mark.at,
                elect,
                reconnect: back.at - broke.at,
                replay: caught_up.map_or(0, |at| at - back.at),
                total: back.at - mark.at,
            });
        }
    }
    resumes
}

/// From a fault of a node until another one knew that somebody else leads.
pub(super) fn elected(mark: &Mark, record: &Record) -> Option<Nanos> {
    let next = record.leaders.iter().find(|seen| {
        seen.at > mark.at && seen.node.is_some() && seen.node != mark.node && Some(seen.seen_by) != mark.node
    })?;
    Some(next.at - mark.at)
}

/// Percentiles of one group of resumes, in nanoseconds: median, 99th, largest.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResumeTimes {
    /// What kind of client.
    pub kind: ListenerKind,
    /// How the nodes were lost.
    pub loss: Loss,
    /// Whether they led.
    pub of_leader: bool,
    /// How many.
    pub count: usize,
    /// From the loss to `recovered`.
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

/// The resumes by what happened to which node, and by kind of client.
#[must_use]
pub fn times(resumes: &[Resume]) -> Vec<ResumeTimes> {
    let mut groups: BTreeMap<(Loss, bool, ListenerKind), Vec<&Resume>> = BTreeMap::new();
    for resume in resumes {
        groups.entry((resume.loss, resume.of_leader, resume.kind)).or_default().push(resume);
    }
    groups
        .into_iter()
        .map(|((loss, of_leader, kind), group)| {
            let of = |part: fn(&Resume) -> Nanos| percentiles(group.iter().map(|resume| part(resume)).collect());
            ResumeTimes {
                kind,
                loss,
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
pub(super) fn percentiles(mut values: Vec<Nanos>) -> [Nanos; 3] {
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
            let (kind, count, loss) = (group.kind, group.count, group.loss);
            format!("{kind}, {whom} {loss}: {count} resumes, p50 {p50} ms, p99 {p99} ms, max {max} ms")
        })
        .collect();
    finding.checked = if words.is_empty() { "no node was lost".to_owned() } else { words.join("; ") };
    finding
}
