//! What became of spans and of those that were not begun.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since start.
#[derive(Debug, Default)]
pub struct TraceStats {
    /// Spans that the receiver took.
    pub exported_total: AtomicU64,
    /// Spans that found no room in the queue.
    pub queue_full_total: AtomicU64,
    /// Spans that the receiver did not take: refused, or given up after several attempts.
    pub refused_total: AtomicU64,
    /// Attempts that failed.
    pub attempts_failed_total: AtomicU64,
    /// Traces that were sampled, but not told because too many were in that second.
    pub limited_total: AtomicU64,
}

impl TraceStats {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}
