//! The manifest: what anybody may know of a backup without reading it. The container's part, and what the floors above say.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::key::{KEY_CHECK_BYTES, SALT_BYTES};
use super::{BackupError, BackupKey, hex};

/// Of what is said in it.
pub const MANIFEST_VERSION: &str = "1.0";
const ALGORITHM: &str = "AES-256-GCM";

/// See the module. Not to be trusted before the whole file was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of what is said in it.
    pub version: String,
    /// How the body is written.
    pub compression: Compression,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
    /// What the floors above say.
    #[serde(flatten)]
    pub about: Map<String, Value>,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    None,
    /// One zstd frame.
    Zstd,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    algorithm: String,
    /// Hexadecimal digits.
    salt: String,
    /// Hexadecimal digits.
    key_check: String,
}

impl Encryption {
    pub(crate) fn new(salt: &[u8; SALT_BYTES], key: &BackupKey) -> Result<Self, BackupError> {
        Ok(Self { algorithm: ALGORITHM.to_owned(), salt: hex(salt), key_check: hex(&key.check(salt)?) })
    }

    /// The salt, if the key is the right one.
    pub(crate) fn salt_for(&self, key: Option<&BackupKey>) -> Result<[u8; SALT_BYTES], BackupError> {
        if self.algorithm != ALGORITHM {
            return Err(BackupError::damaged(format!("it is encrypted with {:?}, which is unknown", self.algorithm)));
        }
        let salt = unhex::<SALT_BYTES>(&self.salt)?;
        let check = unhex::<KEY_CHECK_BYTES>(&self.key_check)?;
        // It is public: nothing is learnt from how long the comparison takes.
        if key.ok_or(BackupError::NoKey)?.check(&salt)? == check { Ok(salt) } else { Err(BackupError::WrongKey) }
    }
}

impl Manifest {
    /// Whether the body is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BackupError> {
        let damaged = |error: serde_json::Error| BackupError::damaged(format!("its manifest: {error}"));
        let value: Value = serde_json::from_slice(bytes).map_err(damaged)?;
        match value.get("version").and_then(Value::as_str) {
            Some(MANIFEST_VERSION) => serde_json::from_value(value).map_err(damaged),
            Some(found) => Err(BackupError::OtherManifest { found: found.chars().take(40).collect() }),
            None => Err(BackupError::damaged("its manifest has no version")),
        }
    }
}

fn unhex<const N: usize>(text: &str) -> Result<[u8; N], BackupError> {
    let damaged = || BackupError::damaged("its manifest: what it says of the encryption");
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return Err(damaged());
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2).ok_or_else(damaged)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| damaged())?;
    }
    Ok(bytes)
}
