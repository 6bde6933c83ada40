//! The servers under load: where they are, what they use, and starting, killing and stopping them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child as Process, Command};
use tokio::time::timeout;
use vedfolnir_chaos::client::Endpoint;

use crate::args::TargetArgs;
use crate::child::{Child, EmbeddedOrders, EmbeddedReady, Orders, Taken};
use crate::error::BenchError;

/// A cluster that does not stand after this long will not.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// The supervisor promises to stop within 5 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel's USER_HZ, the unit of processor time in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// One node, as `vedfolnir dev --json` describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    id: String,
    pub(crate) pid: u32,
    pub(crate) url: String,
    admin_url: String,
    /// `None`: a program from before there was one.
    #[serde(default)]
    pub(crate) api_url: Option<String>,
    pub(crate) data_dir: String,
}

#[derive(Deserialize)]
struct Ready {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Status {
    leader: Option<String>,
}

/// A cluster of real node processes that lives as long as this.
pub(crate) struct Cluster {
    supervisor: Process,
    pub(crate) nodes: Vec<Node>,
    /// What the nodes were told beyond their command line.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// What a cluster is started with beyond its size.
#[derive(Default)]
pub(crate) struct Options {
    /// Where it lives; `None`: in a temporary directory that goes with it.
    pub(crate) data_dir: Option<PathBuf>,
    /// Settings of the nodes, as environment variables.
    pub(crate) environment: Vec<(&'static str, String)>,
}

#[derive(Deserialize)]
struct Plan {
    nodes: Vec<Planned>,
}

#[derive(Deserialize)]
struct Planned {
    command: Vec<String>,
}

/// Starts a node of a cluster again that was killed, with the command that its plan names.
pub(crate) fn start_again(
    plan: &Path,
    data_dir: &str,
    environment: &[(&'static str, String)],
) -> Result<Process, BenchError> {
    let failed = |reason: String| BenchError::Other(format!("{}: {reason}", plan.display()));
    let text = fs::read(plan).map_err(|error| failed(error.to_string()))?;
    let Plan { nodes } = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    let node = nodes.into_iter().find(|node| node.command.iter().any(|argument| argument == data_dir));
    let command = node.map(|node| node.command).unwrap_or_default();
    let [program, arguments @ ..] = command.as_slice() else {
        return Err(failed(format!("no node lives in {data_dir}")));
    };
    let log = fs::File::options().append(true).open(Path::new(data_dir).join("node.log"))?;
    let mut command = Command::new(program);
    command.args(arguments).args(["--relay", "on"]).envs(environment.iter().map(|(name, value)| (*name, value)));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    Ok(command.spawn()?)
}

impl Cluster {
    pub(crate) async fn start(bin: &Path, nodes: usize, core: Option<usize>) -> Result<Self, BenchError> {
        Self::start_with(bin, nodes, core, &Options::default()).await
    }

    pub(crate) async fn start_with(
        bin: &Path,
        nodes: usize,
        core: Option<usize>,
        options: &Options,
    ) -> Result<Self, BenchError> {
        let failed = |reason: String| BenchError::Server { program: bin.display().to_string(), reason };
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(bin);
                command
            }
            None => Command::new(bin),
        };
        command.args(["dev", "--nodes", &nodes.to_string(), "--json"]);
        if let Some(data_dir) = &options.data_dir {
            command.arg("--data-dir").arg(data_dir);
        }
        command.envs(options.environment.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut supervisor = command.spawn().map_err(|error| failed(error.to_string()))?;
        let stdout = supervisor.stdout.take().ok_or_else(|| failed("it has no standard output".to_owned()))?;
        let mut line = String::new();
        match timeout(READY_TIMEOUT, BufReader::new(stdout).read_line(&mut line)).await {
            Err(_) => return Err(failed(format!("nothing after {} s", READY_TIMEOUT.as_secs()))),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Ok(Ok(0)) => return Err(failed("it ended without the line of JSON".to_owned())),
            Ok(Ok(_)) => {}
        }
        let Ready { nodes } = serde_json::from_str(&line).map_err(|error| failed(format!("{error}: {line:?}")))?;
        Ok(Self { supervisor, nodes, environment: options.environment.clone() })
    }

    /// The process of the leader as it is now: the role in the line of JSON is that of the start.
    pub(crate) async fn leader(&self, bin: &Path) -> Result<u32, BenchError> {
        let failed = |reason: String| BenchError::Server { program: bin.display().to_string(), reason };
        let first = self.nodes.first().ok_or_else(|| failed("it has no nodes".to_owned()))?;
        let output = Command::new(bin).args(["status", "--json", "--addr", &first.admin_url]).output().await?;
        let status: Status = serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("status: {error}: {}", String::from_utf8_lossy(&output.stderr))))?;
        let leader = status.leader.ok_or_else(|| failed("there is no leader".to_owned()))?;
        let node = self.nodes.iter().find(|node| node.id == leader);
        node.map(|node| node.pid).ok_or_else(|| failed(format!("the leader {leader} is none of its nodes")))
    }

