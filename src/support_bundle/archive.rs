//! A tar archive (POSIX.1-1988, ustar) of plain files, compressed with gzip: nothing else is asked of it.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

const BLOCK: usize = 512;
/// A name's field in a header.
const NAME_BYTES_MAX: usize = 100;

/// Takes one file after the other.
pub(super) struct Archive<W: Write> {
    out: GzEncoder<W>,
    modified_unix: u64,
}

impl<W: Write> Archive<W> {
    /// All files get this time, in seconds since 1970.
    pub(super) fn new(out: W, modified_unix: u64) -> Self {
        Self { out: GzEncoder::new(out, Compression::default()), modified_unix }
    }

    /// A file of mode 0600.
    ///
    /// # Errors
    /// What the writer said; a name beyond [`NAME_BYTES_MAX`].
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(&header(name, bytes.len(), self.modified_unix)?)?;
        self.out.write_all(bytes)?;
        self.out.write_all(&vec![0; bytes.len().next_multiple_of(BLOCK) - bytes.len()])
    }

    /// Two empty blocks are its end.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.finish()
    }
}

fn header(name: &str, length: usize, modified_unix: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() > NAME_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the name {name:?} is too long for an archive"),
        ));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, format!("{modified_unix:011o}\0").as_bytes());
    // The sum counts its own field as blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn files_are_padded_to_blocks_and_the_sum_is_that_of_the_header() {
        let mut archive = Archive::new(Vec::new(), 1);
        archive.file("a/b", b"hello").expect("a file");
        archive.file("empty", b"").expect("a file");
        assert!(archive.file(&"n".repeat(NAME_BYTES_MAX + 1), b"").is_err());
        let bytes = archive.finish().expect("an end");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).expect("gzip");
        assert_eq!(plain.len(), BLOCK * 5);
        assert_eq!(&plain[..4], b"a/b\0");
        assert_eq!(&plain[124..136], b"00000000005\0");
        assert_eq!(&plain[BLOCK..BLOCK + 6], b"hello\0");
        assert_eq!(&plain[2 * BLOCK..2 * BLOCK + 5], b"empty");
        let stated = std::str::from_utf8(&plain[148..154]).expect("digits");
        let mut blanked = plain[..BLOCK].to_vec();
        blanked[148..156].fill(b' ');
        let sum: u32 = blanked.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(u32::from_str_radix(stated, 8), Ok(sum));
    }
}
