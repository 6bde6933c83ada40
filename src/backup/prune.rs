//! Which backups stay: the newest few and, behind them, one for each hour and one for each day.

use std::collections::BTreeSet;

use vedfolnir_cluster::backup::BackupId;

use super::archive::prune_segments;
use super::location::{Location, LocationError, Stored};

/// How many stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The newest ones; at least one.
    pub newest: usize,
    /// Besides, the newest one of each of so many hours that have one, back from the newest.
    pub hourly: usize,
    /// And of so many days.
    pub daily: usize,
}

impl Keep {
    /// Those that do not stay, the oldest first.
    #[must_use]
    pub fn surplus(&self, ids: &[BackupId]) -> Vec<BackupId> {
        let mut newest_first = ids.to_vec();
        newest_first.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        let mut kept: BTreeSet<BackupId> = newest_first.iter().take(self.newest.max(1)).copied().collect();
        for (count, seconds) in [(self.hourly, 3_600), (self.daily, 86_400)] {
            let mut periods = BTreeSet::new();
            for id in &newest_first {
                let period = id.unix_seconds() / seconds;
                if periods.contains(&period) {
                    continue;
                }
                if periods.len() == count {
                    break;
                }
                periods.insert(period);
                kept.insert(*id);
            }
        }
        newest_first.into_iter().rev().filter(|id| !kept.contains(id)).collect()
    }
}

/// Removes what does not stay, and what of the log leads on from nothing that stays; returns which backups were removed.
/// Nothing is, unless the newest one was read back as a whole.
///
/// # Errors
/// [`LocationError`]; what was removed before is gone.
pub fn prune(location: &dyn Location, keep: &Keep) -> Result<Vec<BackupId>, LocationError> {
    let stored = location.list()?;
    if stored.first().is_none_or(|newest| newest.sha256.is_none()) {
        return Ok(Vec::new());
    }
    let ids: Vec<BackupId> = stored.iter().map(|Stored { id, .. }| *id).collect();
    let surplus = keep.surplus(&ids);
    for id in &surplus {
        location.delete(*id)?;
    }
    let kept: Vec<BackupId> = ids.into_iter().filter(|id| !surplus.contains(id)).collect();
    prune_segments(location, &kept)?;
    Ok(surplus)
}
