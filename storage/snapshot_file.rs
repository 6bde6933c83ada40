//! A snapshot file: an opaque head, a compressed body, a checksum over everything.
//!
//! ```text
//!   "VDFS" │ version u32 │ group u32 │ meta length u32 │ position u64 │ meta │ zstd stream
//!          │ length of all before u64 │ CRC-32 u32 of all before the length
//! ```
//! Integers are little-endian. The position is the last log index in the snapshot: it orders snapshots, whichever was
//! begun or received first.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::schema::GROUP;

pub(crate) const MAGIC: [u8; 4] = *b"VDFS";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEAD_BYTES: u64 = 24;
pub(crate) const FOOTER_BYTES: u64 = 12;
/// The head's opaque part.
pub(crate) const META_BYTES_MAX: u32 = 1 << 20;

/// A verified snapshot; cheap to clone. Whoever has opened the file and holds this can read it to its end, even when it is
/// pruned meanwhile, which happens only once newer ones are there. What nobody holds may be written over.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    path: Arc<PathBuf>,
    id: SnapshotId,
    meta: Arc<[u8]>,
    held: Arc<Held>,
}

/// Somebody may read this file.
///
/// Invariant: of one file of a store there is one, however often it was verified; the store sees to it.
#[derive(Debug)]
pub(crate) struct Held;

/// Tells one snapshot file from another: two files with the same id have the same bytes, short of an accident that the
/// checksum over the whole then finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotId {
    /// The last log index in it.
    pub position: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// CRC-32 of all but its last twelve bytes.
    pub check: u32,
}

impl SnapshotFile {
    /// Reads and checks all of it.
    pub(crate) fn verify(path: &Path) -> Result<Self, StorageError> {
        let io = |error| StorageError::io(path, error);
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        if len < HEAD_BYTES + FOOTER_BYTES {
            return Err(StorageError::corrupt(path, "it is too short for a snapshot"));
        }
        let mut reader = BufReader::with_capacity(256 << 10, file);
        let mut head = [0; HEAD_BYTES as usize];
        reader.read_exact(&mut head).map_err(io)?;
        let Head { meta_bytes, position } = check_head(&head, path)?;
        if HEAD_BYTES + u64::from(meta_bytes) + FOOTER_BYTES > len {
            return Err(StorageError::corrupt(path, "its head is damaged"));
        }
        let mut meta = vec![0; meta_bytes as usize];
        reader.read_exact(&mut meta).map_err(io)?;
        let mut check = crc32fast::Hasher::new();
        check.update(&head);
        check.update(&meta);
        let body_bytes = len - HEAD_BYTES - u64::from(meta_bytes) - FOOTER_BYTES;
        let mut body = (&mut reader).take(body_bytes);
        let mut chunk = vec![0; 256 << 10];
        loop {
            let read = body.read(&mut chunk).map_err(io)?;
            if read == 0 {
                break;
            }
            check.update(&chunk[..read]);
        }
        let mut footer = [0; FOOTER_BYTES as usize];
        reader.read_exact(&mut footer).map_err(io)?;
        let [b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3] = footer;
        let check = check.finalize();
        let sound = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]) == len - FOOTER_BYTES
            && u32::from_le_bytes([c0, c1, c2, c3]) == check;
        #[cfg(feature = "planted-bugs")]
        let sound = crate::planted::sound(sound);
        if !sound {
            return Err(StorageError::corrupt(path, "its checksum does not match"));
        }
        let id = SnapshotId { position, bytes: len, check };
        Ok(Self { path: Arc::new(path.to_owned()), id, meta: meta.into(), held: Arc::new(Held) })
    }

    /// The same file under its new name.
    pub(crate) fn renamed(self, path: &Path) -> Self {
        Self { path: Arc::new(path.to_owned()), ..self }
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The same file, held together with others.
    pub(crate) fn held_by(self, held: Arc<Held>) -> Self {
        Self { held, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.id.bytes
    }

    /// The last log index in it; 0: its writer did not say.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.id.position
    }

    /// The opaque head.
    #[must_use]
    pub fn meta(&self) -> &[u8] {
        &self.meta
    }

    /// The body, decompressed as it is read; more than `expanded_bytes_max` is an error.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn open_body(&self, expanded_bytes_max: u64) -> Result<SnapshotBody, StorageError> {
        let io = |error| StorageError::io(&self.path, error);
        let mut file = File::open(self.path.as_path()).map_err(io)?;
        let start = HEAD_BYTES + self.meta.len() as u64;
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let compressed = file.take(self.id.bytes - start - FOOTER_BYTES);
        let decoder = zstd::Decoder::new(compressed).map_err(io)?;
        let decoder = BufReader::with_capacity(256 << 10, decoder);
        Ok(SnapshotBody { decoder, left: expanded_bytes_max, _held: Arc::clone(&self.held) })
    }

    /// The file as it is, to send it to a peer; to be read only as long as this is held.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn open_raw(&self) -> Result<File, StorageError> {
        File::open(self.path.as_path()).map_err(|error| StorageError::io(&self.path, error))
    }
}

/// What the first bytes of a file say.
pub(crate) struct Head {
    meta_bytes: u32,
    position: u64,
}

/// Whether this binary can read a file that begins so.
pub(crate) fn check_head(head: &[u8; HEAD_BYTES as usize], path: &Path) -> Result<Head, StorageError> {
    let [m0, m1, m2, m3, v0, v1, v2, v3, g0, g1, g2, g3, l0, l1, l2, l3, p0, p1, p2, p3, p4, p5, p6, p7] = *head;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(StorageError::corrupt(path, "it is no snapshot"));
    }
    let found = u32::from_le_bytes([v0, v1, v2, v3]);
    if found > VERSION {
        return Err(StorageError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    if u32::from_le_bytes([g0, g1, g2, g3]) != GROUP {
        return Err(StorageError::corrupt(path, "it is of another group"));
    }
    let meta_bytes = u32::from_le_bytes([l0, l1, l2, l3]);
    if meta_bytes > META_BYTES_MAX {
        return Err(StorageError::corrupt(path, "its head is damaged"));
    }
    Ok(Head { meta_bytes, position: u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]) })
}

/// A snapshot's body, bounded.
pub struct SnapshotBody {
    decoder: BufReader<zstd::Decoder<'static, BufReader<io::Take<File>>>>,
    left: u64,
    _held: Arc<Held>,
}

impl Read for SnapshotBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("the snapshot expands beyond its bound"))?;
        Ok(read)
    }
}
