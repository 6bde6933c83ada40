//! The children: started together, watched, stopped together; none is ever restarted.
//!
//! Each child runs with `--exit-with-stdin` and a pipe as its standard input whose other end only the supervisor holds:
//! closing it asks the child to leave, and so does the supervisor's own death, however it dies.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vedfolnir::admin::{self, StatusView, Target};

use super::plan::{NodePlan, Plan};
use crate::cli::{Failure, out};

/// Children get this long to leave; then they are killed.
const STOP_TIMEOUT: Duration = Duration::from_millis(4300);
/// Between two looks at a cluster that is coming up.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// One look may take this long.
const POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// A cluster whose members all serve gets this long to make its voters voters, before it is shown as it is.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Voters of a cluster (the default of `--voters-max`).
const VOTERS_MAX: usize = 5;
/// What is read of the end of a dead child's log.
const LOG_TAIL_BYTES_MAX: usize = 16 << 10;

/// Environment that would make all nodes one, or point them elsewhere.
const UNSHARED_ENVIRONMENT: [&str; 10] = [
    "WEBSOCKET_PUBLIC_URL",
    "WEBSOCKET_SERVER_ID",
    "WEBSOCKET_NODE_ID",
    "WEBSOCKET_DATA_DIR",
    "WEBSOCKET_CLUSTER_ADVERTISE",
    "WEBSOCKET_CLUSTER_BOOTSTRAP",
    "WEBSOCKET_CLUSTER_BOOTSTRAP_EXPECT",
    "WEBSOCKET_CLUSTER_DATA_DIR",
    "WEBSOCKET_PRODUCTION_MODE",
    "WEBSOCKET_CLUSTER_VOTERS_MAX",
];

/// The children of one cluster.
pub(super) struct Supervisor {
    nodes: Vec<Running>,
    exits: mpsc::Receiver<Exit>,
    kill: CancellationToken,
}

struct Running {
    plan: NodePlan,
    pid: u32,
    log: PathBuf,
    /// Dropped to ask the child to leave.
    stdin: Option<ChildStdin>,
    alive: bool,
}

struct Exit {
    index: usize,
    status: std::io::Result<ExitStatus>,
}

/// Why the cluster does not stand.
pub(super) struct NotReady {
    pub(super) line: String,
    /// A child found one of its ports taken.
    pub(super) port_taken: bool,
}

/// A node of a cluster that stands.
pub(super) struct ReadyNode {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) role: String,
    pub(super) pid: u32,
    pub(super) url: String,
    pub(super) admin_url: String,
    /// Of the HTTP API; `None`: the directory is of a release that had none.
    pub(super) api_url: Option<String>,
    pub(super) cluster_addr: String,
    pub(super) data_dir: PathBuf,
    pub(super) log: PathBuf,
}

impl Supervisor {
    pub(super) fn start(plan: &Plan) -> Result<Self, Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::other(format!("this program is not found: {error}")))?;
        // One message for each child, so that none ever waits for room.
        let (sender, exits) = mpsc::channel(plan.nodes.len());
        let kill = CancellationToken::new();
        let mut nodes = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let log = node.data_dir.join("node.log");
            let mut child = spawn(&program, node, &log)
                .map_err(|error| Failure::other(format!("{} cannot be started: {error}", node.name)))?;
            nodes.push(Running {
                plan: node.clone(),
                pid: child.id().unwrap_or(0),
                log,
                stdin: child.stdin.take(),
                alive: true,
            });
            let (sender, kill) = (sender.clone(), kill.clone());
            tokio::spawn(async move {
                let status = tokio::select! {
                    status = child.wait() => status,
                    () = kill.cancelled() => {
                        let _ = child.start_kill();
                        child.wait().await
                    }
                };
                let _ = sender.send(Exit { index, status }).await;
            });
        }
        Ok(Self { nodes, exits, kill })
    }

    /// Waits until every node serves and all know the same leader.
    pub(super) async fn ready(&mut self, timeout: Duration) -> Result<Vec<ReadyNode>, NotReady> {
        let deadline = Instant::now() + timeout;
        let mut settled_by = None;
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                Some(exit) = self.exits.recv() => return Err(self.ended_early(exit)),
                _ = poll.tick() => {}
            }
            let looked = tokio::select! {
                Some(exit) = self.exits.recv() => return Err(self.ended_early(exit)),
                looked = look(&self.nodes) => looked,
            };
            let waiting_for = match looked {
                Ok((nodes, true)) => return Ok(nodes),
                Ok((nodes, false)) => {
                    let settled_by = *settled_by.get_or_insert_with(|| Instant::now() + SETTLE_TIMEOUT);
                    if Instant::now() >= settled_by {
                        return Ok(nodes);
                    }
                    "learners are not voters yet".to_owned()
                }
                Err(reason) => reason,
            };
            if Instant::now() >= deadline {
                let logs: Vec<String> = self.nodes.iter().map(|node| node.log.display().to_string()).collect();
                return Err(NotReady {
                    line: format!(
                        "the cluster was not ready within {timeout:?}: {waiting_for}; logs: {}",
                        logs.join(" ")
                    ),
                    port_taken: false,
                });
            }
        }
    }

    /// Reports every death; never ends.
    pub(super) async fn watch(&mut self) {
        while let Some(exit) = self.exits.recv().await {
            let node = &mut self.nodes[exit.index];
            node.alive = false;
            node.stdin = None;
            out::stderr_line(&format!(
                "vedfolnir dev: {} (pid {}) died: {}; it is not restarted; log: {}",
                node.plan.name,
                node.pid,
                describe(&exit.status),
                node.log.display()
            ));
            if self.nodes.iter().all(|node| !node.alive) {
                out::stderr_line("vedfolnir dev: no node is left; Ctrl-C ends");
            }
        }
        std::future::pending().await
    }

    /// Asks all to leave, and kills who has not left in time.
    pub(super) async fn stop(mut self) {
        for node in &mut self.nodes {
            node.stdin = None;
        }
        let stragglers = tokio::time::timeout(STOP_TIMEOUT, self.all_gone()).await.is_err();
        if stragglers {
            for node in self.nodes.iter().filter(|node| node.alive) {
                out::stderr_line(&format!(
                    "vedfolnir dev: {} (pid {}) did not stop in time and is killed",
                    node.plan.name, node.pid
                ));
            }
            self.kill.cancel();
            self.all_gone().await;
        }
    }

    async fn all_gone(&mut self) {
        while self.nodes.iter().any(|node| node.alive) {
            match self.exits.recv().await {
                Some(exit) => self.nodes[exit.index].alive = false,
                None => return,
            }
        }
    }

    fn ended_early(&mut self, exit: Exit) -> NotReady {
        let node = &mut self.nodes[exit.index];
        node.alive = false;
        let last = last_line(&node.log);
        NotReady {
            port_taken: last.contains("already in use"),
            line: format!(
                "{} ended before the cluster was ready ({}): {last}; log: {}",
                node.plan.name,
                describe(&exit.status),
                node.log.display()
            ),
        }
    }
}

