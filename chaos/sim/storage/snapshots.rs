//! Snapshots: whole or not there.

use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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

/// Tells one snapshot from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotId {
    /// The last log index in it.
    pub position: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Over all of them.
    pub check: u32,
}

/// What there is of a peer's snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    transfer: u64,
    id: SnapshotId,
    raw: Vec<u8>,
}

impl SnapshotFile {
    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        let raw = self.raw();
        // FNV-1a: two snapshots that differ are told apart, which is all that is asked of it.
        let check = raw.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        SnapshotId { position: self.position, bytes: raw.len() as u64, check }
    }

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
        Ok(Cursor::new(self.raw()))
    }

    fn raw(&self) -> Vec<u8> {
        let mut raw = self.position.to_le_bytes().to_vec();
        raw.extend((self.meta.len() as u64).to_le_bytes());
        raw.extend_from_slice(&self.meta);
        raw.extend_from_slice(&self.body);
        raw
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
        Ok(IncomingSnapshot { store: self.clone(), part: Part::Unknown(Vec::new()) })
    }

    /// Takes in a peer's, from where an earlier transfer of it broke off.
    ///
    /// # Errors
    /// None.
    pub fn resume(&self, id: SnapshotId) -> Result<IncomingSnapshot, StorageError> {
        let mut disk = self.storage.disk.lock();
        let incoming = &mut disk.platter.incoming;
        let (transfer, raw) = match incoming.take() {
            Some(known) if known.id == id => (known.transfer + 1, known.raw),
            Some(other) => (other.transfer + 1, Vec::new()),
            None => (1, Vec::new()),
        };
        *incoming = Some(Incoming { transfer, id, raw });
        drop(disk);
        Ok(IncomingSnapshot { store: self.clone(), part: Part::Known { transfer, id } })
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
    part: Part,
}

enum Part {
    Unknown(Vec<u8>),
    Known { transfer: u64, id: SnapshotId },
}

impl IncomingSnapshot {
    /// Bytes that are there.
    #[must_use]
    pub fn received(&self) -> u64 {
        match &self.part {
            Part::Unknown(raw) => raw.len() as u64,
            Part::Known { transfer, .. } => {
                let disk = self.store.storage.disk.lock();
                let incoming = disk.platter.incoming.as_ref().filter(|incoming| incoming.transfer == *transfer);
                incoming.map_or(0, |incoming| incoming.raw.len() as u64)
            }
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`StorageError::Overtaken`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        match &mut self.part {
            Part::Unknown(raw) => raw.extend_from_slice(bytes),
            Part::Known { transfer, .. } => {
                let mut disk = self.store.storage.disk.lock();
                let incoming = disk.platter.incoming.as_mut().filter(|incoming| incoming.transfer == *transfer);
                incoming.ok_or(StorageError::Overtaken)?.raw.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// Never: what comes is on the platter at once.
    #[must_use]
    pub fn is_sync_due(&self) -> bool {
        false
    }

    /// Nothing is due.
    ///
    /// # Errors
    /// None.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn finish(self) -> Result<SnapshotFile, StorageError> {
        self.finish_if(|_| Ok(()))
    }

    /// Keeps it, if the floor above can read what is in it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn finish_if(
        self,
        check: impl FnOnce(&SnapshotFile) -> Result<(), String>,
    ) -> Result<SnapshotFile, StorageError> {
        let Self { store, part } = self;
        let corrupt = |reason: String| StorageError::Corrupt { path: store.path.as_ref().clone(), reason };
        let (id, raw) = match part {
            Part::Unknown(raw) => (None, raw),
            Part::Known { transfer, id } => {
                let mut disk = store.storage.disk.lock();
                let incoming = &mut disk.platter.incoming;
                let raw = match incoming.take() {
                    Some(whole) if whole.transfer == transfer && whole.raw.len() as u64 >= id.bytes => whole.raw,
                    other => {
                        let received = other.as_ref().filter(|other| other.transfer == transfer).map(|it| it.raw.len());
                        *incoming = other;
                        return Err(received.map_or(StorageError::Overtaken, |received| StorageError::Incomplete {
                            received: received as u64,
                            bytes: id.bytes,
                        }));
                    }
                };
                (Some(id), raw)
            }
        };
        let file = SnapshotFile::parse(&raw).ok_or_else(|| corrupt("the snapshot is no snapshot".to_owned()))?;
        if id.is_some_and(|id| file.id() != id) {
            return Err(corrupt("it is not the snapshot that was announced".to_owned()));
        }
        check(&file).map_err(corrupt)?;
        Ok(store.settle(file))
    }
}
