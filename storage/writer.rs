//! The one thread that writes: drains its queue, writes one batch, syncs once, completes callbacks in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rocksdb::WriteBatch;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::error::StorageError;
use crate::schema::{CF_LOG, CF_META, KEY_COMMITTED, KEY_PURGED, KEY_VOTE, log_key};
use crate::storage::{LogEnd, Storage};

/// Operations that may wait; beyond it callers wait.
pub(crate) const QUEUED_OPERATIONS_MAX: usize = 4096;
/// Bytes that may wait (a single larger operation goes alone); beyond it callers wait.
pub(crate) const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Bytes that one synced write gathers at most (a single larger operation goes alone).
const BATCH_BYTES_MAX: usize = 8 << 20;
/// What an operation without entries counts as.
const OPERATION_BYTES: usize = 64;

/// What tells the caller that its operation is on disk.
pub(crate) type Done = Box<dyn FnOnce(Result<(), io::Error>) + Send>;

/// One operation; they are executed in the order of their arrival.
pub(crate) enum Operation {
    /// Encoded entries, ascending.
    Append { records: Vec<(u64, Vec<u8>)>, done: Done },
    /// The encoded vote.
    Vote { record: Vec<u8>, done: Done },
    /// Everything from the index on goes.
    TruncateFrom { end: u64, done: Done },
    /// Everything up to the index goes; `record` says so.
    Purge { last: u64, record: Vec<u8>, done: Done },
    /// Answered when everything before it is on disk.
    Barrier { done: oneshot::Sender<()> },
}

impl Operation {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => {
                OPERATION_BYTES
                    + records.iter().map(|(_, record)| record.len() + size_of::<(u64, Vec<u8>)>()).sum::<usize>()
            }
            _ => OPERATION_BYTES,
        }
    }
}

/// How far the log is committed, encoded, as last said and not written yet. It is a hint for the next start and worth
/// neither a write nor a wake-up of its own: it goes with the next write.
pub(crate) type Committed = Mutex<Option<Vec<u8>>>;

/// An operation in the queue; its share of [`QUEUED_BYTES_MAX`] is given back when it is done.
pub(crate) struct Queued {
    pub(crate) operation: Operation,
    pub(crate) share: OwnedSemaphorePermit,
}

/// A writer that panics must stop the node, not leave it waiting.
struct FailOnPanic<'a>(&'a Storage);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.inner.fail("the log's writer panicked");
        }
    }
}

/// Starts the thread; it ends when the queue's last sender is gone.
pub(crate) fn start(
    storage: Storage,
    flushed: Arc<AtomicU64>,
    committed: Arc<Committed>,
) -> io::Result<(mpsc::Sender<Queued>, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel(QUEUED_OPERATIONS_MAX);
    let thread = std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || {
        let _guard = FailOnPanic(&storage);
        run(&storage, receiver, &flushed, &committed);
    })?;
    Ok((sender, thread))
}

fn run(storage: &Storage, mut queue: mpsc::Receiver<Queued>, flushed: &AtomicU64, committed: &Committed) {
    let mut batch: Vec<Queued> = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        // Taken before the queue is drained: by then the entries that it speaks of are in there, or written.
        let said = committed.lock().take();
        let mut bytes = first.operation.bytes();
        batch.push(first);
        let drained = loop {
            if bytes >= BATCH_BYTES_MAX {
                break false;
            }
            let Ok(next) = queue.try_recv() else { break true };
            bytes += next.operation.bytes();
            batch.push(next);
        };
        let said = if drained {
            said
        } else {
            // It must not reach the disk before its entries. What was said since is newer.
            let mut committed = committed.lock();
            *committed = committed.take().or(said);
            None
        };
        let result = write(storage, &batch, said, flushed).map_err(|error| error.to_string());
        #[cfg(feature = "planted-bugs")]
        let result = crate::planted::written(result);
        if let Err(reason) = &result {
            storage.inner.fail(reason);
        }
        for Queued { operation, share } in batch.drain(..) {
            drop(share);
            let outcome = result.clone().map_err(io::Error::other);
            match operation {
                Operation::Append { done, .. }
                | Operation::Vote { done, .. }
                | Operation::TruncateFrom { done, .. }
                | Operation::Purge { done, .. } => done(outcome),
                // After a failure it goes unanswered, which its caller takes for the failure it is. A caller that has
                // gone away needs no answer.
                Operation::Barrier { done } => drop(outcome.is_ok().then(|| done.send(()))),
            }
        }
    }
    let last_word = committed.lock().take();
    if let Err(error) = write(storage, &[], last_word, flushed) {
        tracing::debug!(%error, "how far the log is committed could not be noted; the next start hears it from the leader");
    }
}

fn write(
    storage: &Storage,
    operations: &[Queued],
    committed: Option<Vec<u8>>,
    flushed: &AtomicU64,
) -> Result<(), StorageError> {
    let inner = &storage.inner;
    // Also for a batch without a write: a barrier must not claim what the failed write before it lost.
    inner.refuse_after_failure()?;
    let (log, meta) = (inner.cf(CF_LOG)?, inner.cf(CF_META)?);
    let mut batch = WriteBatch::default();
    let mut sync = false;
    let mut end: Option<LogEnd> = None;
    let mut purged: Option<u64> = None;
    let (mut entries, mut bytes) = (0u64, 0u64);
    for Queued { operation, .. } in operations {
        match operation {
            Operation::Append { records, .. } => {
                for (index, record) in records {
                    batch.put_cf(log, log_key(*index), record);
                    entries += 1;
                    bytes += record.len() as u64;
                }
                if let (Some((first, _)), Some((last, _))) = (records.first(), records.last()) {
                    // An append over existing entries replaces them; what stands behind it was truncated before.
                    let lowest = end.map_or(*first, |end| end.lowest.min(*first));
                    end = Some(LogEnd { lowest, after: last.saturating_add(1) });
                }
                sync = true;
            }
            #[cfg(feature = "planted-bugs")]
            Operation::Vote { .. } if crate::planted::is_vote_lost() => {}
            Operation::Vote { record, .. } => {
                batch.put_cf(meta, KEY_VOTE, record);
                sync = true;
            }
            Operation::TruncateFrom { end: from, .. } => {
                batch.delete_range_cf(log, log_key(*from), log_key(u64::MAX));
                end = Some(LogEnd::moved_to(end, *from));
                sync = true;
            }
            Operation::Purge { last, record, .. } => {
                let from = purged.unwrap_or_else(|| inner.purged_end());
                let to = last.saturating_add(1);
                if to > from {
                    batch.delete_range_cf(log, log_key(from), log_key(to));
                    batch.put_cf(meta, KEY_PURGED, record);
                    purged = Some(to);
                    sync = true;
                }
            }
            Operation::Barrier { .. } => {}
        }
    }
    if let Some(record) = committed {
        batch.put_cf(meta, KEY_COMMITTED, record);
    }
    if sync {
        inner.write_synced(batch, end)?;
        inner.metrics.entries_total.fetch_add(entries, Ordering::Relaxed);
        inner.metrics.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    } else if !batch.is_empty() {
        inner.write_unsynced(batch)?;
    }
    if let Some(end) = end {
        flushed.store(end.after, Ordering::Release);
    }
    if let Some(to) = purged {
        inner.purged_end.store(to, Ordering::Release);
        // Whole files below it are given back at once, without waiting for a compaction. Whatever this brings back to
        // light in the files that straddle the bound is below `purged_end`, where nobody looks.
        inner.db.delete_file_in_range_cf(log, log_key(0), log_key(to.saturating_sub(1)))?;
    }
    Ok(())
}
