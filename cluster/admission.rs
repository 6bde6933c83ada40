//! Which nodes must not come in, and the one line that says why: to them, and on both sides.

use vedfolnir_state::{Format, Incarnation, NodeId};

use crate::handle::Inner;
use crate::network::{Life, PeerIdentity, Unwelcome};
use crate::remove;

/// Asked at the Hello and with each call: before Raft hears of the peer.
pub(crate) fn judge(node: &Inner, peer: &PeerIdentity) -> Option<Unwelcome> {
    let id = peer.node_id;
    let (removed, format) = node.replica.read(|state| (state.is_removed(id), state.format()));
    if removed && !remove::is_member(node, id) {
        return Some(Unwelcome::Removed(remove::removed_line(node, id)));
    }
    if let Some(life) = peer.life
        && let Some(seen) = lived_already(node, id, life)
    {
        return Some(Unwelcome::Stale(copy_line(seen, life.generation)));
    }
    (peer.format < u16::from(format.number())).then(|| {
        Unwelcome::Outdated(format!(
            "node {id:016x} speaks format {} at most, but its cluster writes format {format} by now: \
             start it with a newer binary, or without --format-version (VEDFOLNIR_FORMAT_VERSION)",
            peer.format
        ))
    })
}

/// The node's life that another process has had, if it is this one or a later one. Raft must not meet such a copy: it
/// has forgotten entries that the node once acknowledged.
pub(crate) fn lived_already(node: &Inner, id: NodeId, life: Life) -> Option<Incarnation> {
    node.replica.read(|state| {
        let (seen, _) = state.node_incarnation(id)?;
        let (_, info) = state.node_info(id)?;
        (seen.generation >= life.generation && info.process != life.process).then_some(seen)
    })
}

/// What is said of a copy of a data directory.
pub(crate) fn copy_line(seen: Incarnation, generation: u64) -> String {
    format!(
        "the cluster has seen life {seen} of this node, this data directory is a copy that holds only life {generation}; \
         start with an empty data directory to join as a new node"
    )
}

/// How a line ends that says that something is written in this format, of which the node speaks less.
pub(crate) fn speaks_too_little(found: u8, speaks: Format) -> String {
    if Format::try_from(found).is_ok() {
        format!(
            "but this node was told to speak format {speaks} at most: \
             start it without --format-version (VEDFOLNIR_FORMAT_VERSION)"
        )
    } else {
        format!("but this binary speaks format {} at most: start the newer binary", Format::NEWEST)
    }
}
