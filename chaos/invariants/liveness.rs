//! I8, liveness: after healing the cluster converges, everybody is served, and everything that is owed arrives within the bound.

use super::Finding;
use crate::record::Record;

pub(super) fn judge(record: &Record) -> Finding {
    let mut finding = Finding::new("I8", "after healing the cluster converges and serves everybody within the bound");
    for words in &record.unhealed {
        finding.broken(|| words.clone());
    }
    finding.checked =
        "nodes ready and equal, clients connected, every room's last message with every member".to_owned();
    finding
}
