//! Which nodes must not come in, and the one line that says why: to them, and on both sides.

use vedfolnir_state::{Format, Incarnation, NodeId, State};

use crate::handle::Inner;
use crate::network::{Life, PeerIdentity, Unwelcome};
use crate::remove;

/// What the state knows of a peer.
struct Known {
    removed: bool,
    format: Format,
    /// A life that another process has had, and the peer's that is no later one.
    lived: Option<(Incarnation, Life)>,
}

impl Known {
    fn of(state: &State, peer: &PeerIdentity) -> Self {
        let lived = peer.life.and_then(|life| Some((seen_life(state, peer.node_id, life)?, life)));
        Self { removed: state.is_removed(peer.node_id), format: state.format(), lived }
    }
}

/// Asked at the Hello, before Raft hears of the peer.
pub(crate) fn judge(node: &Inner, peer: &PeerIdentity) -> Option<Unwelcome> {
    decide(node, peer, node.replica.read(|state| Known::of(state, peer)))
}

/// Asked with each call on a connection that stands. Heartbeats are calls too: while the state is being changed nothing is
/// found against the peer, and the next call asks again.
pub(crate) fn judge_unless_busy(node: &Inner, peer: &PeerIdentity) -> Option<Unwelcome> {
    decide(node, peer, node.replica.try_read(|state| Known::of(state, peer))?)
}

fn decide(node: &Inner, peer: &PeerIdentity, known: Known) -> Option<Unwelcome> {
    let (id, format) = (peer.node_id, known.format);
    if known.removed && !remove::is_member(node, id) {
        return Some(Unwelcome::Removed(remove::removed_line(node, id)));
    }
    if let Some((seen, life)) = known.lived {
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
    node.replica.read(|state| seen_life(state, id, life))
}

fn seen_life(state: &State, id: NodeId, life: Life) -> Option<Incarnation> {
    let (seen, _) = state.node_incarnation(id)?;
    let (_, info) = state.node_info(id)?;
    (seen.generation >= life.generation && info.process != life.process).then_some(seen)
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
