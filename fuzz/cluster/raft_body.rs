//! What Raft asks and answers, and what stands around its snapshots.

use vedfolnir_cluster::fuzzing::RAFT_BODIES;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::memory::RESERVED_PER_LIST_BYTES;

use crate::again_and_again;

/// The entries of an append, and in one of them the configurations of a membership: two lists deep at most.
pub const MEMORY: Bound = Bound { base_bytes: 2 * RESERVED_PER_LIST_BYTES + (4 << 10), bytes_per_input_byte: 512 };
pub const INPUT_BYTES_MAX: usize = 1 << 10;

pub fn run(input: &[u8]) {
    again_and_again(RAFT_BODIES, input);
}
