//! Reads a backup from whatever gives bytes, in bounded memory, and says in the end whether it was sound.

use std::io::{self, BufReader, Read};

use super::chunks::{ChunkReader, Hashed};
use super::key::FileKey;
use super::{
    BackupError, BackupKey, CHUNK_BYTES, Compression, FOOTER_BYTES, HEAD_BYTES, MAGIC, MANIFEST_BYTES_MAX, Manifest,
    VERSION, hex,
};

/// The largest window that zstd uses up to level 19 has 2 to the 23 bytes; what asks for more was written by nobody here.
const WINDOW_LOG_MAX: u32 = 24;

/// A backup that is being read: what is read from it is the body.
pub struct BackupReader<R: Read> {
    manifest: Manifest,
    body: Body<R>,
    /// Of the body, so far.
    expanded_bytes: u64,
    expanded_bytes_max: u64,
    /// A reader that was told of an error may not have kept it.
    failure: Option<BackupError>,
}

enum Body<R: Read> {
    Plain(ChunkReader<R>),
    Zstd(zstd::Decoder<'static, BufReader<ChunkReader<R>>>),
}

/// A backup that was read to its end and is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of all of them, as `sha256sum` prints it.
    pub sha256: String,
    /// Bytes of the body.
    pub expanded_bytes: u64,
    /// So many of them were left when [`BackupReader::finish`] was called.
    pub left: u64,
}

/// The manifest alone; nothing of it is verified.
///
/// # Errors
/// [`BackupError`].
pub fn read_manifest(input: impl Read) -> Result<Manifest, BackupError> {
    read_head(&mut Hashed::new(input)).map(|(_, manifest)| manifest)
}

/// Everything before the first chunk, and what it says.
fn read_head<R: Read>(input: &mut Hashed<R>) -> Result<(Vec<u8>, Manifest), BackupError> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match input.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Err(BackupError::Empty),
            Ok(0) => return Err(BackupError::Truncated),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BackupError::from_io(error)),
        }
    }
    let (magic, rest) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(BackupError::NotABackup);
    }
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(u32::MAX, |four| u32::from_le_bytes(*four));
    let (version, manifest_bytes) = (number(rest), number(&rest[4..]));
    if version != VERSION {
        return Err(if version > VERSION { BackupError::Newer { found: version } } else { BackupError::NotABackup });
    }
    if manifest_bytes > MANIFEST_BYTES_MAX {
        return Err(BackupError::damaged("its manifest has no such length"));
    }
    head.resize(HEAD_BYTES + manifest_bytes as usize, 0);
    input.read_exact(&mut head[HEAD_BYTES..]).map_err(BackupError::from_io)?;
    let manifest = Manifest::parse(&head[HEAD_BYTES..])?;
    Ok((head, manifest))
}

impl<R: Read> BackupReader<R> {
    /// Reads the manifest. The body may have `expanded_bytes_max` bytes at most.
    ///
    /// # Errors
    /// [`BackupError`]: no backup, of a newer release, or encrypted with another key than this.
    pub fn open(input: R, key: Option<&BackupKey>, expanded_bytes_max: u64) -> Result<Self, BackupError> {
        let mut input = Hashed::new(input);
        let (head, manifest) = read_head(&mut input)?;
        let file_key: Option<FileKey> = match &manifest.encryption {
            Some(encryption) => {
                let salt = encryption.salt_for(key)?;
                key.map(|key| key.of_file(&salt, &head)).transpose()?
            }
            None => None,
        };
        let chunks = ChunkReader::new(input, file_key);
        let body = match manifest.compression {
            Compression::None => Body::Plain(chunks),
            Compression::Zstd => {
                let mut decoder =
                    zstd::Decoder::with_buffer(BufReader::with_capacity(CHUNK_BYTES, chunks))?.single_frame();
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Body::Zstd(decoder)
            }
        };
        Ok(Self { manifest, body, expanded_bytes: 0, expanded_bytes_max, failure: None })
    }

    /// What the file says of itself; to be trusted only after [`BackupReader::finish`].
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads what is left and checks the file as a whole. The first error that a read has met stands.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn finish(mut self) -> Result<Verified, BackupError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let before = self.expanded_bytes;
        if let Err(error) = io::copy(&mut self, &mut io::sink()) {
            return Err(self.failure.take().unwrap_or(BackupError::Io(error)));
        }
        let (expanded_bytes, left) = (self.expanded_bytes, self.expanded_bytes - before);
        let mut chunks = match self.body {
            Body::Plain(chunks) => chunks,
            Body::Zstd(decoder) => {
                let buffered = decoder.finish();
                if !buffered.buffer().is_empty() {
                    return Err(BackupError::damaged("something follows its body"));
                }
                buffered.into_inner()
            }
        };
        // The last chunk of a compressed body may be an empty one that the decoder did not ask for.
        if !chunks.is_at_end() && chunks.read(&mut [0]).map_err(BackupError::from_io)? != 0 {
            return Err(BackupError::damaged("something follows its body"));
        }
        let Hashed { inner: mut input, bytes, digest: mut context } = chunks.input;
        let expected = context.clone().finish();
        let mut footer = [0; FOOTER_BYTES];
        input.read_exact(&mut footer).map_err(BackupError::from_io)?;
        let (length, digest) = footer.split_at(8);
        if length != bytes.to_le_bytes() || digest != expected.as_ref() {
            return Err(BackupError::damaged("its checksum does not match"));
        }
        if input.read(&mut [0]).map_err(BackupError::from_io)? != 0 {
            return Err(BackupError::damaged("something follows its end"));
        }
        context.update(&footer);
        let sha256 = hex(context.finish().as_ref());
        Ok(Verified { bytes: bytes + FOOTER_BYTES as u64, sha256, expanded_bytes, left })
    }

    fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, BackupError> {
        let read = match &mut self.body {
            Body::Plain(chunks) => chunks.read(buffer).map_err(BackupError::from_io)?,
            Body::Zstd(decoder) => decoder.read(buffer).map_err(of_zstd)?,
        };
        self.expanded_bytes += read as u64;
        if self.expanded_bytes > self.expanded_bytes_max {
            return Err(BackupError::TooLarge { bytes_max: self.expanded_bytes_max });
        }
        Ok(read)
    }
}

/// zstd's own words are no reason of the system's.
fn of_zstd(error: io::Error) -> BackupError {
    match BackupError::from_io(error) {
        BackupError::Io(error) if error.raw_os_error().is_none() => {
            BackupError::damaged(format!("its body does not decompress: {error}"))
        }
        other => other,
    }
}

impl<R: Read> Read for BackupReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_body(buffer).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failure.get_or_insert(error);
            told
        })
    }
}
