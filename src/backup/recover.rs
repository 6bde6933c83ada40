//! A new cluster starts from the newest backup that is sound, instead of empty.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use vedfolnir_cluster::archive::SegmentName;
use vedfolnir_cluster::backup::{BackupId, BackupKey};
use vedfolnir_cluster::restore::{ArchivedLog, RestoreOptions, Restored, Until, restore_to};

use super::RecoveryConfig;
use super::archive::{Chain, origin};
use super::location::{Location, LocationError};

/// Why a new cluster cannot start from a backup; nothing is in the data directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "no backup in {location} can be restored: {reasons}; nothing was changed. Put a sound one there, or start an empty \
     cluster with --auto-recovery off (WEBSOCKET_AUTO_RECOVERY=false)"
)]
pub struct RecoveryError {
    location: String,
    reasons: String,
}

/// Restores the newest sound backup, and what of the log leads on from it and is sound, into the directory of a node that is
/// about to form its cluster. `None`: there is no backup at all.
///
/// # Errors
/// [`RecoveryError`] names each backup that was tried and its reason.
pub(crate) async fn recover(
    data_dir: &Path,
    location: Arc<dyn Location>,
    key: Option<BackupKey>,
    config: RecoveryConfig,
) -> Result<Option<Restored>, RecoveryError> {
    let refused = |reasons: String| RecoveryError { location: location.name(), reasons };
    let ids = {
        let location = Arc::clone(&location);
        within(config, tokio::task::spawn_blocking(move || location.list())).await.map_err(refused)?
    };
    let ids: Vec<BackupId> =
        ids.map_err(|error| refused(error.to_string()))?.into_iter().map(|stored| stored.id).collect();
    if ids.is_empty() {
        tracing::info!(location = location.name(), "there is no backup to start from: the new cluster is empty");
        return Ok(None);
    }
    let mut reasons = Vec::new();
    for id in ids.into_iter().take(config.attempts) {
        match attempt(data_dir, &location, id, key.clone(), config).await {
            Ok(restored) => {
                let replayed = restored.replayed.as_ref();
                if let Some(reason) = replayed.and_then(|replayed| replayed.stopped.as_ref()) {
                    tracing::error!(
                        event_type = "backup_not_restored",
                        backup_id = %id,
                        error = reason,
                        "the archived log behind {id} was not restored to its end: {reason}"
                    );
                }
                tracing::info!(
                    event_type = "backup_restored",
                    backup_id = %id,
                    path = location.name(),
                    duration_ms = restored.duration_ms,
                    sessions = restored.counts.sessions,
                    recovered_connections = restored.counts.connected,
                    messages = restored.counts.messages,
                    index = restored.raft_index - 1,
                    entries = replayed.map_or(0, |replayed| replayed.entries),
                    "the new cluster starts from a backup"
                );
                return Ok(Some(restored));
            }
            Err(reason) => {
                tracing::error!(event_type = "backup_not_restored", backup_id = %id, error = reason, "{id}: {reason}");
                reasons.push(format!("{id}: {reason}"));
            }
        }
    }
    Err(refused(reasons.join("; ")))
}

async fn within<T>(config: RecoveryConfig, work: tokio::task::JoinHandle<T>) -> Result<T, String> {
    match tokio::time::timeout(config.timeout, work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(too_slow(config)),
    }
}

fn too_slow(config: RecoveryConfig) -> String {
    format!("it could not be read within {} s (WEBSOCKET_RECOVERY_TIMEOUT)", config.timeout.as_secs())
}

async fn attempt(
    data_dir: &Path,
    location: &Arc<dyn Location>,
    id: BackupId,
    key: Option<BackupKey>,
    config: RecoveryConfig,
) -> Result<Restored, String> {
    let gate = Arc::new(Gate::default());
    let mut work = {
        let (location, data_dir, gate) = (Arc::clone(location), data_dir.to_owned(), Arc::clone(&gate));
        tokio::task::spawn_blocking(move || {
            let line = |error: &dyn ToString| error.to_string();
            let (cluster_id, index, _) = origin(location.as_ref(), id).map_err(|error| match error {
                // Whoever tells of it names the backup.
                LocationError::Backup { error, .. } => line(&error),
                other => line(&other),
            })?;
            let names: Vec<SegmentName> = {
                let stored = location.segments().map_err(|error| line(&error))?;
                stored.into_iter().map(|stored| stored.name).collect()
            };
            let Chain { segments, gap, .. } = Chain::behind(&names, &cluster_id, index);
            if let Some((from, to)) = gap {
                tracing::warn!(backup_id = %id, "log entries {from} to {to} are not in the archive: what follows them is not restored");
            }
            let gated = |input| Box::new(Gated { input, gate: Arc::clone(&gate) }) as Box<dyn Read + Send>;
            let open = |name: &SegmentName| location.open_segment(name).map(gated).map_err(|error| line(&error));
            let log = ArchivedLog { segments: &segments, open: &open, until: Until::End, as_far_as_sound: true };
            let input = gated(location.open(id).map_err(|error| line(&error))?);
            let options = RestoreOptions { key, as_planned: true, ..RestoreOptions::default() };
            restore_to(&data_dir, input, Some(&log), &|| gate.pass(), &options).map_err(|error| line(&error))
        })
    };
    let done = match tokio::time::timeout(config.timeout, &mut work).await {
        Ok(done) => done,
        // Nothing is written before everything was read: whoever still reads is stopped, whoever writes is waited for.
        Err(_) if gate.close() => return Err(too_slow(config)),
        Err(_) => work.await,
    };
    done.map_err(|error| error.to_string())?
}

/// Whether everything is still being read, was read, or must not be read on.
#[derive(Default)]
struct Gate(AtomicU8);

const READING: u8 = 0;
const READ: u8 = 1;
const CLOSED: u8 = 2;

impl Gate {
    fn change(&self, to: u8) -> bool {
        self.0.compare_exchange(READING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Everything was read; `false`: too late.
    fn pass(&self) -> bool {
        self.change(READ)
    }

    /// No more is read; `false`: everything was.
    fn close(&self) -> bool {
        self.change(CLOSED)
    }
}

struct Gated {
    input: Box<dyn Read + Send>,
    gate: Arc<Gate>,
}

impl Read for Gated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        if self.gate.0.load(Ordering::Acquire) == CLOSED {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
        }
        Ok(read)
    }
}
