//! Damage on disk: a node whose log or vote was lost does not start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use openraft::storage::{RaftLogReader, RaftLogStorage};
use tempfile::TempDir;

use super::{Config, Vote, append, begin_append, entry, log_id, open};
use crate::schema::{CF_LOG, log_key};
use crate::{Storage, StorageError, StorageOptions};

fn refused(dir: &Path) -> StorageError {
    Storage::open(dir, StorageOptions::default()).err().expect("refused")
}

#[tokio::test]
async fn a_log_that_lost_durable_entries_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    {
        let storage = open(&dir);
        append(&mut storage.log_store::<Config>(), 0..10).await;
        // Behind the storage's back, as a disk that lies does it.
        storage.inner.db.delete_cf(storage.inner.cf(CF_LOG).unwrap(), log_key(9)).unwrap();
    }
    for _ in 0..2 {
        let error = refused(dir.path());
        assert!(matches!(error, StorageError::LogBehindMarker { end: 9, durable: 10, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_lost_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut store = open(&dir).log_store::<Config>();
        store.save_vote(&Vote::new(5, 1)).await.unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("db")).unwrap();
    for _ in 0..2 {
        let error = refused(dir.path());
        assert!(matches!(error, StorageError::WritesLost { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_database_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    append(&mut open(&dir).log_store::<Config>(), 0..3).await;
    std::fs::write(dir.path().join("db/CURRENT"), "MANIFEST").unwrap();
    let error = refused(dir.path()).to_string();
    assert!(error.contains("cannot be opened: Corruption: ") && error.contains("let the node join again"), "{error}");
}

#[tokio::test]
async fn a_truncated_log_is_no_lost_one() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut store = open(&dir).log_store::<Config>();
        append(&mut store, 0..10).await;
        store.truncate_after(Some(log_id(3))).await.unwrap();
    }
    let mut store = open(&dir).log_store::<Config>();
    assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(log_id(3)));
}

#[tokio::test]
async fn a_damaged_marker_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    append(&mut open(&dir).log_store::<Config>(), 0..3).await;
    std::fs::write(dir.path().join("durable"), [7; 24]).unwrap();
    append(&mut open(&dir).log_store::<Config>(), 3..4).await;
    std::fs::remove_dir_all(dir.path().join("db")).unwrap();
    assert!(matches!(refused(dir.path()), StorageError::LogBehindMarker { durable: 4, .. }));
}

#[tokio::test]
async fn a_damaged_or_missing_record_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(&dir);
    append(&mut storage.log_store::<Config>(), 0..5).await;
    let log = storage.inner.cf(CF_LOG).unwrap();
    let sound = storage.inner.db.get_cf(log, log_key(1)).unwrap().unwrap();
    let other = storage.inner.db.get_cf(log, log_key(4)).unwrap().unwrap();
    let mut store = storage.log_store::<Config>();
    let mut reader = store.get_log_reader().await;
    for damaged in [&[][..], &[1, 0xc1], &[99, 0], &sound[..sound.len() - 1], &other] {
        storage.inner.db.put_cf(log, log_key(1), damaged).unwrap();
        let error = reader.try_get_log_entries(0..3).await.expect_err("refused");
        assert!(error.to_string().contains("log record 1"), "{error}");
    }
    storage.inner.db.delete_cf(log, log_key(1)).unwrap();
    let error = reader.try_get_log_entries(0..3).await.expect_err("refused");
    assert!(error.to_string().contains("log record 1: it is missing"), "{error}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let path = item.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// RocksDB's write-ahead log, the only file here that holds the writes.
fn write_ahead_log(dir: &Path) -> PathBuf {
    let mut logs: Vec<PathBuf> = std::fs::read_dir(dir.join("db"))
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter(|path| path.metadata().unwrap().len() > 0)
        .collect();
    assert_eq!(logs.len(), 1);
    logs.remove(0)
}

/// What a node must never forget: its vote and its entries, truncated and rewritten ones included.
async fn contents(dir: &TempDir) -> Result<(Option<Vote>, Vec<(u64, String)>), String> {
    let storage = Storage::open(dir.path(), StorageOptions::default()).map_err(|error| error.to_string())?;
    let mut reader = storage.log_store::<Config>().get_log_reader().await;
    let entries = reader.try_get_log_entries(..).await.map_err(|error| error.to_string())?;
    let vote = reader.read_vote().await.map_err(|error| error.to_string())?;
    Ok((vote, entries.iter().map(|entry| (entry.log_id.index, format!("{entry:?}"))).collect()))
}

#[tokio::test]
async fn a_flipped_or_cut_write_ahead_log_never_forgets_silently() {
    let sound = tempfile::tempdir().unwrap();
    {
        let mut store = open(&sound).log_store::<Config>();
        store.save_vote(&Vote::new(1, 1)).await.unwrap();
        append(&mut store, 0..6).await;
        // The same end of the log before and after: only the sequence number tells.
        store.truncate_after(Some(log_id(2))).await.unwrap();
        let rewritten = (3..6).map(|index| entry(2, index, "rewritten")).collect();
        begin_append(&mut store, rewritten).await.await.unwrap().unwrap();
        store.save_vote(&Vote::new(2, 2)).await.unwrap();
    }
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let dir = tempfile::tempdir().unwrap();
        copy(sound.path(), dir.path());
        let log = write_ahead_log(dir.path());
        let mut bytes = std::fs::read(&log).unwrap();
        change(&mut bytes);
        std::fs::write(&log, bytes).unwrap();
        dir
    };
    let expected = contents(&damaged(&|_| {})).await.expect("a copy opens");
    assert_eq!(expected.0, Some(Vote::new(2, 2)));
    assert_eq!(expected.1.len(), 6);
    let length = std::fs::metadata(write_ahead_log(sound.path())).unwrap().len() as usize;
    let mut refusals = 0;
    for position in (0..length).step_by(37).chain([length - 1]) {
        match contents(&damaged(&|bytes| bytes[position] ^= 0x20)).await {
            Ok(found) => assert_eq!(found, expected, "flipped at {position}"),
            Err(_) => refusals += 1,
        }
        match contents(&damaged(&|bytes| bytes.truncate(position))).await {
            Ok(found) => assert_eq!(found, expected, "cut at {position}"),
            Err(_) => refusals += 1,
        }
    }
    assert!(refusals > 20, "{refusals}");
}

/// Memtables so small that the write-ahead log is changed often, and files of former ones are written over.
fn small() -> StorageOptions {
    StorageOptions { memtable_bytes: 256 << 10, ..StorageOptions::default() }
}

/// The write-ahead log that is written now.
fn newest_log(dir: &Path) -> PathBuf {
    let logs = std::fs::read_dir(dir.join("db")).unwrap().map(|item| item.unwrap().path());
    let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max().expect("a log")
}

#[tokio::test]
async fn what_is_left_of_a_former_log_in_a_file_that_is_written_over_is_never_taken_for_this_one() {
    const TEXT_BYTES: usize = 4 << 10;
    let sound = tempfile::tempdir().unwrap();
    let storage = Storage::open(sound.path(), small()).unwrap();
    let mut store = storage.log_store::<Config>();
    let mut files = BTreeSet::new();
    let mut reused = 0;
    let mut index = 0;
    // Until a log has begun in a file that an earlier one has filled.
    while reused < 3 {
        let text = format!("{index:08}").repeat(TEXT_BYTES / 8);
        begin_append(&mut store, vec![entry(1, index, &text)]).await.await.unwrap().unwrap();
        index += 1;
        let newest = newest_log(sound.path());
        let file = std::fs::metadata(&newest).unwrap();
        if files.insert(newest) && file.len() > TEXT_BYTES as u64 * 4 {
            reused += 1;
        }
        assert!(index < 10_000, "no file was written over");
    }
    // As kill -9 leaves it: nothing was closed. What runs behind the writes would change files while they are copied.
    let db = &storage.inner.db;
    let log = db.cf_handle(CF_LOG).unwrap();
    let runs = |what: &str| db.property_int_value_cf(log, what).unwrap().unwrap() > 0;
    let background =
        ["mem-table-flush-pending", "num-running-flushes", "compaction-pending", "num-running-compactions"];
    while background.iter().any(|what| runs(&format!("rocksdb.{what}"))) {
        tokio::task::yield_now().await;
    }
    let killed = || {
        let dir = tempfile::tempdir().unwrap();
        copy(sound.path(), dir.path());
        dir
    };
    let expected = contents(&killed()).await.expect("a copy opens");
    let indexes: Vec<u64> = expected.1.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, (0..index).collect::<Vec<_>>());
    // A flipped byte ends the log there, whatever of a former one follows.
    let length = std::fs::metadata(newest_log(sound.path())).unwrap().len() as usize;
    let mut refusals = 0;
    for position in (0..length).step_by(length / 40) {
        let dir = killed();
        let log = newest_log(dir.path());
        let mut bytes = std::fs::read(&log).unwrap();
        bytes[position] ^= 0x20;
        std::fs::write(&log, bytes).unwrap();
        match contents(&dir).await {
            Ok(found) => assert_eq!(found, expected, "flipped at {position}"),
            Err(_) => refusals += 1,
        }
    }
    assert!(refusals > 0);
}
