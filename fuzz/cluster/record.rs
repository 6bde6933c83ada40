//! What a node reads from its own database, and the marker beside it.

use vedfolnir_cluster::fuzzing::RECORDS;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::memory::RESERVED_PER_LIST_BYTES;
use vedfolnir_storage::fuzzing::{log_key_again, marker_again};

use crate::again_and_again;

/// The configurations of a membership: one list; the value and what is written of it.
pub const MEMORY: Bound = Bound { base_bytes: RESERVED_PER_LIST_BYTES + (4 << 10), bytes_per_input_byte: 512 };
pub const INPUT_BYTES_MAX: usize = 512;

pub fn run(input: &[u8]) {
    again_and_again(RECORDS, input);
    if let Some(key) = log_key_again(input) {
        assert_eq!(key[4..], input[4..12]);
    }
    if let Ok(bytes) = input.try_into()
        && let Some(again) = marker_again(bytes)
    {
        assert_eq!(again.as_slice(), input);
    }
}
