//! What the tests share: a Raft configuration, entries, a directory.

mod damage;
mod disk_full;
mod incoming;
mod log;
mod restore;
mod snapshots;

use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::OneshotReceiverOf;
use tempfile::TempDir;

use crate::{LogStore, Storage, StorageOptions};

openraft::declare_raft_types!(
    /// Entries of the tests are text.
    pub Config: D = String, R = (),
);

type LogId = openraft::alias::LogIdOf<Config>;
type Vote = openraft::alias::VoteOf<Config>;
type Entry = openraft::alias::EntryOf<Config>;
type Flushed = OneshotReceiverOf<Config, Result<(), std::io::Error>>;

fn open(dir: &TempDir) -> Storage {
    Storage::open(dir.path(), StorageOptions::default()).expect("opens")
}

fn entry(term: u64, index: u64, text: &str) -> Entry {
    use openraft::entry::RaftEntry;
    use openraft::vote::RaftLeaderIdExt;
    let leader = openraft::alias::LeaderIdOf::<Config>::new_committed(term, 1);
    Entry::new_normal(LogId::new(leader, index), text.to_owned())
}

fn log_id(index: u64) -> LogId {
    entry(1, index, "").log_id
}

/// Hands entries over without waiting for the disk.
async fn begin_append(store: &mut LogStore<Config>, entries: Vec<Entry>) -> Flushed {
    let (sender, receiver) = Config::oneshot();
    store.append(entries, IOFlushed::signal(sender)).await.expect("appended");
    receiver
}

async fn append(store: &mut LogStore<Config>, indexes: std::ops::Range<u64>) {
    let entries = indexes.map(|index| entry(1, index, &format!("entry {index}"))).collect();
    begin_append(store, entries).await.await.expect("called back").expect("on disk");
}

async fn indexes(store: &mut LogStore<Config>) -> Vec<u64> {
    let mut reader = store.get_log_reader().await;
    reader.try_get_log_entries(..).await.expect("readable").iter().map(|entry| entry.log_id.index).collect()
}