    pub(crate) async fn stop(mut self) -> Result<(), BenchError> {
        if let Some(pid) = self.supervisor.id() {
            signal("-TERM", pid).await?;
        }
        match timeout(STOP_TIMEOUT, self.supervisor.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(BenchError::Timeout { what: "the stop of the cluster".to_owned(), seconds: 10 }),
        }
    }
}

/// `kill -9`; returns the time just before it was sent.
pub(crate) async fn kill(pid: u32) -> Result<Instant, BenchError> {
    let at = Instant::now();
    signal("-KILL", pid).await?;
    Ok(at)
}

/// SIGTERM; returns the time just before it was sent.
pub(crate) async fn terminate(pid: u32) -> Result<Instant, BenchError> {
    let at = Instant::now();
    signal("-TERM", pid).await?;
    Ok(at)
}

async fn signal(name: &str, pid: u32) -> Result<(), BenchError> {
    let status = Command::new("kill").arg(name).arg(pid.to_string()).status().await?;
    match status.success() {
        true => Ok(()),
        false => Err(BenchError::Other(format!("kill {name} {pid}: {status}"))),
    }
}

/// Servers that were there already, or a cluster for this run.
pub(crate) struct Target {
    pub(crate) endpoints: Vec<Endpoint>,
    processes: Processes,
    cluster: Option<Cluster>,
    /// With the directory that it lives in.
    embedded: Option<(Child, TempDir)>,
}

impl Target {
    /// The HTTP APIs of a cluster that was started for this run.
    pub(crate) fn apis(&self) -> Vec<String> {
        let nodes = self.cluster.iter().flat_map(|cluster| &cluster.nodes);
        nodes.filter_map(|node| node.api_url.clone()).collect()
    }

    pub(crate) async fn open(arguments: &TargetArgs) -> Result<Self, BenchError> {
        Self::open_with(arguments, &Options::default()).await
    }

    /// The same; a cluster for this run is started with these options.
    pub(crate) async fn open_with(arguments: &TargetArgs, options: &Options) -> Result<Self, BenchError> {
        if let Some(taken) = arguments.embedded {
            return Self::embed(taken, arguments.server_core).await;
        }
        let Some(bin) = &arguments.bin else {
            let endpoints = arguments.urls.iter().map(|url| Endpoint::parse(url)).collect::<Result<_, _>>()?;
            let processes = Processes::new(arguments.server_pid.clone());
            return Ok(Self { endpoints, processes, cluster: None, embedded: None });
        };
        let cluster = Cluster::start_with(bin, arguments.nodes, arguments.server_core, options).await?;
        let endpoints = cluster.nodes.iter().map(|node| Endpoint::parse(&node.url)).collect::<Result<_, _>>()?;
        let processes = Processes::new(cluster.nodes.iter().map(|node| node.pid).collect());
        Ok(Self { endpoints, processes, cluster: Some(cluster), embedded: None })
    }

    /// A node of this same program.
    async fn embed(taken: Taken, core: Option<usize>) -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("vedfolnir-bench-").tempdir()?;
        let orders = EmbeddedOrders { dir: directory.path().join("node"), taken };
        let mut child = Child::start(&Orders::Embedded(orders), core)?;
        let EmbeddedReady { url } = child.told("the embedded node serves", READY_TIMEOUT).await?;
        let processes = Processes::new(child.pid().into_iter().collect());
        Ok(Self {
            endpoints: vec![Endpoint::parse(&url)?],
            processes,
            cluster: None,
            embedded: Some((child, directory)),
        })
    }

    /// See [`Processes::usage`].
    pub(crate) fn usage(&self) -> Result<Option<Usage>, BenchError> {
        self.processes.usage()
    }

    pub(crate) async fn close(self) -> Result<(), BenchError> {
        if let Some((child, directory)) = self.embedded {
            child.end().await?;
            directory.close()?;
        }
        match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

/// The processes of the servers.
pub(crate) struct Processes {
    pids: Vec<u32>,
}

impl Processes {
    pub(crate) fn new(pids: Vec<u32>) -> Self {
        Self { pids }
    }

    /// Memory and processor time of all of them now; `None` where no process is known.
    pub(crate) fn usage(&self) -> Result<Option<Usage>, BenchError> {
        if self.pids.is_empty() {
            return Ok(None);
        }
        let mut all = Usage { at: Instant::now(), resident: 0, resident_each: Vec::new(), cpu_seconds: 0.0 };
        for pid in &self.pids {
            let resident = resident_bytes(*pid)?;
            all.resident += resident;
            all.resident_each.push(resident);
            all.cpu_seconds += cpu_seconds(&pid.to_string())?;
        }
        Ok(Some(all))
    }
}

/// What processes use.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    at: Instant,
    pub(crate) resident: u64,
    resident_each: Vec<u64>,
    cpu_seconds: f64,
}

impl Usage {
    /// This process.
    pub(crate) fn own() -> Result<Self, BenchError> {
        Ok(Self { at: Instant::now(), resident: 0, resident_each: Vec::new(), cpu_seconds: cpu_seconds("self")? })
    }

    /// Resident bytes that each server gained.
    pub(crate) fn each_since(&self, earlier: &Self) -> impl Iterator<Item = f64> {
        self.resident_each.iter().zip(&earlier.resident_each).map(|(now, then)| *now as f64 - *then as f64)
    }

    /// Percent of one core since then.
    pub(crate) fn cpu_percent_since(&self, earlier: &Self) -> f64 {
        (self.cpu_seconds - earlier.cpu_seconds) / (self.at - earlier.at).as_secs_f64() * 100.0
    }
}

pub(crate) fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let text = read(&path)?;
    resident_in(&text).ok_or_else(|| BenchError::Other(format!("{path} has no line VmRSS")))
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn cpu_seconds(pid: &str) -> Result<f64, BenchError> {
    let path = format!("/proc/{pid}/stat");
    let text = read(&path)?;
    cpu_in(&text).ok_or_else(|| BenchError::Other(format!("{path} is not as expected")))
}

/// User and system time: fields 14 and 15, counted after the name, which may itself contain blanks.
fn cpu_in(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn read(path: &str) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident_in("Name:\tx\nVmRSS:\t   1234 kB\nRssAnon: 1 kB\n"), Some(1234 * 1024));
        assert_eq!(resident_in("Name:\tx\n"), None);
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_in(stat), Some(3.0));
        assert_eq!(cpu_in("42"), None);
    }
}
