//! What goes on while things are broken: clients that listen, clients that publish, sessions that change hands.
//!
//! ```text
//!   publishers ──► rooms ──► listeners (own, official)      all through the doors of the harness's network
//!   usurpers: a session's second connection takes it over while the first still lives
//!   registrars: sessions begin, are taken over by several at a time, are looked at, end
//! ```
//!
//! Each client runs until the stage says that it is over, and writes down what it saw; nothing here judges.

mod listener;
mod log;
mod official;
mod publisher;
mod registrar;
mod shared;
mod usurper;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

pub use log::{EVENT, FENCE};
pub use official::OfficialPlan;
pub use shared::{Counters, Shared, Stage};

use crate::client::Endpoint;
use crate::error::HarnessError;
use crate::record::{ListenerKind, Record};
use listener::Listener;
use publisher::Publisher;

/// How often any of this is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How many of each there are.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The harness's own clients that listen.
    pub listeners: usize,
    /// Of them, those that stop reading now and then.
    pub stalled: usize,
    /// For how long those do not read, in milliseconds.
    pub stall_ms: Range<u64>,
    /// Rooms; each listener is in one, every fourth in two.
    pub rooms: u32,
    /// What their names begin with; a number follows.
    pub room_prefix: String,
    /// Clients that publish.
    pub publishers: usize,
    /// Messages a second, of all of them.
    pub rate: u32,
    /// Bytes that a message carries besides its number.
    pub payload_bytes: usize,
    /// Sessions that change hands while their old connection lives.
    pub usurpers: usize,
    /// Sessions of the registry that are fought for.
    pub registrars: usize,
    /// The official clients.
    pub official: Option<OfficialPlan>,
    /// A server that is silent for longer is gone: its ping interval and time-out.
    pub silence_max: Duration,
}

/// Clients at work.
pub struct Workload {
    shared: Arc<Shared>,
    listeners: Vec<Arc<log::Log>>,
    official: Option<official::Official>,
    tasks: JoinSet<()>,
}

impl Workload {
    /// Starts everything; nothing has connected yet.
    ///
    /// # Errors
    /// The official clients cannot be started.
    pub async fn start(
        plan: &Plan,
        doors: Vec<Endpoint>,
        admins: Vec<SocketAddr>,
        fronts: &[SocketAddr],
        seed: u64,
    ) -> Result<Self, HarnessError> {
        let shared = Arc::new(Shared::new(doors, admins, plan));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut tasks = JoinSet::new();
        let mut listeners = Vec::new();
        for index in 0..plan.listeners {
            let kind = if index < plan.stalled { ListenerKind::Stalled } else { ListenerKind::Own };
            let (rooms, stall_ms) = (rooms_of(index, plan.rooms), plan.stall_ms.clone());
            let listener = Listener::new(index, kind, rooms, stall_ms, Arc::clone(&shared), random.fork());
            listeners.push(listener.log());
            tasks.spawn(listener.run());
        }
        for index in 0..plan.publishers {
            let period = Duration::from_secs_f64(plan.publishers as f64 / f64::from(plan.rate.max(1)));
            let publisher = Publisher::new(index, period, plan.payload_bytes, Arc::clone(&shared));
            tasks.spawn(publisher.run());
        }
        for index in 0..plan.usurpers {
            tasks.spawn(usurper::run(index, Arc::clone(&shared)));
        }
        for index in 0..plan.registrars {
            tasks.spawn(registrar::run(index as u32, Arc::clone(&shared), random.fork()));
        }
        let official = match &plan.official {
            Some(official) => Some(official::Official::start(official, fronts, plan.listeners, &shared).await?),
            None => None,
        };
        Ok(Self { shared, listeners, official, tasks })
    }

    /// What everybody shares: stage and counters.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Clients that listen, all kinds.
    #[must_use]
    pub fn listeners(&self) -> u64 {
        (self.listeners.len() + self.official.as_ref().map_or(0, official::Official::count)) as u64
    }

    /// Clients that listen and have not seen the fence of every room that they are in.
    #[must_use]
    pub fn behind_the_fence(&self) -> Vec<String> {
        let own = self.listeners.iter().filter(|log| !log.has_fences()).map(|log| log.name());
        own.chain(self.official.iter().flat_map(official::Official::behind_the_fence)).collect()
    }

    /// Has everybody read again who stopped reading now and then, and waits, but not for long, until they have come to what is
    /// published now: whoever has missed too much is told so then, and not after the rooms' last messages.
    pub async fn read_on(&self, within: Duration) {
        self.shared.enter(Stage::Reading);
        let stalled: Vec<_> = self.listeners.iter().filter(|log| log.kind() == ListenerKind::Stalled).collect();
        let Some(now) = self.shared.last_published().filter(|_| !stalled.is_empty()) else { return };
        let until = tokio::time::Instant::now() + within;
        while tokio::time::Instant::now() < until && !stalled.iter().all(|log| log.has_come_to(now)) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Clients that listen and have no session now.
    #[must_use]
    pub fn disconnected(&self) -> Vec<String> {
        let own = self.listeners.iter().filter(|log| !log.is_connected()).map(|log| log.name());
        own.chain(self.official.iter().flat_map(official::Official::disconnected)).collect()
    }

    /// Ends everything and adds what was seen to the record.
    ///
    /// # Errors
    /// The official clients do not end.
    pub async fn end(mut self, record: &mut Record) -> Result<(), HarnessError> {
        self.shared.enter(Stage::Over);
        // Those that wait for a server that does not answer are not waited for.
        self.tasks.shutdown().await;
        record.listeners.extend(self.listeners.iter().map(|log| log.take()));
        if let Some(official) = self.official.take() {
            record.listeners.extend(official.end().await?);
        }
        self.shared.take_into(record);
        Ok(())
    }
}

/// One room each, every fourth client a second one: only they can tell whether rooms share one order.
fn rooms_of(index: usize, rooms: u32) -> Vec<u32> {
    let count = rooms.max(1) as usize;
    let first = index % count;
    let second = (index + 3) % count;
    let both = if index.is_multiple_of(4) && second != first { vec![first, second] } else { vec![first] };
    both.into_iter().map(|room| room as u32).collect()
}
