//! Which alerts are firing, since when, and when each was told: so that each is told once, again while it lasts, and once
//! that it is over.

use std::time::{Duration, Instant};

use super::Condition;

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) condition: Condition,
    pub(super) firing: bool,
    pub(super) value: f64,
    pub(super) threshold: f64,
    /// When it began to fire, in milliseconds since 1970; with the condition it names the alert.
    pub(super) since_ms: u64,
    /// How often it was told before that it fires.
    pub(super) repeated: u32,
}

#[derive(Clone, Copy)]
struct Firing {
    since_ms: u64,
    told: Instant,
    repeated: u32,
    threshold: f64,
}

/// See the module.
pub(super) struct Book {
    repeat: Duration,
    firing: [Option<Firing>; Condition::ALL.len()],
}

impl Book {
    pub(super) const fn new(repeat: Duration) -> Self {
        Self { repeat, firing: [None; Condition::ALL.len()] }
    }

    /// Whether it fires.
    pub(super) fn is_firing(&self, condition: Condition) -> bool {
        self.firing[condition as usize].is_some()
    }

    /// A condition was measured; a threshold that is no more resolves what it fired.
    pub(super) fn judge(
        &mut self,
        condition: Condition,
        value: f64,
        threshold: Option<f64>,
        now: Instant,
        now_ms: u64,
    ) -> Option<Word> {
        let place = &mut self.firing[condition as usize];
        let breach = threshold.filter(|threshold| value > *threshold);
        let word = |firing: &Firing, is: bool| Word {
            condition,
            firing: is,
            value,
            threshold: firing.threshold,
            since_ms: firing.since_ms,
            repeated: firing.repeated,
        };
        match (place.as_mut(), breach) {
            (None, None) => None,
            (None, Some(threshold)) => {
                let firing = Firing { since_ms: now_ms, told: now, repeated: 0, threshold };
                *place = Some(firing);
                Some(word(&firing, true))
            }
            (Some(firing), Some(threshold)) => {
                firing.threshold = threshold;
                if now.saturating_duration_since(firing.told) < self.repeat {
                    return None;
                }
                firing.told = now;
                firing.repeated += 1;
                Some(word(firing, true))
            }
            (Some(_), None) => place.take().map(|firing| word(&firing, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERRORS: Condition = Condition::ConnectionErrors;

    #[test]
    fn an_alert_is_told_once_again_while_it_lasts_and_once_that_it_is_over() {
        let (mut book, start) = (Book::new(Duration::from_secs(100)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(book.judge(ERRORS, 10.0, Some(10.0), at(0), 0), None, "the threshold itself is none");
        let fired = book.judge(ERRORS, 11.0, Some(10.0), at(1), 1_000).expect("it fires");
        assert_eq!((fired.firing, fired.since_ms, fired.repeated), (true, 1_000, 0));
        assert_eq!(book.judge(ERRORS, 50.0, Some(10.0), at(2), 2_000), None);
        assert_eq!(book.judge(ERRORS, 50.0, Some(10.0), at(100), 100_000), None);
        let again = book.judge(ERRORS, 50.0, Some(10.0), at(101), 101_000).expect("it goes on");
        assert_eq!((again.firing, again.since_ms, again.repeated), (true, 1_000, 1));
        let over = book.judge(ERRORS, 3.0, Some(10.0), at(102), 102_000).expect("it is over");
        assert_eq!((over.firing, over.since_ms, over.value), (false, 1_000, 3.0));
        assert_eq!(book.judge(ERRORS, 3.0, Some(10.0), at(103), 103_000), None);
        let anew = book.judge(ERRORS, 12.0, Some(10.0), at(104), 104_000).expect("another one");
        assert_eq!((anew.since_ms, anew.repeated), (104_000, 0));
    }

    #[test]
    fn conditions_do_not_know_of_each_other_and_a_threshold_may_go_away() {
        let (mut book, now) = (Book::new(Duration::from_secs(100)), Instant::now());
        assert!(book.judge(ERRORS, 11.0, Some(10.0), now, 0).is_some());
        assert!(book.judge(Condition::MemoryUsageMb, 11.0, Some(10.0), now, 0).is_some());
        assert!(book.judge(Condition::ResponseTimeMs, 1e9, None, now, 0).is_none());
        let over = book.judge(ERRORS, 11.0, None, now, 0).expect("resolved");
        assert!(!over.firing && !book.is_firing(ERRORS) && book.is_firing(Condition::MemoryUsageMb));
    }
}
