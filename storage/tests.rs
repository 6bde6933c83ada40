//! Storage against openraft's own suite, and against damage.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, OptionalSend, StorageError as RaftStorageError};
use tempfile::TempDir;

use crate::{LogStore, SnapshotFile, SnapshotStore, Storage, StorageError, StorageOptions};

openraft::declare_raft_types!(
    /// The suite writes its own requests.
    pub Config: D = String, R = (),
);

type LogId = openraft::alias::LogIdOf<Config>;
type StoredMembership = openraft::alias::StoredMembershipOf<Config>;
type SnapshotMeta = openraft::alias::SnapshotMetaOf<Config>;
type Snapshot = openraft::alias::SnapshotOf<Config, SnapshotFile>;
type Entry = openraft::alias::EntryOf<Config>;

/// Remembers what was applied; its snapshots are real files.
struct Machine {
    applied: BTreeMap<u64, String>,
    last: Option<LogId>,
    membership: StoredMembership,
    snapshots: SnapshotStore,
}

impl RaftStateMachine<Config> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Config>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            match entry.payload {
                EntryPayload::Normal(text) => drop(self.applied.insert(entry.log_id.index, text)),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
                EntryPayload::Blank => {}
            }
            self.last = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            applied: self.applied.clone(),
            meta: SnapshotMeta { last_log_id: self.last, last_membership: self.membership.clone() },
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let body = snapshot.open_body(1 << 30).map_err(io::Error::other)?;
        self.applied = rmp_serde::from_read(body).map_err(io::Error::other)?;
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let Some(file) = self.snapshots.latest().map_err(io::Error::other)? else { return Ok(None) };
        let meta = rmp_serde::from_slice(file.meta()).map_err(io::Error::other)?;
        Ok(Some(Snapshot { meta, snapshot: file }))
    }
}

struct Builder {
    applied: BTreeMap<u64, String>,
    meta: SnapshotMeta,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<Config> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta = rmp_serde::to_vec(&self.meta).map_err(io::Error::other)?;
        let mut writer = self.snapshots.create(&meta).map_err(io::Error::other)?;
        rmp_serde::encode::write(&mut writer, &self.applied).map_err(io::Error::other)?;
        let snapshot = writer.finish().map_err(io::Error::other)?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}

struct Rooms;

impl StoreBuilder<Config, LogStore<Config>, Machine, TempDir> for Rooms {
    async fn build(&self) -> Result<(TempDir, LogStore<Config>, Machine), RaftStorageError<Config>> {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = open(&dir);
        let snapshots = storage.snapshots();
        let machine =
            Machine { applied: BTreeMap::new(), last: None, membership: StoredMembership::default(), snapshots };
        Ok((dir, storage.log_store(), machine))
    }
}

fn open(dir: &TempDir) -> Storage {
    Storage::open(dir.path(), StorageOptions::default()).expect("opens")
}

fn entry(index: u64) -> Entry {
    use openraft::entry::RaftEntry;
    use openraft::vote::RaftLeaderIdExt;
    let leader = openraft::alias::LeaderIdOf::<Config>::new_committed(1, 1);
    Entry::new_normal(LogId::new(leader, index), format!("entry {index}"))
}

fn log_id(index: u64) -> LogId {
    entry(index).log_id
}

async fn append(store: &mut LogStore<Config>, indexes: std::ops::Range<u64>) {
    let (sender, receiver) = <Config as openraft::type_config::TypeConfigExt>::oneshot();
    let callback = openraft::storage::IOFlushed::signal(sender);
    store.append(indexes.map(entry), callback).await.expect("appended");
    receiver.await.expect("called back").expect("on disk");
}

async fn indexes(store: &mut LogStore<Config>) -> Vec<u64> {
    let mut reader = store.get_log_reader().await;
    reader.try_get_log_entries(..).await.expect("readable").iter().map(|entry| entry.log_id.index).collect()
}

#[test]
fn openraft_s_own_suite_passes() {
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(Suite::test_all(Rooms))
        .expect("the suite passes");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let storage = open(&dir);
        let mut store = storage.log_store::<Config>();
        append(&mut store, 0..200).await;
        store.truncate_after(Some(log_id(149))).await.unwrap();
        append(&mut store, 150..160).await;
        store.purge(log_id(9)).await.unwrap();
        store.save_vote(&openraft::alias::VoteOf::<Config>::new(7, 3)).await.unwrap();
        storage.put_meta("who", b"me").unwrap();
    }
    let storage = open(&dir);
    let mut store = storage.log_store::<Config>();
    assert_eq!(indexes(&mut store).await, (10..160).collect::<Vec<_>>());
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(9)));
    assert_eq!(state.last_log_id, Some(log_id(159)));
    let vote = store.get_log_reader().await.read_vote().await.unwrap();
    assert_eq!(vote, Some(openraft::alias::VoteOf::<Config>::new(7, 3)));
    assert_eq!(storage.get_meta("who").unwrap().as_deref(), Some(&b"me"[..]));
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
}

