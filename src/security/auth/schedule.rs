//! When the issuer's keys are fetched: regularly, after a failure sooner, and once when a token names an unknown key.
//!
//! A pure machine: the driver asks [`Schedule::due_at`], fetches, and tells what came of it.

use std::time::{Duration, Instant};

/// Time before the first retry at least, also where `refresh_min` is zero: a broken issuer is not hammered.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// When to fetch.
///
/// Invariants: one fetch at a time; two starts are `refresh_min` apart or more, whatever clients send.
#[derive(Debug)]
pub struct Schedule {
    refresh: Duration,
    refresh_min: Duration,
    started: Option<Instant>,
    running: bool,
    /// Failures since the last success.
    failures: u32,
    /// A token named a key that is not there.
    wanted: bool,
}

impl Schedule {
    /// Fetches are `refresh` apart, and never closer than `refresh_min`.
    #[must_use]
    pub const fn new(refresh: Duration, refresh_min: Duration) -> Self {
        Self { refresh, refresh_min, started: None, running: false, failures: 0, wanted: false }
    }

    /// When the next fetch starts. `None` while one is under way; the very first one is due at once (`now`).
    #[must_use]
    pub fn due_at(&self, now: Instant) -> Option<Instant> {
        if self.running {
            return None;
        }
        let Some(started) = self.started else { return Some(now) };
        let pause = if self.wanted {
            self.refresh_min
        } else if self.failures > 0 {
            // Doubled with each failure, up to the regular pace.
            let doubled = self.refresh_min.max(RETRY_MIN).saturating_mul(1 << (self.failures - 1).min(16));
            doubled.min(self.refresh)
        } else {
            self.refresh
        };
        Some(started + pause.max(self.refresh_min))
    }

    /// A token names a key that is not there. True: a fetch is under way or starts now, so it is worth waiting for. False:
    /// the last one is too recent; the next one comes as soon as it may.
    pub fn handle_unknown_key(&mut self, now: Instant) -> bool {
        if self.running {
            return true;
        }
        self.wanted = true;
        self.due_at(now).is_some_and(|due| due <= now)
    }

    /// A fetch starts.
    pub const fn handle_started(&mut self, now: Instant) {
        self.started = Some(now);
        self.running = true;
        self.wanted = false;
    }

    /// It brought keys.
    pub const fn handle_good(&mut self) {
        self.running = false;
        self.failures = 0;
    }

    /// It did not.
    pub const fn handle_failed(&mut self) {
        self.running = false;
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(600);
    const REFRESH_MIN: Duration = Duration::from_secs(30);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A schedule whose first fetch went well at the returned time.
    fn fetched() -> (Schedule, Instant) {
        let start = Instant::now();
        let mut schedule = Schedule::new(REFRESH, REFRESH_MIN);
        schedule.handle_started(start);
        schedule.handle_good();
        (schedule, start)
    }

    #[test]
    fn the_first_fetch_is_at_once_and_the_next_after_the_pause() {
        let start = Instant::now();
        let mut schedule = Schedule::new(REFRESH, REFRESH_MIN);
        assert_eq!(schedule.due_at(start), Some(start));
        schedule.handle_started(start);
        assert_eq!(schedule.due_at(start + secs(5)), None);
        schedule.handle_good();
        assert_eq!(schedule.due_at(start + secs(5)), Some(start + REFRESH));
    }

    #[test]
    fn an_unknown_key_fetches_once_in_the_minimum_whatever_comes() {
        let (mut schedule, start) = fetched();
        for after in [1, 10, 29] {
            assert!(!schedule.handle_unknown_key(start + secs(after)));
            assert_eq!(schedule.due_at(start + secs(after)), Some(start + REFRESH_MIN));
        }
        assert!(schedule.handle_unknown_key(start + REFRESH_MIN));
        schedule.handle_started(start + REFRESH_MIN);
        assert!(schedule.handle_unknown_key(start + secs(31)), "the fetch under way is worth waiting for");
        schedule.handle_good();
        assert_eq!(schedule.due_at(start + secs(32)), Some(start + REFRESH_MIN + REFRESH));
        assert!(!schedule.handle_unknown_key(start + secs(33)));
        assert_eq!(schedule.due_at(start + secs(33)), Some(start + REFRESH_MIN * 2));
    }

    #[test]
    fn failures_are_retried_ever_later_up_to_the_regular_pace() {
        let (mut schedule, mut at) = fetched();
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            schedule.handle_started(at);
            schedule.handle_failed();
            assert_eq!(schedule.due_at(at), Some(at + secs(pause)));
            at += secs(pause);
        }
        for _ in 0..100 {
            schedule.handle_started(at);
            schedule.handle_failed();
        }
        assert_eq!(schedule.due_at(at), Some(at + REFRESH));
        schedule.handle_started(at);
        schedule.handle_good();
        schedule.handle_started(at);
        schedule.handle_failed();
        assert_eq!(schedule.due_at(at), Some(at + REFRESH_MIN), "a success starts the count anew");
    }

    #[test]
    fn without_a_minimum_unknown_keys_fetch_at_once_and_failures_still_pause() {
        let start = Instant::now();
        let mut schedule = Schedule::new(REFRESH, Duration::ZERO);
        schedule.handle_started(start);
        schedule.handle_failed();
        assert_eq!(schedule.due_at(start), Some(start + RETRY_MIN));
        assert!(schedule.handle_unknown_key(start));
        assert_eq!(schedule.due_at(start), Some(start));
    }

    #[test]
    fn a_pace_below_the_minimum_is_the_minimum() {
        let start = Instant::now();
        let mut schedule = Schedule::new(secs(1), REFRESH_MIN);
        schedule.handle_started(start);
        schedule.handle_good();
        assert_eq!(schedule.due_at(start), Some(start + REFRESH_MIN));
    }
}
