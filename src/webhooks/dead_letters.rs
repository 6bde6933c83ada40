//! Messages that were given up: kept in the replicated store to be looked at, told again, or dropped.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vedfolnir_cluster::state::{Command, EventId, KvDelete, KvEntry, KvExpected, KvPut, KvRefusal, Response, State};
use vedfolnir_cluster::{Cluster, ReadError};

use super::Webhooks;
use super::cursor::{COMMIT_TIMEOUT, NotWritten};
use super::message::Message;

/// What their keys begin with.
const PREFIX: &str = "\0vedfolnir/webhooks/dead/";
/// How many are kept; beyond them the oldest are dropped, and counted.
pub(super) const LETTERS_MAX: usize = 1_000;
/// Letters on one page.
const PAGE_LETTERS: usize = 100;
/// Bytes of the reason that is kept.
const ERROR_BYTES_MAX: usize = 512;

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event's id.
    pub id: String,
    /// What it tells.
    pub r#type: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: String,
    /// When it was given up, in milliseconds since 1970.
    pub given_up_unix_ms: u64,
    /// As it was sent, and would be again.
    pub body: Box<RawValue>,
}

/// Some of them, the oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// The id after which there are more.
    pub next: Option<String>,
}

/// What came of telling some again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Replayed {
    /// Those that the receiver took; they are gone from the list.
    pub taken: Vec<String>,
    /// The one that it did not; those behind it were not tried.
    pub not_taken: Option<String>,
    /// And why not.
    pub error: Option<String>,
    /// Whether there are more that were not tried, only because it would have taken too long.
    pub more: bool,
}

/// Why nothing was done with a letter.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// It is no event's id.
    #[error("{0}")]
    BadId(#[from] vedfolnir_cluster::state::EventIdError),
    /// There is none of this event.
    #[error("there is no dead letter of the event {0}: it was taken, dropped, or never given up")]
    Unknown(EventId),
    /// No quorum confirms what there is.
    #[error("no quorum confirms what there is ({0}); try again later")]
    NoQuorum(#[from] ReadError),
    /// It is not known whether it is gone from the list.
    #[error("no quorum has taken it off the list within {} s; look at it again", COMMIT_TIMEOUT.as_secs())]
    NotRemoved,
}

/// In the order of events.
fn key(id: EventId) -> String {
    let mut key = PREFIX.to_owned();
    // Writing to a String cannot fail.
    let _ =
        write!(key, "{:016x}{:016x}{:08x}{:08x}", id.history_id, id.position.index, id.position.ordinal, id.ordinal);
    key
}

fn letter(entry: &KvEntry) -> Option<DeadLetter> {
    serde_json::from_slice(&entry.value).ok()
}

/// Keys of all of them, the oldest first.
fn keys(state: &State) -> Vec<std::sync::Arc<str>> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = state.kv_list(PREFIX, after.as_deref(), LETTERS_MAX);
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        match page.next {
            Some(next) => after = Some(next),
            None => return keys,
        }
    }
}

/// How many there are.
pub(crate) fn count(state: &State) -> usize {
    keys(state).len()
}

impl DeadLetter {
    /// Of a message; `error`: why the last attempt failed, of which the beginning is kept.
    pub(super) fn of(message: &Message, attempts: u32, error: &str, now_ms: u64) -> Self {
        let mut end = error.len().min(ERROR_BYTES_MAX);
        while !error.is_char_boundary(end) {
            end -= 1;
        }
        // It was written as JSON.
        let body = serde_json::from_slice(&message.body).unwrap_or_default();
        Self {
            id: message.id.to_string(),
            r#type: message.kind.as_str().to_owned(),
            attempts,
            last_error: error[..end].to_owned(),
            given_up_unix_ms: now_ms,
            body,
        }
    }
}

/// Commits a letter, and drops the oldest ones if there are more than `letters_max`; how many were dropped. One of the same
/// event that is there already stays.
pub(super) async fn keep(
    cluster: &Cluster,
    id: EventId,
    letter: &DeadLetter,
    letters_max: usize,
) -> Result<u64, NotWritten> {
    // Numbers, texts and JSON that was read as such: nothing that JSON does not take.
    let value = serde_json::to_vec(letter).unwrap_or_default().into();
    let put = KvPut { key: key(id).into(), value, ttl_ms: None, expected: KvExpected::Absent };
    let ticket = cluster.propose(Command::KvPut(put)).map_err(|_| NotWritten::Unknown)?;
    match tokio::time::timeout(COMMIT_TIMEOUT, ticket).await {
        Ok(Ok(Response::KvStored { .. } | Response::KvRefused(KvRefusal::Conflict { .. }))) => {}
        Ok(Ok(Response::KvRefused(refusal))) => return Err(NotWritten::NoRoom(refusal)),
        _ => return Err(NotWritten::Unknown),
    }
    let all = cluster.read(keys);
    let mut dropped = 0;
    for key in all.iter().take(all.len().saturating_sub(letters_max)) {
        // The next letter drops what this one could not.
        if remove(cluster, key, KvExpected::Anything).await.unwrap_or_default() {
            dropped += 1;
        }
    }
    Ok(dropped)
}

