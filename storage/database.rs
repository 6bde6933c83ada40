//! Opens RocksDB for a log: tuned small, its format and its end checked before anything may vote.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, LogLevel,
    Options, WriteOptions,
};

use crate::error::StorageError;
use crate::marker::Marker;
use crate::schema::{CF_LOG, CF_META, FORMAT_VERSION, KEY_FORMAT, KEY_PURGED, log_index};
use crate::storage::StorageOptions;

/// One memtable of the families that hold little.
const SMALL_MEMTABLE_BYTES: usize = 2 << 20;
/// RocksDB's own log files, each.
const INFO_LOG_BYTES_MAX: usize = 1 << 20;
const OPEN_FILES_MAX: i32 = 64;
/// Write-ahead logs in use, each as large as a memtable.
const LIVE_LOGS_MAX: usize = 4;
/// Those out of use that are kept to be written over: as many, since they go out of use together when memtables are flushed
/// together.
const RECYCLED_LOGS_MAX: usize = LIVE_LOGS_MAX;
/// See where it is set.
const TABLE_SYNC_EVERY_BYTES: u64 = 1 << 20;

const LET_IT_JOIN_AGAIN: &str =
    "; this node must not vote: remove the data directory and let the node join again under a new identity";

pub(crate) fn open(path: &Path, options: &StorageOptions) -> Result<DB, StorageError> {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_db_write_buffer_size(3 * options.memtable_bytes);
    database.set_max_total_wal_size((LIVE_LOGS_MAX * options.memtable_bytes) as u64);
    database.set_keep_log_file_num(2);
    database.set_max_log_file_size(INFO_LOG_BYTES_MAX);
    database.set_log_level(LogLevel::Warn);
    database.set_stats_dump_period_sec(0);
    database.set_max_open_files(OPEN_FILES_MAX);
    database.set_max_background_jobs(2);
    // A table that is flushed or compacted goes to the disk as it is written: one sync of up to 64 MiB at its end would make
    // the log's next sync wait for all of it.
    database.set_bytes_per_sync(TABLE_SYNC_EVERY_BYTES);
    // A kill in the middle of a write leaves a torn record at the end, which nobody was told of: it is dropped, and
    // AbsoluteConsistency would refuse to start for it. What was acknowledged is not lost unnoticed that way: the
    // marker knows the sequence number that was durable once, and a database that ends before it is refused.
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // A file that is written over keeps its size and its place: a synced write then waits for its own bytes only, not for the
    // file system's journal and whatever else is in it. What is left of a former log is told by its number, and a gap by
    // the sequence numbers, for which every write must go through the log.
    let recycled = RECYCLED_LOGS_MAX;
    #[cfg(feature = "planted-bugs")]
    let recycled = crate::planted::recycled_logs(recycled);
    database.set_recycle_log_file_num(recycled);
    let cache = Cache::new_lru_cache(options.block_cache_bytes);
    let family = |memtable_bytes: usize| {
        let mut family = Options::default();
        family.set_write_buffer_size(memtable_bytes);
        family.set_max_write_buffer_number(3);
        family.set_compression_type(DBCompressionType::Lz4);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&cache);
        blocks.set_cache_index_and_filter_blocks(true);
        family.set_block_based_table_factory(&blocks);
        family
    };
    let families = [
        ColumnFamilyDescriptor::new("default", family(SMALL_MEMTABLE_BYTES)),
        ColumnFamilyDescriptor::new(CF_META, family(SMALL_MEMTABLE_BYTES)),
        ColumnFamilyDescriptor::new(CF_LOG, family(options.memtable_bytes)),
    ];
    DB::open_cf_descriptors(&database, path, families).map_err(|error| {
        // No room or no permission is another matter: then the files are good.
        let is_damaged = error.kind() == rocksdb::ErrorKind::Corruption;
        let fix = if is_damaged { LET_IT_JOIN_AGAIN } else { "" };
        StorageError::corrupt(path, format!("the log database cannot be opened: {error}{fix}"))
    })
}

pub(crate) fn family<'a>(db: &'a DB, name: &str) -> Result<&'a ColumnFamily, StorageError> {
    db.cf_handle(name).ok_or_else(|| StorageError::corrupt(db.path(), format!("column family {name} is missing")))
}

pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    #[cfg(feature = "planted-bugs")]
    crate::planted::write_options(&mut options);
    options
}

/// Refuses what a newer binary wrote. `Ok(false)`: the database is new, nothing was written yet.
pub(crate) fn check_format(db: &DB, data_dir: &Path) -> Result<bool, StorageError> {
    let Some(bytes) = db.get_cf(family(db, CF_META)?, KEY_FORMAT)? else { return Ok(false) };
    match <[u8; 4]>::try_from(bytes.as_ref()).map(u32::from_be_bytes) {
        Ok(found) if found <= FORMAT_VERSION => Ok(true),
        Ok(found) => Err(StorageError::Newer { path: data_dir.to_owned(), found, known: FORMAT_VERSION }),
        Err(_) => Err(StorageError::corrupt(data_dir, "its format record is damaged")),
    }
}

/// Refuses a database that ends before what was durable once.
pub(crate) fn check_marker(db: &DB, marker: &Marker, purged_end: u64, data_dir: &Path) -> Result<(), StorageError> {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is_marker_ignored() {
        return Ok(());
    }
    let durable = marker.known();
    let end = last_index(db, purged_end)?.map_or(purged_end, |last| last.saturating_add(1));
    if durable.end > end {
        return Err(StorageError::LogBehindMarker { path: data_dir.to_owned(), end, durable: durable.end });
    }
    let found = db.latest_sequence_number();
    if durable.sequence > found {
        return Err(StorageError::WritesLost { path: data_dir.to_owned(), found, durable: durable.sequence });
    }
    Ok(())
}

/// The log's last index, if there is any that was not purged.
pub(crate) fn last_index(db: &DB, purged_end: u64) -> Result<Option<u64>, StorageError> {
    let mut iterator = db.raw_iterator_cf(family(db, CF_LOG)?);
    iterator.seek_to_last();
    iterator.status()?;
    Ok(iterator.key().and_then(log_index).filter(|last| *last >= purged_end))
}

/// One past the last index that was purged; 0 when nothing was.
pub(crate) fn purged_end(db: &DB, data_dir: &Path) -> Result<u64, StorageError> {
    let Some(bytes) = db.get_cf(family(db, CF_META)?, KEY_PURGED)? else { return Ok(0) };
    bytes
        .first_chunk()
        .map(|head| u64::from_be_bytes(*head).saturating_add(1))
        .ok_or_else(|| StorageError::corrupt(data_dir, "its record of the purged log is damaged"))
}
