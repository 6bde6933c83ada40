//! Purges the log behind this node's snapshots, but not what a follower needs next that is just being sent one.
//!
//! A follower that takes a minute for a large snapshot needs the entries that came meanwhile. Were they purged as soon as
//! the next snapshot is there, it would need that one too, and as long as entries come fast enough another one after each.
//! So the log is held while a snapshot is on its way: from where that snapshot ends, and up to a bound in bytes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use vedfolnir_state::NodeId;

use crate::handle::Inner;

/// How often it looks whether there is something to purge.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Once a snapshot has come through, its follower reads the log at once, and what a follower reads is not purged.
const HELD_ONCE_THROUGH: Duration = Duration::from_secs(2);
/// Once a transfer has broken off, the next one begins within this time, or nothing is held for that follower any more.
const HELD_ONCE_BROKEN: Duration = Duration::from_secs(30);
/// So much may be written to the log while it is held for a follower; beyond it the log is purged all the same.
const HELD_LOG_BYTES_MAX: u64 = 2 << 30;

/// The snapshots on their way from this node; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Transfers(Arc<Mutex<BTreeMap<NodeId, Transfer>>>);

/// Of one follower. Entries after `position` are held for it unless `spent`.
struct Transfer {
    /// The last log index in the snapshot.
    position: u64,
    /// Attempts that have not ended.
    under_way: u32,
    /// Once none is under way.
    held_until: Instant,
    /// Bytes that had been written to the log when it was first looked at.
    written_before: Option<u64>,
    /// More than [`HELD_LOG_BYTES_MAX`] came meanwhile.
    spent: bool,
}

/// A transfer that moves. When this is dropped it has broken off, unless it has come to its end.
pub(crate) struct UnderWay {
    transfers: Transfers,
    to: NodeId,
    is_through: bool,
}

impl UnderWay {
    /// The follower has answered: it has the snapshot, or refused it.
    pub(crate) fn through(mut self) {
        self.is_through = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(transfer) = self.transfers.0.lock().get_mut(&self.to) {
            transfer.under_way = transfer.under_way.saturating_sub(1);
            let held = if self.is_through { HELD_ONCE_THROUGH } else { HELD_ONCE_BROKEN };
            transfer.held_until = Instant::now() + held;
        }
    }
}

impl Transfers {
    /// A follower takes the snapshot that ends at log index `position`. One that is only offered holds nothing: a node that
    /// is gone is offered one for as long as it is a member.
    pub(crate) fn begin(&self, to: NodeId, position: u64) -> UnderWay {
        let mut transfers = self.0.lock();
        let transfer = transfers.entry(to).or_insert_with(|| Transfer {
            position,
            under_way: 0,
            held_until: Instant::now(),
            written_before: None,
            spent: false,
        });
        transfer.position = position;
        transfer.under_way += 1;
        UnderWay { transfers: self.clone(), to, is_through: false }
    }

    /// The log index after which everything is held, if anything is; `written`: bytes written to the log so far.
    fn held_after(&self, now: Instant, written: u64, mut on_spent: impl FnMut(NodeId)) -> Option<u64> {
        let mut transfers = self.0.lock();
        transfers.retain(|_, transfer| transfer.under_way > 0 || now < transfer.held_until);
        for (to, transfer) in transfers.iter_mut().filter(|(_, transfer)| !transfer.spent) {
            let before = *transfer.written_before.get_or_insert(written);
            if written.saturating_sub(before) > HELD_LOG_BYTES_MAX {
                transfer.spent = true;
                on_spent(*to);
            }
        }
        transfers.values().filter(|transfer| !transfer.spent).map(|transfer| transfer.position).min()
    }
}

/// Up to which log index to purge, that one included. `kept_entries` stay behind the snapshot for slow followers.
fn purge_end(snapshot: u64, kept_entries: u64, held_after: Option<u64>) -> Option<u64> {
    let end = snapshot.checked_sub(kept_entries)?;
    Some(held_after.map_or(end, |held_after| end.min(held_after)))
}

