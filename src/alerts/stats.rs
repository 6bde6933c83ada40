//! What alerts count: read by the metrics page.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Condition;

/// See the module.
#[derive(Debug, Default)]
pub struct AlertStats {
    firing: [AtomicBool; Condition::ALL.len()],
    /// Messages that the webhook took.
    pub delivered_total: AtomicU64,
    /// Attempts that failed and are made again.
    pub retried_total: AtomicU64,
    /// Messages that were given up, or for which the queue had no room.
    pub dropped_total: AtomicU64,
}

impl AlertStats {
    /// Whether it fires.
    #[must_use]
    pub fn is_firing(&self, condition: Condition) -> bool {
        self.firing[condition as usize].load(Ordering::Relaxed)
    }

    pub(super) fn set_firing(&self, condition: Condition, firing: bool) {
        self.firing[condition as usize].store(firing, Ordering::Relaxed);
    }

    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
