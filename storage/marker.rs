//! The durable marker: how far the log once was on disk, kept apart from the database itself.
//!
//! RocksDB takes a damaged tail of its write-ahead log for an unfinished write and forgets it. A node that forgot a
//! vote or entries it had acknowledged must not vote again; the marker is how it notices. It is written after the
//! fsync that made the writes durable and is not synced itself: it survives the process, and after a power loss it
//! may be behind, never ahead.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::StorageError;

const VERSION: u32 = 1;
pub(crate) const BYTES: usize = 24;

/// What was durable once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    /// One past the log's last index.
    pub(crate) end: u64,
    /// The database's sequence number: it also covers votes, truncations and rewritten indexes.
    pub(crate) sequence: u64,
}

/// version u32 LE │ end u64 LE │ sequence u64 LE │ CRC-32 of all before
///
/// Invariant: `known` is what the file says.
pub(crate) struct Marker {
    file: File,
    path: PathBuf,
    known: Durable,
}

impl Marker {
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| StorageError::io(path, error))?;
        let mut marker = Self { file, path: path.to_owned(), known: Durable::default() };
        marker.known = marker.read()?;
        Ok(marker)
    }

    pub(crate) fn known(&self) -> Durable {
        self.known
    }

    /// A torn marker says nothing rather than something wrong: the database alone is consistent in itself.
    fn read(&self) -> Result<Durable, StorageError> {
        let mut bytes = [0; BYTES];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Durable::default()),
            Err(error) => return Err(StorageError::io(&self.path, error)),
        }
        let Some(durable) = decode(&bytes) else {
            tracing::warn!(path = %self.path.display(), "the durable marker is damaged; it is written anew");
            return Ok(Durable::default());
        };
        Ok(durable)
    }

    pub(crate) fn write(&mut self, durable: Durable) -> Result<(), StorageError> {
        if durable == self.known {
            return Ok(());
        }
        self.file.write_all_at(&encode(durable), 0).map_err(|error| StorageError::io(&self.path, error))?;
        self.known = durable;
        Ok(())
    }
}

/// `None`: it is torn, damaged or another version's.
pub(crate) fn decode(bytes: &[u8; BYTES]) -> Option<Durable> {
    let [v0, v1, v2, v3, e0, e1, e2, e3, e4, e5, e6, e7, s0, s1, s2, s3, s4, s5, s6, s7, c0, c1, c2, c3] = *bytes;
    let sound = u32::from_le_bytes([v0, v1, v2, v3]) == VERSION
        && u32::from_le_bytes([c0, c1, c2, c3]) == crc32fast::hash(&bytes[..BYTES - 4]);
    sound.then_some(Durable {
        end: u64::from_le_bytes([e0, e1, e2, e3, e4, e5, e6, e7]),
        sequence: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
    })
}

pub(crate) fn encode(durable: Durable) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..4].copy_from_slice(&VERSION.to_le_bytes());
    bytes[4..12].copy_from_slice(&durable.end.to_le_bytes());
    bytes[12..20].copy_from_slice(&durable.sequence.to_le_bytes());
    let check = crc32fast::hash(&bytes[..BYTES - 4]);
    bytes[20..].copy_from_slice(&check.to_le_bytes());
    bytes
}
