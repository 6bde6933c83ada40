//! What is in a location, as it is shown.

use serde::{Deserialize, Serialize};
use vedfolnir_cluster::backup::{About, BackupId, Compression, about, read_manifest};

use super::location::{Location, LocationError};

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
}

/// Everything in a location, the newest first.
///
/// # Errors
/// [`LocationError`]: the location cannot be read. A file that cannot is in the list, with the reason.
pub fn list(location: &dyn Location) -> Result<Vec<ListedBackup>, LocationError> {
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
            about: about.ok(),
        }
    });
    Ok(listed.collect())
}
