//! The body in chunks, and the checksum over what goes through.

use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256};

use super::key::FileKey;
use super::{BackupError, CHUNK_BYTES, LAST_CHUNK, TAG_BYTES};

/// Counts and hashes what goes through.
pub(crate) struct Hashed<T> {
    pub(crate) inner: T,
    pub(crate) bytes: u64,
    pub(crate) digest: Context,
}

impl<T> Hashed<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, bytes: 0, digest: Context::new(&SHA256) }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Cuts what is written into chunks.
pub(crate) struct ChunkWriter<W: Write> {
    pub(crate) out: Hashed<W>,
    key: Option<FileKey>,
    chunk: Vec<u8>,
}

impl<W: Write> ChunkWriter<W> {
    pub(crate) fn new(out: Hashed<W>, key: Option<FileKey>) -> Self {
        Self { out, key, chunk: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) }
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        if let Some(key) = &mut self.key {
            key.seal(last, &mut self.chunk).map_err(BackupError::into_io)?;
        }
        // A chunk is a few bytes more than CHUNK_BYTES at most.
        let head = self.chunk.len() as u32 | if last { LAST_CHUNK } else { 0 };
        self.out.write_all(&head.to_le_bytes())?;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }

    /// Writes the last chunk.
    pub(crate) fn finish(mut self) -> io::Result<Hashed<W>> {
        self.put(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for ChunkWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for what follows it: only then it is known not to be the last.
        if self.chunk.len() == CHUNK_BYTES {
            self.put(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Puts the chunks together again.
pub(crate) struct ChunkReader<R: Read> {
    pub(crate) input: Hashed<R>,
    key: Option<FileKey>,
    chunk: Vec<u8>,
    /// So many bytes of the chunk have been read.
    taken: usize,
    last: bool,
}

impl<R: Read> ChunkReader<R> {
    pub(crate) fn new(input: Hashed<R>, key: Option<FileKey>) -> Self {
        Self { input, key, chunk: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES), taken: 0, last: false }
    }

    /// Whether everything was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.last && self.taken == self.chunk.len()
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let mut head = [0; 4];
        self.input.read_exact(&mut head)?;
        let head = u32::from_le_bytes(head);
        let (last, bytes) = (head & LAST_CHUNK != 0, (head & !LAST_CHUNK) as usize);
        let bytes_max = CHUNK_BYTES + if self.key.is_some() { TAG_BYTES } else { 0 };
        if bytes > bytes_max || !last && bytes != bytes_max {
            return Err(BackupError::damaged("a chunk has no such length").into_io());
        }
        self.chunk.resize(bytes, 0);
        self.input.read_exact(&mut self.chunk)?;
        if let Some(key) = &mut self.key {
            key.open(last, &mut self.chunk).map_err(BackupError::into_io)?;
        }
        (self.taken, self.last) = (0, last);
        Ok(())
    }
}

impl<R: Read> Read for ChunkReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() {
            if self.last || buffer.is_empty() {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let count = buffer.len().min(self.chunk.len() - self.taken);
        buffer[..count].copy_from_slice(&self.chunk[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
