//! The replicated key-value store: what applications keep beside their clients' sessions, on every node.
//!
//! ```no_run
//! # use vedfolnir::app::{Socket, StoreError};
//! # async fn example(socket: Socket) -> Result<(), StoreError> {
//! use std::time::Duration;
//!
//! let store = socket.server().store();
//! let hour = Some(Duration::from_secs(3600));
//! let revision = store.put("app:session:42", "{\"theme\":\"dark\"}", hour).await?;
//! // Only if nobody has written it since:
//! match store.cas("app:session:42", "{\"theme\":\"light\"}", hour, Some(revision)).await {
//!     Err(StoreError::Conflict { current }) => println!("now at {current:?}"),
//!     written => drop(written?),
//! }
//! # Ok(()) }
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use vedfolnir_cluster::ProposeError;
use vedfolnir_cluster::state::{
    Command, KV_RESERVED_PREFIX, KvDelete, KvEntry, KvExpected, KvPage, KvPut, KvRefusal, LogPosition, Response, limits,
};

use super::read::Read;
use super::reply::Reply;
use crate::service;

/// The key-value store; cheap to clone.
///
/// Values are opaque bytes. A write is committed on a quorum before it is acknowledged, and this node shows it from then
/// on. An entry's time counts in committed cluster time: it stands still without a quorum, so that an entry lives for at
/// least as long as asked, and is over for every node at the same place in the order.
#[derive(Clone)]
pub struct Store {
    service: Arc<service::Inner>,
}

/// Why a write is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The entry is not as the write expected it; nothing was changed.
    #[error("the entry has changed since it was read; nothing was written")]
    Conflict {
        /// The entry's revision; `None`: there is none.
        current: Option<LogPosition>,
    },
    /// The key is empty or too long; nothing was changed.
    #[error("a key of {bytes} bytes; accepted: 1 to {} bytes", limits::KV_KEY_BYTES_MAX)]
    BadKey {
        /// How long it is.
        bytes: usize,
    },
    /// The key is one of the server's own; nothing was changed.
    #[error("a key that begins with U+0000 is the server's own; accepted: any other first character")]
    ReservedKey,
    /// The value is too large; nothing was changed.
    #[error("a value of {bytes} bytes; accepted: at most {} bytes", limits::KV_VALUE_BYTES_MAX)]
    ValueTooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// There are too many entries; nothing was changed.
    #[error("the store has {} entries, which is its bound; delete some or let them end", limits::KV_ENTRIES_MAX)]
    TooManyEntries,
    /// The entries would be too large together; nothing was changed.
    #[error(
        "the store would be larger than its bound of {} bytes; delete some entries or let them end",
        limits::KV_BYTES_MAX
    )]
    Full,
    /// No quorum acknowledged it in time.
    #[error("not acknowledged by a quorum within {} s; it may or may not have been written", .0.as_secs_f64())]
    NoQuorum(Duration),
    /// Too much waits to be committed; nothing was changed.
    #[error("the node has too many changes waiting to be committed; try again later")]
    Overloaded,
    /// The node left its cluster, or a snapshot took the answer away: the write was made or not.
    #[error("the answer is lost; it may or may not have been written: read the entry")]
    Unknown,
    /// The node is stopping.
    #[error("the node is shutting down; it may or may not have been written")]
    ShuttingDown,
}

impl StoreError {
    /// The stable code that clients see.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::BadKey { .. } | Self::ReservedKey => "bad_request",
            Self::ValueTooLarge { .. } | Self::TooManyEntries | Self::Full => "limit_exceeded",
            Self::NoQuorum(_) | Self::Unknown | Self::ShuttingDown => "no_quorum",
            Self::Overloaded => "overloaded",
        }
    }
}

impl From<StoreError> for Reply {
    fn from(error: StoreError) -> Self {
        Self::error(error.code(), &error.to_string())
    }
}

impl From<ProposeError> for StoreError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Overloaded => Self::Overloaded,
            // Every format has the store's commands.
            ProposeError::Fenced | ProposeError::ResponseLost | ProposeError::OldFormat => Self::Unknown,
            ProposeError::ShuttingDown => Self::ShuttingDown,
        }
    }
}

impl Store {
    pub(crate) fn new(service: &Arc<service::Inner>) -> Self {
        Self { service: Arc::clone(service) }
    }

    /// An entry; `None`: there is none, or its time is over. Keys that begin with U+0000 are the server's own: to
    /// applications there are none.
    pub fn get(&self, key: impl Into<Arc<str>>) -> Read<Option<KvEntry>> {
        let key = key.into();
        Read::new(&self.service, move |state| Ok(if is_reserved(&key) { None } else { state.kv_get(&key) }))
    }

