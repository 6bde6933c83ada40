//! Snapshot files: they travel, the newest sound one wins, no damage gets through.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use openraft::storage::RaftLogStorage;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Config, append, log_id, open};
use crate::{SnapshotFile, SnapshotStore, Storage, StorageError, StorageOptions};

/// A store that remembers nothing of what an earlier one verified.
pub(super) fn reopened(dir: &Path, purged_end: u64) -> Result<SnapshotStore, StorageError> {
    bounded(dir, purged_end, 1 << 20)
}

/// The same, of files that may have so many bytes.
pub(super) fn bounded(dir: &Path, purged_end: u64, file_bytes_max: u64) -> Result<SnapshotStore, StorageError> {
    SnapshotStore::open(dir.to_owned(), Arc::new(AtomicU64::new(purged_end)), file_bytes_max)
}

pub(super) fn write(store: &SnapshotStore, position: u64, meta: &[u8], body: &[u8]) -> SnapshotFile {
    let mut writer = store.create_at(position, meta).unwrap();
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}

pub(super) fn body(file: &SnapshotFile) -> Vec<u8> {
    let mut body = Vec::new();
    file.open_body(1 << 20).unwrap().read_to_end(&mut body).unwrap();
    body
}

pub(super) fn raw(file: &SnapshotFile) -> Vec<u8> {
    let mut raw = Vec::new();
    file.open_raw().unwrap().read_to_end(&mut raw).unwrap();
    raw
}

fn receive(store: &SnapshotStore, bytes: &[u8]) -> Result<SnapshotFile, StorageError> {
    let mut incoming = store.receive()?;
    for chunk in bytes.chunks(777) {
        incoming.write(chunk)?;
    }
    incoming.finish()
}

pub(super) fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn snapshots_travel_as_files_and_the_newest_wins() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = reopened(here.path(), 0).unwrap();
    for number in 1..5u8 {
        write(&here, u64::from(number), &[number], &vec![number; 100_000]);
    }
    let file = here.latest().unwrap().expect("one");
    assert_eq!((file.meta(), file.position()), (&[4][..], 4));
    let raw = raw(&file);
    assert_eq!(raw.len() as u64, file.bytes());
    assert!(raw.len() < 10_000, "compressed");
    let received = receive(&reopened(there.path(), 0).unwrap(), &raw).unwrap();
    assert_eq!((received.meta(), received.position()), (&[4][..], 4));
    assert_eq!(body(&received), vec![4; 100_000]);
    let mut bounded = Vec::new();
    assert!(received.open_body(50_000).unwrap().read_to_end(&mut bounded).is_err(), "a bomb is stopped");
    assert_eq!(names(there.path()).len(), 1);
}

#[test]
fn the_position_decides_which_one_is_newest() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = reopened(dir.path(), 0).unwrap();
    // Begun first, finished last: meanwhile a peer sent one that reaches further.
    let mut slow = store.create_at(100, b"slow").unwrap();
    let ahead = raw(&write(&reopened(peer.path(), 0).unwrap(), 1_000, b"ahead", b"body"));
    receive(&store, &ahead).unwrap();
    write(&store, 200, b"middle", b"body");
    slow.write_all(b"body").unwrap();
    let slow = slow.finish().unwrap();
    assert_eq!(body(&slow), b"body", "its builder can still read it");
    assert_eq!(store.latest().unwrap().unwrap().meta(), b"ahead");
    assert_eq!(reopened(dir.path(), 0).unwrap().latest().unwrap().unwrap().meta(), b"ahead");
}

fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap())
}

