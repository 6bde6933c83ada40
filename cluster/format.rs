//! Raises the cluster's format: once every member speaks a higher one, and never back.
//!
//! Until then everything is written in the format that all of them read. The command that raises it is the first entry
//! of the new format, so that a replica which does not speak it stops there instead of going another way.

use openraft::async_runtime::WatchReceiver;
use vedfolnir_state::{Command, Format, Origin, Proposal, State, encode_proposal};

use crate::autopilot::HEALTHY_WITHIN;
use crate::handle::Inner;
use crate::type_config::EntryBytes;

/// A duty of the leader.
pub(crate) async fn raise(node: &Inner) {
    let current = node.replica.read(State::format);
    if current >= node.config.format_version {
        return;
    }
    // Nobody joins while it is found out and committed; who comes later is judged by the new format.
    let Ok(_serial) = node.membership_change.try_lock() else { return };
    let Some(format) = spoken_by_all(node).filter(|format| *format > current) else { return };
    let proposal = Proposal { origin: Origin::System, commands: vec![Command::RaiseFormat { format }] };
    if let Err(error) = node.raft.client_write(EntryBytes(encode_proposal(format, &proposal))).await {
        tracing::debug!(%error, "the format was not raised by this leader");
    }
}

/// The highest format that every member speaks; `None` while one of them is away, or has not said.
fn spoken_by_all(node: &Inner) -> Option<Format> {
    {
        let metrics = node.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        if metrics.membership_config != metrics.committed_membership_config {
            return None;
        }
    }
    let heard = node.last_heard();
    let mut lowest = node.config.format_version;
    for (id, addr) in node.other_members() {
        heard.get(&id).filter(|age| **age <= HEALTHY_WITHIN)?;
        let spoken = node.endpoint.peer(&addr, Some(id)).connected_to()?.format;
        // What is newer than this binary speaks everything that this one does.
        let spoken = u8::try_from(spoken).ok().and_then(|number| Format::try_from(number).ok()).unwrap_or(lowest);
        lowest = lowest.min(spoken);
    }
    Some(lowest)
}
