//! The table of nodes: which life of each is live, and how far its proposals have been executed.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::command::NodeInfo;
use crate::identifier::{Incarnation, NodeId};
use crate::table;

/// Invariant: `generation` never shrinks, so a life that ended can never be begun again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    generation: u64,
    live: bool,
    /// The last sequence of this generation that was executed.
    last_sequence: u64,
    info: NodeInfo,
}

/// What a `NodeUp` amounts to.
pub(crate) enum Up {
    /// A new life; the older one that must be ended first.
    Begins(Option<Incarnation>),
    /// It is live already.
    Already,
    /// An older life, or one that ended.
    Refused,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nodes {
    #[serde(deserialize_with = "table::map")]
    nodes: OrdMap<NodeId, Node>,
}

impl Nodes {
    pub(crate) fn is_live(&self, incarnation: Incarnation) -> bool {
        self.nodes.get(&incarnation.node).is_some_and(|node| node.live && node.generation == incarnation.generation)
    }

    pub(crate) fn last_sequence(&self, incarnation: Incarnation) -> Option<u64> {
        let node = self.nodes.get(&incarnation.node)?;
        let lives = node.live && node.generation == incarnation.generation;
        #[cfg(feature = "planted-bugs")]
        let lives = crate::planted::lives(lives);
        lives.then_some(node.last_sequence)
    }

    pub(crate) fn set_last_sequence(&mut self, incarnation: Incarnation, sequence: u64) {
        if let Some(node) = self.nodes.get_mut(&incarnation.node) {
            node.last_sequence = sequence;
        }
    }

    pub(crate) fn judge_up(&self, incarnation: Incarnation) -> Up {
        match self.nodes.get(&incarnation.node) {
            None => Up::Begins(None),
            Some(node) if incarnation.generation > node.generation => {
                Up::Begins(node.live.then_some(Incarnation { generation: node.generation, ..incarnation }))
            }
            Some(node) if node.live && incarnation.generation == node.generation => Up::Already,
            Some(_) => Up::Refused,
        }
    }

    pub(crate) fn up(&mut self, incarnation: Incarnation, info: NodeInfo) {
        let node = Node { generation: incarnation.generation, live: true, last_sequence: 0, info };
        self.nodes.insert(incarnation.node, node);
    }

    /// Ends a life; says whether it was live.
    pub(crate) fn down(&mut self, incarnation: Incarnation) -> bool {
        if !self.is_live(incarnation) {
            return false;
        }
        if let Some(node) = self.nodes.get_mut(&incarnation.node) {
            node.live = false;
        }
        true
    }

    /// The node will never come back.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    pub(crate) fn incarnation(&self, node: NodeId) -> Option<(Incarnation, bool)> {
        let entry = self.nodes.get(&node)?;
        Some((Incarnation { node, generation: entry.generation }, entry.live))
    }

    pub(crate) fn info(&self, node: NodeId) -> Option<(bool, &NodeInfo)> {
        self.nodes.get(&node).map(|entry| (entry.live, &entry.info))
    }

    pub(crate) fn by_server_id(&self, server_id: &str, but: NodeId) -> Option<NodeId> {
        let mut others = self.nodes.iter().filter(|(node, _)| **node != but);
        others.find(|(_, entry)| entry.info.server_id == server_id).map(|(node, _)| *node)
    }

    pub(crate) fn live(&self) -> Vec<Incarnation> {
        let live = self.nodes.iter().filter(|(_, entry)| entry.live);
        live.map(|(node, entry)| Incarnation { node: *node, generation: entry.generation }).collect()
    }
}
