//! The names of things in the replicated state: nodes, incarnations, positions, offsets, sessions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node's identity: random, drawn once when its data directory is created, never used again after a wipe.
pub type NodeId = u64;

/// Counts the owners a session has had; whoever acts under a smaller epoch than the committed one is fenced.
pub type Epoch = u64;

/// One life of a node: `generation` grows with every start and every fencing, durably, before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// The node.
    pub node: NodeId,
    /// Which of its lives.
    pub generation: u64,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.node, self.generation)
    }
}

/// A place in the one total order: the Raft log index of an entry and the command's ordinal inside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPosition {
    /// Raft log index, from 1; 0 is before everything.
    pub index: u64,
    /// The command's place inside the entry's batch, from 0.
    pub ordinal: u32,
}

impl LogPosition {
    /// The position of a command.
    #[must_use]
    pub const fn new(index: u64, ordinal: u32) -> Self {
        Self { index, ordinal }
    }

    /// The last position that an entry can hold: every command of `index` is at or before it.
    #[must_use]
    pub const fn end_of(index: u64) -> Self {
        Self { index, ordinal: u32::MAX }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.ordinal)
    }
}

/// What a client hands back to say what it has seen: a position inside one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset {
    /// Which history; it changes when a backup is restored.
    pub history_id: u64,
    /// The last position that the client has processed.
    pub position: LogPosition,
}

/// The key under which the cluster's nodes authenticate Engine.IO session ids to each other.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidKey(pub [u8; 32]);

impl fmt::Debug for SidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SidKey")
    }
}

/// The first 16 bytes of the SHA-256 of a session's `pid`; the pid itself never leaves the edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PidHash(pub [u8; 16]);

impl fmt::Debug for PidHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}
