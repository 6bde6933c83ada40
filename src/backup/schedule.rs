//! The schedule: whoever leads the cluster makes a backup when the newest one is old enough.
//!
//! When the last one was made is asked of the location, so a new leader goes on where the last one stopped, if they share
//! it; in a location of its own it begins with what is there.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::Interval;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::Cluster;
use vedfolnir_cluster::backup::{About, in_background};

use super::create::{CreateError, create};
use super::duty::Duty;
use super::{Backups, Created, Location, archive, prune, unix_seconds};
use crate::observability::{Node, Part};
use crate::service::Standing;

/// Between two looks at whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure the next attempt comes sooner than the next backup would.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Makes backups until `stop`.
pub(crate) async fn run(node: Arc<Node>, backups: Arc<Backups>, stop: CancellationToken) {
    let Some((interval, location)) = backups.config().interval.zip(backups.location()) else { return };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(parts) = node.parts().filter(|_| leads(&node)) else {
            tell(&node, &backups);
            continue;
        };
        if backups.duty().is_none() {
            *backups.duty.lock() = Some(Duty::new(interval, unix_seconds(SystemTime::now())));
            not_before = Instant::now();
            let newest = meanwhile(&mut looks, newest(&backups), || tell(&node, &backups)).await;
            if let (Some(newest), Some(duty)) = (newest, backups.duty.lock().as_mut()) {
                duty.found(newest);
            }
        }
        let is_time = backups.duty().is_some_and(|duty| duty.is_due(unix_seconds(SystemTime::now())));
        let is_due = is_time || backups.is_backup_wanted();
        if is_due && Instant::now() >= not_before {
            let make = make(&parts.cluster, &backups, &location);
            if let Some(Err(_)) = meanwhile(&mut looks, make, || tell(&node, &backups)).await {
                not_before = Instant::now() + interval.min(RETRY_AFTER_MAX);
            }
        }
        tell(&node, &backups);
    }
}

fn leads(node: &Node) -> bool {
    node.parts().is_some_and(|parts| parts.cluster.leads()) && node.standing() != Standing::Stopping
}

/// Tells health how it stands; whoever leads no more has nothing to tell.
fn tell(node: &Node, backups: &Backups) {
    let finding = {
        let mut place = backups.duty.lock();
        let Some(duty) = place.as_ref() else { return };
        if leads(node) {
            let finding = duty.finding(unix_seconds(SystemTime::now()));
            let archive_error = backups.stats().archive_error.lock().clone();
            finding.and_then(|standing| archive_error.map_or(Ok(standing), Err))
        } else {
            *place = None;
            Ok("the leader makes them".to_owned())
        }
    };
    node.checks().lock().record(Part::Backup, finding, Instant::now());
}

/// Does what may take long, or hang with the place, and looks on meanwhile.
async fn meanwhile<T>(looks: &mut Interval, work: impl Future<Output = T>, look: impl Fn()) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = looks.tick() => look(),
        }
    }
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
            if let Some(duty) = backups.duty.lock().as_mut() {
                duty.made(created.about.backup_id.unix_seconds());
            }
            backups.have_backup(created.about.raft_index);
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
            if backups.config().archive_interval.is_some() {
                merge_segments(backups, location, created.about.clone()).await;
            }
        }
        Err(error) => {
            stats.failed_total.fetch_add(1, Relaxed);
            let line = error.to_string();
            tracing::error!(event_type = "backup_failed", error = line, "{line}");
            if let Some(duty) = backups.duty.lock().as_mut() {
                duty.not_made(line.clone());
            }
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

async fn merge_segments(backups: &Arc<Backups>, location: &Arc<dyn Location>, made: About) {
    let (place, packing) = (Arc::clone(location), backups.config().packing.clone());
    let work = move || {
        let merged = archive::merge(place.as_ref(), &made, &packing);
        (merged, place.segments().map(|kept| kept.len()))
    };
    match in_background(work).await {
        Ok((merged, kept)) => {
            if let Err(error) = merged {
                tracing::warn!(%error, "small pieces of the archived log could not be merged; they stay as they are");
            }
            if let Ok(kept) = kept {
                backups.stats().segments_kept.store(kept as u64, Relaxed);
            }
        }
        Err(error) => tracing::debug!(%error, "the archived log was not looked through"),
    }
}
