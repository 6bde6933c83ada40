//! Where the log was when how many bytes had been written to it: so that a bound in bytes can be said as an index.

use std::collections::VecDeque;

/// Samples for each bound: what is said of bytes is right up to so small a part of it.
const SAMPLES_FOR_BOUND: u64 = 64;
/// Samples at most; those that fall out were of a log sixteen times as long as the bound.
const SAMPLES_MAX: usize = 1024;

/// See the module. Invariants: indexes and bytes of the samples ascend. Of what an earlier life of the node wrote nothing is
/// known; it counts as nothing.
#[derive(Debug)]
pub(crate) struct LogBytes {
    /// Bytes between two samples.
    every: u64,
    /// The last index, and the bytes written until then.
    samples: VecDeque<(u64, u64)>,
    written: u64,
}

impl LogBytes {
    /// For bounds of about so many bytes.
    pub(crate) fn new(bound: u64) -> Self {
        Self { every: (bound / SAMPLES_FOR_BOUND).max(1), samples: VecDeque::new(), written: 0 }
    }

    /// The log ends at `last`, and so many bytes were written to it so far.
    pub(crate) fn saw(&mut self, last: u64, written: u64) {
        self.written = written;
        // What was cut off is written again under the same indexes.
        while self.samples.back().is_some_and(|(index, _)| *index > last) {
            self.samples.pop_back();
        }
        let is_due = self.samples.back().is_none_or(|(index, bytes)| last > *index && written - bytes >= self.every);
        if is_due {
            self.samples.push_back((last, written));
        }
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// Nothing up to this index is asked for any more.
    pub(crate) fn forget(&mut self, purged: u64) {
        while self.samples.get(1).is_some_and(|(index, _)| *index <= purged) {
            self.samples.pop_front();
        }
    }

    /// Bytes written behind an index, up to one sample too many.
    pub(crate) fn behind(&self, index: u64) -> u64 {
        self.written - self.until(index)
    }

    /// The last index known that has at least so many bytes between it and another.
    pub(crate) fn before(&self, index: u64, bytes: u64) -> Option<u64> {
        let end = self.until(index).checked_sub(bytes)?;
        let after = self.samples.partition_point(|(_, written)| *written <= end);
        Some(self.samples.get(after.checked_sub(1)?)?.0)
    }

    /// Bytes written up to an index, up to one sample too few.
    fn until(&self, index: u64) -> u64 {
        let after = self.samples.partition_point(|(last, _)| *last <= index);
        after.checked_sub(1).and_then(|at| self.samples.get(at)).map_or(0, |(_, written)| *written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred bytes for each entry, seen after each.
    fn hundreds(entries: u64) -> LogBytes {
        let mut log = LogBytes::new(6_400);
        for index in 0..=entries {
            log.saw(index, index * 100);
        }
        log
    }

    #[test]
    fn bytes_are_said_as_indexes_and_back() {
        let log = hundreds(100);
        assert_eq!((log.behind(100), log.behind(40), log.behind(0)), (0, 6_000, 10_000));
        assert_eq!(log.before(100, 2_500), Some(75));
        assert_eq!(log.before(50, 2_550), Some(24));
        assert_eq!(log.before(50, 5_001), None);
    }

    #[test]
    fn what_lies_between_two_samples_is_behind_the_first() {
        let mut log = LogBytes::new(6_400);
        for index in (0..=1_000).step_by(10) {
            log.saw(index, index * 100);
        }
        assert_eq!(log.behind(995), 1_000, "not 500");
        assert_eq!(log.before(1_000, 1_500), Some(980));
    }

    #[test]
    fn what_was_cut_off_counts_no_more() {
        let mut log = hundreds(100);
        log.saw(60, 10_100);
        log.saw(61, 10_300);
        assert_eq!(log.behind(61), 0);
        assert_eq!(log.behind(60), 200 + 100 + 4_000, "what was cut off was written all the same");
    }

    #[test]
    fn of_an_earlier_life_nothing_is_known() {
        let mut log = LogBytes::new(6_400);
        log.saw(5_000, 0);
        log.saw(5_010, 1_000);
        assert_eq!(log.behind(4_000), 1_000);
        assert_eq!(log.before(5_000, 1), None);
        assert_eq!(log.before(5_010, 1_000), Some(5_000));
    }

    #[test]
    fn samples_are_bounded_and_go_with_the_log() {
        let mut log = hundreds(5_000);
        assert_eq!(log.samples.len(), SAMPLES_MAX);
        log.forget(4_990);
        assert_eq!(log.samples.len(), 11);
        assert_eq!(log.before(5_000, 1_000), Some(4_990));
    }
}
