//! The keys in force: those of the configuration and those fetched from the issuer, each replaced on its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::jwk::{JWKS_BYTES_MAX, JwksError, Secrets, Skipped, keys_from_jwks};
use super::keys::{Key, KeyError, KeySet};
use super::pem_keys::{PEM_BYTES_MAX, PemKeysError, keys_from_pem};

/// The keys in force. A failed replacement leaves them as they were.
#[derive(Debug, Default)]
pub struct Keyring {
    parts: Mutex<Parts>,
    /// What both parts come to.
    current: RwLock<Arc<KeySet>>,
}

#[derive(Debug, Default)]
struct Parts {
    configured: KeySet,
    fetched: KeySet,
}

impl Keyring {
    /// A ring of the configuration's keys.
    ///
    /// # Errors
    /// [`KeyError::TooMany`].
    pub fn new(configured: KeySet) -> Result<Self, KeyError> {
        let ring = Self::default();
        ring.replace_configured(configured)?;
        Ok(ring)
    }

    /// The keys now.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read())
    }

    /// Replaces the configuration's keys (a reload).
    ///
    /// # Errors
    /// [`KeyError::TooMany`]; nothing is replaced then.
    pub fn replace_configured(&self, configured: KeySet) -> Result<(), KeyError> {
        let mut parts = self.parts.lock();
        let merged = configured.merged(&parts.fetched)?;
        parts.configured = configured;
        *self.current.write() = Arc::new(merged);
        Ok(())
    }

    /// Replaces the fetched keys.
    ///
    /// # Errors
    /// [`KeyError::TooMany`]; nothing is replaced then.
    pub fn replace_fetched(&self, fetched: KeySet) -> Result<(), KeyError> {
        let mut parts = self.parts.lock();
        let merged = parts.configured.merged(&fetched)?;
        parts.fetched = fetched;
        *self.current.write() = Arc::new(merged);
        Ok(())
    }
}

/// Where the configuration's keys are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFiles {
    /// PEM files of public keys.
    pub pem: Vec<PathBuf>,
    /// JWK Sets; shared secrets in them are taken.
    pub jwks: Vec<PathBuf>,
}

/// What was read.
#[derive(Debug)]
pub struct KeysRead {
    /// The keys.
    pub keys: KeySet,
    /// Entries of JWK Sets that were passed over.
    pub skipped: Vec<(PathBuf, Skipped)>,
}

/// Why a file gives no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not readable.
    #[error("{} cannot be read ({error})", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Not a file of keys.
    #[error("{}: {error}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: PemKeysError,
    },
    /// Not a JWK Set.
    #[error("{}: {error}", path.display())]
    Jwks {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: JwksError,
    },
    /// Too many keys in all.
    #[error(transparent)]
    Set(#[from] KeyError),
}

impl KeyFiles {
    /// Reads the files, beside `secret` (HS256) if there is one. It blocks: at the start and at a reload only.
    ///
    /// # Errors
    /// [`KeyFileError`] for the first file that is wrong: the caller keeps the keys it has.
    pub fn read(&self, secret: Option<&[u8]>) -> Result<KeysRead, KeyFileError> {
        let mut keys = KeySet::new(secret.map(Key::hs256).transpose()?)?;
        let mut skipped = Vec::new();
        for path in &self.pem {
            let text = read_bounded(path, PEM_BYTES_MAX)?;
            let read = keys_from_pem(&text).map_err(|error| KeyFileError::Pem { path: path.clone(), error })?;
            keys = keys.merged(&read)?;
        }
        for path in &self.jwks {
            let json = read_bounded(path, JWKS_BYTES_MAX)?;
            let read = keys_from_jwks(&json, Secrets::Taken)
                .map_err(|error| KeyFileError::Jwks { path: path.clone(), error })?;
            keys = keys.merged(&read.keys)?;
            skipped.extend(read.skipped.into_iter().map(|entry| (path.clone(), entry)));
        }
        Ok(KeysRead { keys, skipped })
    }
}

/// One byte more than the bound, so that the parser sees that it is too long.
fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, KeyFileError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| KeyFileError::Read { path: path.to_owned(), error })
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
