//! One run of one scenario: start, warm up, attack round after round, heal, settle, compare, judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::client::Endpoint;
use crate::clock::{SECOND, now};
use crate::error::HarnessError;
use crate::http;
use crate::invariants::{Bounds, Finding, Retention, judge};
use crate::monitor::Monitor;
use crate::proxy::Network;
use crate::record::{Mark, MarkKind, Record, StateSeen};
use crate::report::Eye;
use crate::scenario::Scenario;
use crate::supervisor::Cluster;
use crate::workload::{OfficialPlan, Plan, Stage, Workload};
use crate::world::{Setup, TimeLine, World, wait};

/// A cluster that has healed serves everybody within this time (invariant I8).
const HEALED_WITHIN: Duration = Duration::from_secs(30);
/// One session that is fought for, for so many clients.
const CLIENTS_PER_REGISTRAR: usize = 30;
/// Their calls are all written to the log: more of them are a load of its own.
const REGISTRARS_MAX: usize = 40;
/// Messages that flow before the first fault.
const WARM_UP: u64 = 100;
/// How often a run at rest is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The recovery window of a cluster that is not told otherwise.
const RECOVERY_WINDOW: u64 = 120 * SECOND;
/// What a message comes to in a history besides what it carries: event, room, number.
const ENVELOPE_BYTES_MAX: u64 = 1024;
/// A client that hears nothing for longer goes elsewhere: twice the ping interval that the nodes are told.
const SILENCE_MAX: Duration = Duration::from_secs(4);

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program under attack.
    pub program: PathBuf,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// For how long rounds are begun; `None`: one round.
    pub duration: Option<Duration>,
    /// The seed of all chance.
    pub seed: u64,
    /// Clients that listen.
    pub clients: usize,
    /// Messages a second.
    pub rate: u32,
    /// The official clients.
    pub official: Option<OfficialPlan>,
    /// Where the run keeps its data directories and logs.
    pub directory: PathBuf,
}

/// What came of a run.
pub struct Run {
    /// The scenario's name.
    pub scenario: &'static str,
    /// How it was run.
    pub options: Options,
    /// What was seen.
    pub record: Record,
    /// What that proves.
    pub findings: Vec<Finding>,
    /// Rounds of the attack.
    pub rounds: u64,
}

impl Run {
    /// Broken promises.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.findings.iter().map(|finding| finding.violations).sum()
    }
}

/// Runs one scenario to its verdict.
///
/// # Errors
/// The harness itself cannot do its work; that says nothing of the program.
pub async fn run(scenario: &'static dyn Scenario, options: Options, eye: &mut Eye) -> Result<Run, HarnessError> {
    fs::create_dir_all(&options.directory).map_err(HarnessError::file(&options.directory))?;
    let clients = Plan {
        listeners: options.clients,
        stalled: 0,
        stall_ms: 200..8_000,
        rooms: 10,
        room_prefix: "room-".to_owned(),
        publishers: 3,
        rate: options.rate,
        payload_bytes: 64,
        usurpers: 2,
        registrars: (options.clients / CLIENTS_PER_REGISTRAR).clamp(2, REGISTRARS_MAX),
        official: options.official.clone(),
        silence_max: SILENCE_MAX,
    };
    let (directory, program, seed) = (options.directory.clone(), options.program.clone(), options.seed);
    let mut setup =
        Setup::new(options.nodes, clients, directory.clone(), program.clone(), seed, options.duration.is_none());
    scenario.setup(&mut setup)?;
    let moving_max = setup.moving_max;
    let network = Network::new(seed);
    let mut cluster = Cluster::new(&program, &directory, seed);
    cluster.plan(setup.launches.clone(), &network).await?;
    eye.phase("starting");
    cluster.start_all().await?;
    let mut fronts = Vec::new();
    for preferred in 0..cluster.nodes().len() {
        fronts.push(network.add_front(preferred).await?);
    }
    let admins = cluster.nodes().iter().map(|node| node.admin).collect();
    let doors = match setup.is_direct {
        true => cluster.nodes().iter().map(|node| Endpoint::at(node.door)).collect(),
        false => cluster.doors().iter().map(|door| Endpoint::at(*door)).collect(),
    };
    let mut record = Record { began: now(), ..Record::default() };
    let workload = Workload::start(&setup.clients, doors, admins, &fronts, seed).await?;
    let monitor = Monitor::start(cluster.roster(), Arc::clone(workload.shared()));
    let launch = setup.launches.first().cloned().unwrap_or_default();
    let mut world = World {
        cluster,
        network,
        random: fastrand::Rng::with_seed(seed),
        directory,
        program,
        retired: std::collections::BTreeSet::new(),
        launch,
        time_line: TimeLine::default(),
        workload,
        tools: setup.take_tools(),
        unhealed: Vec::new(),
        longest: None,
    };
    let watched = eye.watch(&world, monitor);
    let mut rounds = 0;
    match attack(scenario, &mut world, &options, &mut rounds, eye).await {
        Ok(()) => {}
        // What the attack waits for and does not come is a broken promise: the faults are bounded, and healed by then.
        Err(HarnessError::Timeout { what, seconds }) => {
            world.unhealed.push(format!("{what} did not happen within {seconds} s of the attack"));
        }
        Err(error @ HarnessError::Node { .. }) => {
            world.unhealed.push(error.to_string());
        }
        Err(error) => {
            world.cluster.end().await;
            return Err(error);
        }
    }
    eye.phase("healing");
    heal(&mut world).await?;
    eye.phase("settling");
    settle(&mut world, &mut record).await;
    eye.phase("judging");
    record.ended = now();
    watched.end(&mut record);
    world.time_line.end_all();
    record.marks = world.time_line.marks();
    record.unhealed.append(&mut world.unhealed);
    record.longest = world.longest.take();
    world.workload.end(&mut record).await?;
    world.cluster.end().await;
    drop(world.tools);
    let retention = Retention {
        history_bytes_max: setup.history_bytes_max,
        message_bytes_max: setup.clients.payload_bytes as u64 + ENVELOPE_BYTES_MAX,
    };
    let bounds = Bounds { recovery_window: RECOVERY_WINDOW, memory: setup.memory, retention, moving_max };
    let findings = judge(&record, &bounds);
    Ok(Run { scenario: scenario.name(), options, record, findings, rounds })
}

