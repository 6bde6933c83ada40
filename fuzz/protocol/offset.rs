//! The offset that a client hands back.

use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;
use vedfolnir_protocol::{decode_offset, encode_offset};

/// Nothing: offsets are read and written inline.
pub const MEMORY: Bound = Bound { base_bytes: 0, bytes_per_input_byte: 0 };
pub const INPUT_BYTES_MAX: usize = 128;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let history = input.long();
    if let Ok(text) = std::str::from_utf8(input.0)
        && let Ok((index, ordinal)) = decode_offset(text, history)
    {
        assert_eq!(encode_offset(history, index, ordinal).as_str(), text, "an offset has one form");
    }
    // The same bytes as a position.
    let (index, ordinal) = (input.long(), u32::from(input.short()) << 16 | u32::from(input.short()));
    assert_eq!(decode_offset(&encode_offset(history, index, ordinal), history), Ok((index, ordinal)));
}
