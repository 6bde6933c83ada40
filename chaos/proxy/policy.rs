//! What a line between two nodes does to packets, and what it has done so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happens to packets of one direction between two nodes. The default is a perfect line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    /// Nothing gets through, what is on its way included.
    pub cut: bool,
    /// Share of packets that vanish, 0 to 1.
    pub loss: f64,
    /// How long a packet is on its way.
    pub delay: Duration,
    /// By how much that varies, evenly, in both directions; packets overtake each other.
    pub jitter: Duration,
    /// Share of packets that are held back until those behind them have overtaken, 0 to 1.
    pub reorder: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// What the line carries. Its router holds half a second's worth and drops the rest.
    pub bytes_per_second: Option<u64>,
}

impl Policy {
    /// A line that carries nothing.
    #[must_use]
    pub fn cut() -> Self {
        Self { cut: true, ..Self::default() }
    }

    /// A line that loses this share of its packets.
    #[must_use]
    pub fn loss(share: f64) -> Self {
        Self { loss: share, ..Self::default() }
    }

    /// A line on which packets are on their way for this long, more or less.
    #[must_use]
    pub fn delay(delay: Duration, jitter: Duration) -> Self {
        Self { delay, jitter, ..Self::default() }
    }
}

/// Packets between nodes since the network was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sent on, copies included.
    pub forwarded: u64,
    /// Lost by chance or because the line was cut.
    pub dropped: u64,
    /// Of those sent on or waiting: had to wait.
    pub delayed: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Sent on after one that came later.
    pub reordered: u64,
    /// Lost because a queue was full.
    pub overflowed: u64,
}

/// [`Counts`] while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) forwarded: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) delayed: AtomicU64,
    pub(super) duplicated: AtomicU64,
    pub(super) reordered: AtomicU64,
    pub(super) overflowed: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            forwarded: read(&self.forwarded),
            dropped: read(&self.dropped),
            delayed: read(&self.delayed),
            duplicated: read(&self.duplicated),
            reordered: read(&self.reordered),
            overflowed: read(&self.overflowed),
        }
    }
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
