//! What nodes ask and answer about the cluster: forming, joining, membership, certificates, reads.

use vedfolnir_cluster::fuzzing::BODIES;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::memory::RESERVED_PER_LIST_BYTES;

use crate::again_and_again;

/// A record's list of attachments in its event, a reply's list of authorities, the attachments of one ack among others: two
/// lists deep at most.
pub const MEMORY: Bound = Bound { base_bytes: 2 * RESERVED_PER_LIST_BYTES + (4 << 10), bytes_per_input_byte: 256 };
pub const INPUT_BYTES_MAX: usize = 1 << 10;

pub fn run(input: &[u8]) {
    again_and_again(BODIES, input);
}
