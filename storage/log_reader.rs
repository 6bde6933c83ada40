//! Reads the log: the tail from memory, what is older from disk.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::stream::{self, Stream, TryStreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::RaftLogReader;
use openraft::{OptionalSend, RaftTypeConfig};
use rocksdb::{Direction, IteratorMode, ReadOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database;
use crate::error::StorageError;
use crate::log_store::{LogIdOf, Shared, VoteOf};
use crate::schema::{CF_LOG, CF_META, KEY_VOTE, decode, log_index, log_key};
use crate::storage::Storage;

/// What one read for replication or application returns at most (a single larger entry goes alone).
const READ_BYTES_MAX: usize = 1 << 20;

/// See the module.
pub struct LogReader<C: RaftTypeConfig> {
    pub(crate) shared: Arc<Shared<C>>,
}

impl<C> LogReader<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + DeserializeOwned,
{
    /// Entries `start..end`, as far as they are there: at most a few at a time, so ask again from where they end. They begin
    /// later than asked for where the log was purged; whether they are committed is the caller's to know.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn entries(&self, start: u64, end: u64) -> io::Result<Vec<C::Entry>> {
        read(&self.shared, start, end, READ_BYTES_MAX).await
    }
}

/// Entries being gathered.
///
/// Invariant: they are contiguous and end right before `next`.
struct Gathered<C: RaftTypeConfig> {
    entries: Vec<C::Entry>,
    bytes: usize,
    next: u64,
    end: u64,
    bytes_max: usize,
}

impl<C: RaftTypeConfig> Gathered<C> {
    fn new(start: u64, end: u64, bytes_max: usize) -> Self {
        Self { entries: Vec::new(), bytes: 0, next: start, end, bytes_max }
    }

    /// Whether another entry of this size may be added.
    fn admits(&self, bytes: usize) -> bool {
        self.entries.is_empty() || self.bytes.saturating_add(bytes) <= self.bytes_max
    }

    fn push(&mut self, index: u64, bytes: usize, entry: C::Entry) {
        self.entries.push(entry);
        self.bytes += bytes;
        self.next = index.saturating_add(1);
    }
}

/// Where to go on after a look at the tail.
enum Step {
    /// Everything was gathered, or as much as may be.
    Done,
    /// What stands before this index is on disk.
    DiskUpTo(u64),
}

impl<C> Shared<C>
where
    C: RaftTypeConfig,
    C::Entry: Clone + DeserializeOwned,
{
    fn gather_from_tail(&self, gathered: &mut Gathered<C>) -> Step {
        let tail = self.tail.read();
        let first = tail.entries.first_key_value().map(|(first, _)| *first);
        match first {
            _ if gathered.next >= gathered.end => Step::Done,
            Some(first) if first <= gathered.next => {
                for (index, (bytes, entry)) in tail.entries.range(gathered.next..gathered.end) {
                    if !gathered.admits(*bytes) {
                        break;
                    }
                    gathered.push(*index, *bytes, entry.clone());
                }
                Step::Done
            }
            Some(first) => Step::DiskUpTo(first.min(gathered.end)),
            None => Step::DiskUpTo(gathered.end),
        }
    }

    /// `Ok(false)`: no more may be added.
    fn gather_from_disk(&self, gathered: &mut Gathered<C>, up_to: u64) -> Result<bool, StorageError> {
        let inner = &self.storage.inner;
        // What was purged may still lie in RocksDB's files.
        let from = gathered.next.max(inner.purged_end());
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(log_key(up_to.max(from)));
        let start = log_key(from);
        let mode = IteratorMode::From(&start, Direction::Forward);
        for item in inner.db.iterator_cf_opt(inner.cf(CF_LOG)?, options, mode) {
            let (key, record) = item?;
            let index = log_index(&key).unwrap_or_default();
            if !gathered.entries.is_empty() && index != gathered.next {
                return Err(StorageError::Record { index: gathered.next, reason: "it is missing".to_owned() });
            }
            if !gathered.admits(record.len()) {
                return Ok(false);
            }
            let entry: C::Entry = decode(index, &record)?;
            if entry.log_id().index != index {
                let reason = format!("it says that it is record {}", entry.log_id().index);
                return Err(StorageError::Record { index, reason });
            }
            gathered.push(index, record.len(), entry);
        }
        Ok(true)
    }

    /// Goes on from disk to memory until everything is there; entries may move from memory to disk meanwhile.
    fn gather(&self, mut gathered: Gathered<C>, mut up_to: u64) -> Result<Vec<C::Entry>, StorageError> {
        loop {
            if !self.gather_from_disk(&mut gathered, up_to)? {
                return Ok(gathered.entries);
            }
            if gathered.entries.is_empty() {
                // Purged: the range begins later than it was asked for.
                gathered.next = gathered.next.max(up_to);
            } else if gathered.next < up_to {
                // The log ends here.
                return Ok(gathered.entries);
            }
            match self.gather_from_tail(&mut gathered) {
                Step::Done => return Ok(gathered.entries),
                Step::DiskUpTo(more) => up_to = more,
            }
        }
    }
}

