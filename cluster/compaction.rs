//! Keeps this node's log within bounds: purges it behind a snapshot, and has one taken when many bytes came since the last.
//! What a follower needs next that is just being sent a snapshot is not purged.
//!
//! A follower that takes a minute for a large snapshot needs the entries that came meanwhile. Were they purged as soon as
//! the next snapshot is there, it would need that one too, and as long as entries come fast enough another one after each.
//! So the log is held while a snapshot is on its way: from where that snapshot ends, and up to a bound in bytes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use parking_lot::Mutex;
use vedfolnir_state::NodeId;

use crate::handle::Inner;
use crate::log_bytes::LogBytes;
use crate::type_config::{LogId, TypeConfig};

/// How often it looks whether there is something to purge.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Once a snapshot has come through, its follower reads the log at once, and what a follower reads is not purged.
const HELD_ONCE_THROUGH: Duration = Duration::from_secs(2);
/// Once a transfer has broken off, the next one begins within this time, or nothing is held for that follower any more.
const HELD_ONCE_BROKEN: Duration = Duration::from_secs(30);

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
    /// More came meanwhile than the log is held for.
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

    /// The log index after which everything is held, if anything is; `written`: bytes written to the log so far. For a
    /// follower for which more than `bytes_max` were written since, nothing is.
    fn held_after(&self, now: Instant, written: u64, bytes_max: u64, mut on_spent: impl FnMut(NodeId)) -> Option<u64> {
        let mut transfers = self.0.lock();
        transfers.retain(|_, transfer| transfer.under_way > 0 || now < transfer.held_until);
        for (to, transfer) in transfers.iter_mut().filter(|(_, transfer)| !transfer.spent) {
            let before = *transfer.written_before.get_or_insert(written);
            if written.saturating_sub(before) > bytes_max {
                transfer.spent = true;
                on_spent(*to);
            }
        }
        transfers.values().filter(|transfer| !transfer.spent).map(|transfer| transfer.position).min()
    }
}

/// How much of the log there may be.
struct Bounds {
    /// Entries that stay behind a snapshot for slow followers, if they are no more than `kept_bytes`.
    kept_entries: u64,
    kept_bytes: u64,
    /// Bytes behind a snapshot after which the next one is taken, however few entries they are.
    snapshot_bytes: u64,
    held_bytes: u64,
}

impl Bounds {
    fn of(node: &Inner) -> Self {
        let (entries, bytes) = (node.config.snapshot_every_entries, node.config.snapshot_every_bytes);
        Self {
            kept_entries: entries / 4,
            kept_bytes: bytes / 4,
            snapshot_bytes: own_pace(bytes, node.local.node_id()),
            held_bytes: bytes.saturating_mul(2),
        }
    }

    /// Up to which log index to purge, that one included.
    fn purge_end(&self, snapshot: u64, log: &LogBytes, held_after: Option<u64>) -> Option<u64> {
        let end = snapshot.checked_sub(self.kept_entries).max(log.before(snapshot, self.kept_bytes))?;
        Some(held_after.map_or(end, |held_after| end.min(held_after)))
    }
}

/// All nodes apply the same entries; were each to take its snapshots after as many of them, or as many bytes, all would be slow at
/// once, and there would be no quorum of those that are not. Each has a pace of its own instead: up to half as many more.
pub(crate) fn own_pace(every: u64, node: NodeId) -> u64 {
    const STEPS: u64 = 1024;
    every.saturating_add(every.div_ceil(2).saturating_mul(node % STEPS) / STEPS)
}

/// Runs for as long as the node lives.
pub(crate) async fn run(node: Weak<Inner>) {
    let Some(bounds) = node.upgrade().map(|node| Bounds::of(&node)) else { return };
    let mut log = LogBytes::new(bounds.kept_bytes);
    let mut asked = None;
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(node) = node.upgrade() else { return };
        // Raft has stopped when it takes no word any more, and the node with it.
        if look(&node, &bounds, &mut log, &mut asked).await.is_err() {
            return;
        }
    }
}

