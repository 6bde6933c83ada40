//! The network between the nodes of a cluster and between them and their clients, in user space: a proxy for the UDP of
//! peers and the TCP of clients that drops, delays, reorders, duplicates, cuts and resets what goes through it.
//!
//! No root is needed, nor anything of the kernel. A node binds its real address and tells its peers the proxy's
//! (`WEBSOCKET_CLUSTER_ADVERTISE`); clients connect to the node's door, or to a front that leads to whichever node lives.
//! Real addresses are on loopback. Chances are drawn from the seed, one sequence for each direction between two nodes.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

mod direction;
mod door;
mod error;
mod nodes;
mod policy;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

pub use door::Door;
pub use error::ProxyError;
pub use policy::{Counts, Policy};

use nodes::Nodes;
use tcp::{Entrance, Target};
use udp::Front;

/// Where others find a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The UDP address that it tells its peers.
    pub peer: SocketAddr,
    /// The TCP address for its clients.
    pub door: SocketAddr,
}

/// See the module. Cheap to clone; all of it ends when the last clone is dropped. To be used within a tokio runtime.
///
/// Whatever is said of a node that is not there yet holds once it is. What a node sends to itself always arrives.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    nodes: Arc<Nodes>,
    tasks: Mutex<JoinSet<()>>,
}

impl Network {
    /// A network without nodes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { inner: Arc::new(Inner { nodes: Arc::new(Nodes::new(seed)), tasks: Mutex::default() }) }
    }

    /// Stands between a node and the others: `peer` is the real UDP address of its cluster endpoint, `door` the real TCP
    /// address of its service. A node that moves is added again.
    ///
    /// # Errors
    /// [`ProxyError`] if there is no port or file descriptor left.
    pub async fn add_node(&self, index: usize, peer: SocketAddr, door: SocketAddr) -> Result<Addresses, ProxyError> {
        let nodes = &self.inner.nodes;
        let (listener, door_of_proxy) = listen(SocketAddr::new(door.ip(), 0)).await?;
        let (front, peer_of_proxy) = Front::bind(index, peer)?;
        let front = Arc::new(front);
        nodes.add(index, peer, door, Arc::clone(&front));
        let mut tasks = self.inner.tasks.lock();
        tasks.spawn(front.run(Arc::clone(nodes)));
        tasks.spawn(Entrance::new(Target::Node(index), Arc::clone(nodes)).run(listener));
        Ok(Addresses { peer: peer_of_proxy, door: door_of_proxy })
    }

    /// A balancer before all doors, what a client with one URL connects to: leads to the preferred node, or to the next
    /// one that takes the connection if that one does not, is isolated or refuses. A node that has just let a client go
    /// without a byte (it hangs) is tried last.
    ///
    /// # Errors
    /// [`ProxyError`] if there is no port or file descriptor left.
    pub async fn add_front(&self, preferred: usize) -> Result<SocketAddr, ProxyError> {
        let (listener, address) = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let entrance = Entrance::new(Target::Prefer(preferred), Arc::clone(&self.inner.nodes));
        self.inner.tasks.lock().spawn(entrance.run(listener));
        Ok(address)
    }

    /// What happens to packets from one node to another.
    pub fn set(&self, from: usize, to: usize, policy: Policy) {
        if from != to {
            self.inner.nodes.direction(from, to).change(|now| *now = policy);
        }
    }

    /// What happens to packets between any two nodes, in both directions; cuts and isolation are over.
    pub fn set_all(&self, policy: Policy) {
        for (_, side) in self.inner.nodes.sides() {
            side.set_isolated(false);
        }
        self.inner.nodes.set_all(policy);
    }

    /// Parts two groups: nothing gets from one to the other, in either direction. Other policies stay.
    pub fn cut(&self, a: &[usize], b: &[usize]) {
        for from in a {
            for to in b {
                self.cut_one_way(*from, *to);
                self.cut_one_way(*to, *from);
            }
        }
    }

    /// Nothing gets from one node to another; the other direction stays as it is.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        if from != to {
            self.inner.nodes.direction(from, to).change(|now| now.cut = true);
        }
    }

    /// Cuts a node off from all peers, those to come and strangers included, in both directions. Its clients stay.
    pub fn isolate(&self, node: usize) {
        self.inner.nodes.side(node).set_isolated(true);
        self.cut(&[node], &self.inner.nodes.indices());
    }

    /// The clients' side of a node.
    #[must_use]
    pub fn door(&self, node: usize) -> Door {
        self.inner.nodes.side(node).door.clone()
    }

    /// All lines and doors are perfect again. Connections that were reset or are half open are lost.
    pub fn heal(&self) {
        self.set_all(Policy::default());
        for (_, side) in self.inner.nodes.sides() {
            side.door.heal();
        }
    }

    /// Packets between nodes so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.nodes.counters.read()
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ProxyError> {
    let failed = |reason| ProxyError { protocol: "TCP", address, reason };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
