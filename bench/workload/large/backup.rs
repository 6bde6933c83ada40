//! Backups of the large state: what making one does to commits and memory, and how long it takes until a node serves again that
//! was restored from it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::process::{Child, Command};

use super::latency::{Load, Publishing};
use super::{LOOK_EVERY, Large};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::scrape::Page;
use crate::server::{Node, resident_bytes};

/// Of the load before a backup begins.
const STEADY: Duration = Duration::from_secs(20);
/// Between two looks at a process's memory.
const WEIGH_EVERY: Duration = Duration::from_millis(50);
/// A restored node that does not serve after this long will not.
const BACK_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
struct Created {
    bytes: u64,
}

#[derive(Deserialize)]
struct Restored {
    sessions: u64,
    messages: u64,
    duration_ms: u64,
}

impl Large<'_> {
    /// A backup by the leader and one by a follower under the steady load, then a restore.
    pub(super) async fn measure_backups(&self, report: &mut Report) -> Result<(), BenchError> {
        let directory = tempfile::tempdir()?;
        let location = directory.path().join("backups");
        let (mut leader, mut follower) = (None, None);
        for node in &self.cluster.nodes {
            let leads = Page::of(&node.url).await?.value("vedfolnir_raft_is_leader")? > 0.0;
            *(if leads { &mut leader } else { &mut follower }) = Some(node);
        }
        for (name, node) in [("the leader", leader), ("a follower", follower)] {
            let node = node.ok_or_else(|| BenchError::Other(format!("{name} is missing")))?;
            self.measure_backup(name, node, &location, report).await?;
        }
        self.measure_restore(directory.path(), &location, report).await
    }

    async fn measure_backup(
        &self,
        name: &str,
        node: &Node,
        location: &Path,
        report: &mut Report,
    ) -> Result<(), BenchError> {
        let load = Load::Rate(self.arguments.rate);
        let publishing = Publishing::begin(&self.endpoints, load, self.arguments.sessions, self.arguments.seed).await?;
        tokio::time::sleep(STEADY).await;
        let before = resident_bytes(node.pid)?;
        let (from, began) = (publishing.now(), Instant::now());
        let mut command = Command::new(&self.arguments.bin);
        command.args(["backup", "create", "--json", "--data-dir", &node.data_dir]);
        let child = command.env("WEBSOCKET_BACKUP_LOCATION", location).stdout(Stdio::piped()).spawn()?;
        let (output, heaviest) = weighed(child, node.pid).await?;
        let (until, took) = (publishing.now(), began.elapsed());
        let samples = publishing.end(report).await?;
        let created: Created = read("backup create", &output)?;
        let (mut without, mut during) = (Histogram::default(), Histogram::default());
        for (sent, acked) in samples {
            if acked < from {
                without.record(acked.saturating_sub(sent));
            } else if sent < until {
                during.record(acked.saturating_sub(sent));
            }
        }
        report.figure(&format!("backup by {name}: written and read back"), took.as_secs_f64(), "s");
        report.figure(&format!("backup by {name}: file"), mib(created.bytes), "MiB");
        report.figure(
            &format!("backup by {name}: more memory of the node"),
            mib(heaviest.saturating_sub(before)),
            "MiB",
        );
        report.percentiles(&format!("before the backup by {name}:"), &without);
        report.percentiles(&format!("during the backup by {name}:"), &during);
        self.say(&format!("{name} has made a backup"));
        Ok(())
    }

    async fn measure_restore(&self, directory: &Path, location: &Path, report: &mut Report) -> Result<(), BenchError> {
        let data_dir = directory.join("restored").display().to_string();
        let began = Instant::now();
        let mut command = Command::new(&self.arguments.bin);
        command.args(["backup", "restore", "latest", "--json", "--data-dir", &data_dir]);
        let child = command.env("WEBSOCKET_BACKUP_LOCATION", location).stdout(Stdio::piped()).spawn()?;
        let pid = child.id().unwrap_or_default();
        let (output, heaviest) = weighed(child, pid).await?;
        let restored: Restored = read("backup restore", &output)?;
        report.figure("restore: read, verified and written", restored.duration_ms as f64 / 1e3, "s");
        report.figure("restore: most memory", mib(heaviest), "MiB");
        if restored.sessions < self.arguments.sessions as u64 || restored.messages == 0 {
            let Restored { sessions, messages, .. } = restored;
            report.broken.push(format!("{sessions} sessions and {messages} messages were restored"));
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut command = Command::new(&self.arguments.bin);
        command.args(["start", "--data-dir", &data_dir, "--port", &port, "--cluster-addr", "127.0.0.1:0"]);
        command.args(["--admin-addr", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.envs(self.cluster.environment.iter().map(|(name, value)| (*name, value)));
        let mut node = command.spawn()?;
        let url = format!("http://127.0.0.1:{port}");
        while began.elapsed() < BACK_TIMEOUT {
            // Until it listens, nobody answers.
            if let Ok(page) = Page::of(&url).await
                && page.value("vedfolnir_ready")? > 0.0
            {
                report.figure("restore: from its begin until a node serves", began.elapsed().as_secs_f64(), "s");
                node.kill().await?;
                self.say("a restored node serves");
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        node.kill().await?;
        report.broken.push(format!("the restored node did not serve within {} s", BACK_TIMEOUT.as_secs()));
        Ok(())
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Waits for the command's end; also the most memory that the process `pid` was seen with meanwhile.
async fn weighed(child: Child, pid: u32) -> Result<(Output, u64), BenchError> {
    let mut heaviest = 0;
    let ended = child.wait_with_output();
    tokio::pin!(ended);
    let mut looks = tokio::time::interval(WEIGH_EVERY);
    loop {
        tokio::select! {
            output = &mut ended => return Ok((output?, heaviest)),
            // A process that has just ended weighs nothing.
            _ = looks.tick() => heaviest = heaviest.max(resident_bytes(pid).unwrap_or(0)),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(what: &str, output: &'a Output) -> Result<T, BenchError> {
    serde_json::from_slice(&output.stdout)
        .map_err(|error| BenchError::Other(format!("{what}: {error}, {}", output.status)))
}
