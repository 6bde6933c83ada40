//! Keeps a misbehaving peer from filling the log: one line for each cause and interval.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The same cause is logged again after this long.
const NOTICE_EVERY: Duration = Duration::from_secs(30);
/// Causes remembered at most; beyond it the oldest interval is forgotten, so lines may repeat but memory stays bounded.
const CAUSES_MAX: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Notices {
    last: Mutex<HashMap<String, Instant>>,
}

impl Notices {
    /// Whether a line for this cause is due now.
    pub(super) fn is_due(&self, cause: String, now: Instant) -> bool {
        let mut last = self.last.lock();
        if last.get(&cause).is_some_and(|at| now.saturating_duration_since(*at) < NOTICE_EVERY) {
            return false;
        }
        if last.len() >= CAUSES_MAX {
            last.retain(|_, at| now.saturating_duration_since(*at) < NOTICE_EVERY);
        }
        if last.len() >= CAUSES_MAX {
            last.clear();
        }
        last.insert(cause, now);
        true
    }

    /// The cause is over: its next occurrence is news.
    pub(super) fn forget(&self, cause: &str) {
        self.last.lock().remove(cause);
    }
}
