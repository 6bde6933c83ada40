//! The TOML file of settings.

use vedfolnir::config::fuzzing::toml_entries;
use vedfolnir_fuzz::Bound;

/// The file as a tree of TOML; entries and problems in words.
pub const MEMORY: Bound = Bound { base_bytes: 64 << 10, bytes_per_input_byte: 768 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (entries, _) = toml_entries(text);
    let lines = text.lines().count();
    for (line, name, _) in entries {
        assert!((1..=lines).contains(&line), "{name} stands in line {line} of {lines}");
    }
}