/// Runs for as long as the node lives.
pub(crate) async fn run(node: Weak<Inner>) {
    let mut asked = None;
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(node) = node.upgrade() else { return };
        let (snapshot, purged) = {
            let metrics = node.raft.metrics();
            let metrics = metrics.borrow_watched();
            let index = |log_id: &Option<crate::type_config::LogId>| log_id.as_ref().map(|log_id| log_id.index);
            (index(&metrics.snapshot), index(&metrics.purged))
        };
        let written = node.storage.metrics().bytes_total.load(Relaxed);
        let held_after = node.transfers.held_after(Instant::now(), written, |to| {
            node.metrics.log_holds_spent_total.fetch_add(1, Relaxed);
            tracing::warn!(
                node = format!("{to:016x}"),
                "{} MiB were written to the log while this node takes a snapshot: it is purged, and the node will need another one",
                HELD_LOG_BYTES_MAX >> 20
            );
        });
        let kept_entries = node.config.snapshot_every_entries / 4;
        let end = snapshot.and_then(|snapshot| purge_end(snapshot, kept_entries, held_after));
        // What a follower is just reading is purged later, without being asked for again.
        if end > purged.max(asked)
            && let Some(end) = end
        {
            asked = Some(end);
            if node.raft.purge_log(end).await.is_err() {
                // Raft has stopped, and the node with it.
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn never(to: NodeId) {
        panic!("nothing was spent, but {to}");
    }

    #[test]
    fn a_quarter_stays_behind_a_snapshot_and_all_that_is_held() {
        assert_eq!(purge_end(100, 25, None), Some(75));
        assert_eq!(purge_end(100, 25, Some(80)), Some(75));
        assert_eq!(purge_end(100, 25, Some(40)), Some(40));
        assert_eq!(purge_end(20, 25, None), None);
    }

    #[test]
    fn the_log_is_held_for_the_follower_that_needs_most() {
        let (transfers, now) = (Transfers::default(), Instant::now());
        assert_eq!(transfers.held_after(now, 0, never), None);
        let _one = transfers.begin(1, 500);
        let two = transfers.begin(2, 300);
        assert_eq!(transfers.held_after(now, 0, never), Some(300));
        two.through();
        let now = Instant::now();
        assert_eq!(transfers.held_after(now, 0, never), Some(300), "it has yet to read the log");
        assert_eq!(transfers.held_after(now + HELD_ONCE_THROUGH, 0, never), Some(500));
        assert_eq!(transfers.held_after(now + HELD_ONCE_BROKEN * 9, 0, never), Some(500), "still under way");
    }

    #[test]
    fn a_transfer_that_breaks_off_is_the_same_when_it_goes_on() {
        let transfers = Transfers::default();
        drop(transfers.begin(1, 500));
        assert_eq!(transfers.held_after(Instant::now() + HELD_ONCE_THROUGH + SECOND, 7, never), Some(500));
        let _again = transfers.begin(1, 600);
        let mut spent = Vec::new();
        let later = Instant::now() + HELD_ONCE_BROKEN + SECOND;
        assert_eq!(transfers.held_after(later, 7 + HELD_LOG_BYTES_MAX, never), Some(600));
        assert_eq!(transfers.held_after(later, 8 + HELD_LOG_BYTES_MAX, |to| spent.push(to)), None);
        assert_eq!(transfers.held_after(later, 9 + HELD_LOG_BYTES_MAX, |to| spent.push(to)), None);
        assert_eq!(spent, [1], "said once");
    }

    #[test]
    fn a_new_transfer_after_one_that_was_given_up_holds_again() {
        let transfers = Transfers::default();
        drop(transfers.begin(1, 500));
        let now = Instant::now();
        assert_eq!(transfers.held_after(now, 0, never), Some(500));
        assert_eq!(transfers.held_after(now, u64::MAX, drop), None);
        assert_eq!(transfers.held_after(now + HELD_ONCE_BROKEN + SECOND, u64::MAX, never), None);
        let _next = transfers.begin(1, 900);
        assert_eq!(transfers.held_after(now + HELD_ONCE_BROKEN + SECOND, u64::MAX, never), Some(900));
    }
}
