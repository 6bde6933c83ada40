//! Snapshots: whole or not there.

use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::storage::{Storage, StorageError};

/// Snapshots kept.
const KEPT: usize = 2;

/// The directory; cheap to clone.
#[derive(Clone)]
pub struct SnapshotStore {
    storage: Storage,
    path: Arc<PathBuf>,
}

/// A complete snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    position: u64,
    meta: Bytes,
    body: Bytes,
}

impl SnapshotFile {
    /// The last log index in it.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The opaque head.
    #[must_use]
    pub fn meta(&self) -> &[u8] {
        &self.meta
    }

    /// The body.
    ///
    /// # Errors
    /// None.
    pub fn open_body(&self, _expanded_bytes_max: u64) -> Result<impl Read + use<>, StorageError> {
        Ok(Cursor::new(self.body.clone()))
    }

    /// Position, length of the head, head, body; to send it to a peer.
    ///
    /// # Errors
    /// None.
    pub fn open_raw(&self) -> Result<Cursor<Vec<u8>>, StorageError> {
        let mut raw = self.position.to_le_bytes().to_vec();
        raw.extend((self.meta.len() as u64).to_le_bytes());
        raw.extend_from_slice(&self.meta);
        raw.extend_from_slice(&self.body);
        Ok(Cursor::new(raw))
    }

    fn parse(raw: &[u8]) -> Option<Self> {
        let (position, rest) = raw.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (meta, body) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        let (meta, body) = (Bytes::copy_from_slice(meta), Bytes::copy_from_slice(body));
        Some(Self { position: u64::from_le_bytes(*position), meta, body })
    }
}

impl SnapshotStore {
    pub(crate) fn new(storage: Storage, path: Arc<PathBuf>) -> Self {
        Self { storage, path }
    }

    /// The newest one.
    ///
    /// # Errors
    /// None.
    pub fn latest(&self) -> Result<Option<SnapshotFile>, StorageError> {
        Ok(self.storage.disk.lock().platter.snapshots.last().cloned())
    }

    /// Begins one.
    ///
    /// # Errors
    /// None.
    pub fn create_at(&self, position: u64, meta: &[u8]) -> Result<SnapshotWriter, StorageError> {
        Ok(SnapshotWriter { store: self.clone(), position, meta: Bytes::copy_from_slice(meta), body: Vec::new() })
    }

    /// Takes in a peer's.
    ///
    /// # Errors
    /// None.
    pub fn receive(&self) -> Result<IncomingSnapshot, StorageError> {
        Ok(IncomingSnapshot { store: self.clone(), raw: Vec::new() })
    }

    fn settle(&self, file: SnapshotFile) -> SnapshotFile {
        let mut disk = self.storage.disk.lock();
        let snapshots = &mut disk.platter.snapshots;
        // By position, then by age.
        let place = snapshots.partition_point(|known| known.position <= file.position);
        snapshots.insert(place, file.clone());
        while snapshots.len() > KEPT {
            snapshots.remove(0);
        }
        file
    }
}

/// A snapshot being written.
pub struct SnapshotWriter {
    store: SnapshotStore,
    position: u64,
    meta: Bytes,
    body: Vec<u8>,
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.body.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotWriter {
    /// Completes it.
    ///
    /// # Errors
    /// None.
    pub fn finish(self) -> Result<SnapshotFile, StorageError> {
        let Self { store, position, meta, body } = self;
        Ok(store.settle(SnapshotFile { position, meta, body: body.into() }))
    }
}

/// A peer's snapshot coming in.
pub struct IncomingSnapshot {
    store: SnapshotStore,
    raw: Vec<u8>,
}

impl IncomingSnapshot {
    /// The next bytes.
    ///
    /// # Errors
    /// None.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.raw.extend_from_slice(bytes);
        Ok(())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`].
    pub fn finish(self) -> Result<SnapshotFile, StorageError> {
        let file = SnapshotFile::parse(&self.raw).ok_or_else(|| StorageError::Corrupt {
            path: self.store.path.as_ref().clone(),
            reason: "the snapshot is no snapshot".to_owned(),
        })?;
        Ok(self.store.settle(file))
    }
}
