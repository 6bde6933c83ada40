//! What a proposer is told about its own command, once its own replica has applied it.

use std::sync::Arc;

use bytes::Bytes;

use crate::identifier::{Epoch, LogPosition, Offset};
use crate::presence::MemberCursor;

/// The result of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Done; also when there was nothing left to do (idempotent commands).
    Done,
    /// The session exists from this position on.
    Registered {
        /// Always 1.
        epoch: Epoch,
        /// Where the session starts.
        position: LogPosition,
        /// How many sessions its user has in the namespace from here on: itself, and all that come before it in the order
        /// and are not gone for good. 0: it has no user.
        user_sessions: u64,
    },
    /// The session is owned by the proposer from this position on.
    Resumed {
        /// The new owner's epoch.
        epoch: Epoch,
        /// Where the new ownership starts.
        position: LogPosition,
        /// Everything after this and visible to the session is to be replayed.
        replay_after: LogPosition,
        /// The sid as it was.
        sid: Arc<str>,
        /// The rooms, sorted, the session's own sid among them.
        rooms: Vec<Arc<str>>,
        /// The application data as it was.
        data: Bytes,
    },
    /// The client cannot have its session back.
    ResumeRefused(ResumeRefusal),
    /// The broadcast has this place in the order.
    Published {
        /// Its position.
        position: LogPosition,
    },
    /// It had been published under this key before; nothing was changed.
    Repeated {
        /// Where, in the history in which it was published.
        offset: Offset,
    },
    /// Nothing was changed.
    Refused(Refusal),
    /// The key-value store holds the value.
    KvStored {
        /// Where it was written; what the next compare-and-set expects.
        revision: LogPosition,
    },
    /// The key-value store does not hold the key (any more).
    KvDeleted {
        /// Whether it was there.
        existed: bool,
    },
    /// The key-value store was not changed.
    KvRefused(KvRefusal),
    /// Sessions were changed from outside.
    Managed {
        /// How many are now as the command wants them, those that were so before included.
        sessions: u64,
        /// How many are in as many rooms as a session can be, and were left as they are.
        refused: u64,
        /// Where the next command goes on; `None`: nobody more is concerned.
        next: Option<MemberCursor>,
    },
}

/// Why a resume was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeRefusal {
    /// No such session (never was, closed, or its window has passed): a new session is honest.
    Unknown,
    /// The epoch moved since the proposer looked: close the transport, the client tries again.
    EpochMoved,
    /// Another user or namespace: a new session, and a security event.
    Foreign,
    /// Another history, or a position in the future: a new session.
    BadOffset,
    /// Something the client missed is no longer retained: a new session.
    Hole,
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The session has another owner by now.
    StaleEpoch,
    /// No such session.
    UnknownSession,
    /// The pid or sid is taken.
    Duplicate,
    /// A bound of [`crate::limits`] would be passed.
    LimitExceeded,
    /// The command is not one that this origin may propose, or not in the cluster's format.
    NotAllowed,
    /// Something else was published under this idempotency key.
    KeyReused,
}

/// Why a write changed nothing in the key-value store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvRefusal {
    /// The entry is not as the write expected it.
    Conflict {
        /// The entry's revision; `None`: there is none.
        current: Option<LogPosition>,
    },
    /// The key is empty or longer than [`crate::limits::KV_KEY_BYTES_MAX`].
    BadKey,
    /// The value is longer than [`crate::limits::KV_VALUE_BYTES_MAX`].
    ValueTooLarge,
    /// There are [`crate::limits::KV_ENTRIES_MAX`] entries already.
    TooManyEntries,
    /// The entries would weigh more than [`crate::limits::KV_BYTES_MAX`] together.
    Full,
}
