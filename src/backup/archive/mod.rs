//! The log between the backups, in the same place: whoever makes the scheduled backups archives what is committed.
//!
//! ```text
//!   each second, every node:     a mark: how far the log is now
//!   each interval, the leader:   committed entries + marks ─► segments ─► Location
//!                                └─ some are gone (purged) ─► go on behind them, and a full backup at once
//! ```
//! Nothing here holds the log back: it is purged behind a snapshot and keeps thousands of entries, or fewer that are
//! large, which is far more than an interval, and where that was not enough a new backup is worth more than a log that grows.
//!
//! Where to go on is asked of the place, so a new leader goes on where the last one stopped.

mod chain;
mod keep;
mod marks;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use vedfolnir_cluster::Cluster;
pub use vedfolnir_cluster::archive::SegmentName;
use vedfolnir_cluster::archive::{ArchivedEntry, CommittedError, Mark};
use vedfolnir_cluster::backup::{About, BackupId, Packing, in_background};
use vedfolnir_cluster::restore::Until;

pub use chain::{Chain, Origin, PointError, Route, RouteError, read_point, route};
pub(super) use keep::{origin, prune_segments, until_ms};
use marks::Marks;

use super::location::{Location, LocationError, Stored};
use super::{BackupStats, Backups};
use crate::observability::{Node, unix_ms};
use crate::service::Standing;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure the next attempt comes no later.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// So many entries are archived at once, however long ago the last ones were: before they are purged.
const WAITING_ENTRIES_MAX: u64 = 4_096;

/// Archives until `stop`, wherever that is configured.
pub(crate) async fn run(node: Arc<Node>, backups: Arc<Backups>, stop: CancellationToken) {
    let Some((interval, location)) = backups.config().archive_interval.zip(backups.location()) else { return };
    let marks = Arc::new(Mutex::new(Marks::default()));
    let taking = take_marks(Arc::clone(&node), Arc::clone(&marks));
    let archiving = async {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut duty: Option<Duty> = None;
        loop {
            looks.tick().await;
            let parts = node.parts().filter(|parts| parts.cluster.leads() && node.standing() != Standing::Stopping);
            let Some(parts) = parts else {
                if duty.take().is_some() {
                    *backups.stats().archive_error.lock() = None;
                }
                continue;
            };
            let work = Work { cluster: &parts.cluster, backups: &backups, location: &location, marks: &marks };
            let done = match &mut duty {
                None => work.begin().await.map(|begun| duty = Some(begun)),
                Some(current) => work.look(current, interval).await,
            };
            if let Err(line) = done {
                backups.stats().segments_failed_total.fetch_add(1, Relaxed);
                tracing::error!(event_type = "backup_archive_failed", error = line, "{line}");
                *backups.stats().archive_error.lock() = Some(line);
                tokio::time::sleep(interval.min(RETRY_AFTER_MAX)).await;
            }
        }
    };
    tokio::select! {
        () = taking => {}
        () = archiving => {}
        () = stop.cancelled() => {}
    }
}

/// Also while something is being archived.
async fn take_marks(node: Arc<Node>, marks: Arc<Mutex<Marks>>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Some(parts) = node.parts() {
            let mark = Mark { index: parts.cluster.applied_index(), unix_ms: unix_ms(SystemTime::now()) };
            marks.lock().take(mark);
        }
    }
}

/// What a leader knows.
struct Duty {
    /// The first log index that is not archived.
    next: u64,
    /// When everything was archived.
    archived: Option<Instant>,
}

impl Duty {
    fn is_due(&self, applied: u64, interval: Duration) -> bool {
        let waiting = applied.saturating_add(1).saturating_sub(self.next);
        let is_time = self.archived.is_none_or(|archived| archived.elapsed() >= interval);
        waiting >= WAITING_ENTRIES_MAX || waiting > 0 && is_time
    }
}

struct Work<'a> {
    cluster: &'a Cluster,
    backups: &'a Arc<Backups>,
    location: &'a Arc<dyn Location>,
    marks: &'a Mutex<Marks>,
}

