//! Backup files: a manifest that anybody can read, a body that is compressed and may be encrypted, a checksum over all.
//!
//! ```text
//!   "VDFB" │ version u32 │ manifest length u32 │ manifest, JSON
//!          │ chunk: length u32, its highest bit says that it is the last │ up to 64 KiB, and a tag when encrypted
//!          │ …
//!          │ length of all before u64 │ SHA-256 of all before the length
//! ```
//! Integers are little-endian. The chunks' content is the body: one zstd frame, or plain. Encrypted, each chunk is sealed
//! with AES-256-GCM under a key of this file alone (HKDF of the operator's key and a random salt); its nonce is its number
//! and whether it is the last (the STREAM construction), its associated data the head with the manifest: chunks cannot be
//! exchanged, left out, cut off or put behind another manifest.
//!
//! Written and read as a stream, in bounded memory. What was read is to be trusted once [`BackupReader::finish`] says so.
//! The container knows nothing of what is in it.

mod chunks;
mod error;
mod id;
mod key;
mod manifest;
mod reader;
mod verify;
mod writer;

pub use error::BackupError;
pub use id::{BackupId, BackupIdError};
pub use key::{BACKUP_KEY_BYTES_MIN, BackupKey, BackupKeyError};
pub use manifest::{Compression, MANIFEST_VERSION, Manifest};
pub use reader::{BackupReader, Verified, read_manifest};
pub use verify::verify;
pub use writer::{BackupWriter, Packing, Written};

pub(crate) const MAGIC: [u8; 4] = *b"VDFB";
/// Of the container; what is in the manifest has a version of its own.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEAD_BYTES: usize = 12;
pub(crate) const MANIFEST_BYTES_MAX: u32 = 64 << 10;
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
pub(crate) const TAG_BYTES: usize = 16;
pub(crate) const LAST_CHUNK: u32 = 1 << 31;
pub(crate) const FOOTER_BYTES: usize = 40;

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
