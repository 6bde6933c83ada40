//! Backups in a directory: `ID.vfb`, and `ID.vfb.sha256` beside it, which `sha256sum -c` understands. And `NAME.vfl`, pieces
//! of the log.
//!
//! A file is written under another name and locked meanwhile, synced, read back, renamed, and the directory synced: a file
//! with a backup's name is whole. What a process that was killed has left is known by its lock being free.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use vedfolnir_cluster::archive::SegmentName;
use vedfolnir_cluster::backup::{BackupId, Written};

use super::location::{Location, LocationError, Pending, Stored, StoredSegment};

pub(super) const SUFFIX: &str = ".vfb";
const PARTIAL: &str = ".vfb.tmp";
pub(super) const CHECKSUM: &str = ".vfb.sha256";
pub(super) const SEGMENT: &str = ".vfl";
const SEGMENT_PARTIAL: &str = ".vfl.tmp";
/// A file is synced in pieces of so many bytes: the log's own syncs do not wait for a large one then.
const SYNC_EVERY_BYTES: u64 = 8 << 20;
const READ_BYTES: usize = 256 << 10;
/// A checksum file is a line.
pub(super) const CHECKSUM_BYTES_MAX: u64 = 256;

/// See the module.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn file(&self, id: BackupId, suffix: &str) -> PathBuf {
        // An id is letters, digits and underscores: it leads nowhere else.
        self.path.join(format!("{id}{suffix}"))
    }

    fn segment(&self, name: &SegmentName, suffix: &str) -> PathBuf {
        // A name is letters, digits and underscores as well.
        self.path.join(format!("{name}{suffix}"))
    }

    fn io(&self, error: io::Error) -> LocationError {
        LocationError::io(error, self.path.display().to_string())
    }

    fn create(&self) -> io::Result<()> {
        if !self.path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        }
        Ok(())
    }

    /// The checksum that was written beside a backup.
    fn checksum(&self, id: BackupId) -> Option<String> {
        let mut line = String::new();
        let file = File::open(self.file(id, CHECKSUM)).ok()?;
        file.take(CHECKSUM_BYTES_MAX).read_to_string(&mut line).ok()?;
        checksum_in(&line, id)
    }

    /// Removes what killed processes have left.
    fn remove_abandoned(&self) -> io::Result<()> {
        for item in fs::read_dir(&self.path)? {
            let item = item?;
            let name = item.file_name();
            let is_ours = name.to_str().is_some_and(|name| {
                name.strip_suffix(PARTIAL).is_some_and(|id| id.parse::<BackupId>().is_ok())
                    || name.strip_suffix(SEGMENT_PARTIAL).is_some_and(|name| name.parse::<SegmentName>().is_ok())
            });
            // One that ends just now is no reason to stop.
            if !is_ours || !item.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let path = item.path();
            // Whoever writes it holds its lock.
            if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                tracing::warn!(path = %path.display(), "an unfinished file of a process that is gone was removed");
                gone_is_fine(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    /// A file that nobody else writes, for a name that nobody has.
    fn reserve(&self, id: BackupId) -> io::Result<Option<File>> {
        let partial = self.file(id, PARTIAL);
        let file = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&partial) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error),
        };
        file.lock()?;
        // Between its creation and its lock somebody may have held it for abandoned.
        let is_ours =
            fs::metadata(&partial).is_ok_and(|there| Some(there.ino()) == file.metadata().ok().map(|own| own.ino()));
        if !is_ours {
            return Ok(None);
        }
        if self.file(id, SUFFIX).exists() {
            fs::remove_file(&partial)?;
            return Ok(None);
        }
        Ok(Some(file))
    }
}

