//! The query of an Engine.IO request.

use vedfolnir::service::fuzzing::query;
use vedfolnir_fuzz::Bound;

/// Slices, and the texts that are searched for here.
pub const MEMORY: Bound = Bound { base_bytes: 256, bytes_per_input_byte: 4 };
pub const INPUT_BYTES_MAX: usize = 512;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for (name, value) in ["EIO", "transport", "sid"].into_iter().zip(query(text)) {
        let Some(value) = value else { continue };
        let pair = format!("{name}={value}");
        assert!(!value.contains('&') && text.split('&').any(|have| have == pair), "{pair} is not in it");
    }
}
