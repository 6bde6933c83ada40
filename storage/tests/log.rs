//! The log: what was acknowledged stays, reads have no gaps, order is kept.

use futures_util::TryStreamExt;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use tokio::sync::oneshot::error::TryRecvError;

use super::{Config, Vote, append, begin_append, entry, indexes, log_id, open};
use crate::{Storage, StorageError, StorageOptions};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let storage = open(&dir);
        let mut store = storage.log_store::<Config>();
        append(&mut store, 0..200).await;
        store.truncate_after(Some(log_id(149))).await.unwrap();
        append(&mut store, 150..160).await;
        storage.snapshots().create_at(9, b"meta").unwrap().finish().unwrap();
        store.purge(log_id(9)).await.unwrap();
        store.save_vote(&Vote::new(7, 3)).await.unwrap();
        store.save_committed(Some(log_id(155))).await.unwrap();
        storage.put_meta_many(&[("who", b"me"), ("where", b"here")]).unwrap();
    }
    let storage = open(&dir);
    let mut store = storage.log_store::<Config>();
    assert_eq!(indexes(&mut store).await, (10..160).collect::<Vec<_>>());
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(9)));
    assert_eq!(state.last_log_id, Some(log_id(159)));
    assert_eq!(store.get_log_reader().await.read_vote().await.unwrap(), Some(Vote::new(7, 3)));
    assert_eq!(store.read_committed().await.unwrap(), Some(log_id(155)));
    assert_eq!(storage.get_meta("who").unwrap().as_deref(), Some(&b"me"[..]));
    assert_eq!(storage.get_meta("where").unwrap().as_deref(), Some(&b"here"[..]));
    assert_eq!(storage.get_meta("when").unwrap(), None);
}

#[tokio::test]
async fn a_log_that_was_purged_beyond_its_end_goes_on_behind_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    {
        let storage = open(&dir);
        let mut store = storage.log_store::<Config>();
        append(&mut store, 0..10).await;
        storage.snapshots().create_at(999, b"meta").unwrap().finish().unwrap();
        store.purge(log_id(999)).await.unwrap();
        assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(log_id(999)));
        assert_eq!(indexes(&mut store).await, Vec::<u64>::new());
    }
    {
        let mut store = open(&dir).log_store::<Config>();
        assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(log_id(999)));
        append(&mut store, 1_000..1_003).await;
    }
    let mut store = open(&dir).log_store::<Config>();
    assert_eq!(indexes(&mut store).await, [1_000, 1_001, 1_002]);
}

#[tokio::test]
async fn reads_cross_from_disk_into_memory_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let options = StorageOptions { log_cache_bytes_max: 1_000, ..StorageOptions::default() };
    let storage = Storage::open(dir.path(), options).unwrap();
    let mut store = storage.log_store::<Config>();
    for start in (0..500).step_by(10) {
        append(&mut store, start..start + 10).await;
    }
    assert_eq!(indexes(&mut store).await, (0..500).collect::<Vec<_>>());
    let mut reader = store.get_log_reader().await;
    for start in [0, 1, 250, 470, 485, 499] {
        let read = reader.try_get_log_entries(start..500).await.unwrap();
        assert_eq!(read.first().map(|entry| entry.log_id.index), Some(start));
        assert_eq!(read.len() as u64, 500 - start);
    }
    store.purge(log_id(99)).await.unwrap();
    assert_eq!(indexes(&mut store).await, (100..500).collect::<Vec<_>>(), "a range that begins before the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_the_writer_never_sees_a_gap() {
    const ENTRIES: u64 = 3_000;
    let dir = tempfile::tempdir().unwrap();
    let options = StorageOptions { log_cache_bytes_max: 500, ..StorageOptions::default() };
    let storage = Storage::open(dir.path(), options).unwrap();
    let mut store = storage.log_store::<Config>();
    let mut reader = store.get_log_reader().await;
    let reading = tokio::spawn(async move {
        let mut seen = 0;
        while seen < ENTRIES {
            let read = reader.try_get_log_entries(seen / 2..).await.unwrap();
            for (offset, entry) in read.iter().enumerate() {
                assert_eq!(entry.log_id.index, seen / 2 + offset as u64);
            }
            let end = seen / 2 + read.len() as u64;
            assert!(end >= seen, "what was seen stays");
            seen = end;
            tokio::task::yield_now().await;
        }
    });
    for index in 0..ENTRIES {
        let flushed = begin_append(&mut store, vec![entry(1, index, "x")]).await;
        if index % 7 == 0 {
            flushed.await.unwrap().unwrap();
        }
    }
    reading.await.unwrap();
}

