//! openraft's log storage: encodes, caches the tail, hands everything to the one writer.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftTypeConfig};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use crate::schema::{CF_META, KEY_COMMITTED, KEY_PURGED, decode, encode};
use crate::storage::Storage;
use crate::writer::{self, Done, Operation};

pub(crate) type LogIdOf<C> = openraft::alias::LogIdOf<C>;
pub(crate) type VoteOf<C> = openraft::alias::VoteOf<C>;

/// The tail of the log in memory: replication and application read it here.
///
/// Invariants: the entries are contiguous up to the log's last one; whatever is not on disk yet is here.
pub(crate) struct Tail<C: RaftTypeConfig> {
    pub(crate) entries: BTreeMap<u64, (usize, C::Entry)>,
    bytes: usize,
}

impl<C: RaftTypeConfig> Tail<C> {
    fn insert(&mut self, index: u64, bytes: usize, entry: C::Entry) {
        self.bytes += bytes;
        if let Some((replaced, _)) = self.entries.insert(index, (bytes, entry)) {
            self.bytes -= replaced;
        }
    }

    fn evict(&mut self, flushed: u64, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(first) = self.entries.first_entry() else { break };
            if *first.key() >= flushed {
                break;
            }
            self.bytes -= first.remove().0;
        }
    }

    fn remove_from(&mut self, end: u64) {
        for (bytes, _) in self.entries.split_off(&end).into_values() {
            self.bytes -= bytes;
        }
    }

    fn remove_up_to(&mut self, last: u64) {
        let kept = self.entries.split_off(&last.saturating_add(1));
        for (bytes, _) in std::mem::replace(&mut self.entries, kept).into_values() {
            self.bytes -= bytes;
        }
    }
}

pub(crate) struct Shared<C: RaftTypeConfig> {
    pub(crate) storage: Storage,
    pub(crate) tail: RwLock<Tail<C>>,
    pub(crate) vote: Mutex<Option<VoteOf<C>>>,
    /// Everything below this index is on disk.
    flushed: Arc<AtomicU64>,
}

/// See the module. openraft owns it; readers are handed out.
pub struct LogStore<C: RaftTypeConfig> {
    pub(crate) shared: Arc<Shared<C>>,
    queue: Option<mpsc::Sender<Operation>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl<C> LogStore<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + Serialize + DeserializeOwned,
{
    pub(crate) fn new(storage: Storage) -> Self {
        let flushed = Arc::new(AtomicU64::new(0));
        let (queue, writer) = match writer::start(storage.clone(), Arc::clone(&flushed)) {
            Ok((queue, writer)) => (Some(queue), Some(writer)),
            Err(error) => {
                storage.inner.fail(&format!("the writer thread cannot be started: {error}"));
                (None, None)
            }
        };
        let shared = Shared {
            storage,
            tail: RwLock::new(Tail { entries: BTreeMap::new(), bytes: 0 }),
            vote: Mutex::new(None),
            flushed,
        };
        Self { shared: Arc::new(shared), queue, writer }
    }

    async fn enqueue(&self, operation: Operation) -> io::Result<()> {
        let gone = || io::Error::other("the log's writer has stopped");
        self.queue.as_ref().ok_or_else(gone)?.send(operation).await.map_err(|_| gone())
    }

    async fn perform(&self, operation: impl FnOnce(Done) -> Operation) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        // A caller that stopped waiting does not want to know.
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.enqueue(operation(done)).await?;
        receiver.await.map_err(|_| io::Error::other("the log's writer has stopped"))?
    }

    fn stored<T: DeserializeOwned>(&self, key: &[u8], skip: usize) -> io::Result<Option<T>> {
        let inner = &self.shared.storage.inner;
        let meta = inner.cf(CF_META).map_err(io::Error::other)?;
        match inner.db.get_cf(meta, key).map_err(io::Error::other)? {
            Some(bytes) => Ok(Some(decode(0, bytes.get(skip..).unwrap_or(&[])).map_err(io::Error::other)?)),
            None => Ok(None),
        }
    }
}

impl<C> RaftLogStorage<C> for LogStore<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + Serialize + DeserializeOwned,
    LogIdOf<C>: Serialize + DeserializeOwned,
    VoteOf<C>: Serialize + DeserializeOwned,
{
    type LogReader = crate::log_reader::LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let purged: Option<LogIdOf<C>> = self.stored(KEY_PURGED, 8)?;
        let in_memory = self.shared.tail.read().entries.last_key_value().map(|(_, (_, entry))| entry.log_id());
        let last = match in_memory {
            Some(log_id) => Some(log_id),
            None => crate::log_reader::last_on_disk::<C>(&self.shared.storage).map_err(io::Error::other)?,
        };
        Ok(LogState { last_log_id: last.or_else(|| purged.clone()), last_purged_log_id: purged })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        crate::log_reader::LogReader { shared: Arc::clone(&self.shared) }
    }

    async fn save_vote(&mut self, vote: &VoteOf<C>) -> Result<(), io::Error> {
        let record = encode(vote)?;
        self.perform(|done| Operation::Vote { record, done }).await?;
        *self.shared.vote.lock() = Some(vote.clone());
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        let Some(committed) = committed else { return Ok(()) };
        let record = encode(&committed)?;
        self.enqueue(Operation::Committed { record }).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<C>>, io::Error> {
        let (done, receiver) = oneshot::channel();
        self.enqueue(Operation::Barrier { done }).await?;
        receiver.await.map_err(io::Error::other)?;
        self.stored(KEY_COMMITTED, 0)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        {
            let mut tail = self.shared.tail.write();
            for entry in entries {
                let index = entry.log_id().index;
                let record = encode(&entry)?;
                tail.insert(index, record.len(), entry);
                records.push((index, record));
            }
            let flushed = self.shared.flushed.load(Ordering::Acquire);
            tail.evict(flushed, self.shared.storage.inner.options.log_cache_bytes_max);
        }
        self.enqueue(Operation::Append { records, done: Box::new(|result| callback.io_completed(result)) }).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        let end = last_log_id.map_or(0, |log_id| log_id.index + 1);
        self.shared.tail.write().remove_from(end);
        self.perform(|done| Operation::TruncateFrom { end, done }).await
    }

    async fn purge(&mut self, log_id: LogIdOf<C>) -> Result<(), io::Error> {
        let last = log_id.index;
        self.shared.tail.write().remove_up_to(last);
        let mut record = last.to_be_bytes().to_vec();
        record.extend(encode(&log_id)?);
        self.perform(|done| Operation::Purge { last, record, done }).await
    }
}

impl<C: RaftTypeConfig> Drop for LogStore<C> {
    /// Whatever was handed over is on disk when the store is gone, and the directory's lock is free.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }
}
