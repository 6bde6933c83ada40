//! What a receiver of traces answers: protobuf.

use vedfolnir::observability::traces::fuzzing::rejected;
use vedfolnir_fuzz::Bound;

/// The reason that it gives, read into a buffer and put into words.
pub const MEMORY: Bound = Bound { base_bytes: 1 << 10, bytes_per_input_byte: 8 };
pub const INPUT_BYTES_MAX: usize = 512;

pub fn run(input: &[u8]) {
    if let Some((count, reason)) = rejected(input) {
        assert!(count > 0 || !reason.is_empty());
        assert!(reason.len() <= 4 * input.len() + 256, "more was said than is there");
    }
}
