//! The schedule: whoever leads the cluster makes a backup when the newest one is old enough.
//!
//! When the last one was made is asked of the location, so a new leader goes on where the last one stopped, if they share
//! it; in a location of its own it begins with what is there.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::Cluster;

use super::create::{CreateError, create};
use super::{Backups, Created, Location, prune};
use crate::observability::{Node, Part};
use crate::service::Standing;

/// Between two looks at whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure the next attempt comes sooner than the next backup would.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// A backup that has not come for so many intervals is missing.
const LATE_INTERVALS: u64 = 2;
/// And a few seconds more, for an election and for making it.
const LATE_SECONDS: u64 = 30;

/// Makes backups until `stop`.
pub(crate) async fn run(node: Arc<Node>, backups: Arc<Backups>, stop: CancellationToken) {
    let Some((interval, location)) = backups.config().interval.zip(backups.location()) else { return };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut duty: Option<Duty> = None;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(parts) = node.parts().filter(|parts| parts.cluster.leads() && node.standing() != Standing::Stopping)
        else {
            if duty.take().is_some() {
                node.checks().lock().record(Part::Backup, Ok("the leader makes them".to_owned()), Instant::now());
            }
            continue;
        };
        let now = unix_seconds();
        let current = match &mut duty {
            Some(duty) => duty,
            None => duty.insert(Duty::begin(&backups, now).await),
        };
        if current.is_due(now, interval) && Instant::now() >= current.not_before {
            match make(&parts.cluster, &backups, &location).await {
                Some(Ok(created)) => current.newest = Some(created.about.backup_id.unix_seconds()),
                Some(Err(_)) => current.not_before = Instant::now() + interval.min(RETRY_AFTER_MAX),
                // One is being made by hand; it counts as well.
                None => current.newest = newest(&backups).await.or(current.newest),
            }
        }
        let finding = current.finding(&backups, unix_seconds(), interval);
        node.checks().lock().record(Part::Backup, finding, Instant::now());
    }
}

/// What a leader knows.
struct Duty {
    /// When the newest one was begun.
    newest: Option<u64>,
    /// Since when this node leads.
    since: u64,
    not_before: Instant,
}

impl Duty {
    async fn begin(backups: &Arc<Backups>, now: u64) -> Self {
        Self { newest: newest(backups).await, since: now, not_before: Instant::now() }
    }

    /// A newest one from the future is one of a clock that went back.
    fn is_due(&self, now: u64, interval: Duration) -> bool {
        self.newest
            .is_none_or(|newest| now >= newest.saturating_add(interval.as_secs()) || newest > now.saturating_add(60))
    }

    fn finding(&self, backups: &Backups, now: u64, interval: Duration) -> Result<String, String> {
        if let Some(error) = backups.stats().last_error.lock().clone() {
            return Err(error);
        }
        let age = now.saturating_sub(self.newest.unwrap_or(self.since));
        if age > LATE_INTERVALS * interval.as_secs() + LATE_SECONDS {
            return Err(format!("the newest backup is {age} s old"));
        }
        Ok(match self.newest {
            Some(_) => format!("the newest backup is {age} s old"),
            None => "there is none yet".to_owned(),
        })
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// When the newest one in the location was begun.
async fn newest(backups: &Arc<Backups>) -> Option<u64> {
    let location = backups.location()?;
    let listed = tokio::task::spawn_blocking(move || location.list()).await.ok()?.ok()?;
    backups.stats().kept.store(listed.len() as u64, Relaxed);
    let newest = listed.first().map(|newest| newest.id.unix_seconds())?;
    backups.stats().newest_unix_seconds.store(newest, Relaxed);
    Some(newest)
}

/// Makes one in the node's own location, removes what is too much, and says what came of it. `None`: one is being made.
pub(crate) async fn make(
    cluster: &Cluster,
    backups: &Arc<Backups>,
    location: &Arc<dyn Location>,
) -> Option<Result<Created, CreateError>> {
    let _alone = backups.begin()?;
    let stats = backups.stats();
    stats.running.store(1, Relaxed);
    let made = create(cluster, Arc::clone(location), &backups.config().packing, backups.config().contents).await;
    stats.running.store(0, Relaxed);
    match &made {
        Ok(created) => {
            stats.made_total.fetch_add(1, Relaxed);
            stats.newest_unix_seconds.store(created.about.backup_id.unix_seconds(), Relaxed);
            stats.newest_bytes.store(created.bytes, Relaxed);
            stats.newest_duration_ms.store(created.duration_ms, Relaxed);
            *stats.last_error.lock() = None;
            tracing::info!(
                event_type = "backup_completed",
                backup_id = %created.about.backup_id,
                path = location.name(),
                bytes = created.bytes,
                duration_ms = created.duration_ms,
                index = created.about.raft_index,
                sessions = created.about.counts.sessions,
                "a backup was made and read back"
            );
            remove_surplus(backups, location).await;
        }
        Err(error) => {
            stats.failed_total.fetch_add(1, Relaxed);
            let line = error.to_string();
            tracing::error!(event_type = "backup_failed", error = line, "{line}");
            *stats.last_error.lock() = Some(line);
        }
    }
    Some(made)
}

async fn remove_surplus(backups: &Arc<Backups>, location: &Arc<dyn Location>) {
    let (location, keep) = (Arc::clone(location), backups.config().keep);
    let pruned = tokio::task::spawn_blocking(move || {
        let pruned = prune(location.as_ref(), &keep);
        (pruned, location.list().map(|kept| kept.len()))
    });
    match pruned.await {
        Ok((Ok(pruned), kept)) => {
            backups.stats().pruned_total.fetch_add(pruned.len() as u64, Relaxed);
            if let Ok(kept) = kept {
                backups.stats().kept.store(kept as u64, Relaxed);
            }
        }
        Ok((Err(error), _)) => tracing::warn!(%error, "backups that are too many could not be removed"),
        Err(error) => tracing::debug!(%error, "backups were not looked through"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duty(newest: Option<u64>) -> Duty {
        Duty { newest, since: 1_000, not_before: Instant::now() }
    }

    #[test]
    fn a_backup_is_due_when_the_newest_is_old_enough_or_there_is_none() {
        let interval = Duration::from_secs(300);
        assert!(duty(None).is_due(1_000, interval));
        assert!(!duty(Some(900)).is_due(1_199, interval));
        assert!(duty(Some(900)).is_due(1_200, interval));
        // One that a clock in the future has named does not stop the schedule until then.
        assert!(duty(Some(50_000)).is_due(1_000, interval));
    }
}
