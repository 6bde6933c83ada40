//! The closed vocabulary of what can be committed.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::identifier::{Epoch, Incarnation, LogPosition, NodeId, Offset, PidHash, SidKey};
use crate::membership::{KeyHash, TokenHash};
use crate::names;
use crate::once::{ContentHash, OnceKey};
use crate::presence::MemberCursor;

/// One Raft log entry: a batch of commands from one proposer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who proposes, and under which sequence numbers.
    pub origin: Origin,
    /// The commands, in the order in which their sessions issued them.
    pub commands: Vec<Command>,
}

/// Whose proposal it is; decides whether `apply` deduplicates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The leader's own housekeeping (`Configure`, `NodeUp`, `NodeDown`, `Tick`, membership): idempotent or never retried.
    System,
    /// A node's service: command i has sequence `first_sequence + i`; sequences of an incarnation are dense, from 1.
    Node {
        /// The proposing life of the node; refused when it is not live.
        incarnation: Incarnation,
        /// Sequence of the first command.
        first_sequence: u64,
    },
}

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets the limits and, once per history, its id.
    Configure(Configuration),
    /// A node begins a life; an older life of the same node ends here.
    NodeUp {
        /// The new life.
        incarnation: Incarnation,
        /// Where it is reached; shown by status.
        info: NodeInfo,
    },
    /// A life of a node is over: its sessions are disconnected, its later proposals refused.
    NodeDown {
        /// The life that ended.
        incarnation: Incarnation,
    },
    /// Cluster time advances by what the leader's monotonic clock measured.
    Tick {
        /// Milliseconds since the leader's last tick.
        elapsed_ms: u32,
    },
    /// A new session.
    Register(Register),
    /// A client comes back with its pid; fences the old owner.
    Resume(Resume),
    /// The transport of a session is gone; its recovery window starts.
    Disconnect {
        /// Which session.
        pid: PidHash,
        /// The epoch whose transport is gone.
        epoch: Epoch,
    },
    /// The session ends for good (client `41`, server disconnect).
    Close {
        /// Which session.
        pid: PidHash,
        /// The owner's epoch.
        epoch: Epoch,
    },
    /// A session enters a room.
    Join {
        /// Which session.
        pid: PidHash,
        /// The owner's epoch.
        epoch: Epoch,
        /// The room.
        room: Arc<str>,
    },
    /// A session leaves a room.
    Leave {
        /// Which session.
        pid: PidHash,
        /// The owner's epoch.
        epoch: Epoch,
        /// The room.
        room: Arc<str>,
    },
    /// Replaces a session's application data.
    SetData {
        /// Which session.
        pid: PidHash,
        /// The owner's epoch.
        epoch: Epoch,
        /// Opaque to the state.
        #[serde(with = "serde_bytes_of")]
        data: Bytes,
    },
    /// A durable broadcast.
    Publish(Publish),
    /// Writes an entry of the key-value store.
    KvPut(KvPut),
    /// Removes an entry of the key-value store.
    KvDelete(KvDelete),
    /// A join token that is good for one node.
    AddJoinToken {
        /// Of its secret.
        token: TokenHash,
        /// How long it is good, in committed cluster time from here.
        ttl_ms: u64,
    },
    /// A node that wants a certificate uses a join token; the same node with the same key may repeat it.
    UseJoinToken {
        /// Of its secret.
        token: TokenHash,
        /// The node.
        node: NodeId,
        /// Its public key.
        key: KeyHash,
    },
    /// A node is a member no more: its life is over, and it begins no other.
    RemoveNode {
        /// The node.
        node: NodeId,
    },
    /// Every member speaks this format: from here on it is the cluster's, and it never goes back.
    RaiseFormat {
        /// The format, in which this very command is written.
        format: Format,
    },
    /// A durable broadcast that is made once under its key, however often it is asked for.
    PublishOnce(PublishOnce),
    /// Changes sessions from outside, whoever owns them. From [`Format::MANAGED`] on.
    Manage(Manage),
}

impl Command {
    /// The first format that has it.
    #[must_use]
    pub fn since(&self) -> Format {
        match self {
            Self::RaiseFormat { format } => *format,
            Self::Publish(Publish { trace: Some(_), .. }) => Format::TRACED,
            Self::PublishOnce(_) => Format::MANAGED,
            Self::Manage(_) => Format::MANAGED,
            _ => Format::FIRST,
        }
    }
}

/// Limits that `apply` obeys; committed so that all replicas obey the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Random; kept from the first `Configure` of a history on.
    pub history_id: u64,
    /// How long, in committed cluster time, a disconnected session can be resumed.
    pub recovery_window_ms: u64,
    /// History older than this, in committed cluster time, is dropped.
    pub history_age_ms_max: u64,
    /// History beyond this many payload bytes is dropped, oldest first.
    pub history_bytes_max: u64,
    /// Random; the cluster's nodes authenticate Engine.IO session ids to each other with it. Kept like the history id.
    #[serde(default)]
    pub sid_key: SidKey,
}

/// What a node says of itself: where it is reached, what it is; no decision of `apply` depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// URL of the public service, without a trailing slash.
    pub url: String,
    /// URL of the admin listener, without a trailing slash.
    pub admin_url: String,
    /// HOST:PORT of the cluster endpoint.
    pub cluster_addr: String,
    /// `server_id` as health shows it.
    pub server_id: String,
    /// The software's version.
    #[serde(default)]
    pub version: String,
    /// Whether it was given the authority's key and can sign certificates.
    #[serde(default)]
    pub signs: bool,
    /// Drawn at random by the process: tells two processes that share one identity apart.
    #[serde(default)]
    pub process: u64,
}