async fn attack(
    scenario: &dyn Scenario,
    world: &mut World,
    options: &Options,
    rounds: &mut u64,
    eye: &mut Eye,
) -> Result<(), HarnessError> {
    eye.phase("warming up");
    world.everyone_connected().await?;
    world.traffic(WARM_UP).await?;
    eye.phase("attacking");
    let until = Instant::now() + options.duration.unwrap_or_default();
    loop {
        let phase = world.time_line.begin(phase_mark(format!("round {}", *rounds + 1)));
        scenario.attack(world).await?;
        world.time_line.end(phase);
        *rounds += 1;
        if Instant::now() >= until {
            return Ok(());
        }
        world.converged().await?;
    }
}

fn phase_mark(what: String) -> Mark {
    Mark { at: now(), until: None, kind: MarkKind::Phase, what, node: None, loss: None, was_leader: false }
}

/// Everything that a scenario may have left broken is whole again.
async fn heal(world: &mut World) -> Result<(), HarnessError> {
    world.network.heal();
    for (index, status) in world.cluster.ended() {
        if !world.retired.contains(&index) {
            let node = world.cluster.node(index);
            world.unhealed.push(format!(
                "{} ended by itself: {status}; the end of its log:\n{}",
                node.name,
                node.tail()
            ));
        }
    }
    for index in 0..world.cluster.nodes().len() {
        if world.retired.contains(&index) {
            continue;
        }
        world.cluster.unpause(index)?;
        if let Err(error) = world.cluster.start(index).await {
            world.unhealed.push(error.to_string());
        }
    }
    Ok(())
}

/// What must come true within the bound now that nothing is broken: who and what is missing then is a broken promise.
async fn settle(world: &mut World, record: &mut Record) {
    let phase = world.time_line.begin(phase_mark("settling".to_owned()));
    let mut missing = Vec::new();
    if let Err(error) = world.converged().await {
        missing.push(error.to_string());
    }
    let workload = &world.workload;
    workload.read_on(HEALED_WITHIN).await;
    if wait("", HEALED_WITHIN, || workload.disconnected().is_empty()).await.is_err() {
        missing.push(format!(
            "without a session {} s after the healing: {}",
            HEALED_WITHIN.as_secs(),
            few(&workload.disconnected())
        ));
    }
    workload.shared().enter(Stage::Settling);
    if wait("", HEALED_WITHIN, || workload.behind_the_fence().is_empty()).await.is_err() {
        missing.push(format!(
            "without the last message of a room {} s after the healing: {}",
            HEALED_WITHIN.as_secs(),
            few(&workload.behind_the_fence())
        ));
    }
    match same_states(&world.cluster).await {
        Some(states) => record.states = states,
        None => missing.push(format!("the nodes' positions did not meet within {} s", HEALED_WITHIN.as_secs())),
    }
    world.unhealed.append(&mut missing);
    world.time_line.end(phase);
}

fn few(names: &[String]) -> String {
    const NAMED: usize = 5;
    let more = names.len().saturating_sub(NAMED);
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// What `GET /state-hash` says.
#[derive(Deserialize)]
struct StateHash {
    cluster_id: String,
    applied_index: u64,
    hash: String,
}

/// Every node's state once all are at one position; `None`: they were not in time.
async fn same_states(cluster: &Cluster) -> Option<Vec<StateSeen>> {
    let until = Instant::now() + HEALED_WITHIN;
    while Instant::now() < until {
        let asked = cluster.up().into_iter().map(|node| async move {
            let StateHash { cluster_id, applied_index, hash } =
                http::get(cluster.node(node).admin, "/state-hash", Duration::from_secs(2)).await?;
            Some(StateSeen { node, cluster_id, applied_index, hash })
        });
        let states: Option<Vec<StateSeen>> = futures_util::future::join_all(asked).await.into_iter().collect();
        if let Some(states) = states
            && states.windows(2).all(|pair| pair[0].applied_index == pair[1].applied_index)
        {
            return Some(states);
        }
        sleep(LOOK).await;
    }
    None
}

/// A directory of the system's for one run.
#[must_use]
pub fn directory(below: &Path, scenario: &str, seed: u64) -> PathBuf {
    below.join(format!("{scenario}-{seed}"))
}
