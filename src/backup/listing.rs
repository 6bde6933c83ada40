//! What is in a location, as it is shown.

use serde::{Deserialize, Serialize};
use vedfolnir_cluster::archive::SegmentName;
use vedfolnir_cluster::backup::{About, BackupId, Compression, about, read_manifest};

use super::archive::{Chain, until_ms};
use super::location::{Location, LocationError};
use crate::observability::rfc3339_ms;

/// A backup in a list. What its manifest says is not verified by that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedBackup {
    /// Its name.
    pub backup_id: BackupId,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether it was read back as a whole after it had been written.
    pub verified: bool,
    /// SHA-256 of the file, since then.
    pub checksum: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether it is compressed.
    pub compressed: bool,
    /// What it says of itself; missing when that cannot be read.
    pub about: Option<About>,
    /// Why that cannot be read.
    pub error: Option<String>,
    /// How far the archived log leads on from it; `None`: nowhere.
    #[serde(default)]
    pub rolls_forward_to: Option<RollsForwardTo>,
}

/// Where the archived log leads from a backup, without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollsForwardTo {
    /// The last log index.
    pub raft_index: u64,
    /// It had been applied by then: RFC 3339, UTC; missing when that cannot be read.
    pub timestamp: Option<String>,
}

/// Everything in a location, the newest first.
///
/// # Errors
/// [`LocationError`]: the location cannot be read. A file that cannot is in the list, with the reason.
pub fn list(location: &dyn Location) -> Result<Vec<ListedBackup>, LocationError> {
    let segments: Vec<SegmentName> = location.segments()?.into_iter().map(|stored| stored.name).collect();
    // Most backups lead to the same end.
    let mut known: Option<(SegmentName, Option<String>)> = None;
    let mut until = |name: &SegmentName| match &known {
        Some((last, until)) if last == name => until.clone(),
        _ => {
            let until = until_ms(location, name).ok().map(rfc3339_ms);
            known = Some((name.clone(), until.clone()));
            until
        }
    };
    let mut rolls_forward = |about: &About| {
        let chain = Chain::behind(&segments, &about.cluster_id, about.raft_index);
        let last = chain.segments.last()?;
        Some(RollsForwardTo { raft_index: chain.end, timestamp: until(last) })
    };
    let listed = location.list()?.into_iter().map(|stored| {
        let manifest = location
            .open(stored.id)
            .map_err(|error| error.to_string())
            .and_then(|file| read_manifest(file).map_err(|error| error.to_string()));
        let known = manifest.as_ref().map_err(Clone::clone);
        let about = known.and_then(|manifest| about(&manifest.about).map_err(|error| error.to_string()));
        ListedBackup {
            backup_id: stored.id,
            bytes: stored.bytes,
            verified: stored.sha256.is_some(),
            checksum: stored.sha256,
            encrypted: manifest.as_ref().is_ok_and(|manifest| manifest.is_encrypted()),
            compressed: manifest.as_ref().is_ok_and(|manifest| manifest.compression == Compression::Zstd),
            error: about.as_ref().err().cloned(),
            rolls_forward_to: about.as_ref().ok().and_then(&mut rolls_forward),
            about: about.ok(),
        }
    });
    Ok(listed.collect())
}
