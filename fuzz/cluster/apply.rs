//! The replicated state: entries of the log one after the other, whatever is in them, and a snapshot of what came of it.

use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_fuzz::memory::RESERVED_PER_LIST_BYTES;
use vedfolnir_state::State;

/// Two lists deep while a proposal is read, five maps in the state and their twins read from the snapshot, with buffers
/// of 64 KiB to write and to read it.
pub const MEMORY: Bound = Bound { base_bytes: 4 << 20, bytes_per_input_byte: 16 << 10 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;
const _: () = assert!(MEMORY.base_bytes > 2 * RESERVED_PER_LIST_BYTES);

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    // Most of the time goes into the comparison: one input of four is compared.
    let compares = input.below(4) == 0;
    let (mut state, mut twin) = (State::default(), State::default());
    let mut index = 0;
    while !input.is_empty() {
        index += 1 + u64::from(input.byte() & 1);
        let entry = input.piece();
        let applied = state.apply(index, entry);
        assert_eq!(state.applied().index, index);
        if compares {
            assert_eq!(applied, twin.apply(index, entry), "two replicas differ");
        }
    }
    if !compares {
        return;
    }
    let mut snapshot = Vec::new();
    state.encode_snapshot(&mut snapshot).expect("memory takes everything");
    let read = State::decode_snapshot(snapshot.as_slice()).expect("what was written is read");
    assert!(read == state && read == twin, "a snapshot is not what it was made of");
}
