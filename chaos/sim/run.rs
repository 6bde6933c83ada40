//! One run: a world, its nodes and clients, the phases, the verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use vedfolnir_cluster::state::{Effect, EndReason, Origin};
use vedfolnir_cluster::{Role, probe};
use vedfolnir_sim_world::{clock, hosts, random, trace};

use crate::client::{self, Arena, Client, Phase};
use crate::history::{Counts, Recorder, Violation};
use crate::invariants::delivery;
use crate::invariants::liveness::{RESUMED_WITHIN_MS, SERVED_WITHIN_MS, SETTLED_WITHIN_MS, missing};
use crate::invariants::log::Log;
use crate::invariants::registry::{Answer, Call, Operation, is_linearizable};
use crate::invariants::split_brain::Leaders;
use crate::invariants::store;
use crate::nemesis::Nemesis;
use crate::node::{Node, Setup, seconds};
use crate::process::Process;
use crate::{Bug, Panics};

/// One step of the world.
const STEP_US: u64 = 1_000;
/// Statuses and deliveries are looked at every so many steps.
const LOOK_EVERY: u64 = 25;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Seconds of faults.
    pub seconds: u64,
    /// A bug to be found.
    pub bug: Option<Bug>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Of everything that happened, and how much that was.
    pub trace: (u64, u64),
    /// Simulated seconds.
    pub seconds: f64,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// How much was done.
    pub counts: Counts,
    /// Log entries.
    pub entries: u64,
    /// The last things that were told, for a failure.
    pub lines: Vec<String>,
}

struct World {
    nodes: Vec<Node>,
    clients: Process,
    client_count: u32,
    arena: Arc<Arena>,
    recorder: Recorder,
    panics: Panics,
    log: Log,
    leaders: Leaders,
    nemesis: Option<Nemesis>,
    holes: bool,
    steps: u64,
    joiner_at_us: Option<u64>,
    setup: Arc<Setup>,
}

/// Runs one seed: once in a process' life, on a thread that did nothing before, so that nothing of what came earlier
/// shows in it.
#[must_use]
pub fn run(options: Options) -> Report {
    vedfolnir_sim_world::begin(options.seed);
    vedfolnir_planted::select(options.bug);
    match World::new() {
        Ok(mut world) => {
            world.phases(options.seconds);
            world.report(options.seed)
        }
        Err(error) => {
            let violation = Violation { invariant: "harness", what: format!("no runtime: {error}") };
            Report { seed: options.seed, violations: vec![violation], ..Report::default() }
        }
    }
}

impl World {
    fn new() -> std::io::Result<Self> {
        let founders = random::pick(&[3, 3, 5]);
        let holes = random::chance(250);
        let window = Duration::from_millis(random::pick(&[6_000, 9_000, 15_000]));
        let setup = Arc::new(Setup {
            founders,
            window,
            // A transport that is gone is noticed late, so the history is kept for longer than the window.
            history_age_max: if holes { window } else { window + Duration::from_secs(40) },
            history_bytes_max: if holes { 24 << 10 } else { 64 << 20 },
            snapshot_every_entries: random::pick(&[12, 30, 60, 200, 5_000]),
            snapshot_every_bytes: random::pick(&[4 << 10, 32 << 10, 1 << 30]),
            node_down_after: Duration::from_millis(random::pick(&[1_500, 2_500, 5_000])),
            replace_after: Duration::from_millis(random::pick(&[5_000, 10_000, 60_000])),
        });
        let recorder = Recorder::default();
        let skewed = random::chance(300);
        let mut nodes = Vec::new();
        for host in 0..founders {
            let rate = if skewed { random::between(950, 1_051) } else { 1_000 };
            nodes.push(Node::new(host, rate, Arc::clone(&setup), recorder.clone()));
        }
        let arena = Arc::new(Arena {
            lives: Mutex::new(Vec::new()),
            phase: AtomicU8::new(Phase::Wild as u8),
            recorder: recorder.clone(),
            away_ms_max: window.as_millis() as u64 * 2,
        });
        let clients = Process::new()?;
        let client_count = random::between(3, 9) as u32;
        let joiner_at_us = random::chance(250).then(|| random::between(4_000_000, 15_000_000));
        let mut world = Self {
            nodes,
            clients,
            client_count,
            arena,
            recorder,
            panics: Panics::catch(),
            log: Log::default(),
            leaders: Leaders::default(),
            nemesis: None,
            holes,
            steps: 0,
            joiner_at_us,
            setup,
        };
        for node in &mut world.nodes {
            node.start();
        }
        world.tell_lives();
        for number in 0..client_count {
            world.clients.spawn(Client::new(number, Arc::clone(&world.arena)).run());
        }
        Ok(world)
    }