async fn look(
    node: &Inner,
    bounds: &Bounds,
    log: &mut LogBytes,
    asked: &mut Option<u64>,
) -> Result<(), Fatal<TypeConfig>> {
    let (last, snapshot, purged) = {
        let metrics = node.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |log_id: &Option<LogId>| log_id.as_ref().map(|log_id| log_id.index);
        (metrics.last_log_index.unwrap_or(0), index(&metrics.snapshot), index(&metrics.purged))
    };
    let written = node.storage.metrics().bytes_total.load(Relaxed);
    log.saw(last, written);
    log.forget(purged.unwrap_or(0));
    let held_after = node.transfers.held_after(Instant::now(), written, bounds.held_bytes, |to| {
        node.metrics.log_holds_spent_total.fetch_add(1, Relaxed);
        tracing::warn!(
            node = format!("{to:016x}"),
            "{} MiB were written to the log while this node takes a snapshot: it is purged, and the node will need another one",
            bounds.held_bytes >> 20
        );
    });
    let end = snapshot.and_then(|snapshot| bounds.purge_end(snapshot, log, held_after));
    // What a follower is just reading is purged later, without being asked for again.
    if end > purged.max(*asked)
        && let Some(end) = end
    {
        *asked = Some(end);
        node.raft.purge_log(end).await?;
    }
    if log.behind(snapshot.unwrap_or(0)) > bounds.snapshot_bytes && node.metrics.snapshots_building.load(Relaxed) == 0 {
        node.raft.take_snapshot().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: u64 = 1_000;
    const SECOND: Duration = Duration::from_secs(1);

    fn never(to: NodeId) {
        panic!("nothing was spent, but {to}");
    }

    #[test]
    fn nodes_take_snapshots_at_paces_of_their_own() {
        assert_eq!(own_pace(50_000, 0), 50_000);
        assert_eq!(own_pace(50_000, 1023), 74_975);
        assert!(own_pace(50_000, 0x1234) != own_pace(50_000, 0x1235));
        assert_eq!((own_pace(1, 0), own_pace(1, u64::MAX)), (1, 1));
        assert!(own_pace(u64::from(u32::MAX), u64::MAX) < 2 * u64::from(u32::MAX));
    }

    #[test]
    fn a_quarter_stays_behind_a_snapshot_and_all_that_is_held() {
        let bounds = Bounds { kept_entries: 25, kept_bytes: 1_000, snapshot_bytes: 4_000, held_bytes: 8_000 };
        let mut log = LogBytes::new(1_000);
        assert_eq!(bounds.purge_end(100, &log, None), Some(75));
        assert_eq!(bounds.purge_end(100, &log, Some(80)), Some(75));
        assert_eq!(bounds.purge_end(100, &log, Some(40)), Some(40));
        assert_eq!(bounds.purge_end(20, &log, None), None);
        // Large entries: fewer of them.
        (0..=100).for_each(|index| log.saw(index, index * 100));
        assert_eq!(bounds.purge_end(100, &log, None), Some(90));
        assert_eq!(bounds.purge_end(20, &log, None), Some(10));
        assert_eq!(bounds.purge_end(100, &log, Some(40)), Some(40));
    }

    #[test]
    fn the_log_is_held_for_the_follower_that_needs_most() {
        let (transfers, now) = (Transfers::default(), Instant::now());
        assert_eq!(transfers.held_after(now, 0, HELD, never), None);
        let _one = transfers.begin(1, 500);
        let two = transfers.begin(2, 300);
        assert_eq!(transfers.held_after(now, 0, HELD, never), Some(300));
        two.through();
        let now = Instant::now();
        assert_eq!(transfers.held_after(now, 0, HELD, never), Some(300), "it has yet to read the log");
        assert_eq!(transfers.held_after(now + HELD_ONCE_THROUGH, 0, HELD, never), Some(500));
        assert_eq!(transfers.held_after(now + HELD_ONCE_BROKEN * 9, 0, HELD, never), Some(500), "still under way");
    }

    #[test]
    fn a_transfer_that_breaks_off_is_the_same_when_it_goes_on() {
        let transfers = Transfers::default();
        drop(transfers.begin(1, 500));
        assert_eq!(transfers.held_after(Instant::now() + HELD_ONCE_THROUGH + SECOND, 7, HELD, never), Some(500));
        let _again = transfers.begin(1, 600);
        let mut spent = Vec::new();
        let later = Instant::now() + HELD_ONCE_BROKEN + SECOND;
        assert_eq!(transfers.held_after(later, 7 + HELD, HELD, never), Some(600));
        assert_eq!(transfers.held_after(later, 8 + HELD, HELD, |to| spent.push(to)), None);
        assert_eq!(transfers.held_after(later, 9 + HELD, HELD, |to| spent.push(to)), None);
        assert_eq!(spent, [1], "said once");
    }

    #[test]
    fn a_new_transfer_after_one_that_was_given_up_holds_again() {
        let transfers = Transfers::default();
        drop(transfers.begin(1, 500));
        let now = Instant::now();
        assert_eq!(transfers.held_after(now, 0, HELD, never), Some(500));
        assert_eq!(transfers.held_after(now, u64::MAX, HELD, drop), None);
        assert_eq!(transfers.held_after(now + HELD_ONCE_BROKEN + SECOND, u64::MAX, HELD, never), None);
        let _next = transfers.begin(1, 900);
        assert_eq!(transfers.held_after(now + HELD_ONCE_BROKEN + SECOND, u64::MAX, HELD, never), Some(900));
    }
}
