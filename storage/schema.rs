//! Column families, keys and record versions.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StorageError;

/// The format of everything in the data directory.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// The only Raft group there is; in every log key, so that the log can be split later.
pub(crate) const GROUP: u32 = 0;
const RECORD_VERSION: u8 = 1;

pub(crate) const CF_LOG: &str = "log";
pub(crate) const CF_META: &str = "meta";

pub(crate) const KEY_FORMAT: &[u8] = b"format";
/// Of group 0, as the keys say.
pub(crate) const KEY_VOTE: &[u8] = b"raft/0/vote";
pub(crate) const KEY_COMMITTED: &[u8] = b"raft/0/committed";
/// index u64 BE │ the encoded log id: whoever knows no type of openraft's reads the index.
pub(crate) const KEY_PURGED: &[u8] = b"raft/0/purged";

/// There while the directory is being filled from a backup.
pub(crate) const KEY_RESTORING: &[u8] = b"restoring";

/// Metadata of the floors above lives under its own prefix.
pub(crate) fn meta_key(key: &str) -> Vec<u8> {
    [b"node/", key.as_bytes()].concat()
}

/// Big-endian, so that keys sort as numbers.
pub(crate) fn log_key(index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&GROUP.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(crate) fn log_index(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(4..12)?.try_into().ok()?))
}

/// version u8 │ MessagePack
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, std::io::Error> {
    let mut bytes = vec![RECORD_VERSION];
    rmp_serde::encode::write(&mut bytes, value).map_err(std::io::Error::other)?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(index: u64, bytes: &[u8]) -> Result<T, StorageError> {
    let refused = |reason: String| StorageError::Record { index, reason };
    match bytes.split_first() {
        Some((&RECORD_VERSION, body)) => rmp_serde::from_slice(body).map_err(|error| refused(error.to_string())),
        Some((version, _)) => Err(refused(format!("it has version {version}, this binary reads {RECORD_VERSION}"))),
        None => Err(refused("it is empty".to_owned())),
    }
}