#[test]
fn the_file_of_a_pruned_snapshot_is_written_over_by_the_next_unless_somebody_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = reopened(dir.path(), 0).unwrap();
    let long: Vec<u8> = (0..20_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let first = inode(write(&store, 1, b"1", &long).path());
    write(&store, 2, b"2", &long);
    // The first is pruned now, and kept; nothing of it is in a shorter one, a longer one, or a peer's.
    write(&store, 3, b"3", &long);
    assert_eq!(names(dir.path()).len(), 3);
    let fourth = write(&store, 4, b"4", b"short");
    assert_eq!((inode(fourth.path()), body(&fourth)), (first, b"short".to_vec()));
    let longer = [&long[..], b"and more"].concat();
    assert_eq!(body(&write(&store, 5, b"5", &longer)), longer);
    let peer = tempfile::tempdir().unwrap();
    let sent = raw(&write(&reopened(peer.path(), 0).unwrap(), 6, b"6", b"a peer's"));
    assert_eq!(body(&receive(&store, &sent).unwrap()), b"a peer's");
    assert_eq!(reopened(dir.path(), 0).unwrap().latest().unwrap().unwrap().meta(), b"6");

    // Whoever holds one, or reads its body, reads it to its end.
    let held = write(&store, 7, b"7", &longer);
    let mut reading = write(&store, 8, b"8", &longer).open_body(1 << 20).unwrap();
    let (seventh, eighth) = (inode(held.path()), inode(store.latest().unwrap().unwrap().path()));
    let mut content = held.open_raw().unwrap();
    for number in 9..20 {
        let next = inode(write(&store, number, b"next", &long).path());
        assert!(next != seventh && next != eighth, "{number}");
    }
    let mut read = Vec::new();
    reading.read_to_end(&mut read).unwrap();
    assert_eq!(read, longer);
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, held.bytes());
    // What a kill leaves of it is removed.
    assert_eq!(names(dir.path()).len(), 3);
    reopened(dir.path(), 0).unwrap();
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn any_flipped_byte_is_refused_and_the_older_snapshot_serves() {
    let dir = tempfile::tempdir().unwrap();
    let store = reopened(dir.path(), 0).unwrap();
    write(&store, 10, b"old", b"old body");
    let newest = write(&store, 20, b"new", b"new body, a little longer");
    let sound = std::fs::read(newest.path()).unwrap();
    for position in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[position] ^= 0x40;
        std::fs::write(newest.path(), &damaged).unwrap();
        let reaching = reopened(dir.path(), 11).unwrap();
        assert_eq!(reaching.latest().unwrap().expect("the older").meta(), b"old", "byte {position}");
        // The log no longer reaches back to the older one: it would leave a hole.
        let error = reopened(dir.path(), 12).unwrap().latest().expect_err("refused");
        assert!(error.to_string().contains(newest.path().to_str().unwrap()), "{error}");
        assert!(receive(&store, &damaged).is_err(), "byte {position}");
    }
    assert_eq!(names(dir.path()).len(), 2, "nothing unfinished is left");
}

#[test]
fn a_damaged_snapshot_without_an_older_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let only = write(&reopened(dir.path(), 0).unwrap(), 5, b"meta", b"body");
    std::fs::write(only.path(), b"VDFS").unwrap();
    let error = reopened(dir.path(), 0).unwrap().latest().expect_err("refused");
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains(only.path().to_str().unwrap()), "{error}");
}

#[test]
fn an_unfinished_snapshot_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = reopened(dir.path(), 0).unwrap();
    let mut writer = store.create_at(1, b"meta").unwrap();
    writer.write_all(b"half").unwrap();
    drop(writer);
    let mut incoming = store.receive().unwrap();
    incoming.write(b"VDFS").unwrap();
    drop(incoming);
    assert_eq!(names(dir.path()), Vec::<String>::new());
    // As a kill leaves it.
    std::fs::write(dir.path().join("00000000000000000007.partial"), b"half").unwrap();
    let store = reopened(dir.path(), 0).unwrap();
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert!(store.latest().unwrap().is_none());
}

#[test]
fn a_peer_cannot_send_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut endless = b"VDFS\x01\0\0\0".to_vec();
    endless.resize((1 << 20) + 1, 0);
    let error = receive(&reopened(dir.path(), 0).unwrap(), &endless).expect_err("refused");
    assert!(matches!(error, StorageError::TooLarge { .. }), "{error}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_compacted_log_without_its_snapshot_is_refused() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let snapshot = {
        let storage = open(&dir);
        let snapshot = write(&storage.snapshots(), 9, b"meta", b"body");
        let mut store = storage.log_store::<Config>();
        append(&mut store, 0..20).await;
        store.purge(log_id(9)).await.unwrap();
        snapshot
    };
    drop(open(&dir));
    std::fs::remove_file(snapshot.path()).unwrap();
    let refused = Storage::open(dir.path(), StorageOptions::default()).err().expect("refused");
    assert!(matches!(refused, StorageError::SnapshotMissing { purged_end: 10, .. }), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_went_in_comes_out(
        position in any::<u64>(),
        meta in proptest::collection::vec(any::<u8>(), 0..200),
        text in proptest::collection::vec(any::<u8>(), 0..5_000),
    ) {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = write(&reopened(here.path(), 0).unwrap(), position, &meta, &text);
        let received = receive(&reopened(there.path(), 0).unwrap(), &raw(&file)).unwrap();
        prop_assert_eq!(received.meta(), &meta[..]);
        prop_assert_eq!(received.position(), position);
        prop_assert_eq!(body(&received), text);
    }

    #[test]
    fn garbage_is_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        headed in any::<bool>(),
        cut in 0usize..60,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = reopened(dir.path(), 0).unwrap();
        if headed {
            // A sound file, then something more or something less.
            let mut sound = raw(&write(&store, 1, b"meta", b"body"));
            sound.truncate(sound.len() - cut.min(sound.len()));
            bytes.push(0);
            sound.extend_from_slice(&bytes);
            bytes = sound;
        }
        prop_assert!(receive(&store, &bytes).is_err());
        prop_assert!(names(dir.path()).iter().all(|name| name.ends_with(".snapshot")));
    }
}