    fn tell_lives(&self) {
        *self.arena.lives.lock() = self.nodes.iter().map(|node| Arc::clone(&node.life)).collect();
    }

    fn is_broken(&self) -> bool {
        !self.recorder.0.lock().violations.is_empty()
    }

    fn phases(&mut self, fault_seconds: u64) {
        self.nemesis = Some(Nemesis::new());
        self.run_until(clock::now_us() + fault_seconds * 1_000_000, |_| false);
        self.nemesis = None;
        Nemesis::heal(&mut self.nodes);
        self.enter(Phase::Calm);
        self.recorder.0.lock().served.clear();
        let all = |world: &Self, of: fn(&World) -> usize| of(world) == world.client_count as usize;
        let served =
            self.run_within(SERVED_WITHIN_MS, |world| all(world, |world| world.recorder.0.lock().served.len()));
        if !served {
            let missing = missing(self.client_count, &self.recorder.0.lock().served);
            self.fail_alive(&format!(
                "{SERVED_WITHIN_MS} ms after healing clients {missing:?} had no publish acknowledged"
            ));
        }
        self.enter(Phase::Quiet);
        let last = self.log.end();
        if !self.run_within(SETTLED_WITHIN_MS, move |world| world.is_settled(last)) {
            let behind = self.unsettled(last);
            self.fail_alive(&format!("{SETTLED_WITHIN_MS} ms after the last publish: {behind}"));
        }
        self.enter(Phase::Resuming);
        let resumed =
            self.run_within(RESUMED_WITHIN_MS, |world| all(world, |world| world.recorder.0.lock().resumed.len()));
        if !resumed {
            let missing = missing(self.client_count, &self.recorder.0.lock().resumed);
            self.fail_alive(&format!(
                "clients {missing:?} could not resume on another node within {RESUMED_WITHIN_MS} ms"
            ));
        }
        // What was published and never seen by its publisher may still be on its way to others.
        self.run_within(1_000, |_| false);
        self.judge_all();
    }

    fn enter(&self, phase: Phase) {
        trace::tell(&format!("phase {phase:?}"));
        self.arena.phase.store(phase as u8, Ordering::SeqCst);
    }

    fn fail_alive(&self, what: &str) {
        if !self.is_broken() {
            let states: Vec<String> = self.nodes.iter().map(Self::describe).collect();
            self.recorder.violation("I8", format!("{what} [{}]", states.join("; ")));
        }
    }

    fn describe(node: &Node) -> String {
        match node.life.cluster.lock().as_ref().map(vedfolnir_cluster::Cluster::status) {
            None => format!("host {}: not started", node.host),
            Some(status) => format!(
                "host {}: term {} leader {} applied {} committed {} ready {} {}",
                node.host,
                status.term,
                status.leader.unwrap_or_default(),
                status.applied_index,
                status.committed_index,
                status.ready,
                status.reason.unwrap_or_default()
            ),
        }
    }

    fn run_within(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        self.run_until(clock::now_us() + limit_ms * 1_000, done)
    }

    /// Runs until something is so, or a promise is broken, or it is time.
    fn run_until(&mut self, until_us: u64, done: impl Fn(&Self) -> bool) -> bool {
        while clock::now_us() < until_us && !self.is_broken() {
            self.step();
            if done(self) {
                return true;
            }
        }
        false
    }

    fn step(&mut self) {
        self.steps += 1;
        clock::advance_to(clock::now_us() + STEP_US);
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        random::shuffle(&mut order);
        for host in order {
            self.nodes[host].step(STEP_US, random::chance(20));
        }
        self.clients.step();
        for entry in probe::take() {
            trace::note("applied", &[entry.host as u64, entry.index, entry.state_hash]);
            self.log.observe(entry, &self.recorder);
        }
        if let Some(mut nemesis) = self.nemesis.take() {
            nemesis.tick(&mut self.nodes);
            self.nemesis = Some(nemesis);
        }
        self.tend_nodes();
        if self.steps.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }

    /// Starts what is to be started again, and sees who stopped.
    fn tend_nodes(&mut self) {
        let now = clock::now_us();
        let mut changed = false;
        for node in &mut self.nodes {
            if node.is_running() {
                let failure = node.life.failure.lock().take();
                if let Some(reason) = failure.filter(|_| !node.life.stopped.load(Ordering::SeqCst)) {
                    self.recorder.violation("I8", format!("host {} stopped by itself: {reason}", node.host));
                }
                if node.life.stopped.load(Ordering::SeqCst) {
                    node.crash(false, now + random::between(10_000, 1_500_000));
                }
            } else if node.restart_at_us.is_none_or(|at| at <= now) {
                self.log.applied.remove(&node.host);
                node.start();
                changed = true;
            }
        }
        if self.joiner_at_us.is_some_and(|at| at <= now) {
            self.joiner_at_us = None;
            let host = self.nodes.len();
            trace::tell(&format!("host {host} joins"));
            let mut node = Node::new(host, 1_000, Arc::clone(&self.setup), self.recorder.clone());
            node.start();
            self.nodes.push(node);
            changed = true;
        }
        if changed {
            self.tell_lives();
        }
        for panic in self.panics.take() {
            self.recorder.violation("I8", format!("a task panicked: {panic}"));
        }
    }

