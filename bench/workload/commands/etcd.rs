//! The same commands on etcd: three processes of it, and gRPC clients that put.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::time::sleep;

use super::grpc::Connection;
use super::{free_addresses, report, share, watch};
use crate::args::CommandsArgs;
use crate::child::pinned;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::server::Processes;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Proposers that share a connection: etcd serves many on one, and one alone would hold them up.
const PROPOSERS_EACH_CONNECTION: usize = 16;
/// Keys that each proposer writes in turn, as on the other engine.
const KEYS: usize = 1;

pub(super) async fn run(arguments: &CommandsArgs, dir: &Path) -> Result<Report, BenchError> {
    let addresses = free_addresses(2 * arguments.nodes)?;
    let (peers, clients) = addresses.split_at(arguments.nodes);
    let nodes: Vec<Child> =
        (0..arguments.nodes).map(|index| start(arguments, dir, peers, clients, index)).collect::<Result<_, _>>()?;
    let leader = ready(clients).await?;
    let latency = Rc::new(RefCell::new(Histogram::default()));
    let from = Instant::now() + Duration::from_secs_f64(arguments.span.warm_up);
    let until = from + Duration::from_secs_f64(arguments.span.seconds);
    let mut tasks = Vec::new();
    for (index, addr) in clients.iter().enumerate() {
        let proposers = share(arguments.proposers, arguments.nodes, index, leader);
        let mut connection = None;
        for number in 0..proposers {
            if number % PROPOSERS_EACH_CONNECTION == 0 {
                connection = Some(Connection::open(*addr).await?);
            }
            let Some(connection) = connection.clone() else { continue };
            let proposer = Proposer {
                connection,
                name: format!("bench:{index}:{number}"),
                value: vec![b'x'; arguments.payload],
                latency: Rc::clone(&latency),
            };
            tasks.push(tokio::task::spawn_local(proposer.run(from, until)));
        }
    }
    let processes = Processes::new(nodes.iter().filter_map(Child::id).collect());
    let busy = watch(&processes, arguments.span).await?;
    let mut broken = Vec::new();
    for task in tasks {
        if let Err(error) = task.await.map_err(|error| BenchError::Other(error.to_string()))? {
            broken.push(format!("a put failed: {error}"));
        }
    }
    for mut node in nodes {
        node.kill().await?;
    }
    let mut report = report(arguments, "etcd", &latency.borrow());
    busy.tell(&mut report);
    report.broken = broken;
    Ok(report)
}

fn start(
    arguments: &CommandsArgs,
    dir: &Path,
    peers: &[SocketAddr],
    clients: &[SocketAddr],
    index: usize,
) -> Result<Child, BenchError> {
    let (peer, client) = (format!("http://{}", peers[index]), format!("http://{}", clients[index]));
    let members: Vec<String> =
        peers.iter().enumerate().map(|(index, peer)| format!("node-{index}=http://{peer}")).collect();
    let mut command = pinned(arguments.etcd.clone().into_os_string(), arguments.place.server_core);
    command
        .args(["--name", &format!("node-{index}")])
        .arg("--data-dir")
        .arg(dir.join(format!("node-{index}")))
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"])
        .args(["--logger", "zap", "--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    command.spawn().map_err(|error| BenchError::Server {
        program: arguments.etcd.display().to_string(),
        reason: format!("{error}; install etcd-server, or name it with --etcd"),
    })
}

/// Waits until all of them know one leader; which one it is.
async fn ready(clients: &[SocketAddr]) -> Result<usize, BenchError> {
    let deadline = Instant::now() + READY_TIMEOUT;
    'again: loop {
        if Instant::now() > deadline {
            return Err(BenchError::Timeout { what: "a leader of etcd".to_owned(), seconds: READY_TIMEOUT.as_secs() });
        }
        let mut ids = Vec::new();
        let mut leaders = Vec::new();
        for addr in clients {
            let status = match Connection::open(*addr).await {
                Ok(connection) => connection.status().await,
                Err(error) => Err(error),
            };
            match status {
                Ok(status) => {
                    ids.push(status.member);
                    leaders.push(status.leader);
                }
                // It is still starting.
                Err(_) => {
                    sleep(LOOK_EVERY).await;
                    continue 'again;
                }
            }
        }
        leaders.dedup();
        if let [leader] = leaders[..]
            && let Some(index) = ids.iter().position(|id| *id == leader)
        {
            return Ok(index);
        }
        sleep(LOOK_EVERY).await;
    }
}

struct Proposer {
    connection: Connection,
    name: String,
    value: Vec<u8>,
    latency: Rc<RefCell<Histogram>>,
}

impl Proposer {
    async fn run(self, from: Instant, until: Instant) -> Result<(), BenchError> {
        let keys: Vec<String> = (0..KEYS).map(|key| format!("{}:{key}", self.name)).collect();
        for key in keys.iter().cycle() {
            let began = Instant::now();
            if began >= until {
                break;
            }
            self.connection.put(key, &self.value).await?;
            let ended = Instant::now();
            if (from..until).contains(&ended) {
                self.latency.borrow_mut().record((ended - began).as_nanos() as u64);
            }
        }
        Ok(())
    }
}
