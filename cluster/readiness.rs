//! Judges whether this node can serve: in contact with a quorum, caught up, its incarnation live.

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::handle::{Inner, Readiness};

/// How often it is judged.
pub(crate) const JUDGED_EVERY: Duration = Duration::from_millis(100);
/// A replica this many entries behind what it knows as committed refuses to serve.
const LAG_ENTRIES_MAX: u64 = 20_000;

/// When this node last heard from a leader, or as a leader from a quorum; on the monotonic clock.
pub(crate) struct Contact {
    origin: Instant,
    at_ms: AtomicU64,
}

impl Contact {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), at_ms: AtomicU64::new(0) }
    }

    pub(crate) fn touch(&self) {
        self.touch_at(Instant::now());
    }

    fn touch_at(&self, at: Instant) {
        let ms = at.saturating_duration_since(self.origin).as_millis() as u64;
        self.at_ms.fetch_max(ms, Ordering::AcqRel);
    }

    fn age(&self, now: Instant) -> Duration {
        let now_ms = now.saturating_duration_since(self.origin).as_millis() as u64;
        Duration::from_millis(now_ms.saturating_sub(self.at_ms.load(Ordering::Acquire)))
    }
}

/// What progress looked like at the last judgement.
pub(crate) struct Judge {
    applied: u64,
    progress_at: Instant,
}

impl Judge {
    pub(crate) fn new(now: Instant) -> Self {
        Self { applied: 0, progress_at: now }
    }

    /// One judgement.
    pub(crate) fn judge(&mut self, node: &Inner, now: Instant) -> Readiness {
        let (leads, quorum_acked, committed, leader) = {
            let metrics = node.raft.metrics();
            let metrics = metrics.borrow_watched();
            (
                metrics.state.is_leader(),
                metrics.last_quorum_acked.map(|at| *at),
                metrics.cluster_committed.as_ref().map_or(0, |log_id| log_id.index),
                metrics.current_leader,
            )
        };
        if leads && let Some(at) = quorum_acked {
            node.contact.touch_at(now.checked_sub(at.elapsed()).unwrap_or(now));
        }
        let applied = node.replica.applied_index();
        if applied != self.applied || applied >= committed {
            self.applied = applied;
            self.progress_at = now;
        }
        let silence = node.contact.age(now);
        let limit = node.config.isolation_after;
        let reason = if silence > limit {
            Some(format!("no contact with a quorum for {} s", silence.as_secs()))
        } else if now.saturating_duration_since(self.progress_at) > limit {
            Some(format!("nothing applied for {} s although more is committed", limit.as_secs()))
        } else {
            None
        };
        if let Some(reason) = reason {
            return Readiness { ready: false, isolated: true, reason: Some(reason) };
        }
        let reason = if leader.is_none() {
            Some("no leader is elected".to_owned())
        } else if !node.proposer.is_live() {
            Some("the cluster has not committed this node's start yet".to_owned())
        } else if committed.saturating_sub(applied) > LAG_ENTRIES_MAX {
            Some(format!("catching up: {} entries behind", committed - applied))
        } else {
            None
        };
        Readiness { ready: reason.is_none(), isolated: false, reason }
    }
}

/// Judges for as long as the node lives.
pub(crate) async fn run(node: std::sync::Weak<Inner>, readiness: watch::Sender<Readiness>) {
    let mut judge = Judge::new(Instant::now());
    let mut interval = tokio::time::interval(JUDGED_EVERY);
    loop {
        interval.tick().await;
        let Some(node) = node.upgrade() else { return };
        let current = judge.judge(&node, Instant::now());
        readiness.send_if_modified(|known| {
            let changed = known.ready != current.ready || known.isolated != current.isolated;
            if changed && !current.ready {
                tracing::warn!(reason = current.reason.as_deref().unwrap_or(""), "this node cannot serve");
            }
            if changed && current.ready {
                tracing::info!("this node serves");
            }
            let differs = *known != current;
            *known = current;
            differs
        });
    }
}
