//! A backup file, from its first byte to its last: the manifest, the chunks, plain, compressed or encrypted.

use std::io::Read;
use std::sync::OnceLock;

use ring::digest::{SHA256, digest};
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_storage::backup::{BackupKey, BackupReader, read_manifest, verify};

/// A chunk with its tag, a buffer of a chunk before the decompressor, one to read into, and buffers of `std::io::copy`; the
/// manifest as bytes, as JSON and as what it says; the body's window is zstd's and comes from C.
pub const MEMORY: Bound = Bound { base_bytes: 512 << 10, bytes_per_input_byte: 256 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;
/// Beyond it a body is refused while it is read.
const BODY_BYTES_MAX: u64 = 64 << 10;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let (sealed, has_key) = (input.below(4) != 0, input.below(2) == 1);
    let file = if sealed { with_footer(input.0) } else { input.0.to_vec() };
    let key = has_key.then(key);
    let manifest = read_manifest(file.as_slice());
    let mut body = Vec::new();
    let read = BackupReader::open(file.as_slice(), key, BODY_BYTES_MAX).and_then(|mut reader| {
        // What a reader says of its error is kept for `finish`.
        let _ = reader.by_ref().take(BODY_BYTES_MAX + 1).read_to_end(&mut body);
        reader.finish()
    });
    assert!(body.len() as u64 <= BODY_BYTES_MAX);
    let verified = verify(file.as_slice(), key, BODY_BYTES_MAX);
    assert_eq!(read.is_ok(), verified.is_ok(), "whoever reads the body and whoever does not find the same");
    if let (Ok(read), Ok((said, again))) = (read, verified) {
        assert_eq!(file, with_footer(&file[..file.len() - 40]), "a damaged file was taken");
        assert_eq!((read.bytes, read.expanded_bytes), (file.len() as u64, body.len() as u64));
        assert_eq!((read.sha256, read.expanded_bytes), (again.sha256, again.expanded_bytes));
        assert_eq!(manifest.ok(), Some(said));
    }
}

fn key() -> &'static BackupKey {
    static KEY: OnceLock<BackupKey> = OnceLock::new();
    KEY.get_or_init(|| BackupKey::new("the key of the inputs that are kept").expect("it is long enough"))
}

/// No input finds a checksum by itself.
fn with_footer(content: &[u8]) -> Vec<u8> {
    [content, &(content.len() as u64).to_le_bytes(), digest(&SHA256, content).as_ref()].concat()
}
