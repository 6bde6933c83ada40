//! Doors for the package fuzz: readers that nothing else outside has business with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StorageError;
use crate::marker;
use crate::schema;
use crate::snapshot_file::FOOTER_BYTES;
use crate::snapshot_store::SnapshotStore;

/// Reads a record and writes it again; `None`: it is refused.
#[must_use]
pub fn record_again<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<Vec<u8>> {
    let value: T = schema::decode(0, bytes).ok()?;
    schema::encode(&value).ok()
}

/// The index in a log's key, and the key of that index.
#[must_use]
pub fn log_key_again(key: &[u8]) -> Option<[u8; 12]> {
    schema::log_index(key).map(schema::log_key)
}

/// Reads a durable marker and writes it again; `None`: it says nothing.
#[must_use]
pub fn marker_again(bytes: &[u8; marker::BYTES]) -> Option<[u8; marker::BYTES]> {
    marker::decode(bytes).map(marker::encode)
}

/// Snapshots in a directory of their own.
///
/// # Errors
/// [`StorageError`].
pub fn snapshots(dir: PathBuf, file_bytes_max: u64) -> Result<SnapshotStore, StorageError> {
    SnapshotStore::open(dir, Arc::new(AtomicU64::new(0)), file_bytes_max)
}

/// A file with the footer that its content asks for: no input finds a checksum by itself.
#[must_use]
pub fn with_footer(content: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(content.len() + FOOTER_BYTES as usize);
    file.extend_from_slice(content);
    file.extend_from_slice(&(content.len() as u64).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    file
}
