//! A snapshot file that a peer sends, in chunks, from nothing or from where a transfer broke off; then its body.

use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;

use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_storage::fuzzing::{snapshots, with_footer};
use vedfolnir_storage::{SnapshotId, SnapshotStore};

/// Buffers of 256 KiB to verify, to decompress into and to read from; the head, of one MiB at most; the body's window is
/// zstd's and comes from C.
pub const MEMORY: Bound = Bound { base_bytes: 2 << 20, bytes_per_input_byte: 64 };
pub const INPUT_BYTES_MAX: usize = 4 << 10;
/// Beyond it a file is refused while it arrives.
const FILE_BYTES_MAX: u64 = 3 << 10;
/// Beyond it a body is refused while it is read.
const BODY_BYTES_MAX: u64 = 64 << 10;

pub fn run(input: &[u8]) {
    let store = store();
    let mut input = Input(input);
    let (sealed, resumes, chunk_bytes) = (input.below(4) != 0, input.below(2) == 1, 1 + input.below(255));
    let file = if sealed { with_footer(input.0) } else { input.0.to_vec() };
    let bytes = file.len() as u64;
    let incoming = if resumes {
        let check = file.len().checked_sub(12).map_or(0, |end| crc32_of(&file[..end]));
        let position = file.get(16..24).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        store.resume(SnapshotId { position, bytes, check })
    } else {
        store.receive()
    };
    let Ok(mut incoming) = incoming else {
        assert!(bytes > FILE_BYTES_MAX, "a small file is taken in");
        return;
    };
    let kept = usize::try_from(incoming.received()).expect("it is small").min(file.len());
    for chunk in file[kept..].chunks(chunk_bytes) {
        if incoming.write(chunk).is_err() {
            return;
        }
    }
    assert!(bytes <= FILE_BYTES_MAX);
    let Ok(taken) = incoming.finish() else { return };
    assert_eq!((taken.bytes(), sealed_by(&file)), (bytes, true), "a damaged file was taken");
    let mut body = Vec::new();
    if let Ok(reader) = taken.open_body(BODY_BYTES_MAX)
        && reader.take(BODY_BYTES_MAX + 1).read_to_end(&mut body).is_ok()
    {
        assert!(body.len() as u64 <= BODY_BYTES_MAX);
    }
}

/// Whether the last twelve bytes are the footer of all before.
fn sealed_by(file: &[u8]) -> bool {
    with_footer(&file[..file.len() - 12]) == file
}

fn crc32_of(content: &[u8]) -> u32 {
    let footer = with_footer(content);
    footer[footer.len() - 4..].try_into().map_or(0, u32::from_le_bytes)
}

/// In memory: nothing of it has to survive.
fn store() -> &'static SnapshotStore {
    static STORE: OnceLock<SnapshotStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let shared = PathBuf::from("/dev/shm");
        let parent = if shared.is_dir() { shared } else { std::env::temp_dir() };
        let directory = parent.join(format!("vedfolnir-fuzz-{}", std::process::id()));
        snapshots(directory, FILE_BYTES_MAX).expect("an empty directory")
    })
}