/// Entries `start..end`, as far as they are there, up to `bytes_max` (at least one). Memory is read at once, the disk
/// on a thread that may block.
async fn read<C>(shared: &Arc<Shared<C>>, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<C::Entry>>
where
    C: RaftTypeConfig,
    C::Entry: Clone + DeserializeOwned,
{
    let mut gathered = Gathered::new(start, end, bytes_max);
    match shared.gather_from_tail(&mut gathered) {
        Step::Done => Ok(gathered.entries),
        Step::DiskUpTo(up_to) => {
            let shared = Arc::clone(shared);
            tokio::task::spawn_blocking(move || shared.gather(gathered, up_to))
                .await
                .map_err(io::Error::other)?
                .map_err(io::Error::other)
        }
    }
}

fn bounds<RB: RangeBounds<u64>>(range: &RB) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
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
        let (start, end) = bounds(&range);
        read(&self.shared, start, end, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<C>>, io::Error> {
        if let Some(vote) = self.shared.vote.lock().clone() {
            return Ok(Some(vote));
        }
        let inner = &self.shared.storage.inner;
        let meta = inner.cf(CF_META).map_err(io::Error::other)?;
        match inner.db.get_cf(meta, KEY_VOTE).map_err(io::Error::other)? {
            Some(bytes) => Ok(Some(decode(0, &bytes).map_err(io::Error::other)?)),
            None => Ok(None),
        }
    }

    /// For replication.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<C::Entry>, io::Error> {
        read(&self.shared, start, end, READ_BYTES_MAX).await
    }

    /// For application: a long way to catch up is read piece by piece, never as a whole into memory.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<C::Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let shared = Arc::clone(&self.shared);
        let pieces = stream::try_unfold(start, move |next| {
            let shared = Arc::clone(&shared);
            async move {
                let entries = read(&shared, next, end, READ_BYTES_MAX).await?;
                let next = entries.last().map(|last| last.log_id().index.saturating_add(1));
                Ok::<_, io::Error>(next.map(|next| (stream::iter(entries.into_iter().map(Ok)), next)))
            }
        });
        Box::pin(pieces.try_flatten())
    }
}

/// The id of the last entry on disk.
pub(crate) fn last_on_disk<C>(storage: &Storage) -> Result<Option<LogIdOf<C>>, StorageError>
where
    C: RaftTypeConfig,
    C::Entry: Clone + DeserializeOwned,
{
    let inner = &storage.inner;
    let Some(index) = database::last_index(&inner.db, inner.purged_end())? else { return Ok(None) };
    let record = inner.db.get_cf(inner.cf(CF_LOG)?, log_key(index))?;
    let entry: C::Entry = decode(index, &record.unwrap_or_default())?;
    Ok(Some(entry.log_id()))
}
