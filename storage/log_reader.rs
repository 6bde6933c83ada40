//! Reads the log: the tail from memory, what is older from disk.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::entry::RaftEntry;
use openraft::storage::RaftLogReader;
use openraft::{OptionalSend, RaftTypeConfig};
use rocksdb::{Direction, IteratorMode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StorageError;
use crate::log_store::{LogIdOf, Shared, VoteOf};
use crate::schema::{CF_LOG, CF_META, KEY_VOTE, decode, log_index, log_key};
use crate::storage::Storage;

/// What one read for replication returns at most (a single larger entry goes alone).
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
    /// Entries `start..end`, as far as they are there, up to `bytes_max` (at least one).
    fn read(&self, start: u64, end: u64, bytes_max: usize) -> Result<Vec<C::Entry>, StorageError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        // From the tail first: what is missing there is on disk, whatever the writer does meanwhile.
        let tail_start = {
            let tail = self.shared.tail.read();
            match tail.entries.range(start..end.max(start)).next() {
                Some((first, _)) if *first == start => {
                    for (size, entry) in tail.entries.range(start..end).map(|(_, cached)| cached) {
                        if !entries.is_empty() && bytes + size > bytes_max {
                            break;
                        }
                        bytes += size;
                        entries.push(entry.clone());
                    }
                    return Ok(entries);
                }
                Some((first, _)) => *first,
                None => end,
            }
        };
        let inner = &self.shared.storage.inner;
        let from = log_key(start);
        for item in inner.db.iterator_cf(inner.cf(CF_LOG)?, IteratorMode::From(&from, Direction::Forward)) {
            let (key, record) = item?;
            let Some(index) = log_index(&key).filter(|index| *index < tail_start) else { break };
            if !entries.is_empty() && bytes + record.len() > bytes_max {
                return Ok(entries);
            }
            bytes += record.len();
            entries.push(decode(index, &record)?);
        }
        let next = start + entries.len() as u64;
        if next == tail_start && next < end {
            let tail = self.shared.tail.read();
            for (size, entry) in tail.entries.range(next..end).map(|(_, cached)| cached) {
                if !entries.is_empty() && bytes + size > bytes_max {
                    break;
                }
                bytes += size;
                entries.push(entry.clone());
            }
        }
        Ok(entries)
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
        self.read(start, end, usize::MAX).map_err(io::Error::other)
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

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<C::Entry>, io::Error> {
        self.read(start, end, READ_BYTES_MAX).map_err(io::Error::other)
    }
}

/// The id of the last entry on disk.
pub(crate) fn last_on_disk<C>(storage: &Storage) -> Result<Option<LogIdOf<C>>, StorageError>
where
    C: RaftTypeConfig,
    C::Entry: Clone + DeserializeOwned,
{
    let inner = &storage.inner;
    let mut iterator = inner.db.raw_iterator_cf(inner.cf(CF_LOG)?);
    iterator.seek_to_last();
    iterator.status()?;
    let (Some(key), Some(record)) = (iterator.key(), iterator.value()) else { return Ok(None) };
    let index = log_index(key).unwrap_or_default();
    let entry: C::Entry = decode(index, record)?;
    Ok(Some(entry.log_id()))
}
