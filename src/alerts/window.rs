//! What happened in the last window, from counters that only grow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Condition;

/// Readings that are kept: a window has no more steps than this, whatever its length.
const READINGS_MAX: usize = 64;
/// Of twenty answers this many are no slower than what is told.
const ANSWERS_COUNTED: u64 = 19;
const ANSWERS_OF: u64 = 20;

/// The counters at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) connection_errors: u64,
    pub(super) message_errors: u64,
    /// Answers by bucket of time: the bucket's upper bound in microseconds (the last has none), how many.
    pub(super) answers: Vec<(Option<u64>, u64)>,
    pub(super) resident_bytes: u64,
}

/// The readings of the last window, oldest first; the first may be a step older.
pub(super) struct Window {
    length: Duration,
    readings: VecDeque<(Instant, Reading)>,
}

impl Window {
    pub(super) const fn new(length: Duration) -> Self {
        Self { length, readings: VecDeque::new() }
    }

    /// How often to read.
    pub(super) fn step(&self) -> Duration {
        (self.length / (READINGS_MAX as u32 - 2)).clamp(Duration::from_millis(250), Duration::from_secs(60))
    }

    /// Takes a reading, and forgets what is older than the window.
    pub(super) fn push(&mut self, now: Instant, reading: Reading) {
        self.readings.push_back((now, reading));
        let is_over = |at: Instant| now.saturating_duration_since(at) >= self.length;
        while self.readings.len() > READINGS_MAX || self.readings.get(1).is_some_and(|(at, _)| is_over(*at)) {
            self.readings.pop_front();
        }
    }

    /// The condition's value: what was added in the window, or what is now.
    pub(super) fn value(&self, condition: Condition) -> f64 {
        let (Some((_, first)), Some((_, last))) = (self.readings.front(), self.readings.back()) else { return 0.0 };
        match condition {
            Condition::ConnectionErrors => last.connection_errors.saturating_sub(first.connection_errors) as f64,
            Condition::MessageErrors => last.message_errors.saturating_sub(first.message_errors) as f64,
            Condition::ResponseTimeMs => slow_answer_us(first, last) as f64 / 1e3,
            Condition::MemoryUsageMb => last.resident_bytes as f64 / 1e6,
        }
    }
}

/// The upper bound of the bucket that holds the slowest but one of twenty; beyond the last bound twice that.
fn slow_answer_us(first: &Reading, last: &Reading) -> u64 {
    let before = |place: usize| first.answers.get(place).map_or(0, |(_, count)| *count);
    let counts =
        last.answers.iter().enumerate().map(|(place, (bound, count))| (*bound, count.saturating_sub(before(place))));
    let counts: Vec<_> = counts.collect();
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    let wanted = (all * ANSWERS_COUNTED).div_ceil(ANSWERS_OF);
    let (mut seen, mut largest) = (0, 0);
    for (bound, count) in counts {
        seen += count;
        largest = bound.unwrap_or(2 * largest);
        if all > 0 && seen >= wanted {
            return largest;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(count: u64) -> Reading {
        Reading { connection_errors: count, ..Reading::default() }
    }

    fn answers(counts: [u64; 3]) -> Reading {
        let bounds = [Some(1_000), Some(1_000_000), None];
        Reading { answers: bounds.into_iter().zip(counts).collect(), ..Reading::default() }
    }

    #[test]
    fn what_happened_before_the_window_does_not_count() {
        let (mut window, start) = (Window::new(Duration::from_secs(60)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        window.push(at(0), errors(1_000));
        assert_eq!(window.value(Condition::ConnectionErrors), 0.0, "errors of before are not news");
        window.push(at(30), errors(1_010));
        assert_eq!(window.value(Condition::ConnectionErrors), 10.0);
        window.push(at(60), errors(1_010));
        assert_eq!(window.value(Condition::ConnectionErrors), 10.0);
        window.push(at(91), errors(1_010));
        assert_eq!(window.value(Condition::ConnectionErrors), 0.0);
    }

    #[test]
    fn ten_errors_over_ten_windows_are_not_ten_in_one() {
        let (mut window, start) = (Window::new(Duration::from_secs(10)), Instant::now());
        let mut most: f64 = 0.0;
        for second in 0..100 {
            window.push(start + Duration::from_secs(second), errors(second / 10));
            most = most.max(window.value(Condition::ConnectionErrors));
        }
        assert!(most <= 2.0, "{most}");
    }

    #[test]
    fn as_many_readings_are_kept_as_a_window_has_steps_and_no_more() {
        for seconds in [1, 60, 86_400] {
            let (mut window, start) = (Window::new(Duration::from_secs(seconds)), Instant::now());
            for step in 0..1_000 {
                window.push(start + window.step() * step, Reading::default());
                assert!(window.readings.len() <= READINGS_MAX);
            }
        }
    }

    #[test]
    fn an_answer_is_slow_when_more_than_one_of_twenty_is() {
        let (mut window, now) = (Window::new(Duration::from_secs(60)), Instant::now());
        window.push(now, answers([1_000, 0, 0]));
        let value = |window: &Window| window.value(Condition::ResponseTimeMs);
        assert_eq!(value(&window), 0.0);
        window.push(now + Duration::from_secs(1), answers([1_095, 5, 0]));
        assert_eq!(value(&window), 1.0);
        window.push(now + Duration::from_secs(2), answers([1_095, 6, 0]));
        assert_eq!(value(&window), 1_000.0);
        window.push(now + Duration::from_secs(3), answers([1_095, 6, 50]));
        assert_eq!(value(&window), 2_000.0, "beyond the last bound");
    }
}
