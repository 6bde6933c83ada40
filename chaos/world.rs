//! What a scenario works with: the cluster, the network between everybody, the clients, and the time line that it writes on.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Endpoint;
use crate::clock::now;
use crate::error::HarnessError;
use crate::invariants::MemoryBound;
use crate::proxy::Network;
use crate::record::{Loss, Mark, MarkKind};
use crate::supervisor::{Cluster, Launch};
use crate::workload::{Plan, Workload};

/// Messages that do not flow again by then do not flow.
const TRAFFIC_WITHIN: Duration = Duration::from_secs(60);
/// Clients that are not back by then are lost.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);
/// Nodes that do not agree by then do not.
const CONVERGED_WITHIN: Duration = Duration::from_secs(60);
/// An operator's order that takes longer hangs.
const OPERATED_WITHIN: Duration = Duration::from_secs(60);
/// What nodes keep for replays, so that a node that keeps too much of anything else is not within its bound.
const HISTORY_BYTES_MAX: u64 = 64 << 20;
/// What a node may come to: see [`MemoryBound`].
const MEMORY: MemoryBound =
    MemoryBound { base_bytes: 256 << 20, bytes_per_connection: 64 << 10, history_bytes: 0, creep_percent_max: None };
/// How often any of this is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What is decided before anything starts.
pub struct Setup {
    /// How each node is started.
    pub launches: Vec<Launch>,
    /// The clients.
    pub clients: Plan,
    /// Where everything of this run lies; it exists.
    pub directory: PathBuf,
    /// The program that is attacked.
    pub program: PathBuf,
    /// The run's seed.
    pub seed: u64,
    /// Whether clients go to the nodes themselves: for so many that three sockets for each are too many.
    pub is_direct: bool,
    /// Whether one round is enough: what costs minutes is made smaller.
    pub is_quick: bool,
    /// What every node keeps for replays, in bytes.
    pub history_bytes_max: u64,
    /// What a node's memory may come to.
    pub memory: MemoryBound,
    /// The share of the clients, from 0 to 1, that may be on their way at once; `None`: as many as there are.
    pub moving_max: Option<f64>,
    tools: Tools,
}

type Tools = HashMap<TypeId, Box<dyn Any + Send + Sync>>;

impl Setup {
    pub(crate) fn new(
        nodes: usize,
        clients: Plan,
        directory: PathBuf,
        program: PathBuf,
        seed: u64,
        is_quick: bool,
    ) -> Self {
        let mut setup = Self {
            launches: vec![Launch::default(); nodes],
            clients,
            directory,
            program,
            seed,
            is_direct: false,
            is_quick,
            history_bytes_max: HISTORY_BYTES_MAX,
            memory: MEMORY,
            moving_max: None,
            tools: Tools::new(),
        };
        setup.history(HISTORY_BYTES_MAX);
        let silence_max = setup.clients.silence_max;
        setup.patience(silence_max);
        setup
    }

    /// How long both ends bear a connection that has gone silent. Seconds, so that it is noticed within a round; a cluster
    /// without a quorum lets its clients go in time to see it.
    pub fn patience(&mut self, silence_max: Duration) {
        self.clients.silence_max = silence_max;
        let half = format!("{}ms", (silence_max / 2).as_millis());
        self.setting("WEBSOCKET_PING_INTERVAL", &half);
        self.setting("WEBSOCKET_PING_TIMEOUT", &half);
    }

    /// What every node keeps for replays, in bytes; its index comes to as much at most.
    pub fn history(&mut self, bytes_max: u64) {
        self.history_bytes_max = bytes_max;
        self.memory.history_bytes = 2 * bytes_max;
        self.setting("WEBSOCKET_HISTORY_SIZE", &bytes_max.to_string());
    }

    /// A setting of every node.
    pub fn setting(&mut self, name: &str, value: &str) {
        for launch in &mut self.launches {
            launch.environment.insert(name.to_owned(), OsString::from(value));
        }
    }

    /// Something that the attack will need: found again by its type, dropped with the run.
    pub fn bring<T: Any + Send + Sync>(&mut self, tool: T) {
        self.tools.insert(TypeId::of::<T>(), Box::new(tool));
    }

    pub(crate) fn take_tools(&mut self) -> Tools {
        std::mem::take(&mut self.tools)
    }
}

