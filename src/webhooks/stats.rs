//! What this node has delivered; the leader's are the ones that move.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::service::Distribution;

/// See the module.
#[derive(Debug)]
pub struct WebhookStats {
    /// Messages that the receiver took, replays among them.
    pub delivered_total: AtomicU64,
    /// Attempts that failed and are made again.
    pub retried_total: AtomicU64,
    /// Messages that were given up: dead letters.
    pub dead_total: AtomicU64,
    /// Times that events were no longer kept when it was their turn.
    pub lost_total: AtomicU64,
    /// Messages that wait to be taken, on the leader.
    pub pending: AtomicU64,
    /// Attempts that failed since the last one that did not, on the leader.
    pub failed_in_a_row: AtomicU64,
    /// How long attempts took.
    pub attempts: Distribution,
    /// Why the last one failed, while they fail.
    pub last_error: Mutex<Option<String>>,
}

impl Default for WebhookStats {
    fn default() -> Self {
        Self {
            delivered_total: AtomicU64::new(0),
            retried_total: AtomicU64::new(0),
            dead_total: AtomicU64::new(0),
            lost_total: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            failed_in_a_row: AtomicU64::new(0),
            attempts: Distribution::of_times(),
            last_error: Mutex::default(),
        }
    }
}

impl WebhookStats {
    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
