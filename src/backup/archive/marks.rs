//! How far the log was at what time, as this node has seen it: what a time means in the archived log.

use std::collections::VecDeque;

use vedfolnir_cluster::archive::Mark;

/// A mark each second for more than an hour: so long may nobody have archived before a new leader does.
const MARKS_MAX: usize = 4_096;

/// Every node keeps them, because every node may be the next that archives.
///
/// Invariant: indices go up.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<Mark>);

impl Marks {
    /// So far this replica is now; where nothing was applied since, the earlier time stands.
    pub(super) fn take(&mut self, mark: Mark) {
        if self.0.back().is_some_and(|last| last.index >= mark.index) {
            return;
        }
        if self.0.len() == MARKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(mark);
    }

    /// Those of entries `first` to `last`; the last entry is marked with when it is known to have been applied.
    pub(super) fn of(&self, first: u64, last: u64, now_ms: u64) -> Vec<Mark> {
        let inside = self.0.iter().filter(|mark| (first..last).contains(&mark.index)).copied();
        let later = self.0.iter().find(|mark| mark.index >= last);
        let end = Mark { index: last, unix_ms: later.map_or(now_ms, |mark| mark.unix_ms) };
        inside.chain([end]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64, unix_ms: u64) -> Mark {
        Mark { index, unix_ms }
    }

    #[test]
    fn an_entry_is_as_late_as_the_first_mark_at_or_behind_it() {
        let mut marks = Marks::default();
        for (index, unix_ms) in [(10, 1_000), (10, 2_000), (15, 3_000), (20, 4_000)] {
            marks.take(mark(index, unix_ms));
        }
        assert_eq!(marks.of(8, 18, 9_000), [mark(10, 1_000), mark(15, 3_000), mark(18, 4_000)]);
        assert_eq!(marks.of(11, 20, 9_000), [mark(15, 3_000), mark(20, 4_000)]);
        assert_eq!(marks.of(16, 22, 9_000), [mark(20, 4_000), mark(22, 9_000)], "it was applied a moment ago");
        assert_eq!(marks.of(3, 3, 9_000), [mark(3, 1_000)]);
    }

    #[test]
    fn the_oldest_marks_are_forgotten() {
        let mut marks = Marks::default();
        (0..2 * MARKS_MAX as u64).for_each(|index| marks.take(mark(index, index)));
        assert_eq!(marks.0.len(), MARKS_MAX);
        assert_eq!(marks.of(1, 2, 0), [mark(2, MARKS_MAX as u64)], "later than it was, never earlier");
    }
}