    fn look(&mut self) {
        for node in &self.nodes {
            let Some(cluster) = node.life.cluster.lock().clone() else { continue };
            hosts::enter(Some(node.host));
            let status = cluster.status();
            let leads = status.nodes.iter().any(|other| other.id == status.node_id && other.role == Role::Leader);
            let leader = leads.then_some(status.node_id.as_str());
            self.leaders.observe(&status.cluster_id, status.term, leader, &self.recorder);
            if let Some(history) = cluster.read(|state| state.history_id()) {
                client::set_history(history);
            }
        }
        if self.steps.is_multiple_of(LOOK_EVERY * 20) {
            self.judge(false);
        }
    }

    fn judge(&self, settled: bool) {
        let recorder = Recorder::default();
        {
            let history = self.recorder.0.lock();
            self.log.expected.judge(&history, settled, &recorder);
            self.log.windows.judge(&history, self.holes, &recorder);
        }
        let found = std::mem::take(&mut recorder.0.lock().violations);
        self.recorder.0.lock().violations.extend(found);
    }

    fn judge_all(&mut self) {
        if self.is_broken() {
            return;
        }
        self.judge(true);
        let recorder = Recorder::default();
        delivery::consult_oracle(&self.recorder.0.lock(), &recorder);
        self.record_what_the_cluster_did();
        for (pid, operations) in &self.recorder.0.lock().operations {
            match is_linearizable(operations) {
                Some(true) => {}
                Some(false) => {
                    recorder.violation("I1", format!("no order explains the operations on {pid:?}: {operations:?}"));
                }
                None => recorder.violation("harness", format!("too many operations on {pid:?} to judge them")),
            }
        }
        for (key, operations) in &self.recorder.0.lock().store {
            match store::judge(operations) {
                store::Verdict::Linearizable => {}
                store::Verdict::NotLinearizable => {
                    recorder.violation("I1", format!("no order explains the operations on {key}: {operations:?}"));
                }
                store::Verdict::Revisions(revision) => {
                    recorder.violation("I1", format!("{revision:?} of {key} is not one write's alone: {operations:?}"));
                }
                store::Verdict::TooMany => {
                    recorder.violation("harness", format!("too many operations on {key} to judge them"));
                }
            }
        }
        let found = std::mem::take(&mut recorder.0.lock().violations);
        self.recorder.0.lock().violations.extend(found);
    }

    /// Disconnects and ends that no node asked for, as operations of their own.
    fn record_what_the_cluster_did(&self) {
        let mut history = self.recorder.0.lock();
        for entry in self.log.entries.values() {
            let by_itself = entry.proposal.as_ref().is_some_and(|proposal| proposal.origin == Origin::System);
            for effect in entry.effects().filter(|_| by_itself) {
                let (pid, call) = match effect {
                    Effect::Disconnected { pid, .. } => (*pid, Call::Orphan),
                    Effect::Ended { pid, reason: EndReason::Expired, .. } => (*pid, Call::Expire),
                    _ => continue,
                };
                let operation =
                    Operation { call, answer: Some(Answer::Done(0)), invoked_us: 0, returned_us: entry.at_us };
                history.operations.entry(pid).or_default().push(operation);
            }
        }
    }

    fn is_settled(&self, last: u64) -> bool {
        self.unsettled(last).is_empty()
    }

    /// Who lacks what.
    fn unsettled(&self, last: u64) -> String {
        for node in &self.nodes {
            let applied = self.log.applied.get(&node.host).copied().unwrap_or_default();
            if applied < last {
                return format!("host {} has applied {applied} of {last}", node.host);
            }
        }
        let history = self.recorder.0.lock();
        for client in 0..self.client_count {
            let Some(pid) = history.connected.get(&client) else { return format!("client {client} is not connected") };
            let (owed, got) = (self.log.expected.owed(pid).len(), history.receptions[pid].deliveries.len());
            if got < owed {
                return format!("client {client} ({pid:?}) has {got} of {owed} events");
            }
        }
        String::new()
    }

    fn report(mut self, seed: u64) -> Report {
        for node in &mut self.nodes {
            node.crash(true, u64::MAX);
        }
        let history = self.recorder.0.lock();
        Report {
            seed,
            trace: trace::hash(),
            seconds: seconds(),
            violations: history.violations.clone(),
            counts: history.counts,
            entries: self.log.end(),
            lines: trace::lines(),
        }
    }
}
