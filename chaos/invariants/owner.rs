//! I4, single owner: once a session's new connection is acknowledged, nothing that the old one says counts and nothing published
//! since then reaches it. (What was published before may still be on its way through a dead connection.)

use std::collections::HashMap;

use super::Finding;
use crate::record::Record;

pub(super) fn judge(record: &Record) -> Finding {
    let mut finding =
        Finding::new("I4", "a session has one owner: an old connection neither acts nor is served after a takeover");
    for act in record.stale.iter().filter(|act| act.acknowledged) {
        finding.broken(|| {
            let late_ms = act.invoked_at.saturating_sub(act.taken_over_at) / crate::clock::MS;
            format!("{:?} was acknowledged on a connection that had lost its session {late_ms} ms before", act.id)
        });
    }
    let invoked: HashMap<_, _> = record.publishes.iter().map(|publish| (publish.id, publish.invoked_at)).collect();
    for delivery in &record.stale_deliveries {
        let Some(&invoked_at) = invoked.get(&delivery.id) else { continue };
        if invoked_at > delivery.taken_over_at {
            finding.broken(|| {
                let late_ms = (invoked_at - delivery.taken_over_at) / crate::clock::MS;
                format!("{:?}, published {late_ms} ms after a takeover, reached the old connection", delivery.id)
            });
        }
    }
    finding.checked = format!(
        "{} takeovers while the old connection lived, {} deliveries to old connections",
        record.stale.len(),
        record.stale_deliveries.len()
    );
    finding
}
