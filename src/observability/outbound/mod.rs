//! Requests that the node makes by itself, with what it tells: one client, waits after failures, `Retry-After`, compression.

mod backoff;
mod client;
mod retry_after;

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

pub(crate) use backoff::Backoff;
pub(crate) use client::{Answer, Client, ClientSettings};
pub(crate) use retry_after::retry_after;

/// A body compressed, fast rather than small.
///
/// # Errors
/// None, in memory.
pub(crate) fn gzip(plain: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish().map(Bytes::from)
}