/// A fault that was marked.
#[derive(Clone, Copy, Debug)]
pub struct FaultId(usize);

/// The faults and phases of a run; shared with who shows it while it runs.
#[derive(Clone, Debug, Default)]
pub struct TimeLine(Arc<Mutex<Vec<Mark>>>);

impl TimeLine {
    pub(crate) fn begin(&self, mark: Mark) -> FaultId {
        let mut marks = self.0.lock();
        marks.push(mark);
        FaultId(marks.len() - 1)
    }

    pub(crate) fn end(&self, fault: FaultId) {
        if let Some(mark) = self.0.lock().get_mut(fault.0) {
            mark.until.get_or_insert_with(now);
        }
    }

    pub(crate) fn end_all(&self) {
        for mark in self.0.lock().iter_mut() {
            mark.until.get_or_insert_with(now);
        }
    }

    /// What goes on now.
    #[must_use]
    pub fn current(&self) -> Vec<String> {
        self.0.lock().iter().filter(|mark| mark.until.is_none()).map(|mark| mark.what.clone()).collect()
    }

    pub(crate) fn marks(&self) -> Vec<Mark> {
        self.0.lock().clone()
    }
}

/// See the module.
pub struct World {
    /// The nodes.
    pub cluster: Cluster,
    /// Between them, and between clients and them.
    pub network: Network,
    /// All chance of the attack; from the run's seed.
    pub random: fastrand::Rng,
    /// Where everything of this run lies.
    pub directory: PathBuf,
    /// The program under attack.
    pub program: PathBuf,
    /// Nodes that have left for good: they are not started again.
    pub retired: BTreeSet<usize>,
    /// How further nodes are started.
    pub launch: Launch,
    pub(crate) time_line: TimeLine,
    pub(crate) workload: Workload,
    pub(crate) tools: Tools,
    pub(crate) unhealed: Vec<String>,
    pub(crate) longest: Option<(Duration, String)>,
}

impl World {
    /// Something that the setup brought.
    ///
    /// # Errors
    /// It did not.
    pub fn tool<T: Any + Send + Sync>(&mut self) -> Result<&mut T, HarnessError> {
        let missing = || HarnessError::Other(format!("the scenario brought no {}", std::any::type_name::<T>()));
        self.tools.get_mut(&TypeId::of::<T>()).and_then(|tool| tool.downcast_mut()).ok_or_else(missing)
    }

    /// The same, taken out: for tools that are used together with the cluster. Give it back with [`Self::give_back`].
    ///
    /// # Errors
    /// It is not there.
    pub fn take_tool<T: Any + Send + Sync>(&mut self) -> Result<Box<T>, HarnessError> {
        let missing = || HarnessError::Other(format!("the scenario brought no {}", std::any::type_name::<T>()));
        let tool = self.tools.remove(&TypeId::of::<T>()).ok_or_else(missing)?;
        tool.downcast().map_err(|_| missing())
    }

    /// See [`Self::take_tool`].
    pub fn give_back<T: Any + Send + Sync>(&mut self, tool: Box<T>) {
        self.tools.insert(TypeId::of::<T>(), tool);
    }

    /// A fault begins.
    pub fn fault(&self, kind: MarkKind, what: impl Into<String>, node: Option<usize>) -> FaultId {
        let (what, at) = (what.into(), now());
        self.time_line.begin(Mark { at, until: None, kind, what, node, loss: None, was_leader: false })
    }

    /// It is over.
    pub fn healed(&self, fault: FaultId) {
        self.time_line.end(fault);
    }

    /// How long it took until messages flowed under a fault; the longest is reported.
    pub fn took(&mut self, time: Duration, under: &str) {
        if self.longest.as_ref().is_none_or(|(longest, _)| time > *longest) {
            self.longest = Some((time, under.to_owned()));
        }
    }

    /// A broken promise that only the scenario can see, in words.
    pub fn violation(&mut self, words: impl Into<String>) {
        self.unhealed.push(words.into());
    }

