//! A distribution: how many values fell into each of some buckets, and their sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of buckets of times, in microseconds.
const TIMES_US: &[u64] = &[
    10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];
/// Upper bounds of buckets of sizes, in bytes.
const SIZES_BYTES: &[u64] = &[16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
/// Upper bounds of buckets of counts.
const COUNTS: &[u64] = &[0, 1, 2, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000];

/// See the module. Values beyond the last bound are in a bucket of their own, which has none.
#[derive(Debug)]
pub struct Distribution {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Distribution {
    fn of(bounds: &'static [u64]) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Of times, kept in microseconds.
    #[must_use]
    pub fn of_times() -> Self {
        Self::of(TIMES_US)
    }

    /// Of sizes, in bytes.
    #[must_use]
    pub fn of_sizes() -> Self {
        Self::of(SIZES_BYTES)
    }

    /// Of counts.
    #[must_use]
    pub fn of_counts() -> Self {
        Self::of(COUNTS)
    }

    /// One more value, in the distribution's unit.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// One more time.
    pub fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Each bucket's upper bound and how many values it holds, those of smaller buckets not included; the last has no
    /// bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_holds_it_and_in_the_sum() {
        let sizes = Distribution::of_sizes();
        for value in [0, 16, 17, 2_000_000] {
            sizes.observe(value);
        }
        let buckets: Vec<_> = sizes.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(buckets, [(Some(16), 2), (Some(64), 1), (None, 1)]);
        assert_eq!(sizes.sum(), 2_000_033);
    }

    #[test]
    fn bounds_rise_and_hold_those_that_alerts_are_written_for() {
        for bounds in [TIMES_US, SIZES_BYTES, COUNTS] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
        for seconds in [0.1, 0.5, 1.0] {
            assert!(TIMES_US.contains(&((seconds * 1e6) as u64)), "{seconds}");
        }
    }
}
