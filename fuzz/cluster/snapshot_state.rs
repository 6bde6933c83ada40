//! The state in a snapshot, without the file around it.

use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::memory::RESERVED_PER_LIST_BYTES;
use vedfolnir_state::State;

/// Buffers of 64 KiB to read and to write; tables in tables, four lists deep; chunks of persistent vectors and maps of up to
/// 64 places for the first element.
pub const MEMORY: Bound = Bound { base_bytes: 4 * RESERVED_PER_LIST_BYTES + (1 << 20), bytes_per_input_byte: 8 << 10 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;

pub fn run(input: &[u8]) {
    let Ok(state) = State::decode_snapshot(input) else { return };
    let mut written = Vec::new();
    state.encode_snapshot(&mut written).expect("memory takes everything");
    let again = State::decode_snapshot(written.as_slice()).expect("what was written is read");
    let mut twice = Vec::new();
    again.encode_snapshot(&mut twice).expect("memory takes everything");
    assert_eq!(written, twice, "a snapshot changes by being read");
}
