//! Join tokens as operators type them.

use vedfolnir_cluster::JoinToken;
use vedfolnir_fuzz::Bound;

/// The token's bytes and its text.
pub const MEMORY: Bound = Bound { base_bytes: 1 << 10, bytes_per_input_byte: 4 };
pub const INPUT_BYTES_MAX: usize = 256;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.reveal(), text.trim(), "a token has one form");
    }
}
