//! Engine.IO session ids as they stand in a query.

use vedfolnir_fuzz::Bound;
use vedfolnir_protocol::{ENGINE_SID_LEN, EngineSid};

/// The id's text, once.
pub const MEMORY: Bound = Bound { base_bytes: 256, bytes_per_input_byte: 0 };
pub const INPUT_BYTES_MAX: usize = 2 * ENGINE_SID_LEN;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(sid) = text.parse::<EngineSid>() {
        assert_eq!(sid.to_string(), text, "an id has one form");
    }
}
