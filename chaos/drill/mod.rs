//! `vedfolnir chaos drill`: one fault in a cluster that is in use, watched by canaries: clients of the harness's own in rooms of their
//! own. What happens to them happens to everybody.
//!
//! The canaries speak with the relay: in a cluster without it there is no drill. Nothing is done before the node's name was typed.

mod process;

use std::io::{BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::client::{Client, Endpoint, LinkError};
use crate::clock::{MS, SECOND, now};
use crate::error::HarnessError;
use crate::http;
use crate::invariants::{Bounds, MemoryBound, Retention, judge, resumes, times};
use crate::record::{Loss, Mark, MarkKind, Record};
use crate::workload::{Plan, Stage, Workload};
use crate::world::wait;

/// The operators' door answers by then, or nobody is there.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The canaries sing for so long before and after.
const BASELINE: Duration = Duration::from_secs(3);
/// All canaries are back by then, or the drill has failed.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// What the ping interval and time-out of a cluster with the default settings come to.
const SILENCE_MAX: Duration = Duration::from_secs(45);
const CANARIES_MAX: usize = 1_000;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// kill -9 of the node that leads
    KillLeader,
    /// kill -9 of a node that does not lead
    KillNode,
    /// SIGTERM, as a deploy does
    Drain,
}

/// See the module.
#[derive(Args, Debug)]
pub struct DrillArgs {
    /// What is done
    fault: Fault,
    /// Operators' door of any node: HOST:PORT
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5002")]
    cluster: String,
    /// Which node, by its id or a unique beginning of it [default: the leader, or any other node]
    #[arg(long, value_name = "ID")]
    node: Option<String>,
    /// Canaries
    #[arg(long, value_name = "N", default_value_t = 30)]
    canaries: usize,
    /// File with the object that clients authenticate with, such as {"token": "…"}
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,
    /// File with the token of the operators' door
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Command that does it instead of a signal, for nodes on other machines; {node} and {url} are replaced
    #[arg(long, value_name = "COMMAND")]
    with: Option<String>,
    /// Instead of typing it: the first eight letters of the node's id
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    cluster_id: String,
    leader: Option<String>,
    failure_tolerance: u64,
    nodes: Vec<Member>,
}

#[derive(Clone, Deserialize)]
struct Member {
    id: String,
    live: bool,
    url: String,
    admin_url: String,
    sessions: u64,
}

/// Does it; returns the number of broken promises.
///
/// # Errors
/// It was not confirmed, or cannot be done.
pub async fn run(arguments: DrillArgs) -> Result<u64, HarnessError> {
    if !(1..=CANARIES_MAX).contains(&arguments.canaries) {
        return Err(HarnessError::Argument {
            argument: "--canaries",
            value: arguments.canaries.to_string(),
            accepted: format!("1 to {CANARIES_MAX}"),
        });
    }
    let admin = resolve(&arguments.cluster).await?;
    let token = arguments.token_file.as_deref().map(secret).transpose()?;
    let status: Status = http::get_as(admin, "/status", token.as_deref(), ANSWER_WITHIN).await.ok_or_else(|| {
        HarnessError::Other(format!(
            "--cluster = {}: no operators' door answers there; accepted: HOST:PORT of a node's admin listener, with --token-file if it asks for one",
            arguments.cluster
        ))
    })?;
    let target = target(&status, &arguments)?;
    let is_leader = status.leader.as_deref() == Some(&target.id);
    if status.failure_tolerance == 0 {
        return Err(HarnessError::Other(
            "the cluster cannot lose a node now: a drill would be an outage; see `vedfolnir status`".to_owned(),
        ));
    }
    let act = process::Act::plan(arguments.fault, &arguments.with, &target.id, &target.url, &target.admin_url)?;
    let short: String = target.id.chars().take(8).collect();
    let whom = if is_leader { "the leader" } else { "a follower" };
    println!("cluster {}, {} members", status.cluster_id, status.nodes.len());
    println!("{act} {short} ({whom}, {}, {} sessions)", target.url, target.sessions);
    confirmed(&short, arguments.confirm.as_deref())?;

    let endpoints = endpoints(&status, &arguments).await?;
    let canaries = Plan {
        listeners: arguments.canaries,
        stalled: 0,
        stall_ms: 200..8_000,
        rooms: 3,
        room_prefix: format!("vedfolnir-drill-{:08x}-", fastrand::u32(..)),
        publishers: 1,
        rate: 50,
        payload_bytes: 32,
        usurpers: 0,
        registrars: 0,
        official: None,
        silence_max: SILENCE_MAX,
    };
    // Each canary's number is its node's: those of the target are the ones that will be timed.
    let number = status.nodes.iter().filter(|node| node.live).position(|node| node.id == target.id);
    let workload = Workload::start(&canaries, endpoints, vec![admin], &[], fastrand::u64(..)).await?;
    let mut record = Record { began: now(), ..Record::default() };
    println!("{} canaries sing for {} s", arguments.canaries, BASELINE.as_secs());
    wait("a session for every canary", BACK_WITHIN, || workload.disconnected().is_empty()).await?;
    sleep(BASELINE).await;
    let at = now();
    act.carry_out().await?;
    println!("{:.1} s: done", (at - record.began) as f64 / SECOND as f64);
    record.marks.push(Mark {
        at,
        until: None,
        kind: MarkKind::Process,
        what: act.to_string(),
        node: number,
        loss: Some(Loss::Killed),
        was_leader: is_leader,
    });
    sleep(BASELINE).await;
    if wait("", BACK_WITHIN, || workload.disconnected().is_empty()).await.is_err() {
        record.unhealed.push(format!("canaries without a session: {}", workload.disconnected().join(", ")));
    }
    workload.shared().enter(Stage::Settling);
    if wait("", BACK_WITHIN, || workload.behind_the_fence().is_empty()).await.is_err() {
        record
            .unhealed
            .push(format!("canaries without their last message: {}", workload.behind_the_fence().join(", ")));
    }
    let acknowledged = workload.shared().counters.acknowledged.load(Ordering::Relaxed);
    record.ended = now();
    workload.end(&mut record).await?;
    Ok(tell(&record, acknowledged, &short))
}

