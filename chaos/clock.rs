//! The one clock of a run: CLOCK_MONOTONIC, in nanoseconds. Every process on the machine reads the same, also `process.hrtime` of
//! Node.js, so that what several of them recorded can be compared.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock.
pub type Nanos = u64;

/// Nanoseconds in a millisecond.
pub const MS: Nanos = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: Nanos = 1_000 * MS;

/// Now.
#[must_use]
pub fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    // The clock begins at zero with the machine: neither is ever negative.
    (time.tv_sec.unsigned_abs()) * SECOND + time.tv_nsec.unsigned_abs()
}
