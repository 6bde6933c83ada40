//! What whoever leads knows of the cluster's backups, and what is wrong with them: one judgement, for health and for alerts.

use std::time::Duration;

/// A backup that has not come for so many intervals is missing.
const LATE_INTERVALS: u64 = 2;
/// And a few seconds more, for an election and for making it.
const LATE_SECONDS: u64 = 30;
/// A newest backup that is so much younger than now is one of a clock that went back.
const AHEAD_SECONDS_MAX: u64 = 60;

/// See the module; times are seconds since 1970. It ends with the leading, and begins anew with the next.
#[derive(Clone, Debug)]
pub(crate) struct Duty {
    interval: Duration,
    /// Since when this node leads.
    since: u64,
    /// When the newest one was begun, as far as is known.
    newest: Option<u64>,
    /// Whether one was attempted since then.
    tried: bool,
    /// Attempts that failed since one did not, and the reason of the last.
    failed: u64,
    reason: Option<String>,
}

impl Duty {
    pub(crate) const fn new(interval: Duration, since: u64) -> Self {
        Self { interval, since, newest: None, tried: false, failed: 0, reason: None }
    }

    /// One is there that was begun then.
    pub(super) fn found(&mut self, newest: u64) {
        self.newest = Some(newest);
    }

    pub(super) fn made(&mut self, begun: u64) {
        (self.tried, self.failed, self.reason, self.newest) = (true, 0, None, Some(begun));
    }

    pub(super) fn not_made(&mut self, reason: String) {
        (self.tried, self.failed, self.reason) = (true, self.failed.saturating_add(1), Some(reason));
    }

    /// Whether it is time for one.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.newest.is_none_or(|newest| {
            now >= newest.saturating_add(self.interval.as_secs()) || newest > now.saturating_add(AHEAD_SECONDS_MAX)
        })
    }

    /// Attempts that failed since one did not; `None`: nobody knows whether the next one would.
    pub(crate) fn failed(&self) -> Option<u64> {
        self.tried.then_some(self.failed)
    }

    /// Seconds that the newest backup is old, or that this node has waited for one.
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.newest.unwrap_or(self.since))
    }

    /// Beyond so many seconds the next one is late.
    pub(crate) const fn late_after(&self) -> u64 {
        LATE_INTERVALS.saturating_mul(self.interval.as_secs()).saturating_add(LATE_SECONDS)
    }

    /// Whether the next one is late; `None`: there may be one that this node does not know of.
    pub(crate) fn is_late(&self, now: u64) -> Option<bool> {
        let late = self.age(now) > self.late_after();
        (late || self.newest.is_some()).then_some(late)
    }

    /// For people: how it stands.
    pub(super) fn finding(&self, now: u64) -> Result<String, String> {
        if let Some(reason) = &self.reason {
            return Err(reason.clone());
        }
        let age = self.age(now);
        match (self.newest, self.is_late(now)) {
            (Some(_), Some(true)) => Err(format!("the newest backup is {age} s old")),
            (None, Some(true)) => Err(format!("for {age} s there was none")),
            (Some(_), _) => Ok(format!("the newest backup is {age} s old")),
            (None, _) => Ok("there is none yet".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duty(newest: Option<u64>) -> Duty {
        let mut duty = Duty::new(Duration::from_secs(300), 1_000);
        newest.into_iter().for_each(|newest| duty.found(newest));
        duty
    }

    #[test]
    fn a_backup_is_due_when_the_newest_is_old_enough_or_there_is_none() {
        assert!(duty(None).is_due(1_000));
        assert!(!duty(Some(900)).is_due(1_199));
        assert!(duty(Some(900)).is_due(1_200));
        // One that a clock in the future has named does not stop the schedule until then.
        assert!(duty(Some(50_000)).is_due(1_000));
    }

    #[test]
    fn a_new_leader_knows_nothing_of_attempts_and_finds_out_what_is_late() {
        let mut duty = duty(None);
        assert_eq!((duty.failed(), duty.is_late(1_000 + duty.late_after())), (None, None));
        assert_eq!(duty.is_late(1_001 + duty.late_after()), Some(true), "it has waited for long enough itself");
        assert_eq!(duty.finding(2_000), Err("for 1000 s there was none".to_owned()));
        duty.found(900);
        assert_eq!((duty.is_late(900 + 630), duty.is_late(900 + 631)), (Some(false), Some(true)));
        assert_eq!(duty.failed(), None);
    }

    #[test]
    fn failures_are_counted_until_one_is_made_and_the_last_reason_is_told() {
        let mut duty = duty(Some(900));
        duty.not_made("no room".to_owned());
        duty.not_made("still no room".to_owned());
        assert_eq!((duty.failed(), duty.is_late(1_000)), (Some(2), Some(false)));
        assert_eq!(duty.finding(1_000), Err("still no room".to_owned()));
        duty.made(1_000);
        assert_eq!((duty.failed(), duty.finding(1_010)), (Some(0), Ok("the newest backup is 10 s old".to_owned())));
    }
}
