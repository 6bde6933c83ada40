//! What a CONNECT's auth object says about recovery.

use vedfolnir_fuzz::Bound;
use vedfolnir_protocol::recovery_of;

/// Two texts out of the object, each unescaped in a buffer that grows by doubling; texts of errors.
pub const MEMORY: Bound = Bound { base_bytes: 1 << 10, bytes_per_input_byte: 8 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;

pub fn run(input: &[u8]) {
    let (pid, offset) = recovery_of(input);
    let told = pid.map_or(0, |pid| pid.len()) + offset.map_or(0, |offset| offset.len());
    assert!(told <= input.len(), "more was said than is there");
}
