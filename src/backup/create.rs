//! Makes one backup: written aside, read back as a whole, put in its place.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use vedfolnir_cluster::Cluster;
use vedfolnir_cluster::backup::{
    About, BackupError, BackupFailure, BackupId, BackupKey, BackupReport, BackupRequest, Manifest, Packing,
    STATE_BYTES_MAX, Verified, Written, about, in_background, verify,
};
use vedfolnir_cluster::state::Contents;

use super::location::{Location, LocationError, Pending};
use super::unix_seconds;
use crate::observability::{rfc3339_ms, unix_ms};

/// A quorum confirms within this time what has been acknowledged, or there is no backup.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The document's words.
const FAILED: &str = "Failed to create WebSocket backup: ";

/// A backup that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Created {
    /// What it says of itself.
    #[serde(flatten)]
    pub about: About,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub checksum: String,
    /// Whether it was read back as a whole.
    pub verified: bool,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[error("{FAILED}{0}")]
pub struct CreateError(String);

impl CreateError {
    /// For this reason, which may be another node's own words.
    #[must_use]
    pub fn because(reason: &impl ToString) -> Self {
        let reason = reason.to_string();
        Self(reason.strip_prefix(FAILED).map_or_else(|| reason.clone(), str::to_owned))
    }

    pub(crate) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

impl From<io::Error> for CreateError {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

impl From<LocationError> for CreateError {
    fn from(error: LocationError) -> Self {
        Self::new(error)
    }
}

/// Makes a backup of everything that is acknowledged now.
///
/// # Errors
/// [`CreateError`]; what was there before is there still, and nothing else.
pub async fn create(
    cluster: &Cluster,
    location: Arc<dyn Location>,
    packing: &Packing,
    contents: Contents,
) -> Result<Created, CreateError> {
    let began = Instant::now();
    let now = SystemTime::now();
    let name = location.name();
    let pending = blocking(move || location.begin(id_of(now))).await??;
    let request = request(pending.id(), now, packing.clone(), contents);
    let written = cluster.write_backup(request, pending).await;
    let (pending, report) = written.map_err(|failure| match failure {
        BackupFailure::Write(BackupError::Io(error)) => CreateError::new(LocationError::io(error, name)),
        other => CreateError::new(other),
    })?;
    let key = packing.key.clone();
    let report = in_background(move || settle(pending, report, key.as_ref())).await.map_err(CreateError::new)??;
    let duration_ms = began.elapsed().as_millis() as u64;
    Ok(Created {
        about: report.about,
        bytes: report.written.bytes,
        checksum: report.written.sha256,
        verified: true,
        duration_ms,
    })
}

/// What is asked of the cluster floor.
pub(crate) fn request(id: BackupId, now: SystemTime, packing: Packing, contents: Contents) -> BackupRequest {
    BackupRequest { id, timestamp: timestamp_of(now), packing, contents, read_timeout: READ_TIMEOUT }
}

/// When a backup is begun, as its manifest says it.
#[must_use]
pub fn timestamp_of(now: SystemTime) -> String {
    rfc3339_ms(unix_ms(now))
}

/// The name of a backup that is begun now, if nobody else has it.
#[must_use]
pub fn id_of(now: SystemTime) -> BackupId {
    BackupId::at(unix_seconds(now))
}

/// Reads every byte back before the file counts.
fn reread(pending: &mut dyn Pending, key: Option<&BackupKey>) -> Result<(Manifest, Verified), LocationError> {
    let id = pending.id();
    verify(pending.reread()?, key, STATE_BYTES_MAX).map_err(|error| LocationError::Backup { id, error })
}

fn damaged(id: BackupId, reason: &str) -> LocationError {
    LocationError::Backup { id, error: BackupError::Damaged(reason.to_owned()) }
}

/// Keeps a backup that this process has written.
pub(super) fn settle(
    mut pending: Box<dyn Pending>,
    report: BackupReport,
    key: Option<&BackupKey>,
) -> Result<BackupReport, LocationError> {
    let (_, verified) = reread(pending.as_mut(), key)?;
    if verified.sha256 != report.written.sha256 {
        return Err(damaged(pending.id(), "what was read back is not what was written"));
    }
    pending.commit(&report.written)?;
    Ok(report)
}

/// Keeps a backup that another process has written. A node that encrypts with another key, or with none where this process has
/// one, wrote something that nobody here could use.
///
/// # Errors
/// [`LocationError`]; nothing is kept.
pub fn keep(mut pending: Box<dyn Pending>, key: Option<&BackupKey>) -> Result<(About, Written), LocationError> {
    let (manifest, verified) = reread(pending.as_mut(), key)?;
    let id = pending.id();
    if key.is_some() && !manifest.is_encrypted() {
        let reason =
            "it is not encrypted, since the node has no key: set WEBSOCKET_BACKUP_ENCRYPTION_KEY there as well";
        return Err(damaged(id, reason));
    }
    let about = about(&manifest.about).map_err(|error| LocationError::Backup { id, error })?;
    let written = Written { bytes: verified.bytes, sha256: verified.sha256 };
    pending.commit(&written)?;
    Ok((about, written))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CreateError> {
    // It fails only if the process is ending.
    tokio::task::spawn_blocking(work).await.map_err(CreateError::new)
}
