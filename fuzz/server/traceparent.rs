//! A client's place in a trace.

use vedfolnir::observability::traces::{parse_traceparent, traceparent};
use vedfolnir_fuzz::Bound;

/// The text that is written again.
pub const MEMORY: Bound = Bound { base_bytes: 512, bytes_per_input_byte: 0 };
pub const INPUT_BYTES_MAX: usize = 128;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(parent) = parse_traceparent(text) else { return };
    let again = traceparent(&parent.context);
    assert_eq!(again[3..52], text.trim()[3..52]);
    let read = parse_traceparent(&again).expect("what was written is read");
    assert!(read.is_sampled && read.context == parent.context);
}
