//! Watches the disk under the log: a leader whose disk hangs gives up leading, although its heartbeats go on.
//!
//! Followers with working disks form a quorum without the leader's own, so commits go on for a while and nobody votes
//! against it; but what is not on its disk waits in its memory, and once that is full everything waits for it.

use std::sync::Weak;
use std::time::{Duration, Instant};

use crate::handle::Inner;
use crate::transfer;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A leader whose synced write has been running for this long hands the leadership over.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Between two attempts to hand it over.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// A disk that has not answered for this long does not come back: the node stops.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// What is to be done about a synced write that has been running for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Healthy,
    /// Give up leading.
    Stalled,
    /// Stop.
    Lost,
}

fn judge(running_for: Option<Duration>) -> Verdict {
    match running_for {
        Some(time) if time >= LOST_AFTER => Verdict::Lost,
        Some(time) if time >= STALLED_AFTER => Verdict::Stalled,
        _ => Verdict::Healthy,
    }
}

/// Runs for as long as the node lives.
pub(crate) async fn run(node: Weak<Inner>) {
    let mut handed_over: Option<Instant> = None;
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(node) = node.upgrade() else { return };
        let running_for = node.storage.metrics().fsync_running_for();
        match judge(running_for) {
            Verdict::Healthy => handed_over = None,
            Verdict::Stalled if node.leads() && handed_over.is_none_or(|at| at.elapsed() >= AGAIN_AFTER) => {
                tracing::warn!(
                    data_dir = %node.config.data_dir.display(),
                    stalled_ms = running_for.unwrap_or_default().as_millis() as u64,
                    "the disk does not answer: this node gives up the leadership"
                );
                handed_over = Some(Instant::now());
                node.metrics.disk_stalls_total.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                transfer::transfer_leadership(&node).await;
            }
            Verdict::Stalled => {}
            Verdict::Lost => {
                node.fail(format!(
                    "{}: the disk has not answered for {} s; look at the disk, then start the node again",
                    node.config.data_dir.display(),
                    LOST_AFTER.as_secs()
                ));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_takes_long_is_told_from_one_that_never_ends() {
        assert_eq!(judge(None), Verdict::Healthy);
        assert_eq!(judge(Some(STALLED_AFTER - Duration::from_millis(1))), Verdict::Healthy);
        assert_eq!(judge(Some(STALLED_AFTER)), Verdict::Stalled);
        assert_eq!(judge(Some(LOST_AFTER)), Verdict::Lost);
    }
}
