//! I7, bounded memory: no node grows beyond a base, what a connection may cost, and the bounds that were set for it; nor does it
//! creep towards them for as long as the run lasts.

use serde::Serialize;

use super::Finding;
use crate::clock::SECOND;
use crate::record::{Record, Sample};

const MIB: u64 = 1 << 20;
/// In a shorter run what is being filled cannot be told from what leaks.
const CREEP_JUDGED_AFTER: u64 = 30 * 60 * SECOND;
/// Of a run, before caches, histories and the allocator's own stock are filled: one part of so many.
const FILLING_PART: usize = 12;

/// What a node's resident memory may come to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemoryBound {
    /// Without clients: code, runtime, database caches and write buffers, snapshots under way.
    pub base_bytes: u64,
    /// For each connection of the whole cluster: its session on every node, its socket and queues on one.
    pub bytes_per_connection: u64,
    /// What is kept for replay, as it was set, with what its index costs.
    pub history_bytes: u64,
    /// By how many percent a node's mean of the last quarter of half an hour or more may exceed that of the first; `None`:
    /// what the scenario fills may take the whole run.
    pub creep_percent_max: Option<f64>,
}

impl MemoryBound {
    /// The bound with so many connections.
    #[must_use]
    pub const fn bytes(&self, connections: u64) -> u64 {
        self.base_bytes + self.bytes_per_connection * connections + self.history_bytes
    }
}

pub(super) fn judge(record: &Record, bound: &MemoryBound) -> Finding {
    let mut finding =
        Finding::new("I7", "memory stays below base + connections + the queues' and the history's bounds");
    let connections = record.listeners.len() as u64;
    let most_allowed = bound.bytes(connections);
    let nodes = record.samples.iter().map(|sample| sample.resident_bytes.len()).max().unwrap_or(0);
    let mut words = Vec::new();
    for node in 0..nodes {
        let most =
            record.samples.iter().filter_map(|sample| sample.resident_bytes.get(node)).copied().max().unwrap_or(0);
        words.push(format!("{}", most / MIB));
        if most > most_allowed {
            finding.broken(|| {
                format!("node {} came to {} MiB; the bound is {} MiB", node + 1, most / MIB, most_allowed / MIB)
            });
        }
    }
    finding.checked =
        format!("at most {} MiB, bound {} MiB, {connections} listeners", words.join("/"), most_allowed / MIB);
    let Some(creep_percent_max) = bound.creep_percent_max else { return finding };
    let creeps = creeps(&record.samples, nodes);
    if !creeps.is_empty() {
        let words: Vec<String> = creeps.iter().map(|(_, percent)| format!("{percent:+.1}")).collect();
        finding.checked.push_str(&format!("; {} % from the first quarter to the last", words.join("/")));
    }
    for (node, percent) in creeps {
        if percent > creep_percent_max {
            finding.broken(|| format!("node {} crept up by {percent:.1} %", node + 1));
        }
    }
    finding
}

/// By how many percent the mean of the last quarter is above that of the first, of each node that ran all the time; none if
/// the run was too short to say.
fn creeps(samples: &[Sample], nodes: usize) -> Vec<(usize, f64)> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
    if last.at.saturating_sub(first.at) < CREEP_JUDGED_AFTER {
        return Vec::new();
    }
    let filled = samples.get(samples.len() / FILLING_PART..).unwrap_or_default();
    let quarter = (filled.len() / 4).max(1);
    let of = |samples: &[Sample], node: usize| {
        let bytes: Vec<u64> = samples.iter().filter_map(|sample| sample.resident_bytes.get(node)).copied().collect();
        bytes.iter().sum::<u64>() as f64 / bytes.len().max(1) as f64
    };
    (0..nodes)
        // A node that was started anew has its whole memory still to fill.
        .filter(|node| filled.iter().all(|sample| sample.resident_bytes.get(*node).is_some_and(|bytes| *bytes > 0)))
        .map(|node| {
            let (before, after) = (of(&filled[..quarter], node), of(&filled[filled.len() - quarter..], node));
            (node, (after / before - 1.0) * 100.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(minutes: u64, resident_bytes: impl Fn(u64) -> Vec<u64>) -> Finding {
        let samples = (0..=minutes * 60).map(|second| Sample {
            at: second * SECOND,
            resident_bytes: resident_bytes(second),
            ..Sample::default()
        });
        let bound = MemoryBound {
            base_bytes: 1 << 30,
            bytes_per_connection: 0,
            history_bytes: 0,
            creep_percent_max: Some(5.0),
        };
        judge(&Record { samples: samples.collect(), ..Record::default() }, &bound)
    }

    #[test]
    fn what_creeps_is_found_in_a_long_run_and_what_fills_is_none() {
        // Filled within the first minutes, and up and down from there.
        let filling = |second: u64| 100 * MIB * second.min(120) / 120 + 50 * MIB + second % 7 * MIB;
        let finding = judged(60, |second| vec![filling(second), filling(second) + second * 4096]);
        assert_eq!(finding.violations, 1, "{finding:?}");
        assert!(finding.checked.contains("/+6"), "{}", finding.checked);
        assert_eq!(judged(60, |second| vec![filling(second)]).violations, 0);
        // Too short to say; started anew.
        assert_eq!(judged(10, |second| vec![MIB + second * MIB / 10]).violations, 0);
        assert_eq!(judged(60, |second| vec![if second == 1000 { 0 } else { MIB + second * MIB / 10 }]).violations, 0);
    }
}
