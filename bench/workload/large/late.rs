//! A follower that is killed, misses more than the log keeps, and is started again: it needs a snapshot. What that does to
//! the commits of the others, and how long it takes.

use std::time::{Duration, Instant};

use vedfolnir_chaos::client::Endpoint;

use super::latency::{Load, Publishing};
use super::{LOOK_EVERY, Large, plan_beside};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::report::Report;
use crate::scrape::Page;
use crate::server::{self, start_again};

/// The others publish for so long before the follower comes back: what it is compared with.
const STEADY: Duration = Duration::from_secs(20);
/// A follower that does not serve after this long will not.
const BACK_TIMEOUT: Duration = Duration::from_secs(180);

impl Large<'_> {
    pub(super) async fn measure_late_follower(&self, report: &mut Report) -> Result<(), BenchError> {
        let leader = self.cluster.leader(&self.arguments.bin).await?;
        let Some(victim) = self.cluster.nodes.iter().find(|node| node.pid != leader) else {
            return Err(BenchError::Other("there is no follower to kill".to_owned()));
        };
        let others: Vec<_> = self.cluster.nodes.iter().filter(|node| node.pid != victim.pid).collect();
        let endpoints: Vec<Endpoint> =
            others.iter().map(|node| Endpoint::parse(&node.url)).collect::<Result<_, _>>()?;
        let killed_at = Page::of(&victim.url).await?.value("vedfolnir_raft_applied_index")?;
        server::kill(victim.pid).await?;

        // Until the survivors' logs begin behind what it has: a snapshot later than its end on each, and as many entries
        // again as may stay behind one.
        let enough = killed_at + self.arguments.snapshot_entries as f64 * 1.5;
        // At a rate: a saturated load makes few entries of many commands each.
        let load = Load::Rate(self.arguments.rate);
        let missed = Publishing::begin(&endpoints, load, self.arguments.sessions, self.arguments.seed).await?;
        for node in &others {
            while Page::of(&node.url).await?.value("vedfolnir_raft_snapshot_index")? < enough {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        missed.end(report).await?;
        self.say("the killed follower has missed more than the log keeps");

        let publishing = Publishing::begin(&endpoints, load, self.arguments.sessions, self.arguments.seed).await?;
        tokio::time::sleep(STEADY).await;
        let (back_from, began) = (publishing.now(), Instant::now());
        let mut again = start_again(&plan_beside(&victim.data_dir)?, &victim.data_dir, &self.cluster.environment)?;
        let (mut installed, mut ready, mut snapshots) = (None, None, 0.0);
        while ready.is_none() && began.elapsed() < BACK_TIMEOUT {
            tokio::time::sleep(LOOK_EVERY).await;
            // Until it listens, nobody answers.
            let Ok(page) = Page::of(&victim.url).await else { continue };
            snapshots = page.value("vedfolnir_snapshots_installed_total")?;
            if installed.is_none() && snapshots > 0.0 {
                installed = Some(began.elapsed());
            }
            if page.value("vedfolnir_ready")? > 0.0 {
                ready = Some(began.elapsed());
            }
        }
        let back_until = publishing.now();
        let samples = publishing.end(report).await?;
        let (mut before, mut during) = (Histogram::default(), Histogram::default());
        for (sent, acked) in samples {
            if acked < back_from {
                before.record(acked.saturating_sub(sent));
            } else if sent < back_until {
                during.record(acked.saturating_sub(sent));
            }
        }
        report.percentiles("without the late follower:", &before);
        report.percentiles("while it comes back:", &during);
        for (name, at) in [("late follower: snapshot installed", installed), ("late follower: serves again", ready)] {
            match at {
                Some(at) => report.figure(name, at.as_secs_f64(), "s"),
                None => report.broken.push(format!("{name}: not within {} s", BACK_TIMEOUT.as_secs())),
            }
        }
        report.figure("late follower: snapshots that it needed", snapshots, "");
        again.kill().await?;
        Ok(())
    }
}
