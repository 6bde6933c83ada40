//! Rereads every byte of a backup.

use std::io::Read;

use super::{BackupError, BackupKey, BackupReader, Manifest, Verified};

/// Whether a backup is sound from its first byte to its last, and what it says of itself.
///
/// # Errors
/// [`BackupError`]: what is wrong with it.
pub fn verify(
    input: impl Read,
    key: Option<&BackupKey>,
    expanded_bytes_max: u64,
) -> Result<(Manifest, Verified), BackupError> {
    let reader = BackupReader::open(input, key, expanded_bytes_max)?;
    let manifest = reader.manifest().clone();
    Ok((manifest, reader.finish()?))
}
