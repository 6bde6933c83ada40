//! Files of `NAME=value` lines.

use vedfolnir::config::fuzzing::env_lines;
use vedfolnir_fuzz::Bound;

/// A line of two bytes is held in 56 with its texts; a line that is none in about 400, in words.
pub const MEMORY: Bound = Bound { base_bytes: 8 << 10, bytes_per_input_byte: 512 };
pub const INPUT_BYTES_MAX: usize = 2 << 10;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (lines, problems) = env_lines(text);
    assert!(lines.len() + problems <= text.lines().count());
    let again: String = lines.iter().map(|(_, name, value)| format!("{name}='{value}'\n")).collect();
    let (read, problems) = env_lines(&again);
    let pairs = |lines: &[(usize, String, String)]| -> Vec<(String, String)> {
        lines.iter().map(|(_, name, value)| (name.clone(), value.clone())).collect()
    };
    assert_eq!((pairs(&read), problems), (pairs(&lines), 0), "what is quoted is read as something else");
}
