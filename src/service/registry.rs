//! The Engine.IO sessions of this node, by the secret part of their ids.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vedfolnir_protocol::EngineSid;

use super::link::Link;

/// Every connection of this node.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    links: Mutex<HashMap<[u8; 12], Arc<Link>>>,
}

impl Registry {
    /// Registers a connection under its id.
    pub(crate) fn insert(&self, sid: &EngineSid, link: Arc<Link>) {
        self.links.lock().insert(sid.random, link);
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
