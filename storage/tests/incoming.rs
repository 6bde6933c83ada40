//! Transfers of snapshots that break off: what came is kept, bounded, verified as a whole, and never mixed.

use std::path::Path;

use super::snapshots::{body, bounded, names, raw, reopened, write};
use crate::snapshot_store::SYNC_EVERY_BYTES;
use crate::{SNAPSHOT_PARTIALS_MAX, SnapshotFile, StorageError};

/// A snapshot that does not compress to nothing, and its bytes.
fn offered(dir: &Path, position: u64, seed: u8) -> (SnapshotFile, Vec<u8>) {
    offered_of(dir, position, seed, 50_000)
}

fn offered_of(dir: &Path, position: u64, seed: u8, body_bytes: usize) -> (SnapshotFile, Vec<u8>) {
    let mut random = u64::from(seed) + 1;
    let text: Vec<u8> = std::iter::from_fn(|| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Some(random as u8)
    })
    .take(body_bytes)
    .collect();
    let file = write(&reopened(dir, 0).unwrap(), position, b"meta", &text);
    let bytes = raw(&file);
    (file, bytes)
}

#[test]
fn a_transfer_goes_on_where_it_broke_off() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered(here.path(), 7, 0);
    let half = bytes.len() / 2;
    let store = reopened(there.path(), 0).unwrap();
    let mut first = store.resume(file.id()).unwrap();
    assert_eq!(first.received(), 0);
    first.write(&bytes[..half]).unwrap();
    drop(first);
    let mut second = store.resume(file.id()).unwrap();
    assert_eq!(second.received(), half as u64);
    second.write(&bytes[half..half + 1]).unwrap();
    let refused = second.finish().expect_err("incomplete");
    assert!(matches!(refused, StorageError::Incomplete { .. }), "{refused}");
    // Also over a restart.
    let mut third = reopened(there.path(), 0).unwrap().resume(file.id()).unwrap();
    assert_eq!(third.received(), half as u64 + 1);
    third.write(&bytes[half + 1..]).unwrap();
    let received = third.finish().unwrap();
    assert_eq!((received.id(), body(&received)), (file.id(), body(&file)));
    assert_eq!(names(there.path()).len(), 1);
}

#[test]
fn what_comes_is_synced_piece_by_piece() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered_of(here.path(), 7, 0, 2 * SYNC_EVERY_BYTES as usize);
    let (piece, store) = (SYNC_EVERY_BYTES as usize, bounded(there.path(), 0, 4 * SYNC_EVERY_BYTES).unwrap());
    let mut first = store.resume(file.id()).unwrap();
    first.write(&bytes[..piece - 1]).unwrap();
    assert!(!first.is_sync_due());
    first.write(&bytes[piece - 1..piece]).unwrap();
    assert!(first.is_sync_due());
    first.sync().unwrap();
    assert!(!first.is_sync_due());
    first.write(&bytes[piece..piece + 1]).unwrap();
    drop(first);
    let mut second = store.resume(file.id()).unwrap();
    assert!(!second.is_sync_due(), "what an earlier transfer left is no piece of this one");
    second.write(&bytes[piece + 1..]).unwrap();
    let received = second.finish().unwrap();
    assert_eq!(raw(&received), bytes);
}

#[test]
fn another_snapshot_begins_at_zero_and_drops_what_was_left() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, old_bytes) = offered(here.path(), 7, 0);
    let (new, new_bytes) = offered(here.path(), 7, 1);
    assert_ne!(old.id(), new.id(), "of the same position, but not the same");
    let store = reopened(there.path(), 0).unwrap();
    let mut first = store.resume(old.id()).unwrap();
    first.write(&old_bytes[..1_000]).unwrap();
    let mut second = store.resume(new.id()).unwrap();
    assert_eq!(second.received(), 0);
    assert_eq!(names(there.path()).len(), SNAPSHOT_PARTIALS_MAX);
    // The transfer that is over may not write any more.
    let overtaken = first.write(&old_bytes[1_000..]).expect_err("overtaken");
    assert!(matches!(overtaken, StorageError::Overtaken), "{overtaken}");
    assert!(matches!(first.finish(), Err(StorageError::Overtaken)));
    second.write(&new_bytes).unwrap();
    assert_eq!(body(&second.finish().unwrap()), body(&new));
    assert_eq!(names(there.path()).len(), 1);
}