/// The nodes when all serve, and whether their roles are what they will be.
async fn look(running: &[Running]) -> Result<(Vec<ReadyNode>, bool), String> {
    let mut views = Vec::new();
    for node in running {
        views.push(look_at(node).await.map_err(|reason| format!("{}: {reason}", node.plan.name))?);
    }
    let leader = views[0].leader.clone().ok_or("no leader is known yet")?;
    if views.iter().any(|view| view.leader.as_ref() != Some(&leader)) {
        return Err("the nodes know different leaders".to_owned());
    }
    // The leader's view counts: it is the one that changes the membership.
    let members = views.iter().find(|view| view.node_id == leader).ok_or("the leader is not one of ours")?;
    let mut nodes = Vec::new();
    for (node, view) in running.iter().zip(&views) {
        let member = members
            .nodes
            .iter()
            .find(|member| member.id == view.node_id && member.live)
            .ok_or_else(|| format!("{} is not a live member yet", node.plan.name))?;
        nodes.push(ReadyNode {
            name: node.plan.name.clone(),
            id: view.node_id.clone(),
            role: member.role.clone(),
            pid: node.pid,
            url: format!("http://127.0.0.1:{}", node.plan.ports.service),
            admin_url: format!("http://127.0.0.1:{}", node.plan.ports.admin),
            api_url: (node.plan.ports.api > 0).then(|| format!("http://127.0.0.1:{}", node.plan.ports.api)),
            cluster_addr: format!("127.0.0.1:{}", node.plan.ports.cluster),
            data_dir: node.plan.data_dir.clone(),
            log: node.log.clone(),
        });
    }
    let voting = nodes.iter().filter(|node| node.role != "learner").count();
    let settled = voting >= nodes.len().min(VOTERS_MAX);
    Ok((nodes, settled))
}

fn spawn(program: &Path, node: &NodePlan, log: &Path) -> std::io::Result<Child> {
    fs::create_dir_all(&node.data_dir)?;
    // Earlier lives' lines stay.
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command
        .args(&node.arguments)
        .args(["--relay", "on", "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C reaches the whole foreground group: the children leave when we say so, not before.
        .process_group(0)
        .kill_on_drop(true);
    for name in UNSHARED_ENVIRONMENT {
        command.env_remove(name);
    }
    command.spawn()
}

/// The node's status, once its operators' door and its public door both say that it serves.
async fn look_at(node: &Running) -> Result<StatusView, String> {
    let target = Target::Tcp(format!("127.0.0.1:{}", node.plan.ports.admin));
    let (status, body) = admin::get(&target, None, "/status", POLL_TIMEOUT).await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(reason_in(&body));
    }
    let view: StatusView = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    if !view.ready {
        return Err(view.reason.unwrap_or_else(|| "not ready".to_owned()));
    }
    let public = Target::Tcp(format!("127.0.0.1:{}", node.plan.ports.service));
    let (status, body) =
        admin::get(&public, None, "/websocket/health/ready", POLL_TIMEOUT).await.map_err(|error| error.to_string())?;
    if status.is_success() { Ok(view) } else { Err(reason_in(&body)) }
}

fn reason_in(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|body| body.get("reason")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| "not ready".to_owned())
}

fn describe(status: &std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("unknown: {error}"),
    }
}

fn last_line(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES_MAX)..];
    String::from_utf8_lossy(tail)
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it wrote nothing")
        .trim_start_matches("vedfolnir: ")
        .to_owned()
}
