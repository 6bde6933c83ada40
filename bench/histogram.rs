//! A histogram of latencies with buckets of equal relative width.
//!
//! 64 buckets for each power of two: a value is known to within 1.6 %, from one nanosecond to centuries, in 30 KiB.

const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;
const BUCKETS: usize = ((64 - SUB_BITS) as usize + 1) << SUB_BITS;

/// Counts of values; the largest is kept exactly.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The smallest value that at least this share of all values does not exceed; 0 without any.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                return highest(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - SUB_BITS;
    (((shift + 1) as usize) << SUB_BITS) + ((value >> shift) & (SUB - 1)) as usize
}

/// The largest value of a bucket.
fn highest(index: usize) -> u64 {
    if (index as u64) < SUB {
        return index as u64;
    }
    let shift = (index >> SUB_BITS) as u32 - 1;
    let lowest = (SUB + (index as u64 & (SUB - 1))) << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            for value in [value - 1, value, value + 1] {
                let index = bucket(value);
                assert!(highest(index) >= value, "{value}");
                assert!(index == 0 || highest(index - 1) < value, "{value}");
                assert!((highest(index) - value) as f64 <= value as f64 / 60.0, "{value}: {}", highest(index));
            }
            value = value * 3 / 2 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
        assert_eq!(highest(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut histogram = Histogram::default();
        (1..=10_000).rev().for_each(|value| histogram.record(value));
        assert_eq!((histogram.count(), histogram.max()), (10_000, 10_000));
        for (share, exact) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let found = histogram.quantile(share) as f64;
            assert!((exact..exact * 1.02).contains(&found), "{share}: {found}");
        }
        assert_eq!(histogram.quantile(1.0), 10_000);
        assert_eq!(histogram.quantile(0.0), 1);
    }

    #[test]
    fn an_empty_one_says_zero() {
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }

    #[test]
    fn one_value_is_every_quantile() {
        let mut histogram = Histogram::default();
        histogram.record(123_457);
        assert_eq!(histogram.quantile(0.01), 123_457);
        assert_eq!(histogram.quantile(0.99), 123_457);
    }
}
