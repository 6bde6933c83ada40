//! `Retry-After` of those who take logs, traces and alerts.

use std::time::{Duration, Instant, UNIX_EPOCH};

use vedfolnir::observability::fuzzing::retry_after;
use vedfolnir_fuzz::Bound;

/// Nothing is kept.
pub const MEMORY: Bound = Bound { base_bytes: 0, bytes_per_input_byte: 0 };
pub const INPUT_BYTES_MAX: usize = 64;

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(wait) = retry_after(text, UNIX_EPOCH + Duration::from_secs(1_800_000_000)) else { return };
    assert!(Instant::now().checked_add(wait).is_some(), "a wait that no clock can hold");
}