/// A new session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Its key.
    pub pid: PidHash,
    /// The public Socket.IO id; also a room of its own.
    pub sid: Arc<str>,
    /// The Socket.IO namespace.
    pub namespace: Arc<str>,
    /// The authenticated user, if any.
    pub user: Option<Arc<str>>,
    /// Application data, opaque.
    #[serde(with = "serde_bytes_of")]
    pub data: Bytes,
}

/// A client comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Its key.
    pub pid: PidHash,
    /// The namespace it asks for; must be the session's.
    pub namespace: Arc<str>,
    /// The user it authenticated as; must be the session's.
    pub user: Option<Arc<str>>,
    /// The epoch that the proposing node saw (compare-and-set); `None`: it saw no such session.
    pub expected_epoch: Option<Epoch>,
    /// What the client has seen; `None`: nothing since the session's start.
    pub offset: Option<Offset>,
}

/// A durable broadcast: to everyone in `rooms` (everyone of the namespace when empty) but those in `except`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The session on whose behalf it is published; a stale epoch is refused. `None`: the server itself.
    pub from: Option<(PidHash, Epoch)>,
    /// What is delivered, and to whom.
    pub record: Arc<Record>,
    /// The trace that is told of it; not kept with the record. From [`Format::TRACED`] on; without one, nothing of it is
    /// written, which is how older formats write a broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// A durable broadcast under an idempotency key. From [`Format::MANAGED`] on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishOnce {
    /// What is published, unless it has been.
    pub publish: Publish,
    /// The key.
    pub key: OnceKey,
    /// What was asked for under it; something else under the same key is refused.
    pub content: ContentHash,
}

/// A place in a sampled trace (W3C Trace Context, section 3.2.2): what comes of it is told as a child of this span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace; not all zero.
    pub trace_id: [u8; 16],
    /// The span in it; not all zero.
    pub span_id: [u8; 8],
}

/// Sessions enter rooms, leave them, or end, because an application or an operator wants it so and not their owner.
///
/// It names no epoch: an epoch keeps an owner that is one no more from speaking for a session, and nobody speaks for it here.
/// Whom it concerns is found where it stands in the order, so that every replica finds the same, with everything in it that
/// was committed before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manage {
    /// The Socket.IO namespace.
    pub namespace: Arc<str>,
    /// Which of its sessions.
    pub whom: Whom,
    /// What becomes of them.
    pub change: Change,
}

/// Whom a [`Manage`] concerns; sessions inside their recovery window as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// The one session with this sid, and nobody else who may be in the room of that name.
    Session(Arc<str>),
    /// Some members of any of these rooms (none: of the namespace), without those of `except`: as many at once as
    /// [`Change::sessions_max`] says, after a cursor.
    Members {
        /// At most [`PRESENCE_ROOMS_MAX`](crate::limits::PRESENCE_ROOMS_MAX).
        rooms: Vec<Arc<str>>,
        /// At most [`PRESENCE_ROOMS_MAX`](crate::limits::PRESENCE_ROOMS_MAX).
        except: Vec<Arc<str>>,
        /// Where the [`Response::Managed`](crate::Response::Managed) before this one ended.
        after: Option<MemberCursor>,
    },
}

/// What a [`Manage`] does with each session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It enters rooms: 1 to [`MANAGE_ROOMS_MAX`](crate::limits::MANAGE_ROOMS_MAX).
    Join(Vec<Arc<str>>),
    /// It leaves rooms: 1 to [`MANAGE_ROOMS_MAX`](crate::limits::MANAGE_ROOMS_MAX). No session leaves the room that it is by
    /// its own sid.
    Leave(Vec<Arc<str>>),
    /// It ends for good, and its client is told so.
    Disconnect,
}

/// What the history keeps and every node delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The Socket.IO namespace.
    #[serde(deserialize_with = "names::one")]
    pub namespace: Arc<str>,
    /// Target rooms (a sid is a room); empty: the whole namespace.
    #[serde(deserialize_with = "names::many")]
    pub rooms: Vec<Arc<str>>,
    /// Rooms whose members are left out (a sid is a room).
    #[serde(deserialize_with = "names::many")]
    pub except: Vec<Arc<str>>,
    /// The event.
    pub payload: Payload,
}

/// An event, opaque to the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The JSON array `["event",arg,…]`, with `{"_placeholder":true,"num":n}` where attachments go.
    #[serde(with = "serde_bytes_of")]
    pub text: Bytes,
    /// Binary attachments, in order.
    pub attachments: Vec<Bytes>,
}

/// Writes an entry of the key-value store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvPut {
    /// Its key, by convention with `:` between the parts of a path.
    pub key: Arc<str>,
    /// Opaque to the state.
    #[serde(with = "serde_bytes_of")]
    pub value: Bytes,
    /// It ends this many milliseconds of committed cluster time after this write; `None`: never.
    pub ttl_ms: Option<u64>,
    /// What must be there for the write to happen.
    pub expected: KvExpected,
}

/// Removes an entry of the key-value store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvDelete {
    /// Its key.
    pub key: Arc<str>,
    /// What must be there for the removal to happen.
    pub expected: KvExpected,
}

/// What a write of the key-value store expects to find (compare-and-set).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvExpected {
    /// Anything or nothing.
    Anything,
    /// No entry, or one whose time is over.
    Absent,
    /// An entry that was last changed here.
    Revision(LogPosition),
}

/// `Bytes` as one MessagePack byte string.
pub(crate) mod serde_bytes_of {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        serde_bytes::deserialize::<Vec<u8>, D>(deserializer).map(Bytes::from)
    }
}
