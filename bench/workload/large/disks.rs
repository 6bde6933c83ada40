//! What the nodes' disks did meanwhile: their synced writes between two looks at each node's metrics.
//!
//! A commit waits for the synced write of a majority, so a pause is the disk's as far as the longest synced write of a
//! majority's slowest node is as long. A histogram tells a length between two bounds, so both are given.

use crate::error::BenchError;
use crate::report::Report;
use crate::scrape::Page;

const FAMILY: &str = "vedfolnir_log_fsync_seconds";
/// From here on a synced write is slow.
const SLOW_SECONDS: f64 = 0.025_6;

/// Synced writes that ended between two looks.
struct Interval {
    from: u64,
    until: u64,
    /// How many took so long: more than the one before it, at most so many seconds (the last: no bound).
    counts: Vec<(f64, u64)>,
}

impl Interval {
    /// Between how many milliseconds the longest took; 0 and 0: there was none.
    fn longest(&self) -> (f64, f64) {
        let Some(last) = self.counts.iter().rposition(|(_, count)| *count > 0) else { return (0.0, 0.0) };
        let above = last.checked_sub(1).map_or(0.0, |before| self.counts[before].0);
        (above * 1e3, self.counts[last].0 * 1e3)
    }
}

#[derive(Default)]
struct Disk {
    looked_at: u64,
    /// Cumulated, as a page has them.
    seen: Vec<(f64, f64)>,
    intervals: Vec<Interval>,
}

/// Of all nodes.
pub(super) struct Disks(Vec<Disk>);

impl Disks {
    pub(super) fn new(nodes: usize) -> Self {
        Self(std::iter::repeat_with(Disk::default).take(nodes).collect())
    }

    /// A look at a node, asked for and answered at these times.
    pub(super) fn saw(&mut self, node: usize, page: &Page, asked_at: u64, now: u64) -> Result<(), BenchError> {
        self.counted(node, page.buckets(FAMILY)?, asked_at, now);
        Ok(())
    }

    fn counted(&mut self, node: usize, seen: Vec<(f64, f64)>, asked_at: u64, now: u64) {
        let disk = &mut self.0[node];
        if disk.seen.len() == seen.len() {
            let mut below = 0;
            let counts = seen.iter().zip(&disk.seen).map(|((bound, after), (_, before))| {
                let up_to = (after - before) as u64;
                let count = up_to.saturating_sub(below);
                below = up_to;
                (*bound, count)
            });
            disk.intervals.push(Interval { from: disk.looked_at, until: now, counts: counts.collect() });
        }
        (disk.looked_at, disk.seen) = (asked_at, seen);
    }

    /// The longest synced write of the slowest node of the fastest majority, in looks of that time: at least and at most,
    /// milliseconds.
    pub(super) fn longest_of_majority(&self, from: u64, until: u64) -> (f64, f64) {
        let of_node = |disk: &Disk| {
            let inside = disk.intervals.iter().filter(|interval| interval.from < until && interval.until > from);
            inside.map(Interval::longest).fold((0.0, 0.0), |a, b| if b.0 > a.0 || b.1 > a.1 { b } else { a })
        };
        let mut nodes: Vec<(f64, f64)> = self.0.iter().map(of_node).collect();
        nodes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        nodes.get(nodes.len() / 2).copied().unwrap_or_default()
    }

    /// How many synced writes were slow, with and without a snapshot under way anywhere.
    pub(super) fn tell(&self, name: &str, is_snapshot: impl Fn(u64, u64) -> bool, report: &mut Report) {
        let (mut all, mut slow) = ([0; 2], [0; 2]);
        for interval in self.0.iter().flat_map(|disk| &disk.intervals) {
            let class = usize::from(is_snapshot(interval.from, interval.until));
            let mut below = 0.0;
            for (bound, count) in &interval.counts {
                all[class] += count;
                slow[class] += if below >= SLOW_SECONDS { *count } else { 0 };
                below = *bound;
            }
        }
        for (class, when) in [(0, "no snapshot"), (1, "a snapshot")] {
            let what = format!("of {} of all nodes", all[class]);
            report.figure(&format!("{name}, {when}: synced writes over 25.6 ms"), slow[class] as f64, &what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: f64 = f64::INFINITY;

    #[test]
    fn the_majority_waits_for_the_second_of_three() {
        let mut disks = Disks::new(3);
        for node in 0..3 {
            disks.counted(node, vec![(0.01, 5.0), (0.02, 5.0), (NONE, 5.0)], 100, 101);
        }
        disks.counted(0, vec![(0.01, 6.0), (0.02, 6.0), (NONE, 6.0)], 200, 201);
        disks.counted(1, vec![(0.01, 7.0), (0.02, 8.0), (NONE, 8.0)], 200, 201);
        disks.counted(2, vec![(0.01, 5.0), (0.02, 5.0), (NONE, 6.0)], 200, 201);
        assert_eq!(disks.longest_of_majority(150, 160), (10.0, 20.0));
        assert_eq!(disks.longest_of_majority(300, 400), (0.0, 0.0));
    }

    #[test]
    fn slow_ones_are_told_by_whether_a_snapshot_was_under_way() {
        let mut disks = Disks::new(1);
        for (at, slow) in [(0, 0.0), (100, 2.0), (200, 5.0)] {
            disks.counted(0, vec![(0.025_6, 10.0 * at as f64), (NONE, 10.0 * at as f64 + slow)], at, at + 1);
        }
        let mut report = Report::new("", String::new());
        disks.tell("x", |from, _| from >= 100, &mut report);
        let figures: Vec<_> = report.figures.iter().map(|figure| (figure.value, figure.unit.as_str())).collect();
        assert_eq!(figures, [(2.0, "of 1002 of all nodes"), (3.0, "of 1003 of all nodes")]);
    }
}
