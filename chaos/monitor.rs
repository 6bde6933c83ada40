//! Watches the nodes while they are attacked: who leads in whose eyes, and once a second the whole run.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock::now;
use crate::http;
use crate::record::{LeaderSeen, Record, Sample};
use crate::supervisor::{Roster, Status};
use crate::workload::Shared;

/// How often each node is asked who leads.
const ASK: Duration = Duration::from_millis(20);
/// An answer that takes longer is none.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// How often the run is sampled.
const SAMPLE: Duration = Duration::from_secs(1);
/// How often it is looked for nodes that have come.
const LOOK: Duration = Duration::from_millis(250);

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    leaders: Vec<LeaderSeen>,
    samples: Vec<Sample>,
    /// The last view of each node: term and leader.
    last: HashMap<usize, (u32, u64, Option<String>)>,
}

/// See the module. Ends when it is dropped.
pub struct Monitor {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl Monitor {
    /// Begins to watch the nodes of the roster, also those that come later.
    #[must_use]
    pub fn start(roster: Roster, shared: Arc<Shared>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(sample(roster.clone(), shared, Arc::clone(&seen)));
        tasks.spawn(ask_all(roster, Arc::clone(&seen)));
        Self { seen, _tasks: tasks }
    }

    /// The leader in the eyes of most, and its term, for the eye.
    #[must_use]
    pub fn leader(&self) -> Option<(usize, u64)> {
        let seen = self.seen.lock();
        let last = seen.leaders.iter().rev().find(|seen| seen.node.is_some())?;
        Some((last.node?, last.term))
    }

    /// The last sample.
    #[must_use]
    pub fn last(&self) -> Option<Sample> {
        self.seen.lock().samples.last().cloned()
    }

    pub(crate) fn take(&self, record: &mut Record) {
        let mut seen = self.seen.lock();
        record.leaders.append(&mut seen.leaders);
        record.samples.append(&mut seen.samples);
    }
}

async fn ask_all(roster: Roster, seen: Arc<Mutex<Seen>>) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < roster.len() {
            tasks.spawn(ask(tasks.len(), roster.clone(), Arc::clone(&seen)));
        }
        sleep(LOOK).await;
    }
}

async fn ask(index: usize, roster: Roster, seen: Arc<Mutex<Seen>>) {
    loop {
        sleep(ASK).await;
        let Some((admin, Some(pid))) = roster.get(index) else { continue };
        let Some(status) = http::get::<Status>(admin, "/status", ANSWER_WITHIN).await else { continue };
        let mut seen = seen.lock();
        let view = (pid, status.term, status.leader.clone());
        if seen.last.get(&index) == Some(&view) {
            continue;
        }
        seen.last.insert(index, view);
        roster.learn(index, &status.node_id);
        let node = status.leader.as_deref().and_then(|leader| roster.find(leader));
        let Status { term, leader, cluster_id, .. } = status;
        seen.leaders.push(LeaderSeen { at: now(), seen_by: index, pid, term, leader, node, cluster_id });
    }
}

async fn sample(roster: Roster, shared: Arc<Shared>, seen: Arc<Mutex<Seen>>) {
    loop {
        sleep(SAMPLE).await;
        let (latency_p50, latency_p99) = shared.latency();
        let counters = &shared.counters;
        let resident_bytes = (0..roster.len())
            .map(|index| roster.get(index).and_then(|(_, pid)| pid).map_or(0, resident_bytes))
            .collect();
        seen.lock().samples.push(Sample {
            at: now(),
            connected: counters.connected.load(Ordering::Relaxed),
            acknowledged: counters.acknowledged.load(Ordering::Relaxed),
            delivered: counters.delivered.load(Ordering::Relaxed),
            latency_p50,
            latency_p99,
            resident_bytes,
        });
    }
}

/// Of a process; 0: it is gone.
fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
