//! The namespace that a packet begins with.

use vedfolnir_fuzz::Bound;
use vedfolnir_protocol::socket_io::namespace::{ROOT, is_valid, split};

/// Slices only.
pub const MEMORY: Bound = Bound { base_bytes: 0, bytes_per_input_byte: 0 };
pub const INPUT_BYTES_MAX: usize = 512;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (name, rest) = split(text);
    assert!(text.ends_with(rest));
    assert!(name == ROOT || text.starts_with(name));
    assert!(name.starts_with('/') && !name.contains([',', '?']));
    if is_valid(text) {
        assert_eq!(split(text), (text, ""));
    }
}
