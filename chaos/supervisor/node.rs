//! One node: its command line, its process, and what it says of itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::guard::Guard;
use crate::error::HarnessError;
use crate::http;

/// A process that was killed is gone by then, or the machine is.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// How often readiness is asked for.
const READY_PAUSE: Duration = Duration::from_millis(20);
/// A node that does not answer an operator by then does not answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Lines of a log that an error shows.
const LOG_LINES: usize = 12;

/// How a node is started, beyond what every node is told.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// A program that becomes the node, with its arguments, such as `nsenter …`.
    pub prefix: Vec<OsString>,
    /// Environment: settings, `LD_PRELOAD`.
    pub environment: BTreeMap<String, OsString>,
    /// Further arguments of `start`.
    pub arguments: Vec<OsString>,
}

/// What a node says of itself and of the cluster (`GET /status`); what is not read here is skipped.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub node_id: String,
    /// The node that leads, when known.
    pub leader: Option<String>,
    /// Raft's term.
    pub term: u64,
    /// Everything up to here is committed, as far as it knows.
    pub committed_index: u64,
    /// Everything up to here is applied.
    pub applied_index: u64,
    /// Whether it serves.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Sessions that are connected, in the whole cluster.
    pub sessions_connected: u64,
    /// The members.
    pub nodes: Vec<Member>,
}

/// A member, as a node sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// `leader`, `voter` or `learner`.
    pub role: String,
    /// Whether a life of it is committed.
    pub live: bool,
}

/// A node and its process, if it runs. Dropped, the process is killed.
#[derive(Debug)]
pub struct Node {
    /// `node-1` and so on.
    pub name: String,
    /// Where its state lives.
    pub data_dir: PathBuf,
    /// Where it listens to its peers (UDP).
    pub peer: SocketAddr,
    /// Where it listens to clients (TCP).
    pub door: SocketAddr,
    /// Where it listens to operators (TCP).
    pub admin: SocketAddr,
    /// How it is started from the next start on.
    pub launch: Launch,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) log: PathBuf,
    pub(super) log_from: u64,
    pub(super) child: Option<Child>,
    /// There while it is frozen.
    pub(super) frozen: Option<Guard>,
    pub(super) id: Option<String>,
}

impl Node {
    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Whether it is meant to run, and is not frozen.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.child.is_some() && self.frozen.is_none()
    }

    /// Its id in the cluster, once it is known.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Starts its process; does not wait until it serves.
    pub(super) fn spawn(&mut self) -> Result<(), HarnessError> {
        let log =
            OpenOptions::new().create(true).append(true).open(&self.log).map_err(HarnessError::file(&self.log))?;
        self.log_from = log.metadata().map_err(HarnessError::file(&self.log))?.len();
        let copy = log.try_clone().map_err(HarnessError::file(&self.log))?;
        let mut words = self.launch.prefix.iter().map(OsString::as_os_str).chain([self.program.as_os_str()]);
        // There is always the program itself.
        let first = words.next().unwrap_or_default();
        let mut command = Command::new(first);
        command.args(words).args(&self.arguments).args(&self.launch.arguments);
        // Nothing of the harness's environment but what a program needs: settings of its user are not the nodes'.
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_kept(name.to_str().unwrap_or_default())));
        command.envs(&self.launch.environment);
        // The pipe's other end is ours alone: when the harness is gone, however, the node ends.
        command.stdin(Stdio::piped()).stdout(log).stderr(copy).kill_on_drop(true);
        let child = command.spawn().map_err(|source| HarnessError::Program {
            program: first.to_string_lossy().into_owned(),
            source,
            fix: "",
        })?;
        self.child = Some(child);
        self.frozen = None;
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), HarnessError> {
        let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(()) };
        kill_process(pid, signal)
            .map_err(|error| HarnessError::Other(format!("{}: signal {signal:?} to {pid:?}: {error}", self.name)))
    }

    /// Waits until the process is gone; `None`: it did not run.
    pub(super) async fn gone(&mut self) -> Result<Option<ExitStatus>, HarnessError> {
        let Some(mut child) = self.child.take() else { return Ok(None) };
        self.frozen = None;
        match timeout(GONE_WITHIN, child.wait()).await {
            Ok(Ok(status)) => Ok(Some(status)),
            Ok(Err(error)) => Err(HarnessError::Other(format!("{}: waiting for its end: {error}", self.name))),
            Err(_) => {
                Err(HarnessError::Timeout { what: format!("the end of {}", self.name), seconds: GONE_WITHIN.as_secs() })
            }
        }
    }

    /// How its process ended by itself, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        self.frozen = None;
        Some(status)
    }

    /// What it says of itself; `None`: it does not answer in time.
    pub async fn status(&self) -> Option<Status> {
        http::get(self.admin, "/status", ANSWER_WITHIN).await
    }

    /// An order to its operators' door: status and text.
    pub async fn order(&self, path: &str) -> Option<(u16, String)> {
        let (status, body) = http::request(self.admin, Method::POST, path, Duration::from_secs(30)).await?;
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Waits until it serves, and learns its id.
    pub(super) async fn ready(&mut self, within: Duration) -> Result<(), HarnessError> {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return Err(self.failed(format!("ended while it started: {status}")));
            }
            if let Some(status) = self.status().await
                && status.ready
            {
                self.id = Some(status.node_id);
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(self.failed(format!("was not ready within {} s", within.as_secs())));
            }
            sleep(READY_PAUSE).await;
        }
    }

    fn failed(&self, what: String) -> HarnessError {
        HarnessError::Node { node: self.name.clone(), what, log: self.tail() }
    }

    /// What this life of it has written.
    #[must_use]
    pub fn output(&self) -> String {
        let written = fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(self.log_from).unwrap_or(usize::MAX).min(written.len());
        String::from_utf8_lossy(&written[from..]).into_owned()
    }

    /// The last lines that it wrote.
    #[must_use]
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// The file that it logs to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }
}

fn is_kept(name: &str) -> bool {
    matches!(name, "PATH" | "HOME" | "TMPDIR" | "LANG" | "RUST_BACKTRACE" | "VEDFOLNIR_PLANTED_BUG")
        || name.starts_with("LD_")
}