    /// Entries whose keys begin with `prefix`, in the order of their keys, after the key `after` (what a page names as
    /// its `next`): at most `entries_max`, and never more than 1000 or 1 MiB.
    pub fn list(&self, prefix: impl Into<Arc<str>>, after: Option<Arc<str>>, entries_max: usize) -> Read<KvPage> {
        let prefix = prefix.into();
        Read::new(&self.service, move |state| {
            Ok(if is_reserved(&prefix) {
                KvPage::default()
            } else {
                state.kv_list(&prefix, after.as_deref(), entries_max)
            })
        })
    }

    /// Writes an entry, whatever was there; `ttl`: how long it lives, for ever without. Proposed by this very call; the
    /// future gives the new revision.
    ///
    /// # Errors
    /// [`StoreError`], but no [`StoreError::Conflict`].
    pub fn put(
        &self,
        key: impl Into<Arc<str>>,
        value: impl Into<Bytes>,
        ttl: Option<Duration>,
    ) -> StoreWrite<LogPosition> {
        self.write(key.into(), value.into(), ttl, KvExpected::Anything)
    }

    /// Writes an entry if it has the revision `expected` (`None`: if there is none), like [`Store::put`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it has not.
    pub fn cas(
        &self,
        key: impl Into<Arc<str>>,
        value: impl Into<Bytes>,
        ttl: Option<Duration>,
        expected: Option<LogPosition>,
    ) -> StoreWrite<LogPosition> {
        self.write(key.into(), value.into(), ttl, expected.map_or(KvExpected::Absent, KvExpected::Revision))
    }

    /// Removes an entry, whatever its revision; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError`], but no [`StoreError::Conflict`].
    pub fn delete(&self, key: impl Into<Arc<str>>) -> StoreWrite<bool> {
        self.remove(key.into(), KvExpected::Anything)
    }

    /// Removes an entry if it has this revision.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it has not.
    pub fn delete_at(&self, key: impl Into<Arc<str>>, revision: LogPosition) -> StoreWrite<bool> {
        self.remove(key.into(), KvExpected::Revision(revision))
    }

    fn write(
        &self,
        key: Arc<str>,
        value: Bytes,
        ttl: Option<Duration>,
        expected: KvExpected,
    ) -> StoreWrite<LogPosition> {
        let (key_bytes, value_bytes) = (key.len(), value.len());
        // The state has the last word; what it is sure to refuse need not go through the log.
        let answer = if value_bytes > limits::KV_VALUE_BYTES_MAX {
            Err(StoreError::ValueTooLarge { bytes: value_bytes })
        } else if is_reserved(&key) {
            Err(StoreError::ReservedKey)
        } else {
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            self.propose(key_bytes, Command::KvPut(KvPut { key, value, ttl_ms, expected }))
        };
        StoreWrite(Box::pin(async move {
            match answer?.await? {
                Response::KvStored { revision } => Ok(revision),
                response => Err(refused(&response, key_bytes, value_bytes)),
            }
        }))
    }

    fn remove(&self, key: Arc<str>, expected: KvExpected) -> StoreWrite<bool> {
        let key_bytes = key.len();
        let answer = if is_reserved(&key) {
            Err(StoreError::ReservedKey)
        } else {
            self.propose(key_bytes, Command::KvDelete(KvDelete { key, expected }))
        };
        StoreWrite(Box::pin(async move {
            match answer?.await? {
                Response::KvDeleted { existed } => Ok(existed),
                response => Err(refused(&response, key_bytes, 0)),
            }
        }))
    }

    fn propose(
        &self,
        key_bytes: usize,
        command: Command,
    ) -> Result<impl Future<Output = Result<Response, StoreError>> + Send + use<>, StoreError> {
        if key_bytes == 0 || key_bytes > limits::KV_KEY_BYTES_MAX {
            return Err(StoreError::BadKey { bytes: key_bytes });
        }
        let ticket = self.service.cluster.propose(command)?;
        let timeout = self.service.config.publish_timeout;
        Ok(async move { Ok(tokio::time::timeout(timeout, ticket).await.map_err(|_| StoreError::NoQuorum(timeout))??) })
    }
}

/// Whether a key, or every key under a prefix, is the server's own.
fn is_reserved(key: &str) -> bool {
    key.starts_with(KV_RESERVED_PREFIX)
}

/// A write on its way; it goes on when dropped.
#[must_use = "the write goes on without being awaited, but then nobody learns whether it is committed"]
pub struct StoreWrite<T>(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>);

impl<T> Future for StoreWrite<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

fn refused(response: &Response, key_bytes: usize, value_bytes: usize) -> StoreError {
    match response {
        Response::KvRefused(KvRefusal::Conflict { current }) => StoreError::Conflict { current: *current },
        Response::KvRefused(KvRefusal::BadKey) => StoreError::BadKey { bytes: key_bytes },
        Response::KvRefused(KvRefusal::ValueTooLarge) => StoreError::ValueTooLarge { bytes: value_bytes },
        Response::KvRefused(KvRefusal::TooManyEntries) => StoreError::TooManyEntries,
        Response::KvRefused(KvRefusal::Full) => StoreError::Full,
        // No other response belongs to these commands.
        _ => StoreError::Unknown,
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
