//! I7, bounded memory: no node grows beyond a base, what a connection may cost, and the bounds that were set for it.

use serde::Serialize;

use super::Finding;
use crate::record::Record;

const MIB: u64 = 1 << 20;

/// What a node's resident memory may come to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemoryBound {
    /// Without clients: code, runtime, database caches and write buffers, snapshots under way.
    pub base_bytes: u64,
    /// For each connection of the whole cluster: its session on every node, its socket and queues on one.
    pub bytes_per_connection: u64,
    /// What is kept for replay, as it was set, with what its index costs.
    pub history_bytes: u64,
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
    finding
}
