//! How long to wait after failures in a row: twice as long each time, up to a bound, and never the same for two nodes.

use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Failures in a row.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// One more; the wait is from half to all of its time, by `random`.
    pub(crate) fn failed(&mut self, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = (self.failures + 1).min(31);
        let whole = doubled.min(self.longest);
        let half = whole / 2;
        let span_ms = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_millis(random % span_ms)
    }

    /// It worked.
    pub(crate) const fn worked(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        for most_ms in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let wait = backoff.failed(u64::MAX - 1);
            assert!(wait >= Duration::from_millis(most_ms / 2) && wait <= Duration::from_millis(most_ms), "{wait:?}");
        }
        for _ in 0..100 {
            assert!(backoff.failed(7) <= Duration::from_secs(30));
        }
        backoff.worked();
        assert_eq!(backoff.failures(), 0);
        assert_eq!(backoff.failed(0), Duration::from_millis(250));
        backoff.worked();
        assert_eq!(backoff.failed(250), Duration::from_millis(500));
    }
}