    /// kill -9 of a node; its clients' resumes are timed from here.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill(&mut self, node: usize, was_leader: bool) -> Result<FaultId, HarnessError> {
        let whom = if was_leader { "leader" } else { "follower" };
        let what = format!("kill -9 of {}, a {whom}", self.cluster.node(node).name);
        let fault = self.lose(MarkKind::Process, what, node, was_leader, Loss::Killed);
        self.cluster.kill(node).await?;
        Ok(fault)
    }

    /// A node is about to be lost to its clients; their resumes are timed from here.
    pub fn lose(&self, kind: MarkKind, what: String, node: usize, was_leader: bool, loss: Loss) -> FaultId {
        let (node, loss) = (Some(node), Some(loss));
        self.time_line.begin(Mark { at: now(), until: None, kind, what, node, loss, was_leader })
    }

    /// What an operator does by hand: a verb of the program, asked of a node.
    ///
    /// # Errors
    /// It is refused, or does not end.
    pub async fn operate(&self, node: usize, verb: &[&str]) -> Result<(), HarnessError> {
        let node = self.cluster.node(node);
        let mut command = Command::new(&self.program);
        command.args(verb).arg("--addr").arg(node.admin.to_string());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let seconds = OPERATED_WITHIN.as_secs();
        let what = || format!("vedfolnir {} of {}", verb.join(" "), node.name);
        let ended = timeout(OPERATED_WITHIN, command.output());
        let output = ended
            .await
            .map_err(|_| HarnessError::Timeout { what: what(), seconds })?
            .map_err(|source| HarnessError::Program { program: self.program.display().to_string(), source, fix: "" })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(HarnessError::Node {
            node: node.name.clone(),
            what: format!("refused {}: {said}", what()),
            log: node.tail(),
        })
    }

    /// One more node; clients learn of it.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn add_node(&mut self) -> Result<usize, HarnessError> {
        let index = self.cluster.add(self.launch.clone(), &self.network).await?;
        let node = self.cluster.node(index);
        self.workload.shared().add_node(Endpoint::at(self.cluster.doors()[index]), node.admin);
        Ok(index)
    }

    /// Waits until so many more messages are acknowledged, so that each fault meets traffic and is followed by some.
    ///
    /// # Errors
    /// They are not.
    pub async fn traffic(&self, messages: u64) -> Result<(), HarnessError> {
        let counters = &self.workload.shared().counters;
        let goal = counters.acknowledged.load(Ordering::Relaxed) + messages;
        let what = format!("the acknowledgement of {messages} more messages");
        wait(what, TRAFFIC_WITHIN, || counters.acknowledged.load(Ordering::Relaxed) >= goal).await
    }

    /// Waits until every client that listens has a session.
    ///
    /// # Errors
    /// One has not.
    pub async fn everyone_connected(&self) -> Result<(), HarnessError> {
        wait("a session for every client", CONNECTED_WITHIN, || self.workload.disconnected().is_empty()).await
    }

    /// Waits until all nodes that are up serve and follow one leader.
    ///
    /// # Errors
    /// They do not.
    pub async fn converged(&self) -> Result<(), HarnessError> {
        let until = Instant::now() + CONVERGED_WITHIN;
        loop {
            let seen = self.cluster.statuses().await;
            let leaders: BTreeSet<Option<&str>> = seen.iter().map(|(_, status)| status.leader.as_deref()).collect();
            let all = seen.len() == self.cluster.up().len() && seen.iter().all(|(_, status)| status.ready);
            if all && leaders.len() == 1 && !leaders.contains(&None) {
                return Ok(());
            }
            if Instant::now() >= until {
                let views: BTreeMap<usize, String> = seen
                    .iter()
                    .map(|(index, status)| {
                        let why = status.reason.as_deref().unwrap_or("ready");
                        (index + 1, format!("{why}, leader {:?}", status.leader))
                    })
                    .collect();
                let what = format!("that all nodes serve under one leader ({views:?})");
                return Err(HarnessError::Timeout { what, seconds: CONVERGED_WITHIN.as_secs() });
            }
            sleep(LOOK).await;
        }
    }

    /// Lets time pass while the fault is on: what a fault of a given length is.
    pub async fn hold(&self, time: Duration) {
        sleep(time).await;
    }
}

/// Waits for what the clients bring about.
pub(crate) async fn wait(
    what: impl Into<String>,
    within: Duration,
    is_so: impl Fn() -> bool,
) -> Result<(), HarnessError> {
    let until = Instant::now() + within;
    while !is_so() {
        if Instant::now() >= until {
            return Err(HarnessError::Timeout { what: what.into(), seconds: within.as_secs() });
        }
        sleep(LOOK).await;
    }
    Ok(())
}
