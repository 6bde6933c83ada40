//! Planted bugs of the durable log and of snapshots.

use rocksdb::{DB, WriteOptions};
use vedfolnir_planted::{Bug, is};

use crate::database::{family, last_index};
use crate::error::StorageError;
use crate::marker::{Durable, Marker};
use crate::schema::{CF_LOG, log_key};

/// How a write is made that has to survive.
pub(crate) fn write_options(options: &mut WriteOptions) {
    if is(Bug::SkipFsync) {
        options.set_sync(false);
    }
    if is(Bug::WalLeftOut) {
        // RocksDB syncs nothing where there is no such log.
        options.set_sync(false);
        options.disable_wal(true);
    }
}

/// RocksDB refuses to leave out a log whose files are written over.
pub(crate) fn recycled_logs(count: usize) -> usize {
    if is(Bug::WalLeftOut) { 0 } else { count }
}

pub(crate) fn is_vote_lost() -> bool {
    is(Bug::VoteNotPersisted)
}

/// The database is open and not looked at yet.
pub(crate) fn opened(db: &DB, mut marker: Marker, purged_end: u64) -> Result<Marker, StorageError> {
    if is(Bug::TailDropped)
        && let Some(last) = last_index(db, purged_end)?
    {
        db.delete_cf(family(db, CF_LOG)?, log_key(last))?;
        marker.write(Durable { end: last, ..marker.known() })?;
    }
    Ok(marker)
}

pub(crate) fn is_marker_ignored() -> bool {
    is(Bug::MarkerIgnored)
}

/// What came of a write, as those are told who wait for it.
pub(crate) fn written(result: Result<(), String>) -> Result<(), String> {
    if is(Bug::DiskErrorSwallowed) { Ok(()) } else { result }
}

pub(crate) fn sound(sound: bool) -> bool {
    sound || is(Bug::SnapshotUnchecked)
}
