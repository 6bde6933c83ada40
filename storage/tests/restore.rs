//! A directory is filled as a whole or not at all.

use openraft::storage::{RaftLogReader, RaftLogStorage};
use tempfile::TempDir;

use super::{Config, Vote, append, log_id, open};
use crate::tests::snapshots::{body, write};
use crate::{Storage, StorageError, StorageOptions, set_aside};

fn vote() -> Vote {
    Vote { leader_id: *log_id(7).committed_leader_id(), committed: true }
}

#[tokio::test]
async fn what_was_completed_is_there_and_what_was_not_is_not() {
    let dir = TempDir::new().unwrap();
    let storage = open(&dir);
    storage.put_meta("identity", b"before").unwrap();
    storage.begin_restore().unwrap();
    write(&storage.snapshots(), 7, b"meta", b"half-way");
    drop(storage);
    // Killed here: the next start finds what was there before.
    let storage = open(&dir);
    assert!(!storage.holds_state().unwrap());
    assert_eq!(storage.get_meta("identity").unwrap().as_deref(), Some(b"before".as_slice()));
    storage.begin_restore().unwrap();
    write(&storage.snapshots(), 8, b"meta", b"whole");
    storage.complete_restore(&vote(), &[("identity", b"after")]).unwrap();
    drop(storage);
    let storage = open(&dir);
    assert!(storage.holds_state().unwrap());
    assert_eq!(storage.get_meta("identity").unwrap().as_deref(), Some(b"after".as_slice()));
    assert_eq!(body(&storage.snapshots().latest().unwrap().unwrap()), b"whole");
    let mut log = storage.log_store::<Config>();
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), Some(vote()));
}

#[test]
fn what_was_abandoned_is_gone_at_once() {
    let dir = TempDir::new().unwrap();
    let storage = open(&dir);
    storage.begin_restore().unwrap();
    write(&storage.snapshots(), 7, b"meta", b"half-way");
    storage.abandon_restore(dir.path()).unwrap();
    assert!(!storage.holds_state().unwrap());
    storage.begin_restore().unwrap();
}

#[tokio::test]
async fn a_directory_that_holds_anything_is_not_filled() {
    let logged = TempDir::new().unwrap();
    let storage = open(&logged);
    append(&mut storage.log_store(), 0..3).await;
    assert!(matches!(storage.begin_restore(), Err(StorageError::Directory { .. })));
    let snapshotted = TempDir::new().unwrap();
    let storage = open(&snapshotted);
    write(&storage.snapshots(), 7, b"meta", b"body");
    assert!(matches!(storage.begin_restore(), Err(StorageError::Directory { .. })));
}

#[tokio::test]
async fn what_is_set_aside_is_whole_and_leaves_an_empty_directory() {
    let dir = TempDir::new().unwrap();
    assert_eq!(set_aside(dir.path(), "aside").unwrap(), None);
    let storage = open(&dir);
    append(&mut storage.log_store(), 0..3).await;
    write(&storage.snapshots(), 2, b"meta", b"body");
    assert!(matches!(set_aside(dir.path(), "aside"), Err(StorageError::Locked(_))), "a process uses it");
    drop(storage);
    let aside = set_aside(dir.path(), "aside").unwrap().unwrap();
    assert!(!open(&dir).holds_state().unwrap());
    assert!(Storage::open(&aside, StorageOptions::default()).unwrap().holds_state().unwrap());
}
