//! The snapshots of a node: written aside, verified, renamed into place, the oldest pruned, its file written over by the next.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::StorageError;
use crate::incoming::{Arrivals, IncomingSnapshot};
use crate::schema::GROUP;
use crate::snapshot_file::{FOOTER_BYTES, HEAD_BYTES, Held, MAGIC, META_BYTES_MAX, SnapshotFile, SnapshotId, VERSION};

/// Snapshots kept.
const KEPT: usize = 2;
const COMPRESSION_LEVEL: i32 = 3;
/// A snapshot is synced in pieces of so many bytes while it is written or taken in: one sync of the whole file at its end
/// would make the log's next sync wait for all of it, since the file system commits both together.
pub(crate) const SYNC_EVERY_BYTES: u64 = 2 << 20;
const EXTENSION: &str = "snapshot";
const PARTIAL: &str = "partial";

/// The directory; cheap to clone.
///
/// A file is called `position-number.snapshot`, both with leading zeros: names sort by position, then by age.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    next: AtomicU64,
    /// The newest one that is known to be sound, so that it is not read as a whole each time.
    latest: Mutex<Option<SnapshotFile>>,
    /// One snapshot at a time takes its place.
    settling: Mutex<()>,
    /// Who may read which of the files.
    held: Mutex<HashMap<PathBuf, Weak<Held>>>,
    /// A pruned file that nobody reads, for the next snapshot to write over. Removing a file of hundreds of mebibytes, and
    /// writing as many to new places, makes the log's syncs wait for the file system's journal; writing over it does not.
    spare: Mutex<Option<PathBuf>>,
    pub(crate) arrivals: Arrivals,
    /// Below this index the log is gone.
    purged_end: Arc<AtomicU64>,
    pub(crate) file_bytes_max: u64,
}