/// What this node's replica shows after a quorum has confirmed that it is all there is.
async fn confirmed(cluster: &Cluster) -> Result<(), LetterError> {
    cluster.read_index(COMMIT_TIMEOUT).await?;
    Ok(())
}

fn find(cluster: &Cluster, id: EventId) -> Result<(DeadLetter, KvEntry), LetterError> {
    let entry = cluster.read(|state| state.kv_get(&key(id))).ok_or(LetterError::Unknown(id))?;
    Ok((letter(&entry).ok_or(LetterError::Unknown(id))?, entry))
}

/// Those after an event's.
pub(crate) async fn list(cluster: &Cluster, after: Option<&str>) -> Result<DeadLetterPage, LetterError> {
    let after = after.map(str::parse).transpose()?.map(key);
    confirmed(cluster).await?;
    let page = cluster.read(|state| state.kv_list(PREFIX, after.as_deref(), PAGE_LETTERS));
    let letters: Vec<DeadLetter> = page.entries.iter().filter_map(letter).collect();
    let next = page.next.and_then(|_| letters.last().map(|letter| letter.id.clone()));
    Ok(DeadLetterPage { letters, next })
}

/// One of them.
pub(crate) async fn show(cluster: &Cluster, id: &str) -> Result<DeadLetter, LetterError> {
    let id = id.parse()?;
    confirmed(cluster).await?;
    Ok(find(cluster, id)?.0)
}

/// Takes one off the list; the one that was read, if a revision is named.
async fn remove(cluster: &Cluster, key: &str, expected: KvExpected) -> Result<bool, LetterError> {
    let delete = KvDelete { key: key.into(), expected };
    let ticket = cluster.propose(Command::KvDelete(delete)).map_err(|_| LetterError::NotRemoved)?;
    match tokio::time::timeout(COMMIT_TIMEOUT, ticket).await {
        Ok(Ok(Response::KvDeleted { existed })) => Ok(existed),
        Ok(Ok(Response::KvRefused(_))) => Ok(false),
        _ => Err(LetterError::NotRemoved),
    }
}

/// Drops one, or all; which.
pub(crate) async fn drop_some(cluster: &Cluster, id: Option<&str>) -> Result<Vec<String>, LetterError> {
    confirmed(cluster).await?;
    let keys = match id {
        Some(id) => {
            let id = id.parse()?;
            find(cluster, id)?;
            vec![key(id).into()]
        }
        None => cluster.read(keys),
    };
    let mut dropped = Vec::new();
    for key in keys {
        let read = cluster.read(|state| state.kv_get(&key)).as_ref().and_then(letter);
        if remove(cluster, &key, KvExpected::Anything).await? {
            dropped.extend(read.map(|letter| letter.id));
        }
    }
    Ok(dropped)
}

impl Webhooks {
    /// Tells one again, or all in their order up to the first that is not taken, until `deadline`.
    pub(crate) async fn replay(
        &self,
        cluster: &Cluster,
        id: Option<&str>,
        deadline: tokio::time::Instant,
    ) -> Result<Replayed, LetterError> {
        confirmed(cluster).await?;
        let keys = match id {
            Some(id) => {
                let id = id.parse()?;
                find(cluster, id)?;
                vec![key(id).into()]
            }
            None => cluster.read(keys),
        };
        let mut replayed = Replayed::default();
        for key in keys {
            if tokio::time::Instant::now() >= deadline {
                replayed.more = true;
                break;
            }
            let Some(entry) = cluster.read(|state| state.kv_get(&key)) else { continue };
            let Some(letter) = letter(&entry) else { continue };
            if let Err(error) = self.attempt(&letter.id, Bytes::from(letter.body.get().to_owned())).await {
                (replayed.not_taken, replayed.error) = (Some(letter.id), Some(error.to_string()));
                break;
            }
            remove(cluster, &key, KvExpected::Revision(entry.revision)).await?;
            replayed.taken.push(letter.id);
        }
        Ok(replayed)
    }
}
