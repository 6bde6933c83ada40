//! What the proxy knows of the nodes: their addresses, the lines between them, their doors.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::direction::{Direction, seed_of};
use super::door::Door;
use super::policy::{Counters, Policy};
use super::udp::Front;

/// One node, as others reach it.
pub(super) struct Side {
    pub(super) door: Door,
    isolated: AtomicBool,
}

impl Side {
    pub(super) fn is_isolated(&self) -> bool {
        self.isolated.load(Ordering::Relaxed)
    }

    pub(super) fn set_isolated(&self, isolated: bool) {
        self.isolated.store(isolated, Ordering::Relaxed);
    }
}

/// A node that was added.
pub(super) struct Added {
    /// Its real UDP address.
    pub(super) peer: SocketAddr,
    /// Its real TCP address.
    pub(super) door: SocketAddr,
    front: Arc<Front>,
}

/// See the module.
pub(super) struct Nodes {
    seed: u64,
    pub(super) counters: Arc<Counters>,
    map: Mutex<Map>,
}

#[derive(Default)]
struct Map {
    added: BTreeMap<usize, Added>,
    sides: HashMap<usize, Arc<Side>>,
    directions: HashMap<(usize, usize), Arc<Direction>>,
    /// Of lines that are still to be made.
    policy: Policy,
    /// One for each direction. They end with the network.
    deliverers: JoinSet<()>,
}

impl Nodes {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, counters: Arc::default(), map: Mutex::default() }
    }

    /// Whose real UDP address this is.
    pub(super) fn at(&self, peer: SocketAddr) -> Option<usize> {
        self.map.lock().added.iter().find(|(_, node)| node.peer == peer).map(|(index, _)| *index)
    }

    /// Those that were added, with their real TCP addresses.
    pub(super) fn doors(&self) -> Vec<(usize, SocketAddr)> {
        self.map.lock().added.iter().map(|(index, node)| (*index, node.door)).collect()
    }

    pub(super) fn add(&self, index: usize, peer: SocketAddr, door: SocketAddr, front: Arc<Front>) {
        let fronts: Vec<Arc<Front>> = {
            let mut map = self.map.lock();
            map.added.insert(index, Added { peer, door, front });
            map.added.values().map(|node| Arc::clone(&node.front)).collect()
        };
        for front in fronts {
            front.know(self, peer);
        }
    }

    pub(super) fn side(&self, index: usize) -> Arc<Side> {
        let mut map = self.map.lock();
        let side = map
            .sides
            .entry(index)
            .or_insert_with(|| Arc::new(Side { door: Door::default(), isolated: AtomicBool::new(false) }));
        Arc::clone(side)
    }

    /// The line from one node to another; neither need be there yet.
    pub(super) fn direction(&self, from: usize, to: usize) -> Arc<Direction> {
        let isolated = self.side(from).is_isolated() || self.side(to).is_isolated();
        let mut map = self.map.lock();
        if let Some(direction) = map.directions.get(&(from, to)) {
            return Arc::clone(direction);
        }
        // What a node sends to itself does not leave its machine.
        let policy = match from == to {
            true => Policy::default(),
            false => Policy { cut: map.policy.cut || isolated, ..map.policy },
        };
        let seed = seed_of(self.seed, from, to);
        let direction = Arc::new(Direction::new(policy, seed, Arc::clone(&self.counters)));
        map.deliverers.spawn(Arc::clone(&direction).deliver());
        map.directions.insert((from, to), Arc::clone(&direction));
        direction
    }

    /// Changes all lines, and those that are still to be made.
    pub(super) fn set_all(&self, policy: Policy) {
        let directions: Vec<Arc<Direction>> = {
            let mut map = self.map.lock();
            map.policy = policy;
            map.directions.iter().filter(|((from, to), _)| from != to).map(|(_, line)| Arc::clone(line)).collect()
        };
        for direction in directions {
            direction.change(|now| *now = policy);
        }
    }

    /// Those that were added or spoken of.
    pub(super) fn sides(&self) -> Vec<(usize, Arc<Side>)> {
        self.map.lock().sides.iter().map(|(index, side)| (*index, Arc::clone(side))).collect()
    }

    /// Those that were added.
    pub(super) fn indices(&self) -> Vec<usize> {
        self.map.lock().added.keys().copied().collect()
    }
}