fn tell(record: &Record, acknowledged: u64, short: &str) -> u64 {
    // What the cluster keeps is its operator's choice; canaries do not miss that much.
    let retention = Retention { history_bytes_max: u64::MAX, message_bytes_max: 0 };
    let memory =
        MemoryBound { base_bytes: u64::MAX, bytes_per_connection: 0, history_bytes: 0, creep_percent_max: None };
    let findings = judge(record, &Bounds { recovery_window: 120 * SECOND, memory, retention, moving_max: None });
    let mut violations = 0;
    // What the canaries can see: deliveries, sessions, liveness.
    for finding in findings.iter().filter(|finding| ["I2", "I3", "I8"].contains(&finding.invariant)) {
        let verdict = if finding.violations == 0 { "ok" } else { "BROKEN" };
        println!("{}  {verdict:<7} {}", finding.invariant, finding.checked);
        for example in &finding.examples {
            println!("            - {example}");
        }
        violations += finding.violations;
    }
    for group in times(&resumes(record)) {
        let [p50, p99, max] = group.total.map(|time| time / MS);
        println!(
            "canaries of the node were recovered after p50 {p50} ms, p99 {p99} ms, max {max} ms ({})",
            group.count
        );
    }
    println!("{acknowledged} messages acknowledged; start {short} again if nothing else does");
    violations
}

/// The member that it is done to.
fn target<'a>(status: &'a Status, arguments: &DrillArgs) -> Result<&'a Member, HarnessError> {
    let leads = |node: &&Member| status.leader.as_deref() == Some(&node.id);
    let live = || status.nodes.iter().filter(|node| node.live);
    if let Some(prefix) = &arguments.node {
        let found: Vec<&Member> = live().filter(|node| node.id.starts_with(prefix.as_str())).collect();
        return match found.as_slice() {
            [one] => Ok(one),
            several => Err(HarnessError::Argument {
                argument: "--node",
                value: prefix.clone(),
                accepted: format!("the beginning of one live member's id; {} begin like that", several.len()),
            }),
        };
    }
    let found = match arguments.fault {
        Fault::KillLeader => live().find(leads),
        Fault::KillNode | Fault::Drain => live().find(|node| !leads(node)),
    };
    found.ok_or_else(|| HarnessError::Other("the cluster has no such node now; see `vedfolnir status`".to_owned()))
}

/// Nothing is done that was not typed.
fn confirmed(short: &str, given: Option<&str>) -> Result<(), HarnessError> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None if std::io::stdin().is_terminal() => {
            print!("type {short} to do it: ");
            let _ = std::io::stdout().flush();
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map_err(HarnessError::file("standard input"))?;
            line.trim().to_owned()
        }
        None => {
            return Err(HarnessError::Other(format!(
                "a drill is confirmed by typing the beginning of the node's id, or by --confirm {short}; nothing was done"
            )));
        }
    };
    if typed == short {
        return Ok(());
    }
    Err(HarnessError::Other(format!("{typed:?} is not {short}: nothing was done")))
}

/// Every live member's public URL; the canaries must be let in and find the relay.
async fn endpoints(status: &Status, arguments: &DrillArgs) -> Result<Vec<Endpoint>, HarnessError> {
    let auth = match &arguments.auth {
        Some(path) => {
            let text = std::fs::read(path).map_err(HarnessError::file(path))?;
            serde_json::from_slice(&text).map_err(|error| {
                HarnessError::Other(format!("--auth = {}: {error}; accepted: a JSON object", path.display()))
            })?
        }
        None => serde_json::Map::new(),
    };
    let mut endpoints = Vec::new();
    for member in status.nodes.iter().filter(|node| node.live) {
        let mut endpoint = Endpoint::parse(&member.url).map_err(|error| HarnessError::Other(error.to_string()))?;
        endpoint.auth.clone_from(&auth);
        let first = timeout(ANSWER_WITHIN, async {
            let mut canary = Client::connect(&endpoint).await?;
            canary.join("vedfolnir-drill").await
        });
        first.await.unwrap_or(Err(LinkError::Closed)).map_err(|error| {
            HarnessError::Other(format!(
                "{}: a canary gets no room there: {error}; canaries need the relay (WEBSOCKET_RELAY), --auth where clients authenticate, and a URL that leads to this very node",
                member.url
            ))
        })?;
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn secret(path: &std::path::Path) -> Result<String, HarnessError> {
    Ok(std::fs::read_to_string(path).map_err(HarnessError::file(path))?.trim().to_owned())
}

async fn resolve(address: &str) -> Result<SocketAddr, HarnessError> {
    let bare = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let refused = |why: String| HarnessError::Other(format!("--cluster = {address}: {why}; accepted: HOST:PORT"));
    let mut found = tokio::net::lookup_host(bare).await.map_err(|error| refused(error.to_string()))?;
    found.next().ok_or_else(|| refused("the name has no address".to_owned()))
}
