//! The durable marker: before which index the log was once on disk, kept apart from the log itself.
//!
//! RocksDB takes a damaged tail of its write-ahead log for an unfinished write and forgets it. A node that forgot
//! entries it had acknowledged must not vote; the marker is how it notices. It is written after the fsync that made
//! the entries durable and is not synced itself: it survives the process, and after a power loss it may be behind,
//! never ahead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StorageError;

const VERSION: u32 = 1;

/// version u32 LE │ index u64 LE │ CRC-32 of both
pub(crate) struct Marker {
    file: File,
    path: PathBuf,
}

impl Marker {
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| StorageError::io(path, error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// What it says; nothing when it was never written. A torn one says nothing rather than something wrong.
    pub(crate) fn read(&self) -> Result<Option<u64>, StorageError> {
        let mut bytes = [0; 16];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(StorageError::io(&self.path, error)),
        }
        let [v0, v1, v2, v3, i0, i1, i2, i3, i4, i5, i6, i7, c0, c1, c2, c3] = bytes;
        let sound = u32::from_le_bytes([v0, v1, v2, v3]) == VERSION
            && u32::from_le_bytes([c0, c1, c2, c3]) == crc32fast::hash(&bytes[..12]);
        Ok(sound.then(|| u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7])))
    }

    pub(crate) fn write(&self, index: u64) -> std::io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[4..12].copy_from_slice(&index.to_le_bytes());
        let check = crc32fast::hash(&bytes[..12]);
        bytes[12..].copy_from_slice(&check.to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}
