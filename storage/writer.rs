//! The one thread that writes: drains its queue, writes one batch, syncs once, completes callbacks in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rocksdb::WriteBatch;
use tokio::sync::{mpsc, oneshot};

use crate::error::StorageError;
use crate::schema::{CF_LOG, CF_META, KEY_COMMITTED, KEY_PURGED, KEY_VOTE, log_key};
use crate::storage::{Storage, synced};

/// Operations that may wait; beyond it callers wait.
pub(crate) const QUEUED_OPERATIONS_MAX: usize = 4096;
/// Bytes that one synced write gathers at most (a single larger operation goes alone).
const BATCH_BYTES_MAX: usize = 8 << 20;

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
    /// Not worth a sync of its own.
    Committed { record: Vec<u8> },
    /// Answered when everything before it is on disk.
    Barrier { done: oneshot::Sender<()> },
}

impl Operation {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.iter().map(|(_, record)| record.len() + 12).sum(),
            _ => 64,
        }
    }
}

/// Starts the thread; it ends when the queue's last sender is gone.
pub(crate) fn start(
    storage: Storage,
    flushed: Arc<AtomicU64>,
) -> io::Result<(mpsc::Sender<Operation>, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel(QUEUED_OPERATIONS_MAX);
    let thread = std::thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || run(&storage, receiver, &flushed))?;
    Ok((sender, thread))
}

fn run(storage: &Storage, mut queue: mpsc::Receiver<Operation>, flushed: &AtomicU64) {
    let mut failed: Option<String> = None;
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.bytes();
        let mut operations = vec![first];
        while bytes < BATCH_BYTES_MAX {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.bytes();
            operations.push(next);
        }
        let result = match &failed {
            // After one failed write nothing is known about the disk: no later write may look like a success.
            Some(reason) => Err(reason.clone()),
            None => write(storage, &operations, flushed).map_err(|error| error.to_string()),
        };
        if let Err(reason) = &result
            && failed.is_none()
        {
            storage.inner.fail(reason);
            failed = Some(reason.clone());
        }
        for operation in operations {
            let outcome = result.clone().map_err(io::Error::other);
            match operation {
                Operation::Append { done, .. }
                | Operation::Vote { done, .. }
                | Operation::TruncateFrom { done, .. }
                | Operation::Purge { done, .. } => done(outcome),
                Operation::Committed { .. } => {}
                Operation::Barrier { done } => {
                    // A caller that has gone away needs no answer.
                    let _ = done.send(());
                }
            }
        }
    }
}

fn write(storage: &Storage, operations: &[Operation], flushed: &AtomicU64) -> Result<(), StorageError> {
    let inner = &storage.inner;
    let (log, meta) = (inner.cf(CF_LOG)?, inner.cf(CF_META)?);
    let mut batch = WriteBatch::default();
    let mut sync = false;
    let mut marker: Option<u64> = None;
    let (mut entries, mut bytes) = (0u64, 0u64);
    for operation in operations {
        match operation {
            Operation::Append { records, .. } => {
                for (index, record) in records {
                    batch.put_cf(log, log_key(*index), record);
                    entries += 1;
                    bytes += record.len() as u64;
                    marker = Some(index + 1);
                }
                sync = true;
            }
            Operation::Vote { record, .. } => {
                batch.put_cf(meta, KEY_VOTE, record);
                sync = true;
            }
            Operation::TruncateFrom { end, .. } => {
                // Lowered first: a crash in between must not make a shorter log look like a lost one.
                inner.marker.write(*end).map_err(|error| StorageError::io(inner.db.path(), error))?;
                batch.delete_range_cf(log, log_key(*end), log_key(u64::MAX));
                marker = Some(*end);
                sync = true;
            }
            Operation::Purge { last, record, .. } => {
                batch.delete_range_cf(log, log_key(0), log_key(last.saturating_add(1)));
                batch.put_cf(meta, KEY_PURGED, record);
                sync = true;
            }
            Operation::Committed { record } => batch.put_cf(meta, KEY_COMMITTED, record),
            Operation::Barrier { .. } => {}
        }
    }
    if sync {
        let began = Instant::now();
        inner.db.write_opt(batch, &synced())?;
        inner.metrics.observe_fsync(began.elapsed());
        inner.metrics.entries_total.fetch_add(entries, Ordering::Relaxed);
        inner.metrics.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    } else if !batch.is_empty() {
        inner.db.write(batch)?;
    }
    if let Some(end) = marker {
        inner.marker.write(end).map_err(|error| StorageError::io(inner.db.path(), error))?;
        flushed.store(end, Ordering::Release);
    }
    Ok(())
}
