//! The text of every setting: numbers, times, sizes, lists, addresses, levels, thresholds.

use vedfolnir::config::fuzzing::check;
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

/// Lists of what stands between commas; a JSON object of thresholds as a tree; reasons in words.
pub const MEMORY: Bound = Bound { base_bytes: 64 << 10, bytes_per_input_byte: 256 };
pub const INPUT_BYTES_MAX: usize = 512;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let which = usize::from(input.byte());
    let Ok(text) = std::str::from_utf8(input.0) else { return };
    // Settings are handed over without blanks around them.
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    let first = check(which, text);
    if let Err(reason) = &first {
        assert!(!reason.is_empty());
    }
    assert_eq!(check(which, text), first);
}
