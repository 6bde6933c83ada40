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
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::log_reader::{self, LogReader};
use crate::schema::{CF_META, KEY_COMMITTED, KEY_PURGED, decode, encode};
use crate::storage::Storage;
use crate::writer::{self, Committed, Done, Operation, QUEUED_BYTES_MAX, Queued};

pub(crate) type LogIdOf<C> = openraft::alias::LogIdOf<C>;
pub(crate) type VoteOf<C> = openraft::alias::VoteOf<C>;

/// The tail of the log in memory: replication and application read it here.
///
/// Invariants: the entries are contiguous up to the log's last one; whatever is not on disk yet is here, so whatever
/// stands before the first one is on disk; `bytes` is the sum of the entries' encoded sizes.
pub(crate) struct Tail<C: RaftTypeConfig> {
    /// Index → encoded size, entry.
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

    /// Forgets the oldest entries beyond the bound, but none that is not on disk.
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
    /// Everything below this index is on disk. It goes down only while a truncation is waited for.
    flushed: Arc<AtomicU64>,
}

/// See the module. openraft owns it; readers are handed out.
pub struct LogStore<C: RaftTypeConfig> {
    pub(crate) shared: Arc<Shared<C>>,
    queue: Option<mpsc::Sender<Queued>>,
    committed: Arc<Committed>,
    /// What is left of [`QUEUED_BYTES_MAX`].
    queue_bytes: Arc<Semaphore>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl<C> LogStore<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + Serialize + DeserializeOwned,
{
    pub(crate) fn new(storage: Storage) -> Self {
        let flushed = Arc::new(AtomicU64::new(0));
        let committed = Arc::new(Committed::default());
        let (queue, writer) = if storage.inner.log_open.swap(true, Ordering::AcqRel) {
            // Two writers would reorder votes and entries: this one gets none.
            tracing::error!("the log is open already; a second log store of the same directory does nothing");
            (None, None)
        } else {
            match writer::start(storage.clone(), Arc::clone(&flushed), Arc::clone(&committed)) {
                Ok((queue, writer)) => (Some(queue), Some(writer)),
                Err(error) => {
                    storage.inner.fail(&format!("the writer thread cannot be started: {error}"));
                    (None, None)
                }
            }
        };
        let shared = Shared {
            storage,
            tail: RwLock::new(Tail { entries: BTreeMap::new(), bytes: 0 }),
            vote: Mutex::new(None),
            flushed,
        };
        let queue_bytes = Arc::new(Semaphore::new(QUEUED_BYTES_MAX));
        Self { shared: Arc::new(shared), queue, committed, queue_bytes, writer }
    }

    /// Reads beside openraft, for as long as it likes.
    #[must_use]
    pub fn reader(&self) -> LogReader<C> {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    /// Why the writer does not answer.
    fn gone(&self) -> io::Error {
        match self.shared.storage.inner.failure() {
            Some(reason) => io::Error::other(reason),
            None => io::Error::other("the log's writer has stopped"),
        }
    }

    async fn enqueue(&self, operation: Operation) -> io::Result<()> {
        let bytes = u32::try_from(operation.bytes().min(QUEUED_BYTES_MAX)).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.queue_bytes).acquire_many_owned(bytes).await.map_err(|_| self.gone())?;
        let queue = self.queue.as_ref().ok_or_else(|| self.gone())?;
        queue.send(Queued { operation, share }).await.map_err(|_| self.gone())
    }

    async fn perform(&self, operation: impl FnOnce(Done) -> Operation) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        // A caller that stopped waiting does not want to know.
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.enqueue(operation(done)).await?;
        receiver.await.map_err(|_| self.gone())?
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
    type LogReader = LogReader<C>;

    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let purged: Option<LogIdOf<C>> = self.stored(KEY_PURGED, 8)?;
        let in_memory = self.shared.tail.read().entries.last_key_value().map(|(_, (_, entry))| entry.log_id());
        let last = match in_memory {
            Some(log_id) => Some(log_id),
            None => log_reader::last_on_disk::<C>(&self.shared.storage).map_err(io::Error::other)?,
        };
        Ok(LogState { last_log_id: last.or_else(|| purged.clone()), last_purged_log_id: purged })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &VoteOf<C>) -> Result<(), io::Error> {
        let record = encode(vote)?;
        self.perform(|done| Operation::Vote { record, done }).await?;
        *self.shared.vote.lock() = Some(vote.clone());
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        let Some(committed) = committed else { return Ok(()) };
        *self.committed.lock() = Some(encode(&committed)?);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<C>>, io::Error> {
        let (done, receiver) = oneshot::channel();
        self.enqueue(Operation::Barrier { done }).await?;
        receiver.await.map_err(|_| self.gone())?;
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
        let done: Done = Box::new(|result| callback.io_completed(result));
        self.enqueue(Operation::Append { records, done }).await
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
        if let Some(writer) = self.writer.take() {
            if writer.join().is_err() {
                tracing::error!("the log's writer panicked");
            }
            self.shared.storage.inner.log_open.store(false, Ordering::Release);
        }
    }
}
