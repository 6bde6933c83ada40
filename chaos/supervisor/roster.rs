//! Who is there: what those who watch the nodes need to know of them, without the nodes themselves.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;

#[derive(Debug)]
struct Entry {
    admin: SocketAddr,
    /// While it runs and is not frozen.
    pid: Option<u32>,
    /// In the cluster, once known; another one after its disk was wiped.
    id: Option<String>,
}

/// See the module. Cheap to clone; all copies are one.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<RwLock<Vec<Entry>>>);

impl Roster {
    pub(super) fn add(&self, admin: SocketAddr) {
        self.0.write().push(Entry { admin, pid: None, id: None });
    }

    pub(super) fn set(&self, index: usize, pid: Option<u32>) {
        if let Some(entry) = self.0.write().get_mut(index) {
            entry.pid = pid;
        }
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A node's operators' door, and its process while it is up.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(SocketAddr, Option<u32>)> {
        self.0.read().get(index).map(|entry| (entry.admin, entry.pid))
    }

    pub(crate) fn learn(&self, index: usize, id: &str) {
        if let Some(entry) = self.0.write().get_mut(index)
            && entry.id.as_deref() != Some(id)
        {
            entry.id = Some(id.to_owned());
        }
    }

    /// Which node goes by this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.0.read().iter().position(|entry| entry.id.as_deref() == Some(id))
    }
}
