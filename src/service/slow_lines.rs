//! How many lines about slow handlers the log gets: without a quorum every handler that publishes is slow, and a line for
//! each would push everything else out of the log's queue.

use std::sync::LazyLock;
use std::time::Instant;

use parking_lot::Mutex;

use crate::security::rate_limit::{Bucket, Rate};

/// Lines a second in the long run.
const LINES_PER_SECOND: u32 = 5;
/// Lines at once, after a time without any.
const LINES_AT_ONCE: u32 = 20;

/// The log is the process's, and so is this bound.
static LINES: LazyLock<SlowLines> = LazyLock::new(|| SlowLines::new(Instant::now()));

/// Whether another line may be written now; then, how many were left out since the last one.
pub(super) fn may_tell() -> Option<u64> {
    LINES.take(Instant::now())
}

struct SlowLines {
    inner: Mutex<Inner>,
    /// `None` cannot be: the constants are a rate. Then nothing is left out.
    rate: Option<Rate>,
}

struct Inner {
    bucket: Bucket,
    left_out: u64,
}

impl SlowLines {
    fn new(now: Instant) -> Self {
        Self {
            inner: Mutex::new(Inner { bucket: Bucket::full(now), left_out: 0 }),
            rate: Rate::per_second(LINES_PER_SECOND, LINES_AT_ONCE).ok(),
        }
    }

    fn take(&self, now: Instant) -> Option<u64> {
        let mut inner = self.inner.lock();
        let may = self.rate.is_none_or(|rate| inner.bucket.take(&rate, 1, now).is_allowed());
        if may {
            Some(std::mem::take(&mut inner.left_out))
        } else {
            inner.left_out += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn beyond_its_rate_a_line_is_left_out_and_the_next_says_how_many_were() {
        let mut now = Instant::now();
        let lines = SlowLines::new(now);
        for _ in 0..LINES_AT_ONCE {
            assert_eq!(lines.take(now), Some(0));
        }
        assert_eq!((lines.take(now), lines.take(now), lines.take(now)), (None, None, None));
        now += Duration::from_secs(1) / LINES_PER_SECOND;
        assert_eq!(lines.take(now), Some(3));
        assert_eq!(lines.take(now), None);
        // After a time without any, as many at once as ever; what was left out is told once.
        now += Duration::from_secs(60);
        let told: Vec<_> = std::iter::from_fn(|| lines.take(now)).collect();
        assert_eq!(told.len(), LINES_AT_ONCE as usize);
        assert_eq!((told[0], told[1..].iter().sum::<u64>()), (1, 0));
    }
}