impl SnapshotStore {
    /// Refuses a directory whose snapshots do not reach up to where the log begins.
    pub(crate) fn open(dir: PathBuf, purged_end: Arc<AtomicU64>, file_bytes_max: u64) -> Result<Self, StorageError> {
        let io = |error| StorageError::io(&dir, error);
        fs::create_dir_all(&dir).map_err(io)?;
        let mut last = 0;
        for entry in fs::read_dir(&dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == PARTIAL) {
                // Left by a crash in the middle of writing; never renamed, so never used.
                fs::remove_file(&path).map_err(|error| StorageError::io(&path, error))?;
            } else if let Some((_, number)) = parse(&path) {
                last = last.max(number);
            }
        }
        let arrivals = Arrivals::open(&dir)?;
        let inner = Inner {
            dir,
            next: AtomicU64::new(last.saturating_add(1)),
            latest: Mutex::new(None),
            settling: Mutex::new(()),
            held: Mutex::default(),
            spare: Mutex::default(),
            arrivals,
            purged_end,
            file_bytes_max,
        };
        let store = Self { inner: Arc::new(inner) };
        store.check_reach()?;
        Ok(store)
    }

    fn check_reach(&self) -> Result<(), StorageError> {
        let newest = self.paths()?.last().and_then(|path| parse(path)).map(|(position, _)| position);
        let purged_end = self.inner.purged_end.load(Ordering::Acquire);
        let reached = match newest {
            // Unsaid: whoever wrote it knows.
            Some(0) => return Ok(()),
            Some(position) if position.saturating_add(1) >= purged_end => return Ok(()),
            Some(position) => position.to_string(),
            None if purged_end == 0 => return Ok(()),
            None => "nowhere".to_owned(),
        };
        Err(StorageError::SnapshotMissing { path: self.inner.dir.clone(), purged_end, reached })
    }

    /// The newest snapshot. A damaged one is an error, unless an older one is sound and the log still reaches back
    /// to it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn latest(&self) -> Result<Option<SnapshotFile>, StorageError> {
        if let Some(known) = self.inner.latest.lock().clone()
            && known.path().exists()
        {
            return Ok(Some(known));
        }
        // What is being verified must not be pruned, and written over, meanwhile.
        let _settling = self.inner.settling.lock();
        let mut damaged = None;
        for path in self.paths()?.into_iter().rev() {
            match SnapshotFile::verify(&path) {
                Ok(file) => {
                    if let Some(error) = damaged
                        && file.position().saturating_add(1) < self.inner.purged_end.load(Ordering::Acquire)
                    {
                        return Err(error);
                    }
                    let file = self.hold(file);
                    *self.inner.latest.lock() = Some(file.clone());
                    return Ok(Some(file));
                }
                Err(error) => {
                    tracing::error!(%error, "a snapshot is damaged");
                    damaged.get_or_insert(error);
                }
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// [`SnapshotStore::create_at`] by a writer that does not say up to which log index the snapshot reaches: such
    /// snapshots are ordered by their completion, behind all others.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn create(&self, meta: &[u8]) -> Result<SnapshotWriter, StorageError> {
        self.create_at(0, meta)
    }

    /// Begins a snapshot of everything up to log index `position` with this opaque head; the body is what is written
    /// to it.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn create_at(&self, position: u64, meta: &[u8]) -> Result<SnapshotWriter, StorageError> {
        let meta_bytes = u32::try_from(meta.len())
            .ok()
            .filter(|bytes| *bytes <= META_BYTES_MAX)
            .ok_or(StorageError::TooLarge { what: "a snapshot's head", bytes_max: u64::from(META_BYTES_MAX) })?;
        let partial = self.partial()?;
        let path = partial.path.clone();
        let io = |error| StorageError::io(&path, error);
        let mut head = Vec::with_capacity(HEAD_BYTES as usize + meta.len());
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&GROUP.to_le_bytes());
        head.extend_from_slice(&meta_bytes.to_le_bytes());
        head.extend_from_slice(&position.to_le_bytes());
        head.extend_from_slice(meta);
        let mut out = Checked { out: BufWriter::new(partial), check: crc32fast::Hasher::new(), bytes: 0, synced: 0 };
        out.write_all(&head).map_err(io)?;
        let encoder = zstd::Encoder::new(out, COMPRESSION_LEVEL).map_err(io)?;
        Ok(SnapshotWriter { store: self.clone(), encoder })
    }

    /// Begins to take in the raw bytes of a peer's snapshot file, of which nothing is known and nothing is kept should
    /// the transfer break off.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn receive(&self) -> Result<IncomingSnapshot, StorageError> {
        Ok(IncomingSnapshot::unknown(self.clone(), self.partial()?))
    }

    /// Takes in the raw bytes of this very file from where an earlier transfer of it broke off, which
    /// [`IncomingSnapshot::received`] tells. What is left of any other file is dropped, and an earlier transfer that
    /// has not ended yet ends.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn resume(&self, id: SnapshotId) -> Result<IncomingSnapshot, StorageError> {
        IncomingSnapshot::resume(self.clone(), id)
    }

    pub(crate) fn number(&self) -> u64 {
        self.inner.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A file to write to from its beginning; what is behind that is nobody's, and is cut off when it settles.
    pub(crate) fn partial(&self) -> Result<Partial, StorageError> {
        let spare = self.inner.spare.lock().take();
        if let Some(path) = spare
            && let Ok(file) = OpenOptions::new().write(true).open(&path)
        {
            return Ok(Partial { file, path, settled: false });
        }
        let path = self.partial_path();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| StorageError::io(&path, error))?;
        Ok(Partial { file, path, settled: false })
    }

    /// A name that nothing else has; what has it at the next start is removed.
    pub(crate) fn partial_path(&self) -> PathBuf {
        self.inner.dir.join(format!("{:020}.{PARTIAL}", self.number()))
    }

    /// Cuts off what is behind so many bytes, syncs, verifies what is really on disk, renames, prunes; unless `check` says
    /// why not.
    pub(crate) fn settle_if(
        &self,
        partial: Partial,
        bytes: u64,
        check: impl FnOnce(&SnapshotFile) -> Result<(), String>,
    ) -> Result<SnapshotFile, StorageError> {
        let whole = partial.file.set_len(bytes).and_then(|()| partial.file.sync_all());
        whole.map_err(|error| StorageError::io(&self.inner.dir, error))?;
        let file = SnapshotFile::verify(&partial.path)?;
        check(&file).map_err(StorageError::Unreadable)?;
        self.keep(partial, file)
    }

    fn keep(&self, mut partial: Partial, file: SnapshotFile) -> Result<SnapshotFile, StorageError> {
        let io = |error| StorageError::io(&self.inner.dir, error);
        let _settling = self.inner.settling.lock();
        let path = self.inner.dir.join(format!("{:020}-{:020}.{EXTENSION}", file.position(), self.number()));
        fs::rename(&partial.path, &path).map_err(io)?;
        partial.settled = true;
        File::open(&self.inner.dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        let file = self.hold(file.renamed(&path));
        self.inner.arrivals.drop_up_to(&self.inner.dir, file.position())?;
        let mut paths = self.paths()?;
        // A snapshot that was begun long ago is no newer than one that a peer sent meanwhile.
        if paths.last() == Some(&path) {
            *self.inner.latest.lock() = Some(file.clone());
        }
        while paths.len() > KEPT {
            let oldest = paths.remove(0);
            // Its caller is about to open it.
            if oldest != path {
                self.retire(&oldest).map_err(|error| StorageError::io(&oldest, error))?;
            }
        }
        Ok(file)
    }

    /// Whoever else holds this file holds it together with this one.
    fn hold(&self, file: SnapshotFile) -> SnapshotFile {
        let mut held = self.inner.held.lock();
        held.retain(|_, held| held.strong_count() > 0);
        match held.get(file.path()).and_then(Weak::upgrade) {
            Some(known) => file.held_by(known),
            None => {
                held.insert(file.path().to_owned(), Arc::downgrade(file.held()));
                file
            }
        }
    }

    /// Removes a snapshot's file, or keeps it for the next one. Under the lock by which files settle, so that nobody begins
    /// to verify it. The new name is not synced: should the old one come back after a loss of power, with other content, its
    /// checksum tells, and there are newer ones.
    fn retire(&self, path: &Path) -> io::Result<()> {
        let is_held = self.inner.held.lock().get(path).is_some_and(|held| held.strong_count() > 0);
        let mut spare = self.inner.spare.lock();
        if is_held || spare.is_some() {
            return fs::remove_file(path);
        }
        let aside = self.partial_path();
        fs::rename(path, &aside)?;
        *spare = Some(aside);
        Ok(())
    }

    /// Oldest first.
    fn paths(&self) -> Result<Vec<PathBuf>, StorageError> {
        let io = |error| StorageError::io(&self.inner.dir, error);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.inner.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) && parse(&path).is_some() {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        Ok(paths)
    }
}

/// Position and number.
fn parse(path: &Path) -> Option<(u64, u64)> {
    let (position, number) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((position.parse().ok()?, number.parse().ok()?))
}

/// A file that is removed unless it was settled.
pub(crate) struct Partial {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) settled: bool,
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

/// Checksums what goes through, and syncs it piece by piece.
struct Checked {
    out: BufWriter<Partial>,
    check: crc32fast::Hasher,
    bytes: u64,
    /// So many of them are on disk.
    synced: u64,
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.check.update(&bytes[..written]);
        self.bytes += written as u64;
        if self.bytes - self.synced >= SYNC_EVERY_BYTES {
            self.out.flush()?;
            self.out.get_ref().file.sync_data()?;
            self.synced = self.bytes;
        }
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
        let bytes = checked.bytes + FOOTER_BYTES;
        let partial = checked.out.into_inner().map_err(|error| io(error.into_error()))?;
        self.store.settle_if(partial, bytes, |_| Ok(()))
    }
}
