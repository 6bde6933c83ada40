//! The Engine.IO sessions of this node, by the secret part of their ids.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vedfolnir_cluster::state::Incarnation;
use vedfolnir_protocol::EngineSid;

use super::link::Link;
use super::random;

/// Every connection of this node.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    links: Mutex<HashMap<[u8; 12], Arc<Link>>>,
}

impl Registry {
    /// Registers a connection under a new id.
    pub(crate) fn insert(&self, owner: Incarnation, link: Arc<Link>) -> EngineSid {
        let random = random::bytes::<12>();
        self.links.lock().insert(random, link);
        EngineSid { node: owner.node, generation: owner.generation, random }
    }

    /// The connection with this id. The random part alone decides: the rest only says where to look.
    pub(crate) fn get(&self, sid: &EngineSid) -> Option<Arc<Link>> {
        self.links.lock().get(&sid.random).cloned()
    }

    pub(crate) fn remove(&self, sid: &EngineSid) {
        self.links.lock().remove(&sid.random);
    }

    pub(crate) fn len(&self) -> usize {
        self.links.lock().len()
    }

    /// All connections now.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.links.lock().values().cloned().collect()
    }
}
