//! The official JavaScript clients: one process of Node.js with all of them, and what it tells of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::log::Log;
use super::rooms_of;
use super::shared::Shared;
use crate::error::HarnessError;
use crate::history::MessageId;
use crate::record::{Connect, ListenerKind, ListenerLog};

/// The client that is attacked with.
const PACKAGE: &str = "socket.io-client@4.8.4";
const SCRIPT: &str = include_str!("official_client.mjs");
/// An installation that takes longer hangs.
const INSTALL_WITHIN: Duration = Duration::from_secs(120);
/// They go once their input ends.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const FIX: &str = "; install Node.js 18 or later with npm, or leave the official clients out: --official 0";

/// How many there are, and where their package is.
#[derive(Clone, Debug)]
pub struct OfficialPlan {
    /// With their default delays.
    pub defaults: usize,
    /// Without a delay before they reconnect.
    pub eager: usize,
    /// A directory with `node_modules/socket.io-client`.
    pub modules: PathBuf,
}

impl OfficialPlan {
    /// Finds the package in `modules`, or installs it there from npm.
    ///
    /// # Errors
    /// Node.js or npm is missing, or npm fails.
    pub async fn prepare(defaults: usize, eager: usize, modules: &Path) -> Result<Self, HarnessError> {
        let program = |program: &str| {
            let program = program.to_owned();
            move |source| HarnessError::Program { program, source, fix: FIX }
        };
        Command::new("node").arg("--version").output().await.map_err(program("node"))?;
        let plan = Self { defaults, eager, modules: modules.to_path_buf() };
        if modules.join("node_modules/socket.io-client/package.json").exists() {
            return Ok(plan);
        }
        std::fs::create_dir_all(modules).map_err(HarnessError::file(modules))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix"]);
        npm.arg(modules).arg(PACKAGE).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(INSTALL_WITHIN, npm.output())
            .await
            .map_err(|_| HarnessError::Timeout {
                what: format!("npm install {PACKAGE}"),
                seconds: INSTALL_WITHIN.as_secs(),
            })?
            .map_err(program("npm"))?;
        if output.status.success() {
            return Ok(plan);
        }
        let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        Err(HarnessError::Other(format!("npm install {PACKAGE} failed ({}): {said}{FIX}", output.status)))
    }
}

/// What a client tells.
#[derive(Deserialize)]
struct Line {
    i: usize,
    k: char,
    at: u64,
    #[serde(default)]
    began: u64,
    #[serde(default)]
    recovered: bool,
    #[serde(default)]
    sid: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    room: u32,
    #[serde(default)]
    p: u32,
    #[serde(default)]
    s: u64,
}

/// The clients at work.
pub(super) struct Official {
    process: Child,
    logs: Vec<Arc<Log>>,
    reader: JoinHandle<()>,
}

impl Official {
    /// Starts them; each knows one URL, a load balancer.
    pub(super) async fn start(
        plan: &OfficialPlan,
        fronts: &[SocketAddr],
        first: usize,
        shared: &Arc<Shared>,
    ) -> Result<Self, HarnessError> {
        let mut logs = Vec::new();
        let mut clients = Vec::new();
        for index in 0..plan.defaults + plan.eager {
            let (kind, options) = if index < plan.defaults {
                (ListenerKind::OfficialDefault, json!({}))
            } else {
                let at_once = json!({"reconnectionDelay": 0, "reconnectionDelayMax": 50, "randomizationFactor": 0});
                (ListenerKind::OfficialEager, at_once)
            };
            let in_rooms = rooms_of(first + index, shared.rooms());
            // Every third begins with polling and upgrades, as the client does by default.
            let transports = if index % 3 == 2 { json!(["polling", "websocket"]) } else { json!(["websocket"]) };
            let url = fronts.get(index % fronts.len().max(1)).map(ToString::to_string).unwrap_or_default();
            clients.push(json!({
                "url": format!("http://{url}"), "rooms": in_rooms, "prefix": shared.room_name_prefix(), "options": options, "transports": transports,
            }));
            logs.push(Arc::new(Log::new(format!("official {index}"), kind, in_rooms)));
        }
        let arguments = json!({"modules": plan.modules, "clients": clients}).to_string();
        let mut command = Command::new("node");
        command
            .args(["--input-type=module", "--eval", SCRIPT, "--"])
            .arg(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process =
            command.spawn().map_err(|source| HarnessError::Program { program: "node".to_owned(), source, fix: FIX })?;
        let Some(output) = process.stdout.take() else {
            return Err(HarnessError::Other("node without a standard output".to_owned()));
        };
        let (told, shared) = (logs.clone(), Arc::clone(shared));
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(line) = serde_json::from_str::<Line>(&line) {
                    note(line, &told, &shared);
                }
            }
        });
        Ok(Self { process, logs, reader })
    }

    pub(super) fn count(&self) -> usize {
        self.logs.len()
    }

    pub(super) fn behind_the_fence(&self) -> impl Iterator<Item = String> + '_ {
        self.logs.iter().filter(|log| !log.has_fences()).map(|log| log.name())
    }

    pub(super) fn disconnected(&self) -> impl Iterator<Item = String> + '_ {
        self.logs.iter().filter(|log| !log.is_connected()).map(|log| log.name())
    }

    pub(super) async fn end(mut self) -> Result<Vec<ListenerLog>, HarnessError> {
        drop(self.process.stdin.take());
        let gone = async {
            let _ = self.process.wait().await;
            let _ = (&mut self.reader).await;
        };
        timeout(GONE_WITHIN, gone).await.map_err(|_| HarnessError::Timeout {
            what: "the end of the official clients".to_owned(),
            seconds: GONE_WITHIN.as_secs(),
        })?;
        Ok(self.logs.iter().map(|log| log.take()).collect())
    }
}

fn note(line: Line, logs: &[Arc<Log>], shared: &Shared) {
    let Some(log) = logs.get(line.i) else { return };
    let Line { at, began, recovered, sid, reason, room, p, s, .. } = line;
    let id = MessageId { publisher: p, sequence: s };
    match line.k {
        'c' => log.connected(Connect { began, at, node: None, recovered, sid }, shared),
        'd' => log.disconnected(None, reason, at, shared),
        'j' => log.joined(room, at),
        'm' => log.delivered(id, None, at, shared),
        'f' => log.delivered(id, Some(room), at, shared),
        _ => {}
    }
}
