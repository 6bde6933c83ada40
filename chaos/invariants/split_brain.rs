//! I5, no split brain: one cluster, leaders in order, equal states at equal positions.
//!
//! A leader is a term and a node (openraft: within a term a vote for a greater node outranks one for a smaller, so a term may have
//! two, one after the other); what no node may ever see is that the term goes back.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::record::Record;

pub(super) fn judge(record: &Record) -> Finding {
    let mut finding = Finding::new("I5", "one cluster, terms that only rise, equal states at equal positions");
    let clusters: BTreeSet<&str> = record.leaders.iter().map(|seen| seen.cluster_id.as_str()).collect();
    if clusters.len() > 1 {
        finding.broken(|| format!("there were {} clusters: {clusters:?}", clusters.len()));
    }
    let mut terms: BTreeMap<(usize, u32), u64> = BTreeMap::new();
    for seen in &record.leaders {
        let term = terms.entry((seen.seen_by, seen.pid)).or_insert(seen.term);
        if seen.term < *term {
            finding.broken(|| format!("node {} was in term {} and then in term {}", seen.seen_by + 1, term, seen.term));
        }
        *term = seen.term.max(*term);
    }
    let mut hashes: BTreeMap<u64, (&str, usize)> = BTreeMap::new();
    for state in &record.states {
        let (hash, first) = *hashes.entry(state.applied_index).or_insert((&state.hash, state.node));
        if hash != state.hash {
            finding.broken(|| {
                let (a, b, index) = (first + 1, state.node + 1, state.applied_index);
                format!("nodes {a} and {b} differ at index {index}: {hash} and {}", state.hash)
            });
        }
    }
    let compared = record.states.len().saturating_sub(hashes.len());
    finding.checked = format!(
        "{} views of who leads, {} terms, {compared} states compared with another node's",
        record.leaders.len(),
        record.leaders.iter().map(|seen| seen.term).collect::<BTreeSet<_>>().len(),
    );
    finding
}
