//! Proposals as the log holds them.

use vedfolnir_cluster::fuzzing::system_proposal;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::memory::RESERVED_PER_LIST_BYTES;
use vedfolnir_state::{Format, decode_proposal, encode_proposal, origin_of, written_in};

/// The commands, and in one of them rooms or attachments: two lists deep, read by several readers one after the other.
pub const MEMORY: Bound = Bound { base_bytes: 2 * RESERVED_PER_LIST_BYTES + (4 << 10), bytes_per_input_byte: 1 << 10 };
pub const INPUT_BYTES_MAX: usize = 1 << 10;
const NODE: u64 = 7;

pub fn run(input: &[u8]) {
    let origin = origin_of(input);
    let (is_about, start) = system_proposal(input, NODE);
    let Ok(proposal) = decode_proposal(input) else {
        assert!(!is_about && start.is_none(), "only a proposal says something");
        return;
    };
    if let Some(origin) = origin {
        assert_eq!(origin, proposal.origin, "whose it is, is what its first bytes say");
    }
    let format = written_in(input).map(Format::try_from).expect("it is not empty").expect("its format is known");
    let again = encode_proposal(format, &proposal);
    assert_eq!(origin_of(&again), Some(proposal.origin));
    assert_eq!(decode_proposal(&again).expect("what was written is read"), proposal);
}
