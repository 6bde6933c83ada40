//! What all clients of a run share: where the nodes are, how far the run is, what was published, and counters for the eye.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::Plan;
use crate::client::Endpoint;
use crate::clock::Nanos;
use crate::history::{MessageId, Outcome};
use crate::record::{PublishLog, Record, RegistryAct, StaleAct, StaleDelivery};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Messages flow.
    Running,
    /// The same, and those that stopped reading read again.
    Reading,
    /// Nothing new but one last message to each room.
    Settling,
    /// Everybody goes.
    Over,
}

/// Acknowledgements whose time is kept until the next sample; further ones are not.
const LATENCIES_MAX: usize = 100_000;

/// For the eye while it runs; what judges reads the record.
#[derive(Debug, Default)]
pub struct Counters {
    /// Clients with a session.
    pub connected: AtomicU64,
    /// Publishes acknowledged.
    pub acknowledged: AtomicU64,
    /// Deliveries.
    pub delivered: AtomicU64,
    /// Deliveries that came twice or late, as far as one client can tell.
    pub odd: AtomicU64,
    /// Sessions that were taken up again.
    pub recovered: AtomicU64,
    /// Sessions that could not be.
    pub unrecovered: AtomicU64,
    /// Publishers that have said their last.
    pub fenced: AtomicU64,
}

/// See the module.
pub struct Shared {
    doors: RwLock<Vec<Endpoint>>,
    admins: RwLock<Vec<SocketAddr>>,
    rooms: u32,
    room_prefix: String,
    /// How many publish.
    pub(super) publishers: usize,
    silence_max: Duration,
    stage: watch::Sender<Stage>,
    next_publisher: AtomicU32,
    publishes: Mutex<Vec<PublishLog>>,
    stale: Mutex<Vec<StaleAct>>,
    stale_deliveries: Mutex<Vec<StaleDelivery>>,
    registry: Mutex<Vec<RegistryAct>>,
    latencies: Mutex<Vec<Nanos>>,
    /// For the eye.
    pub counters: Counters,
}

impl Shared {
    pub(super) fn new(doors: Vec<Endpoint>, admins: Vec<SocketAddr>, plan: &Plan) -> Self {
        Self {
            doors: RwLock::new(doors),
            admins: RwLock::new(admins),
            rooms: plan.rooms.max(1),
            room_prefix: plan.room_prefix.clone(),
            publishers: plan.publishers,
            silence_max: plan.silence_max,
            stage: watch::channel(Stage::Running).0,
            next_publisher: AtomicU32::new(0),
            publishes: Mutex::default(),
            stale: Mutex::default(),
            stale_deliveries: Mutex::default(),
            registry: Mutex::default(),
            latencies: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Where clients find each node.
    pub(super) fn door(&self, number: usize) -> (usize, Endpoint) {
        let doors = self.doors.read();
        let node = number % doors.len();
        (node, doors[node].clone())
    }

    /// An operators' door.
    pub(super) fn admin(&self, number: usize) -> SocketAddr {
        let admins = self.admins.read();
        admins[number % admins.len()]
    }

    /// A node has come.
    pub fn add_node(&self, door: Endpoint, admin: SocketAddr) {
        self.doors.write().push(door);
        self.admins.write().push(admin);
    }

    pub(super) const fn rooms(&self) -> u32 {
        self.rooms
    }

    /// What rooms' names begin with.
    pub(super) fn room_name_prefix(&self) -> &str {
        &self.room_prefix
    }

    /// A room's name on the wire.
    pub(super) fn room_name(&self, room: u32) -> String {
        format!("{}{room}", self.room_prefix)
    }

    pub(super) const fn silence_max(&self) -> Duration {
        self.silence_max
    }

    /// How far the run is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// It goes on.
    pub fn enter(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// Resolves once it is at least there.
    pub(super) async fn reached(&self, stage: Stage) {
        // The sender is in this very struct.
        let _ = self.stage.subscribe().wait_for(|now| *now >= stage).await;
    }

    /// A number for a publisher: a session is one, so that its messages have an order of their own.
    pub(super) fn publisher(&self) -> u32 {
        self.next_publisher.fetch_add(1, Ordering::Relaxed)
    }

    /// Something is published; returns its place for [`Self::settled`].
    pub(super) fn published(&self, id: MessageId, room: u32, invoked_at: Nanos, outcome: Outcome) -> usize {
        let mut publishes = self.publishes.lock();
        publishes.push(PublishLog { id, room, invoked_at, outcome });
        publishes.len() - 1
    }

    /// The last that was published.
    pub(super) fn last_published(&self) -> Option<MessageId> {
        self.publishes.lock().last().map(|publish| publish.id)
    }

    /// What became of it.
    pub(super) fn settled(&self, place: usize, outcome: Outcome) {
        let mut publishes = self.publishes.lock();
        let Some(publish) = publishes.get_mut(place) else { return };
        publish.outcome = outcome;
        if let Outcome::Ok { at } = outcome {
            self.counters.acknowledged.fetch_add(1, Ordering::Relaxed);
            let mut latencies = self.latencies.lock();
            if latencies.len() < LATENCIES_MAX {
                latencies.push(at.saturating_sub(publish.invoked_at));
            }
        }
    }

    /// Median and 99th percentile of the acknowledgements since the last call; 0 without any.
    pub fn latency(&self) -> (Nanos, Nanos) {
        let mut latencies = std::mem::take(&mut *self.latencies.lock());
        latencies.sort_unstable();
        let at = |share: usize| latencies.get((latencies.len() * share / 100).min(latencies.len().saturating_sub(1)));
        (at(50).copied().unwrap_or(0), at(99).copied().unwrap_or(0))
    }

    pub(super) fn acted_stale(&self, act: StaleAct) {
        self.stale.lock().push(act);
    }

    pub(super) fn delivered_stale(&self, delivery: StaleDelivery) {
        self.stale_deliveries.lock().push(delivery);
    }

    pub(super) fn registered(&self, act: RegistryAct) {
        self.registry.lock().push(act);
    }

    pub(super) fn take_into(&self, record: &mut Record) {
        record.publishes.append(&mut self.publishes.lock());
        record.stale.append(&mut self.stale.lock());
        record.stale_deliveries.append(&mut self.stale_deliveries.lock());
        record.registry.append(&mut self.registry.lock());
    }
}
