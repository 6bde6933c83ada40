//! Why a backup is refused. Each message goes on a line that has named the file.

use std::io;

use super::{MANIFEST_VERSION, VERSION};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// No byte.
    #[error("it is empty")]
    Empty,
    /// Something else.
    #[error("it is no backup of this program")]
    NotABackup,
    /// Of a later release.
    #[error("its container has version {found}, this binary reads up to {VERSION}: use the newer binary")]
    Newer {
        /// The container's version.
        found: u32,
    },
    /// Of a release that says other things in the manifest.
    #[error("its manifest has version {found:?}, this binary reads {MANIFEST_VERSION:?}: use the binary that wrote it")]
    OtherManifest {
        /// The manifest's version.
        found: String,
    },
    /// It breaks off.
    #[error("it is truncated: it ends before its end")]
    Truncated,
    /// Bytes were changed.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// More than anybody would write.
    #[error("it expands beyond {bytes_max} bytes, more than a backup may have")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
    /// It is encrypted.
    #[error(
        "it is encrypted, and no key is given: --backup-encryption-key (WEBSOCKET_BACKUP_ENCRYPTION_KEY, \
         WEBSOCKET_BACKUP_ENCRYPTION_KEY_FILE)"
    )]
    NoKey,
    /// With another key.
    #[error("--backup-encryption-key (WEBSOCKET_BACKUP_ENCRYPTION_KEY) is not the key that it was encrypted with")]
    WrongKey,
    /// The system refused to read or write it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl BackupError {
    /// As readers and writers hand it on.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            other => io::Error::other(other),
        }
    }

    /// What was handed on by a reader.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            Err(error) => Self::Io(error),
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}