#[tokio::test]
async fn limited_reads_and_streams_are_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for cache in [64 << 20, 1_000] {
        let options = StorageOptions { log_cache_bytes_max: cache, ..StorageOptions::default() };
        let storage = Storage::open(dir.path(), options).unwrap();
        let mut store = storage.log_store::<Config>();
        let large = "x".repeat(300_000);
        for index in 0..10 {
            begin_append(&mut store, vec![entry(1, index, &large)]).await.await.unwrap().unwrap();
        }
        begin_append(&mut store, vec![entry(1, 10, &"x".repeat(3_000_000))]).await.await.unwrap().unwrap();
        let mut reader = store.get_log_reader().await;
        assert_eq!(reader.limited_get_log_entries(0, 11).await.unwrap().len(), 3);
        assert_eq!(reader.limited_get_log_entries(10, 11).await.unwrap().len(), 1, "one larger entry goes alone");
        let stream = reader.entries_stream(2..11).await;
        let streamed: Vec<u64> = stream.map_ok(|entry| entry.log_id.index).try_collect().await.unwrap();
        assert_eq!(streamed, (2..11).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn entries_are_readable_at_once_and_callbacks_come_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(&dir);
    let mut store = storage.log_store::<Config>();
    let mut reader = store.get_log_reader().await;
    let mut waiting = Vec::new();
    for index in 0..300 {
        waiting.push(begin_append(&mut store, vec![entry(1, index, "text")]).await);
        let read = reader.try_get_log_entries(index..index + 1).await.unwrap();
        assert_eq!(read.len(), 1, "before it is on disk");
    }
    // A vote waits for the disk, and for everything that was handed over before it.
    store.save_vote(&Vote::new(3, 1)).await.unwrap();
    for mut flushed in waiting {
        flushed.try_recv().expect("called back before the vote").expect("on disk");
    }
    assert!(storage.metrics().fsync_total.load(std::sync::atomic::Ordering::Relaxed) > 0);
    assert_eq!(storage.metrics().entries_total.load(std::sync::atomic::Ordering::Relaxed), 300);
    assert_eq!(storage.metrics().fsync_running_for(), None);
}

#[tokio::test]
async fn what_is_not_on_disk_yet_is_readable_and_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let options = StorageOptions { log_cache_bytes_max: 100, ..StorageOptions::default() };
    let storage = Storage::open(dir.path(), options).unwrap();
    let mut store = storage.log_store::<Config>();
    append(&mut store, 0..50).await;
    let hanging = storage.inner.hang_disk();
    let mut waiting = Vec::new();
    for index in 50..100 {
        waiting.push(begin_append(&mut store, vec![entry(1, index, "more than the cache may keep")]).await);
    }
    assert_eq!(indexes(&mut store).await, (0..100).collect::<Vec<_>>());
    for flushed in &mut waiting {
        assert!(matches!(flushed.try_recv(), Err(TryRecvError::Empty)), "nothing is acknowledged before it is on disk");
    }
    drop(hanging);
    for flushed in waiting {
        flushed.await.expect("called back").expect("on disk");
    }
}

#[tokio::test]
async fn after_a_failure_nothing_is_acknowledged_any_more() {
    let dir = tempfile::tempdir().unwrap();
    {
        let storage = open(&dir);
        let mut store = storage.log_store::<Config>();
        append(&mut store, 0..3).await;
        storage.inner.fail("the disk says no");
        assert_eq!(storage.failed().await, "the disk says no");
        let vote = store.save_vote(&Vote::new(2, 1)).await.expect_err("refused");
        assert!(vote.to_string().contains("the disk says no"), "{vote}");
        begin_append(&mut store, vec![entry(1, 3, "late")]).await.await.expect("called back").expect_err("refused");
        store.truncate_after(None).await.expect_err("refused");
        store.purge(log_id(1)).await.expect_err("refused");
        store.read_committed().await.expect_err("refused");
        storage.put_meta("key", b"value").expect_err("refused");
    }
    let storage = open(&dir);
    let mut store = storage.log_store::<Config>();
    assert_eq!(indexes(&mut store).await, [0, 1, 2]);
    assert_eq!(store.get_log_reader().await.read_vote().await.unwrap(), None);
    assert_eq!(storage.get_meta("key").unwrap(), None);
}

#[tokio::test]
async fn everything_can_be_truncated_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut store = open(&dir).log_store::<Config>();
        append(&mut store, 0..5).await;
        store.truncate_after(None).await.unwrap();
        assert_eq!(indexes(&mut store).await, Vec::<u64>::new());
    }
    {
        let mut store = open(&dir).log_store::<Config>();
        assert_eq!(store.get_log_state().await.unwrap().last_log_id, None);
        begin_append(&mut store, vec![entry(2, 0, "new")]).await.await.unwrap().unwrap();
    }
    let mut store = open(&dir).log_store::<Config>();
    assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(entry(2, 0, "").log_id));
}

#[tokio::test]
async fn there_is_one_log_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(&dir);
    let mut first = storage.log_store::<Config>();
    storage.log_store::<Config>().save_vote(&Vote::new(1, 1)).await.expect_err("refused");
    append(&mut first, 0..1).await;
    drop(first);
    append(&mut storage.log_store::<Config>(), 1..2).await;
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let held = open(&dir);
    let refused = Storage::open(dir.path(), StorageOptions::default()).err().expect("refused");
    assert!(matches!(refused, StorageError::Locked(_)));
    assert!(refused.to_string().contains(&dir.path().display().to_string()));
    drop(held);
    let file = dir.path().join("a file");
    std::fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let refused = Storage::open(&path, StorageOptions::default()).err().expect("refused");
        assert!(matches!(refused, StorageError::Directory { .. }), "{refused}");
        assert!(refused.to_string().contains("a file"), "{refused}");
    }
}

#[test]
fn the_directory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new").join("data");
    let _storage = Storage::open(&path, StorageOptions::default()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    {
        let inner = &open(&dir).inner;
        let meta = inner.cf(crate::schema::CF_META).unwrap();
        inner.db.put_cf(meta, crate::schema::KEY_FORMAT, 99u32.to_be_bytes()).unwrap();
    }
    let refused = Storage::open(dir.path(), StorageOptions::default()).err().expect("refused");
    assert!(matches!(refused, StorageError::Newer { found: 99, .. }), "{refused}");
}
