//! Invariant I5, no split brain: leaders come in order, committed positions immutable, equal states at equal positions, one
//! cluster id.
//!
//! openraft's leader is a term and a node: within a term a greater node may be elected over a smaller one, as a greater term
//! may over a smaller, and never the other way round. So a vote is for one leader, and not for one term.

use std::collections::{BTreeMap, BTreeSet};

use vedfolnir_cluster::probe::Entry;

use crate::history::Recorder;

/// Two replicas at one index.
pub(crate) fn same(known: &Entry, other: &Entry, recorder: &Recorder) {
    let index = known.index;
    if let (Some(digest), Some(known_digest)) = (other.digest, known.digest)
        && digest != known_digest
    {
        recorder.violation(
            "I5",
            format!("index {index} was one entry on host {} and is another on host {}", known.host, other.host),
        );
    } else if known.state_hash != other.state_hash {
        let after = if other.digest.is_some() { "applying it" } else { "installing a snapshot" };
        recorder.violation(
            "I5",
            format!(
                "at index {index} host {} has state {:016x}, host {} after {after} {:016x}",
                known.host, known.state_hash, other.host, other.state_hash
            ),
        );
    }
}

/// Leaders by term, and the cluster's id.
#[derive(Default)]
pub(crate) struct Leaders {
    /// Ids have the same length, so that they sort as the numbers do.
    by_term: BTreeMap<u64, BTreeSet<String>>,
    cluster_id: Option<String>,
}

impl Leaders {
    /// What a node says of itself: its term, and its id if it leads.
    pub(crate) fn observe(&mut self, cluster_id: &str, term: u64, leader: Option<&str>, recorder: &Recorder) {
        if !cluster_id.is_empty() {
            let known = self.cluster_id.get_or_insert_with(|| cluster_id.to_owned());
            if known != cluster_id {
                recorder.violation("I5", format!("two clusters: {known} and {cluster_id}"));
            }
        }
        if let Some(leader) = leader {
            let known = self.by_term.entry(term).or_default();
            // Each is seen in the millisecond in which it is elected.
            if known.insert(leader.to_owned())
                && let Some(greater) = known.last().filter(|last| last.as_str() != leader)
            {
                recorder
                    .violation("I5", format!("in term {term} {leader} was elected after {greater}, which outranks it"));
            }
        }
    }
}
