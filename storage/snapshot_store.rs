//! The snapshots of a node: written aside, verified, renamed into place, the oldest pruned.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::StorageError;
use crate::schema::GROUP;
use crate::snapshot_file::{FOOTER_BYTES, HEAD_BYTES, MAGIC, META_BYTES_MAX, SnapshotFile, VERSION};

/// Snapshots kept.
const KEPT: usize = 2;
const COMPRESSION_LEVEL: i32 = 3;
const EXTENSION: &str = "snapshot";
const PARTIAL: &str = "partial";

/// The directory; cheap to clone. File names are numbers that grow.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    next: AtomicU64,
}

impl SnapshotStore {
    pub(crate) fn open(dir: PathBuf) -> Result<Self, StorageError> {
        let io = |error| StorageError::io(&dir, error);
        fs::create_dir_all(&dir).map_err(io)?;
        let mut last = 0;
        for entry in fs::read_dir(&dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == PARTIAL) {
                // Left by a crash in the middle of writing; never renamed, so never used.
                fs::remove_file(&path).map_err(|error| StorageError::io(&path, error))?;
            }
            last = last.max(number(&path).unwrap_or(0));
        }
        Ok(Self { inner: Arc::new(Inner { dir, next: AtomicU64::new(last + 1) }) })
    }

    /// The newest snapshot. A damaged one is an error unless an older one is sound.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn latest(&self) -> Result<Option<SnapshotFile>, StorageError> {
        let mut damaged = None;
        for path in self.paths()?.into_iter().rev() {
            match SnapshotFile::verify(&path) {
                Ok(file) => return Ok(Some(file)),
                Err(error) => {
                    tracing::error!(%error, "a snapshot is damaged");
                    damaged.get_or_insert(error);
                }
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// Begins a snapshot with this opaque head; the body is what is written to it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn create(&self, meta: &[u8]) -> Result<SnapshotWriter, StorageError> {
        let meta_bytes = u32::try_from(meta.len()).ok().filter(|bytes| *bytes <= META_BYTES_MAX).ok_or(
            StorageError::TooLarge { what: "a snapshot's head", bytes_max: u64::from(META_BYTES_MAX) },
        )?;
        let partial = self.partial()?;
        let path = partial.path.clone();
        let io = |error| StorageError::io(&path, error);
        let mut head = Vec::with_capacity(HEAD_BYTES as usize + meta.len());
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&GROUP.to_le_bytes());
        head.extend_from_slice(&meta_bytes.to_le_bytes());
        head.extend_from_slice(meta);
        let mut out = Checked { out: BufWriter::new(partial), check: crc32fast::Hasher::new(), bytes: 0 };
        out.write_all(&head).map_err(io)?;
        let encoder = zstd::Encoder::new(out, COMPRESSION_LEVEL).map_err(io)?;
        Ok(SnapshotWriter { store: self.clone(), encoder })
    }

    /// Begins to take in the raw bytes of a peer's snapshot file.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn receive(&self) -> Result<IncomingSnapshot, StorageError> {
        Ok(IncomingSnapshot { store: self.clone(), partial: self.partial()? })
    }

    fn partial(&self) -> Result<Partial, StorageError> {
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.dir.join(format!("{number:020}.{PARTIAL}"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| StorageError::io(&path, error))?;
        Ok(Partial { file, path, settled: false })
    }

    /// Syncs, verifies what is really on disk, renames, prunes.
    fn settle(&self, mut partial: Partial) -> Result<SnapshotFile, StorageError> {
        let io = |error| StorageError::io(&self.inner.dir, error);
        partial.file.sync_all().map_err(io)?;
        SnapshotFile::verify(&partial.path)?;
        let path = partial.path.with_extension(EXTENSION);
        fs::rename(&partial.path, &path).map_err(io)?;
        partial.settled = true;
        File::open(&self.inner.dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        let settled = SnapshotFile::verify(&path)?;
        let mut paths = self.paths()?;
        while paths.len() > KEPT {
            let oldest = paths.remove(0);
            fs::remove_file(&oldest).map_err(|error| StorageError::io(&oldest, error))?;
        }
        Ok(settled)
    }

    /// Oldest first.
    fn paths(&self) -> Result<Vec<PathBuf>, StorageError> {
        let io = |error| StorageError::io(&self.inner.dir, error);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.inner.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) && number(&path).is_some() {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        Ok(paths)
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// A file that is removed unless it was settled.
struct Partial {
    file: File,
    path: PathBuf,
    settled: bool,
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.settled
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished snapshot could not be removed");
        }
    }
}

/// Checksums what goes through.
struct Checked {
    out: BufWriter<Partial>,
    check: crc32fast::Hasher,
    bytes: u64,
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.check.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A snapshot being written.
pub struct SnapshotWriter {
    store: SnapshotStore,
    encoder: zstd::Encoder<'static, Checked>,
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}

impl SnapshotWriter {
    /// Completes it; it is on disk and verified when this returns.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn finish(self) -> Result<SnapshotFile, StorageError> {
        let dir = self.store.inner.dir.clone();
        let io = |error: io::Error| StorageError::io(&dir, error);
        let mut checked = self.encoder.finish().map_err(io)?;
        let mut footer = Vec::with_capacity(FOOTER_BYTES as usize);
        footer.extend_from_slice(&checked.bytes.to_le_bytes());
        footer.extend_from_slice(&checked.check.finalize().to_le_bytes());
        checked.out.write_all(&footer).map_err(io)?;
        let partial = checked.out.into_inner().map_err(|error| io(error.into_error()))?;
        self.store.settle(partial)
    }
}

/// A peer's snapshot coming in.
pub struct IncomingSnapshot {
    store: SnapshotStore,
    partial: Partial,
}

impl IncomingSnapshot {
    /// The next bytes of the file.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.partial.file.write_all(bytes).map_err(|error| StorageError::io(&self.partial.path, error))
    }

    /// Verifies and keeps it.
    ///
    /// # Errors
    /// [`StorageError`]: a damaged or newer file is refused and removed.
    pub fn finish(self) -> Result<SnapshotFile, StorageError> {
        self.store.settle(self.partial)
    }
}
