//! The client's side of a node: what happens to the connections that go through the proxy to its service.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

/// A node's clients: cheap to clone. All of it concerns connections through this node's proxy and those that
/// [`Network::add_front`](super::Network::add_front) has led to the node.
#[derive(Clone)]
pub struct Door {
    inner: Arc<Inner>,
}

struct Inner {
    behaviour: watch::Sender<Behaviour>,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    /// The number of the next one.
    next: u64,
    /// Those that exist.
    open: BTreeSet<u64>,
    /// Of them, those that the node has not ended.
    of_node: BTreeSet<u64>,
}

/// What connections of one door do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Behaviour {
    /// Connections below this number are half open.
    pub(super) half_open_below: u64,
    /// Connections below this number have been reset.
    pub(super) reset_below: u64,
    pub(super) refuse: bool,
    pub(super) stall: bool,
    pub(super) delay: Duration,
    pub(super) bytes_per_second: Option<u64>,
}

impl Default for Door {
    fn default() -> Self {
        let inner = Inner { behaviour: watch::Sender::new(Behaviour::default()), connections: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }
}

impl Door {
    /// From now on the connections that exist swallow what either side sends, and neither learns that the other is
    /// gone: as when a cable is pulled or a NAT forgets. Not to be healed; new connections are not concerned.
    pub fn half_open(&self) {
        self.inner.behaviour.send_modify(|now| now.half_open_below = self.inner.connections.lock().next);
    }

    /// Resets the connections that exist, on both sides.
    pub fn reset_all(&self) {
        self.inner.behaviour.send_modify(|now| now.reset_below = self.inner.connections.lock().next);
    }

    /// Whether new connections are reset as soon as they are made. The front does not lead to such a node.
    pub fn refuse(&self, refuse: bool) {
        self.inner.behaviour.send_modify(|now| now.refuse = refuse);
    }

    /// Whether what the node sends is left unread, on all connections, until the node cannot send any more. What
    /// clients send goes on.
    pub fn stall(&self, stall: bool) {
        self.inner.behaviour.send_modify(|now| now.stall = stall);
    }

    /// How long bytes are on their way, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.inner.behaviour.send_modify(|now| now.delay = delay);
    }

    /// What each connection carries, in each direction; `None`: as much as it can.
    pub fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.inner.behaviour.send_modify(|now| now.bytes_per_second = bytes_per_second);
    }

    /// New connections and those that are left are as they should be. Half-open ones are lost.
    pub fn heal(&self) {
        self.inner.behaviour.send_modify(|now| {
            let Behaviour { half_open_below, reset_below, .. } = *now;
            *now = Behaviour { half_open_below, reset_below, ..Behaviour::default() };
        });
    }

    /// Connections that exist, half-open ones included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.connections.lock().open.len()
    }

    /// Of the half-open connections, those that the node has not given up.
    #[must_use]
    pub fn half_open_left(&self) -> usize {
        let below = self.inner.behaviour.borrow().half_open_below;
        self.inner.connections.lock().of_node.range(..below).count()
    }

    pub(super) fn refuses(&self) -> bool {
        self.inner.behaviour.borrow().refuse
    }

    /// A new connection goes through.
    pub(super) fn enter(&self) -> Passage {
        let number = {
            let mut connections = self.inner.connections.lock();
            let number = connections.next;
            connections.next += 1;
            connections.open.insert(number);
            connections.of_node.insert(number);
            number
        };
        Passage { number, behaviour: self.inner.behaviour.subscribe(), door: self.clone() }
    }
}

/// A connection's place in a door.
pub(super) struct Passage {
    pub(super) number: u64,
    pub(super) behaviour: watch::Receiver<Behaviour>,
    door: Door,
}

impl Passage {
    /// The node's end is over.
    pub(super) fn is_left_by_node(&self) {
        self.door.inner.connections.lock().of_node.remove(&self.number);
    }

    /// Once the connection is to be reset.
    pub(super) async fn reset(&self) {
        let number = self.number;
        let mut behaviour = self.behaviour.clone();
        if behaviour.wait_for(|now| number < now.reset_below).await.is_err() {
            // The door is gone, which holds what it would have said.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let mut connections = self.door.inner.connections.lock();
        connections.open.remove(&self.number);
        connections.of_node.remove(&self.number);
    }
}
