//! Where backups are kept: the narrow door that every kind of place has.
//!
//! Everything here may block: it is called from threads that may.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use vedfolnir_cluster::archive::SegmentName;
use vedfolnir_cluster::backup::{BackupError, BackupId, Written};

use super::directory::Directory;
use super::s3::{Bucket, S3Error, Store};

/// A place, as it is configured.
#[derive(Clone, Debug)]
pub enum LocationSpec {
    /// A directory; of this node, or one that several share.
    Directory(PathBuf),
    /// A bucket of an object store.
    Bucket(Bucket),
}

impl LocationSpec {
    /// The place itself; nothing is asked of it yet.
    #[must_use]
    pub fn open(&self) -> Arc<dyn Location> {
        match self {
            Self::Directory(path) => Arc::new(Directory::new(path.clone())),
            Self::Bucket(bucket) => Arc::new(Store::new(bucket.clone())),
        }
    }
}

impl fmt::Display for LocationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Bucket(bucket) => write!(f, "{bucket}"),
        }
    }
}

/// What is kept in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub id: BackupId,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, once it was read back as a whole after it had been written.
    pub sha256: Option<String>,
}

/// A piece of the log that is kept in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSegment {
    /// Its name.
    pub name: SegmentName,
    /// Bytes.
    pub bytes: u64,
}

/// A place for backups, and for the log that leads from one to the next.
pub trait Location: Send + Sync {
    /// The place, for people.
    fn name(&self) -> String;

    /// Everything that is kept, the newest first; what else is there is not seen.
    ///
    /// # Errors
    /// [`LocationError`].
    fn list(&self) -> Result<Vec<Stored>, LocationError>;

    /// Reads one.
    ///
    /// # Errors
    /// [`LocationError`]; [`LocationError::Missing`] if there is none.
    fn open(&self, id: BackupId) -> Result<Box<dyn Read + Send>, LocationError>;

    /// Begins one under this name or, where that is taken, under a later one; nobody sees it before
    /// [`Pending::commit`].
    ///
    /// # Errors
    /// [`LocationError`].
    fn begin(&self, id: BackupId) -> Result<Box<dyn Pending>, LocationError>;

    /// Removes one; one that is gone is removed.
    ///
    /// # Errors
    /// [`LocationError`].
    fn delete(&self, id: BackupId) -> Result<(), LocationError>;

    /// Every piece of the log that is kept, by name.
    ///
    /// # Errors
    /// [`LocationError`].
    fn segments(&self) -> Result<Vec<StoredSegment>, LocationError>;

    /// Reads one.
    ///
    /// # Errors
    /// [`LocationError`]; [`LocationError::MissingSegment`] if there is none.
    fn open_segment(&self, name: &SegmentName) -> Result<Box<dyn Read + Send>, LocationError>;

    /// Keeps one: durable and whole, or not at all, and compared with what can be read back. One of the same name holds the
    /// same entries, and may be replaced.
    ///
    /// # Errors
    /// [`LocationError`].
    fn put_segment(&self, name: &SegmentName, bytes: &[u8]) -> Result<(), LocationError>;

    /// Removes one; one that is gone is removed.
    ///
    /// # Errors
    /// [`LocationError`].
    fn delete_segment(&self, name: &SegmentName) -> Result<(), LocationError>;

    /// Bytes that are free there, if that can be told.
    fn free_bytes(&self) -> Option<u64>;
}

/// A backup that is being written: dropped before it is committed, it leaves nothing.
pub trait Pending: Write + Send {
    /// Its name.
    fn id(&self) -> BackupId;

    /// Makes what was written durable and reads it back from where it is.
    ///
    /// # Errors
    /// [`LocationError`].
    fn reread(&mut self) -> Result<Box<dyn Read + Send>, LocationError>;

    /// Puts it in its place, with its checksum beside it.
    ///
    /// # Errors
    /// [`LocationError`].
    fn commit(self: Box<Self>, written: &Written) -> Result<(), LocationError>;
}

/// Why a place does not do what is asked of it.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// The system refuses.
    #[error("{error}: {name}")]
    Io {
        /// What the system said.
        error: io::Error,
        /// The place.
        name: String,
    },
    /// The object store does not do it.
    #[error("{error}: {name}")]
    Store {
        /// Why.
        error: S3Error,
        /// The place.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no backup {id} in {name}; `vedfolnir backup list` shows what is there")]
    Missing {
        /// The name.
        id: BackupId,
        /// The place.
        name: String,
    },
    /// There is no piece of the log of this name.
    #[error("{segment} is not in {name} any more: it was removed, or merged with others, meanwhile; try again")]
    MissingSegment {
        /// The piece.
        segment: SegmentName,
        /// The place.
        name: String,
    },
    /// What was read is no sound piece of the log.
    #[error("{segment}: {error}")]
    Segment {
        /// Its name.
        segment: SegmentName,
        /// What is wrong with it.
        error: BackupError,
    },
    /// What was read is no sound backup.
    #[error("{id}: {error}")]
    Backup {
        /// Its name.
        id: BackupId,
        /// What is wrong with it.
        error: BackupError,
    },
}

impl LocationError {
    pub(crate) fn io(error: io::Error, name: impl Into<String>) -> Self {
        Self::Io { error, name: name.into() }
    }
}
