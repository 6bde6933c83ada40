//! openraft's log storage.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, RaftTypeConfig};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::disk::{self, Done, Operation};
use crate::storage::Storage;

type LogIdOf<C> = openraft::alias::LogIdOf<C>;
type VoteOf<C> = openraft::alias::VoteOf<C>;

/// Entries of one read for replication.
const READ_ENTRIES_MAX: usize = 256;

/// What the process sees of its log, on disk or on its way there.
struct Seen<C: RaftTypeConfig> {
    entries: BTreeMap<u64, C::Entry>,
    vote: Option<VoteOf<C>>,
    purged: Option<LogIdOf<C>>,
}

/// openraft owns it; readers are handed out.
pub struct LogStore<C: RaftTypeConfig> {
    storage: Storage,
    seen: Arc<Mutex<Seen<C>>>,
}

/// See [`LogStore`].
pub struct LogReader<C: RaftTypeConfig> {
    storage: Storage,
    seen: Arc<Mutex<Seen<C>>>,
}

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec(value).map_err(io::Error::other)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(io::Error::other)
}

impl<C> LogStore<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + Serialize + DeserializeOwned,
{
    pub(crate) fn new(storage: Storage) -> Self {
        let entries = storage.log().into_iter().filter_map(|(index, record)| Some((index, decode(&record).ok()?)));
        let entries = entries.collect();
        Self { storage, seen: Arc::new(Mutex::new(Seen { entries, vote: None, purged: None })) }
    }

    async fn perform(&self, operation: Operation) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        // A caller that stopped waiting does not want to know.
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        disk::submit(&self.storage.disk, operation, Some(done));
        receiver.await.map_err(io::Error::other)?
    }
}

impl<C> RaftLogStorage<C> for LogStore<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + Serialize + DeserializeOwned,
    LogIdOf<C>: Serialize + DeserializeOwned,
    VoteOf<C>: Serialize + DeserializeOwned,
{
    type LogReader = LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let stored = self.storage.disk.lock().platter.purged.clone();
        let purged = match (self.seen.lock().purged.clone(), stored) {
            (Some(purged), _) => Some(purged),
            (None, Some((_, record))) => Some(decode(&record)?),
            (None, None) => None,
        };
        let last = self.seen.lock().entries.last_key_value().map(|(_, entry)| entry.log_id());
        Ok(LogState { last_log_id: last.or_else(|| purged.clone()), last_purged_log_id: purged })
    }

    async fn get_log_reader(&mut self) -> LogReader<C> {
        LogReader { storage: self.storage.clone(), seen: Arc::clone(&self.seen) }
    }

    async fn save_vote(&mut self, vote: &VoteOf<C>) -> Result<(), io::Error> {
        self.perform(Operation::Vote(encode(vote)?)).await?;
        self.seen.lock().vote = Some(vote.clone());
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        if let Some(committed) = committed {
            disk::submit(&self.storage.disk, Operation::Committed(encode(&committed)?), None);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<C>>, io::Error> {
        self.perform(Operation::Barrier).await?;
        let stored = self.storage.disk.lock().platter.committed.clone();
        stored.map(|record| decode(&record)).transpose()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        for entry in entries {
            let index = entry.log_id().index;
            let record = encode(&entry)?;
            self.storage.metrics().bytes_total.fetch_add(record.len() as u64, Relaxed);
            records.push((index, record));
            self.seen.lock().entries.insert(index, entry);
        }
        let done: Done = Box::new(|result| callback.io_completed(result));
        disk::submit(&self.storage.disk, Operation::Append(records), Some(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        let end = last_log_id.map_or(0, |log_id| log_id.index + 1);
        drop(self.seen.lock().entries.split_off(&end));
        self.perform(Operation::TruncateFrom(end)).await
    }

    async fn purge(&mut self, log_id: LogIdOf<C>) -> Result<(), io::Error> {
        let last = log_id.index;
        let record = encode(&log_id)?;
        {
            let mut seen = self.seen.lock();
            seen.entries = seen.entries.split_off(&(last + 1));
            seen.purged = Some(log_id);
        }
        self.perform(Operation::Purge(last, record)).await
    }
}

impl<C> RaftLogReader<C> for LogReader<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + Serialize + DeserializeOwned,
    LogIdOf<C>: Serialize + DeserializeOwned,
    VoteOf<C>: Serialize + DeserializeOwned,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<C::Entry>, io::Error> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        if let (Bound::Included(start), Bound::Excluded(end)) = bounds
            && start >= end
        {
            return Ok(Vec::new());
        }
        Ok(self.seen.lock().entries.range(bounds).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<C>>, io::Error> {
        if let Some(vote) = self.seen.lock().vote.clone() {
            return Ok(Some(vote));
        }
        let stored = self.storage.disk.lock().platter.vote.clone();
        stored.map(|record| decode(&record)).transpose()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<C::Entry>, io::Error> {
        let seen = self.seen.lock();
        Ok(seen.entries.range(start.min(end)..end).take(READ_ENTRIES_MAX).map(|(_, entry)| entry.clone()).collect())
    }
}