impl Work<'_> {
    fn stats(&self) -> &BackupStats {
        self.backups.stats()
    }

    /// Where to go on. Without a backup to lead on from, or with a hole behind it, one is wanted.
    async fn begin(&self) -> Result<Duty, String> {
        let (location, cluster_id) = (Arc::clone(self.location), self.cluster.identity().cluster_id);
        let applied = self.cluster.applied_index();
        let found = in_background(move || found(location.as_ref(), &cluster_id)).await.map_err(line)?.map_err(line)?;
        self.stats().segments_kept.store(found.segments, Relaxed);
        let next = found.next.unwrap_or(applied.saturating_add(1));
        if !found.is_whole {
            self.backups.want_backup(next.saturating_sub(1));
        }
        Ok(Duty { next, archived: None })
    }

    /// Archives what is due.
    async fn look(&self, duty: &mut Duty, interval: Duration) -> Result<(), String> {
        let applied = self.cluster.applied_index();
        if !duty.is_due(applied, interval) {
            return Ok(());
        }
        while duty.next <= applied {
            match self.cluster.committed(duty.next).await {
                Ok(entries) => duty.next = self.put(entries).await?,
                Err(CommittedError::Purged { from, to }) => {
                    self.stats().archive_gaps_total.fetch_add(1, Relaxed);
                    tracing::warn!(
                        event_type = "backup_archive_gap",
                        from,
                        to,
                        "log entries {from} to {to} were gone before they were archived; a backup is made at once"
                    );
                    self.backups.want_backup(to);
                    duty.next = to.saturating_add(1);
                }
                Err(CommittedError::NotLeading) => return Ok(()),
                Err(CommittedError::Io(error)) => return Err(line(error)),
            }
        }
        duty.archived = Some(Instant::now());
        *self.stats().archive_error.lock() = None;
        Ok(())
    }

    /// Writes a segment; returns where the next one begins.
    async fn put(&self, entries: Vec<ArchivedEntry>) -> Result<u64, String> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Err(line("the log has entries that cannot be read"));
        };
        let last = last.index;
        let marks = self.marks.lock().of(first.index, last, unix_ms(SystemTime::now()));
        let until = marks.last().map_or(0, |mark| mark.unix_ms);
        let segment = self.cluster.segment(entries, marks);
        let (location, packing) = (Arc::clone(self.location), self.backups.config().packing.clone());
        let work = move || -> Result<(SegmentName, usize), String> {
            let (name, bytes) = segment.write(&packing).map_err(line)?;
            location.put_segment(&name, &bytes).map_err(line)?;
            Ok((name, bytes.len()))
        };
        let (name, bytes) = in_background(work).await.map_err(line)??;
        let stats = self.stats();
        stats.segments_made_total.fetch_add(1, Relaxed);
        stats.segments_kept.fetch_add(1, Relaxed);
        stats.archived_index.store(last, Relaxed);
        stats.archived_unix_ms.store(until, Relaxed);
        tracing::debug!(segment = %name, bytes, "a piece of the log was archived");
        Ok(last.saturating_add(1))
    }
}

fn line(error: impl ToString) -> String {
    format!("Failed to archive the log: {}", error.to_string())
}

/// What a place has of a cluster.
struct Found {
    /// The first log index that is not there; `None`: nothing is.
    next: Option<u64>,
    /// Whether a backup leads to there.
    is_whole: bool,
    segments: u64,
}

fn found(location: &dyn Location, cluster_id: &str) -> Result<Found, LocationError> {
    let segments: Vec<SegmentName> = location.segments()?.into_iter().map(|stored| stored.name).collect();
    let own = segments.iter().filter(|name| name.cluster_id() == cluster_id);
    let archived = own.map(SegmentName::last).max();
    let backed_up = newest_own(&location.list()?, location, cluster_id);
    let end = archived.max(backed_up);
    let is_whole = backed_up.is_some_and(|index| Some(Chain::behind(&segments, cluster_id, index).end) == end);
    Ok(Found { next: end.map(|end| end.saturating_add(1)), is_whole, segments: segments.len() as u64 })
}

/// The last log index in the newest backup of a cluster.
fn newest_own(newest_first: &[Stored], location: &dyn Location, cluster_id: &str) -> Option<u64> {
    let indices = newest_first.iter().filter_map(|stored| {
        // One that cannot be read is none to lead on from.
        let (cluster, index, _) = keep::origin(location, stored.id).ok()?;
        (cluster == cluster_id).then_some(index)
    });
    indices.into_iter().next()
}

/// How a point in time is reached with what is in a place: from the backup that is named or, of those that are not after the
/// point, the newest.
///
/// # Errors
/// [`RouteError`].
pub fn find(location: &dyn Location, named: Option<BackupId>, point: Until) -> Result<Route, RouteError> {
    let unreadable = |error: LocationError| RouteError::Unreadable(error.to_string());
    let stored = location.list().map_err(unreadable)?;
    let segments: Vec<SegmentName> =
        location.segments().map_err(unreadable)?.into_iter().map(|stored| stored.name).collect();
    let mut origins = Vec::new();
    for id in stored.into_iter().map(|stored| stored.id).filter(|id| named.is_none_or(|named| named == *id)) {
        match keep::origin(location, id) {
            Ok((cluster_id, index, begun_ms)) => origins.push(Origin { id, cluster_id, index, begun_ms }),
            Err(error) if named.is_some() => return Err(unreadable(error)),
            // The log leads to the same place from an earlier one.
            Err(error) => tracing::warn!(%error, "a backup that cannot be read is passed over"),
        }
    }
    route(&origins, &segments, named, point, |name| until_ms(location, name).map_err(|error| error.to_string()))
}

/// After a backup was made: the log between the one before it and itself becomes one piece.
///
/// # Errors
/// [`LocationError`]; nothing is lost.
pub(super) fn merge(location: &dyn Location, made: &About, packing: &Packing) -> Result<usize, LocationError> {
    let older: Vec<Stored> = location.list()?.into_iter().filter(|stored| stored.id < made.backup_id).collect();
    let behind = newest_own(&older, location, &made.cluster_id).unwrap_or(0);
    keep::merge(location, &made.cluster_id, behind, made.raft_index, packing)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
