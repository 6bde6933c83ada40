//! A cluster of real nodes with a large state: what it weighs, what its snapshots do to commits, what a resume costs in it,
//! and what a follower does to the others that comes back so late that it needs a snapshot.
//!
//! ```text
//!  fill: connect, join, vanish ─► history ─► publish at a rate ─► publish saturated ─► resumes ─► backups, one restored ─►
//!  a follower is killed, misses more than the log keeps, is started again
//! ```
//!
//! A million sockets do not fit into one machine's ports, but a million sessions inside their recovery window do: each was
//! registered, has its rooms, and can be resumed.

mod backup;
mod disks;
mod fill;
mod late;
mod latency;
mod resumes;

use std::path::PathBuf;
use std::time::Duration;

use self::latency::Load;
use vedfolnir_chaos::client::Endpoint;

use crate::args::LargeArgs;
use crate::error::BenchError;
use crate::report::Report;
use crate::scrape::Page;
use crate::server::{Cluster, Options, resident_bytes};

/// Longer than any run, and the longest that a node takes.
const WINDOW: &str = "24h";
/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The running cluster.
struct Large<'a> {
    arguments: &'a LargeArgs,
    cluster: Cluster,
    endpoints: Vec<Endpoint>,
    /// Milestones on standard error: a run lasts minutes.
    began: std::time::Instant,
}

pub(super) async fn run(arguments: LargeArgs) -> Result<Report, BenchError> {
    let mut report = Report::new(
        &arguments.label,
        format!(
            "{} sessions in {} rooms each and {} MiB of history in records of {} bytes on {} nodes, a snapshot every {} \
             entries",
            arguments.sessions,
            arguments.rooms,
            arguments.history_mib,
            arguments.payload,
            arguments.nodes,
            arguments.snapshot_entries
        ),
    );
    let options = Options {
        data_dir: arguments.data_dir.clone(),
        environment: vec![
            ("WEBSOCKET_RECOVERY_WINDOW", WINDOW.to_owned()),
            ("WEBSOCKET_HISTORY_AGE", WINDOW.to_owned()),
            ("WEBSOCKET_HISTORY_SIZE", format!("{}MiB", arguments.history_mib)),
            ("WEBSOCKET_CLUSTER_SNAPSHOT_ENTRIES", arguments.snapshot_entries.to_string()),
        ],
    };
    let cluster = Cluster::start_with(&arguments.bin, arguments.nodes, arguments.server_core, &options).await?;
    let endpoints = cluster.nodes.iter().map(|node| Endpoint::parse(&node.url)).collect::<Result<_, _>>()?;
    let large = Large { arguments: &arguments, cluster, endpoints, began: std::time::Instant::now() };
    // What was measured until then is shown; a run that did not come to its end is broken.
    if let Err(error) = large.measure(&mut report).await {
        report.broken.push(error.to_string());
    }
    if let Err(error) = large.cluster.stop().await {
        report.broken.push(error.to_string());
    }
    Ok(report)
}

impl Large<'_> {
    async fn measure(&self, report: &mut Report) -> Result<(), BenchError> {
        let empty = self.resident().await?;
        self.fill_sessions(report).await?;
        let with_sessions = self.resident().await?;
        self.fill_history(report).await?;
        let with_history = self.resident().await?;
        for (node, ((empty, sessions), history)) in empty.iter().zip(&with_sessions).zip(&with_history).enumerate() {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let per_session = sessions.saturating_sub(*empty) as f64 / self.arguments.sessions.max(1) as f64;
            report.figure(&format!("node {}: resident, empty", node + 1), mib(*empty), "MiB");
            report.figure(&format!("node {}: resident per session", node + 1), per_session, "bytes");
            report.figure(&format!("node {}: resident, filled", node + 1), mib(*history), "MiB");
        }
        self.measure_latency(Load::Rate(self.arguments.rate), report).await?;
        self.measure_latency(Load::Saturated(self.arguments.publishers), report).await?;
        self.measure_resumes(report).await?;
        self.measure_backups(report).await?;
        self.measure_late_follower(report).await
    }

    fn say(&self, what: &str) {
        eprintln!("{:>7.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Of each node, once the allocator has given back what it gives back.
    async fn resident(&self) -> Result<Vec<u64>, BenchError> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.cluster.nodes.iter().map(|node| resident_bytes(node.pid)).collect()
    }

    /// Waits until every node says so of itself.
    async fn all(&self, sample: &str, is_enough: impl Fn(f64) -> bool) -> Result<(), BenchError> {
        for node in &self.cluster.nodes {
            while !is_enough(Page::of(&node.url).await?.value(sample)?) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }
}

/// The plan that `vedfolnir dev` keeps beside its nodes' directories.
fn plan_beside(data_dir: &str) -> Result<PathBuf, BenchError> {
    let parent = std::path::Path::new(data_dir).parent();
    parent.map(|parent| parent.join("dev.json")).ok_or_else(|| BenchError::Other(format!("{data_dir} has no parent")))
}
