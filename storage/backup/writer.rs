//! Writes a backup to whatever takes bytes.

use std::io::{self, Write};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};

use super::chunks::{ChunkWriter, Hashed};
use super::key::SALT_BYTES;
use super::manifest::Encryption;
use super::{
    BackupError, BackupKey, Compression, HEAD_BYTES, MAGIC, MANIFEST_BYTES_MAX, MANIFEST_VERSION, Manifest, VERSION,
    hex,
};

/// How a backup is written.
#[derive(Clone, Debug, Default)]
pub struct Packing {
    /// zstd's level, 1 to 19; `None`: not compressed.
    pub compression_level: Option<i32>,
    /// What it is encrypted with; `None`: it is not.
    pub key: Option<BackupKey>,
}

/// A backup that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of all of them, as `sha256sum` prints it.
    pub sha256: String,
}

/// A backup that is being written; the body is what is written to it.
pub struct BackupWriter<W: Write> {
    body: Body<W>,
}

enum Body<W: Write> {
    Plain(ChunkWriter<W>),
    Zstd(zstd::Encoder<'static, ChunkWriter<W>>),
}

impl<W: Write> BackupWriter<W> {
    /// Begins one, with what the floors above say of it.
    ///
    /// # Errors
    /// [`BackupError`]: it cannot be written, or they say too much.
    pub fn create(out: W, about: Map<String, Value>, packing: &Packing) -> Result<Self, BackupError> {
        let mut salt = [0; SALT_BYTES];
        let encryption = match &packing.key {
            Some(key) => {
                let drawn = SystemRandom::new().fill(&mut salt);
                drawn.map_err(|_| io::Error::other("the system has no random numbers"))?;
                Some(Encryption::new(&salt, key)?)
            }
            None => None,
        };
        let compression = if packing.compression_level.is_some() { Compression::Zstd } else { Compression::None };
        let manifest = Manifest { version: MANIFEST_VERSION.to_owned(), compression, encryption, about };
        let manifest = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
        let manifest_bytes = u32::try_from(manifest.len())
            .ok()
            .filter(|bytes| *bytes <= MANIFEST_BYTES_MAX)
            .ok_or(BackupError::TooLarge { bytes_max: u64::from(MANIFEST_BYTES_MAX) })?;
        let mut head = Vec::with_capacity(HEAD_BYTES + manifest.len());
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&manifest_bytes.to_le_bytes());
        head.extend_from_slice(&manifest);
        let key = packing.key.as_ref().map(|key| key.of_file(&salt, &head)).transpose()?;
        let mut out = Hashed::new(out);
        out.write_all(&head)?;
        let chunks = ChunkWriter::new(out, key);
        let body = match packing.compression_level {
            Some(level) => Body::Zstd(zstd::Encoder::new(chunks, level)?),
            None => Body::Plain(chunks),
        };
        Ok(Self { body })
    }

    /// Completes it; returns what took the bytes, so that it can be synced.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn finish(self) -> Result<(W, Written), BackupError> {
        let chunks = match self.body {
            Body::Plain(chunks) => chunks,
            Body::Zstd(encoder) => encoder.finish()?,
        };
        let mut out = chunks.finish()?;
        let (bytes, digest) = (out.bytes, out.digest.clone().finish());
        out.write_all(&bytes.to_le_bytes())?;
        out.write_all(digest.as_ref())?;
        out.flush()?;
        let written = Written { bytes: out.bytes, sha256: hex(out.digest.finish().as_ref()) };
        Ok((out.inner, written))
    }
}

impl<W: Write> Write for BackupWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Plain(chunks) => chunks.write(bytes),
            Body::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.body {
            Body::Plain(chunks) => chunks.flush(),
            Body::Zstd(encoder) => encoder.flush(),
        }
    }
}
