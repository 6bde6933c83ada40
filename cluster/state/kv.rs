//! The table of the key-value store for applications: values under keys, each with a revision and, if asked for, an end
//! in committed cluster time.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::command::{KvDelete, KvExpected, KvPut};
use crate::identifier::LogPosition;
use crate::limits;
use crate::response::{KvRefusal, Response};
use crate::state::State;
use crate::table;

/// Keys that begin with it are the server's own: no list shows them unless it asks for them by this prefix, and the door
/// for applications neither reads nor writes them. It is the least character, so that they are before all others.
pub const KV_RESERVED_PREFIX: &str = "\0";
/// The least key that is not reserved.
const KV_UNRESERVED_FIRST: &str = "\u{1}";

/// An entry as the floors above see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// Its key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Bytes,
    /// Where it was last written.
    pub revision: LogPosition,
    /// Committed cluster time until it ends, milliseconds; `None`: it does not end.
    pub expires_in_ms: Option<u64>,
}

/// Some entries under a prefix, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvPage {
    /// The entries.
    pub entries: Vec<KvEntry>,
    /// The key after which to go on; `None`: there is nothing more.
    pub next: Option<Arc<str>>,
}

/// What the store holds, and what became of writes; the same on every replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvStats {
    /// Entries, those included whose time is over but that no tick has removed yet.
    pub entries: u64,
    /// What they weigh.
    pub bytes: u64,
    /// Entries whose time was over.
    pub expired_total: u64,
    /// Writes that did not find what they expected.
    pub conflicts_total: u64,
    /// Writes that a bound refused.
    pub refused_total: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(with = "crate::command::serde_bytes_of")]
    value: Bytes,
    revision: LogPosition,
    deadline_ms: Option<u64>,
}

impl Entry {
    fn lives(&self, now_ms: u64) -> bool {
        self.deadline_ms.is_none_or(|deadline| deadline > now_ms)
    }

    fn show(&self, key: &Arc<str>, now_ms: u64) -> KvEntry {
        KvEntry {
            key: Arc::clone(key),
            value: self.value.clone(),
            revision: self.revision,
            expires_in_ms: self.deadline_ms.map(|deadline| deadline.saturating_sub(now_ms)),
        }
    }
}

/// See the module. Invariants: `deadlines` names exactly the entries that have one; `bytes` is the sum of what they weigh;
/// an entry whose deadline has passed is shown by no read and counts for no write as being there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kv {
    #[serde(deserialize_with = "table::map")]
    entries: OrdMap<Arc<str>, Entry>,
    #[serde(deserialize_with = "table::set")]
    deadlines: OrdSet<(u64, Arc<str>)>,
    bytes: u64,
    expired_total: u64,
    conflicts_total: u64,
    refused_total: u64,
}

fn weight(key: &str, value: &Bytes) -> u64 {
    (key.len() + value.len()) as u64 + limits::KV_OVERHEAD_BYTES
}

