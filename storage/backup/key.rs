//! The operator's key, and the key of one file that comes of it.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;

use super::{BackupError, TAG_BYTES};

/// The key has at least as many bytes: one that a program drew, not a word that somebody thought of.
pub const BACKUP_KEY_BYTES_MIN: usize = 32;
pub(crate) const SALT_BYTES: usize = 32;
/// Of the value by which a wrong key is told from a damaged file.
pub(crate) const KEY_CHECK_BYTES: usize = 16;

/// What backups are encrypted with.
#[derive(Clone)]
pub struct BackupKey(Box<[u8]>);

/// A key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it has {0} bytes, too few for a key; accepted: at least {BACKUP_KEY_BYTES_MIN}, as `openssl rand -base64 32` prints them"
)]
pub struct BackupKeyError(usize);

impl BackupKey {
    /// A key as it is given.
    ///
    /// # Errors
    /// [`BackupKeyError`]: it is too short.
    pub fn new(text: &str) -> Result<Self, BackupKeyError> {
        if text.len() < BACKUP_KEY_BYTES_MIN {
            return Err(BackupKeyError(text.len()));
        }
        Ok(Self(text.as_bytes().into()))
    }

    fn derive<const N: usize>(&self, salt: &[u8], purpose: &[u8]) -> Result<[u8; N], BackupError> {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let mut derived = [0; N];
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&self.0);
        let filled = prk.expand(&[purpose], Length(N)).and_then(|okm| okm.fill(&mut derived));
        filled.map_err(|_| BackupError::damaged("no key can be made for it"))?;
        Ok(derived)
    }

    /// Tells this key from others, and nothing more about it.
    pub(crate) fn check(&self, salt: &[u8]) -> Result<[u8; KEY_CHECK_BYTES], BackupError> {
        self.derive(salt, b"vedfolnir backup 1 key check")
    }

    /// The key of the file with this salt and this head.
    pub(crate) fn of_file(&self, salt: &[u8], head: &[u8]) -> Result<FileKey, BackupError> {
        let key: [u8; 32] = self.derive(salt, b"vedfolnir backup 1 file")?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| BackupError::damaged("no key can be made for it"))?;
        Ok(FileKey { key: LessSafeKey::new(key), head: head.into(), chunk: 0 })
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupKey")
    }
}

/// Seals or opens the chunks of one file in their order.
///
/// Invariant: the key is this file's alone and `chunk` only grows, so no nonce is used twice.
pub(crate) struct FileKey {
    key: LessSafeKey,
    head: Box<[u8]>,
    chunk: u32,
}

impl FileKey {
    fn nonce(&mut self, last: bool) -> Result<Nonce, BackupError> {
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&self.chunk.to_be_bytes());
        nonce[11] = u8::from(last);
        self.chunk = self.chunk.checked_add(1).ok_or_else(|| BackupError::damaged("it has too many chunks"))?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Encrypts a chunk in place and appends its tag.
    pub(crate) fn seal(&mut self, last: bool, chunk: &mut Vec<u8>) -> Result<(), BackupError> {
        let nonce = self.nonce(last)?;
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(&self.head), chunk)
            .map_err(|_| BackupError::damaged("it cannot be encrypted"))
    }

    /// Decrypts a chunk in place and takes its tag off.
    pub(crate) fn open(&mut self, last: bool, chunk: &mut Vec<u8>) -> Result<(), BackupError> {
        let nonce = self.nonce(last)?;
        let bytes = chunk.len().checked_sub(TAG_BYTES).ok_or_else(|| BackupError::damaged("a chunk has no tag"))?;
        self.key
            .open_in_place(nonce, Aad::from(&self.head), chunk)
            .map_err(|_| BackupError::damaged("what is encrypted, or the manifest before it, was changed"))?;
        chunk.truncate(bytes);
        Ok(())
    }
}