impl Location for Directory {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&self) -> Result<Vec<Stored>, LocationError> {
        let mut stored = Vec::new();
        let items = match fs::read_dir(&self.path) {
            Ok(items) => items,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stored),
            Err(error) => return Err(self.io(error)),
        };
        for item in items {
            let item = item.map_err(|error| self.io(error))?;
            let name = item.file_name();
            let id =
                name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|id| id.parse::<BackupId>().ok());
            let Some(id) = id else { continue };
            // One that was removed meanwhile is none.
            let Ok(metadata) = item.metadata() else { continue };
            if metadata.is_file() {
                stored.push(Stored { id, bytes: metadata.len(), sha256: self.checksum(id) });
            }
        }
        stored.sort_by_key(|stored| std::cmp::Reverse(stored.id));
        Ok(stored)
    }

    fn open(&self, id: BackupId) -> Result<Box<dyn Read + Send>, LocationError> {
        let path = self.file(id, SUFFIX);
        match File::open(&path) {
            Ok(file) => Ok(Box::new(BufReader::with_capacity(READ_BYTES, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(LocationError::Missing { id, name: self.name() })
            }
            Err(error) => Err(LocationError::io(error, path.display().to_string())),
        }
    }

    fn begin(&self, mut id: BackupId) -> Result<Box<dyn Pending>, LocationError> {
        self.create().and_then(|()| self.remove_abandoned()).map_err(|error| self.io(error))?;
        loop {
            if let Some(file) = self.reserve(id).map_err(|error| self.io(error))? {
                let directory = Self::new(self.path.clone());
                return Ok(Box::new(Partial { directory, id, file, bytes: 0, synced: 0, committed: false }));
            }
            id = id.next();
        }
    }

    fn delete(&self, id: BackupId) -> Result<(), LocationError> {
        // The checksum last: what has none was not verified, and is no reason to remove others.
        for path in [self.file(id, SUFFIX), self.file(id, CHECKSUM)] {
            let gone = gone_is_fine(fs::remove_file(&path));
            gone.map_err(|error| LocationError::io(error, path.display().to_string()))?;
        }
        Ok(())
    }

    fn segments(&self) -> Result<Vec<StoredSegment>, LocationError> {
        let mut stored = Vec::new();
        let items = match fs::read_dir(&self.path) {
            Ok(items) => items,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stored),
            Err(error) => return Err(self.io(error)),
        };
        for item in items {
            let item = item.map_err(|error| self.io(error))?;
            let name = item.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SEGMENT)).and_then(|name| name.parse().ok());
            let Some(name) = name else { continue };
            // One that was removed meanwhile is none.
            let Ok(metadata) = item.metadata() else { continue };
            if metadata.is_file() {
                stored.push(StoredSegment { name, bytes: metadata.len() });
            }
        }
        stored.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(stored)
    }

    fn open_segment(&self, name: &SegmentName) -> Result<Box<dyn Read + Send>, LocationError> {
        let path = self.segment(name, SEGMENT);
        match File::open(&path) {
            Ok(file) => Ok(Box::new(BufReader::with_capacity(READ_BYTES, file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(LocationError::MissingSegment { segment: name.clone(), name: self.name() })
            }
            Err(error) => Err(LocationError::io(error, path.display().to_string())),
        }
    }

    fn put_segment(&self, name: &SegmentName, bytes: &[u8]) -> Result<(), LocationError> {
        self.create().and_then(|()| self.remove_abandoned()).map_err(|error| self.io(error))?;
        let partial = self.segment(name, SEGMENT_PARTIAL);
        // Whoever else writes one of this name writes the same entries: it is left to it.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&partial);
        let put = file.and_then(|file| put_whole(file, &partial, &self.segment(name, SEGMENT), bytes));
        put.and_then(|()| sync_directory(&self.path)).map_err(|error| self.io(error))
    }

    fn delete_segment(&self, name: &SegmentName) -> Result<(), LocationError> {
        let path = self.segment(name, SEGMENT);
        gone_is_fine(fs::remove_file(&path)).map_err(|error| LocationError::io(error, path.display().to_string()))
    }

    fn free_bytes(&self) -> Option<u64> {
        let room = rustix::fs::statvfs(&self.path).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }
}

/// What `sha256sum` writes for a backup's file.
pub(super) fn checksum_line(id: BackupId, sha256: &str) -> String {
    format!("{sha256}  {id}{SUFFIX}\n")
}

/// The checksum in such a line, if it is one of this backup's.
pub(super) fn checksum_in(line: &str, id: BackupId) -> Option<String> {
    let (sha256, name) = line.trim_end().split_once("  ")?;
    let is_sound = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_sound && name == format!("{id}{SUFFIX}")).then(|| sha256.to_owned())
}

/// A file on its way.
struct Partial {
    directory: Directory,
    id: BackupId,
    file: File,
    bytes: u64,
    /// So many of them are on disk.
    synced: u64,
    committed: bool,
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        if self.bytes - self.synced >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.synced = self.bytes;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Pending for Partial {
    fn id(&self) -> BackupId {
        self.id
    }

    fn reread(&mut self) -> Result<Box<dyn Read + Send>, LocationError> {
        let path = self.directory.file(self.id, PARTIAL);
        let file = self.file.sync_all().and_then(|()| File::open(&path)).map_err(|error| self.directory.io(error))?;
        Ok(Box::new(BufReader::with_capacity(READ_BYTES, file)))
    }

    fn commit(mut self: Box<Self>, written: &Written) -> Result<(), LocationError> {
        let directory = Directory::new(self.directory.path.clone());
        let io = |error| directory.io(error);
        self.file.sync_all().map_err(io)?;
        fs::rename(directory.file(self.id, PARTIAL), directory.file(self.id, SUFFIX)).map_err(io)?;
        self.committed = true;
        sync_directory(&directory.path).map_err(io)?;
        let line = checksum_line(self.id, &written.sha256);
        write_whole(&directory.file(self.id, CHECKSUM), line.as_bytes()).map_err(io)?;
        sync_directory(&directory.path).map_err(io)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let path = self.directory.file(self.id, PARTIAL);
        if !self.committed
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "an unfinished backup could not be removed");
        }
    }
}

/// Writes a file aside, which is gone if that fails, reads it back and puts it in its place.
fn put_whole(mut file: File, aside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut put = || {
        file.lock()?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let mut read = Vec::with_capacity(bytes.len());
        File::open(aside)?.read_to_end(&mut read)?;
        if read != bytes {
            return Err(io::Error::other("what was read back is not what was written"));
        }
        fs::rename(aside, path)
    };
    put().inspect_err(|_| {
        if let Err(error) = gone_is_fine(fs::remove_file(aside)) {
            tracing::warn!(path = %aside.display(), %error, "an unfinished piece of the log could not be removed");
        }
    })
}

fn gone_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("sha256.tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(aside, path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