impl Kv {
    pub(crate) fn put(&mut self, put: KvPut, position: LogPosition, now_ms: u64) -> Response {
        let KvPut { key, value, ttl_ms, expected } = put;
        if let Err(refusal) = self.may_put(&key, &value, expected, now_ms) {
            return self.refuse(refusal);
        }
        self.bytes += weight(&key, &value);
        let deadline_ms = ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms));
        let entry = Entry { value, revision: position, deadline_ms };
        // In place: most writes are to keys that are there.
        match self.entries.get_mut(&key) {
            Some(current) => {
                let replaced = std::mem::replace(current, entry);
                self.forget(&key, &replaced, now_ms);
            }
            None => drop(self.entries.insert(Arc::clone(&key), entry)),
        }
        if let Some(deadline) = deadline_ms {
            self.deadlines.insert((deadline, key));
        }
        Response::KvStored { revision: position }
    }

    fn may_put(&self, key: &str, value: &Bytes, expected: KvExpected, now_ms: u64) -> Result<(), KvRefusal> {
        check_key(key)?;
        if value.len() > limits::KV_VALUE_BYTES_MAX {
            return Err(KvRefusal::ValueTooLarge);
        }
        let replaced = self.entries.get(key);
        check_expected(replaced, expected, now_ms)?;
        if replaced.is_none() && self.entries.len() >= limits::KV_ENTRIES_MAX {
            return Err(KvRefusal::TooManyEntries);
        }
        let freed = replaced.map_or(0, |entry| weight(key, &entry.value));
        if self.bytes - freed + weight(key, value) > limits::KV_BYTES_MAX {
            return Err(KvRefusal::Full);
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, delete: &KvDelete, now_ms: u64) -> Response {
        let KvDelete { key, expected } = delete;
        let allowed = check_key(key).and_then(|()| check_expected(self.entries.get(key), *expected, now_ms));
        match allowed {
            Err(refusal) => self.refuse(refusal),
            Ok(()) => {
                let existed = self.live(key, now_ms).is_some();
                self.remove(key, now_ms);
                Response::KvDeleted { existed }
            }
        }
    }

    /// Removes entries whose time is over, so many at once.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        for _ in 0..limits::KV_EXPIRED_PER_TICK_MAX {
            match self.deadlines.get_min() {
                Some((deadline, key)) if *deadline <= now_ms => {
                    let key = Arc::clone(key);
                    self.remove(&key, now_ms);
                }
                _ => break,
            }
        }
    }

    fn live(&self, key: &str, now_ms: u64) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.lives(now_ms))
    }

    fn remove(&mut self, key: &Arc<str>, now_ms: u64) {
        if let Some(entry) = self.entries.remove(key) {
            self.forget(key, &entry, now_ms);
        }
    }

    /// What goes with an entry that is in the table no more.
    fn forget(&mut self, key: &Arc<str>, entry: &Entry, now_ms: u64) {
        self.bytes -= weight(key, &entry.value);
        self.expired_total += u64::from(!entry.lives(now_ms));
        if let Some(deadline) = entry.deadline_ms {
            self.deadlines.remove(&(deadline, Arc::clone(key)));
        }
    }

    fn refuse(&mut self, refusal: KvRefusal) -> Response {
        match refusal {
            KvRefusal::Conflict { .. } => self.conflicts_total += 1,
            _ => self.refused_total += 1,
        }
        Response::KvRefused(refusal)
    }

    fn list(&self, prefix: &str, after: Option<&str>, entries_max: usize, now_ms: u64) -> KvPage {
        let from = match after {
            Some(after) if after >= prefix && (after >= KV_UNRESERVED_FIRST || !prefix.is_empty()) => {
                Bound::Excluded(after)
            }
            _ if prefix.is_empty() => Bound::Included(KV_UNRESERVED_FIRST),
            _ => Bound::Included(prefix),
        };
        let entries_max = entries_max.clamp(1, limits::KV_PAGE_ENTRIES_MAX);
        let mut page = KvPage::default();
        let mut last = None;
        let mut bytes = 0;
        let under = self.entries.range::<_, str>((from, Bound::Unbounded));
        for (looked, (key, entry)) in under.take_while(|(key, _)| key.starts_with(prefix)).enumerate() {
            bytes += weight(key, &entry.value);
            // Entries whose time is over are looked at as well: there may be many before a tick has removed them.
            let full = page.entries.len() == entries_max
                || looked == limits::KV_PAGE_ENTRIES_MAX
                || (bytes > limits::KV_PAGE_BYTES_MAX && !page.entries.is_empty());
            if full {
                page.next = last;
                break;
            }
            last = Some(Arc::clone(key));
            if entry.lives(now_ms) {
                page.entries.push(entry.show(key, now_ms));
            }
        }
        page
    }
}

fn check_expected(current: Option<&Entry>, expected: KvExpected, now_ms: u64) -> Result<(), KvRefusal> {
    let current = current.filter(|entry| entry.lives(now_ms)).map(|entry| entry.revision);
    let met = match expected {
        KvExpected::Anything => true,
        KvExpected::Absent => current.is_none(),
        KvExpected::Revision(revision) => current == Some(revision),
    };
    #[cfg(feature = "planted-bugs")]
    let met = crate::planted::expected(met);
    if met { Ok(()) } else { Err(KvRefusal::Conflict { current }) }
}

fn check_key(key: &str) -> Result<(), KvRefusal> {
    if key.is_empty() || key.len() > limits::KV_KEY_BYTES_MAX { Err(KvRefusal::BadKey) } else { Ok(()) }
}

/// The key-value store as the floors above read it.
impl State {
    /// An entry; `None`: there is none, or its time is over.
    #[must_use]
    pub fn kv_get(&self, key: &str) -> Option<KvEntry> {
        let now_ms = self.cluster_time_ms();
        let (key, entry) = self.kv.entries.get_key_value(key)?;
        entry.lives(now_ms).then(|| entry.show(key, now_ms))
    }

    /// Entries whose keys begin with `prefix`, in order, after the key `after`: at most `entries_max` (and never more than
    /// [`limits::KV_PAGE_ENTRIES_MAX`] or [`limits::KV_PAGE_BYTES_MAX`]). A page may be empty and still name a `next`.
    /// Reserved keys are shown only under a prefix that begins with [`KV_RESERVED_PREFIX`].
    #[must_use]
    pub fn kv_list(&self, prefix: &str, after: Option<&str>, entries_max: usize) -> KvPage {
        self.kv.list(prefix, after, entries_max, self.cluster_time_ms())
    }

    /// What the store holds.
    #[must_use]
    pub fn kv_stats(&self) -> KvStats {
        KvStats {
            entries: self.kv.entries.len() as u64,
            bytes: self.kv.bytes,
            expired_total: self.kv.expired_total,
            conflicts_total: self.kv.conflicts_total,
            refused_total: self.kv.refused_total,
        }
    }
}