#[test]
fn two_transfers_of_one_file_do_not_mix() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered(here.path(), 7, 0);
    let store = reopened(there.path(), 0).unwrap();
    let mut first = store.resume(file.id()).unwrap();
    first.write(&bytes[..500]).unwrap();
    let mut second = store.resume(file.id()).unwrap();
    assert!(first.write(&bytes[500..600]).is_err());
    second.write(&bytes[500..]).unwrap();
    assert_eq!(body(&second.finish().unwrap()), body(&file));
}

#[test]
fn a_damaged_part_is_found_out_and_the_transfer_begins_anew() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered(here.path(), 7, 0);
    let store = reopened(there.path(), 0).unwrap();
    let mut first = store.resume(file.id()).unwrap();
    first.write(&bytes[..20_000]).unwrap();
    drop(first);
    let [name] = names(there.path()).try_into().unwrap();
    let path = there.path().join(name);
    let mut part = std::fs::read(&path).unwrap();
    part[10_000] ^= 1;
    std::fs::write(&path, part).unwrap();
    let mut second = store.resume(file.id()).unwrap();
    assert_eq!(second.received(), 20_000);
    second.write(&bytes[20_000..]).unwrap();
    let refused = second.finish().expect_err("damaged");
    assert!(refused.to_string().contains("checksum"), "{refused}");
    assert_eq!(names(there.path()), Vec::<String>::new());
    assert!(store.latest().unwrap().is_none());
    let mut third = store.resume(file.id()).unwrap();
    assert_eq!(third.received(), 0);
    third.write(&bytes).unwrap();
    assert_eq!(body(&third.finish().unwrap()), body(&file));
}

#[test]
fn a_sound_file_that_is_not_the_announced_one_is_refused() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered(here.path(), 7, 0);
    let mut id = file.id();
    id.check ^= 1;
    let store = reopened(there.path(), 0).unwrap();
    let mut incoming = store.resume(id).unwrap();
    incoming.write(&bytes).unwrap();
    let refused = incoming.finish().expect_err("another one");
    assert!(refused.to_string().contains("announced"), "{refused}");
    assert_eq!(names(there.path()), Vec::<String>::new());
}

#[test]
fn a_newer_or_foreign_file_is_refused_with_its_first_bytes() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered(here.path(), 7, 0);
    let store = reopened(there.path(), 0).unwrap();
    let mut newer = bytes[..100].to_vec();
    newer[4] = 9;
    let mut incoming = store.resume(file.id()).unwrap();
    incoming.write(&newer[..10]).unwrap();
    let refused = incoming.write(&newer[10..]).expect_err("newer");
    assert!(matches!(refused, StorageError::Newer { found: 9, known: 1, .. }), "{refused}");
    assert!(store.receive().unwrap().write(b"no snapshot, however long it may be").is_err());
    drop(incoming);
    assert_eq!(names(there.path()), Vec::<String>::new());
}

#[test]
fn more_than_announced_and_more_than_allowed_are_refused() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered(here.path(), 7, 0);
    let store = reopened(there.path(), 0).unwrap();
    let mut incoming = store.resume(file.id()).unwrap();
    incoming.write(&bytes).unwrap();
    assert!(matches!(incoming.write(b"!"), Err(StorageError::TooLarge { .. })));
    let mut id = file.id();
    id.bytes = 2 << 20;
    assert!(matches!(store.resume(id).err(), Some(StorageError::TooLarge { .. })));
    assert_eq!(names(there.path()), Vec::<String>::new());
}

#[test]
fn a_snapshot_that_reaches_as_far_makes_the_part_useless() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, bytes) = offered(here.path(), 7, 0);
    let store = reopened(there.path(), 0).unwrap();
    let mut incoming = store.resume(file.id()).unwrap();
    incoming.write(&bytes[..100]).unwrap();
    write(&store, 6, b"behind", b"body");
    incoming.write(&bytes[100..200]).unwrap();
    write(&store, 7, b"as far", b"body");
    assert!(matches!(incoming.write(&bytes[200..]), Err(StorageError::Overtaken)));
    assert!(names(there.path()).iter().all(|name| name.ends_with(".snapshot")));
}

#[test]
fn a_start_keeps_one_part_and_removes_what_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let part = |position: u64| format!("{position:020}-100-0000abcd.arriving");
    for name in [part(3), part(9), "unknown.arriving".to_owned(), "00000000000000000007.partial".to_owned()] {
        std::fs::write(dir.path().join(name), b"VDFS").unwrap();
    }
    reopened(dir.path(), 0).unwrap();
    assert_eq!(names(dir.path()), [part(9)]);
}
