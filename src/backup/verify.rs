//! Rereads what is kept: a backup, the archived log.

use serde::{Deserialize, Serialize};
use vedfolnir_cluster::archive::{Segment, SegmentName};
use vedfolnir_cluster::backup::{About, BackupError, BackupId, BackupKey, STATE_BYTES_MAX, about, load, verify};

use super::location::{Location, LocationError, StoredSegment};

/// What rereading a backup came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerifyView {
    /// Which one.
    pub backup_id: BackupId,
    /// Whether it is sound from its first byte to its last.
    pub valid: bool,
    /// What is wrong with it.
    pub error: Option<String>,
    /// Bytes of the file.
    pub bytes: Option<u64>,
    /// SHA-256 of the file.
    pub checksum: Option<String>,
    /// Whether its state was read and its hash compared as well.
    pub deep: bool,
    /// What it says of itself.
    pub about: Option<About>,
}

/// Rereads a backup; what is wrong with it is in the answer.
///
/// # Errors
/// [`LocationError`]: there is none of this name, or it cannot be read at all.
pub fn verify_one(
    location: &dyn Location,
    id: BackupId,
    key: Option<&BackupKey>,
    deep: bool,
) -> Result<VerifyView, LocationError> {
    let input = location.open(id)?;
    let read = || -> Result<_, BackupError> {
        if deep {
            let loaded = load(input, key)?;
            loaded.compare_hashes()?;
            return Ok((loaded.about, loaded.verified));
        }
        let (manifest, verified) = verify(input, key, STATE_BYTES_MAX)?;
        Ok((about(&manifest.about)?, verified))
    };
    let view = VerifyView { backup_id: id, valid: false, error: None, bytes: None, checksum: None, deep, about: None };
    Ok(match read() {
        Ok((about, verified)) => VerifyView {
            valid: true,
            bytes: Some(verified.bytes),
            checksum: Some(verified.sha256),
            about: Some(about),
            ..view
        },
        Err(error) => VerifyView { error: Some(error.to_string()), ..view },
    })
}

/// What rereading a piece of the archived log came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SegmentView {
    /// Which one.
    pub segment: SegmentName,
    /// Whether it is sound from its first byte to its last, and what its name says.
    pub valid: bool,
    /// What is wrong with it.
    pub error: Option<String>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Rereads every piece of the archived log; what is wrong with one is in its answer.
///
/// # Errors
/// [`LocationError`]: the place cannot be read at all.
pub fn verify_segments(location: &dyn Location, key: Option<&BackupKey>) -> Result<Vec<SegmentView>, LocationError> {
    let verified = location.segments()?.into_iter().map(|StoredSegment { name, bytes }| {
        let error = match location.open_segment(&name) {
            Ok(input) => Segment::read(&name, input, key).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        SegmentView { segment: name, valid: error.is_none(), error, bytes }
    });
    Ok(verified.collect())
}