#[tokio::test]
async fn everything_can_be_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(&dir);
    let mut store = storage.log_store::<Config>();
    append(&mut store, 0..5).await;
    store.truncate_after(None).await.unwrap();
    assert_eq!(indexes(&mut store).await, Vec::<u64>::new());
    drop(store);
    drop(storage);
    let mut store = open(&dir).log_store::<Config>();
    assert_eq!(store.get_log_state().await.unwrap().last_log_id, None);
}

#[test]
fn a_second_opening_is_refused_and_names_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(&dir);
    let refused = Storage::open(dir.path(), StorageOptions::default()).err().expect("refused");
    assert!(matches!(refused, StorageError::Locked(_)));
    assert!(refused.to_string().contains(&dir.path().display().to_string()));
}

#[tokio::test]
async fn a_log_that_lost_durable_entries_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    {
        let storage = open(&dir);
        let mut store = storage.log_store::<Config>();
        append(&mut store, 0..10).await;
        drop(store);
        // Behind the storage's back, as a disk that lies does it.
        let log = storage.inner.cf(crate::schema::CF_LOG).unwrap();
        storage.inner.db.delete_cf(log, crate::schema::log_key(9)).unwrap();
    }
    let refused = Storage::open(dir.path(), StorageOptions::default()).err().expect("refused");
    assert!(matches!(refused, StorageError::LogBehindMarker { end: 9, durable: 10, .. }), "{refused}");
}

#[tokio::test]
async fn a_damaged_record_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(&dir);
    let mut store = storage.log_store::<Config>();
    append(&mut store, 0..3).await;
    drop(store);
    let log = storage.inner.cf(crate::schema::CF_LOG).unwrap();
    storage.inner.db.put_cf(log, crate::schema::log_key(1), [1, 0xc1]).unwrap();
    let mut reader = storage.log_store::<Config>().get_log_reader().await;
    let error = reader.try_get_log_entries(0..3).await.expect_err("refused");
    assert!(error.to_string().contains("log record 1"), "{error}");
}

fn write_snapshot(store: &SnapshotStore, meta: &[u8], body: &[u8]) -> SnapshotFile {
    let mut writer = store.create(meta).unwrap();
    writer.write_all(body).unwrap();
    writer.finish().unwrap()
}

#[test]
fn snapshots_travel_as_files_and_the_newest_wins() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (open(&here).snapshots(), open(&there).snapshots());
    for number in 0..4u8 {
        write_snapshot(&here, &[number], &vec![number; 100_000]);
    }
    let file = here.latest().unwrap().expect("one");
    assert_eq!(file.meta(), [3]);
    let mut raw = Vec::new();
    file.open_raw().unwrap().read_to_end(&mut raw).unwrap();
    assert!(raw.len() < 10_000, "compressed");
    let mut incoming = there.receive().unwrap();
    for chunk in raw.chunks(777) {
        incoming.write(chunk).unwrap();
    }
    let received = incoming.finish().unwrap();
    let mut body = Vec::new();
    received.open_body(1 << 20).unwrap().read_to_end(&mut body).unwrap();
    assert_eq!(body, vec![3; 100_000]);
    let mut bounded = Vec::new();
    assert!(received.open_body(50_000).unwrap().read_to_end(&mut bounded).is_err(), "a bomb is stopped");
}

#[test]
fn any_flipped_byte_is_refused_and_the_older_snapshot_serves() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).snapshots();
    write_snapshot(&store, b"old", b"old body");
    let newest = write_snapshot(&store, b"new", b"new body, a little longer");
    let sound = std::fs::read(newest.path()).unwrap();
    for position in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[position] ^= 0x40;
        std::fs::write(newest.path(), &damaged).unwrap();
        assert_eq!(store.latest().unwrap().expect("the older").meta(), b"old", "byte {position}");
        let mut incoming = store.receive().unwrap();
        incoming.write(&damaged).unwrap();
        assert!(incoming.finish().is_err(), "byte {position}");
    }
    for length in [0, 1, 15, 16, 27, sound.len() - 1] {
        let mut incoming = store.receive().unwrap();
        incoming.write(&sound[..length]).unwrap();
        assert!(incoming.finish().is_err(), "{length} bytes");
    }
    let left: Vec<_> = std::fs::read_dir(newest.path().parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing unfinished is left");
}
