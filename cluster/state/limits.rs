//! Every bound of the state. They belong to the format: all replicas of one version obey the same ones.

/// Bytes of a sid, room, namespace or user name.
pub const NAME_BYTES_MAX: usize = 256;
/// Rooms that a session is or was in, as far as the history still needs them.
pub const ROOMS_PER_SESSION_MAX: usize = 4_096;
/// Stays in rooms that a session has, as far as the history still needs them.
pub const STAYS_PER_ROOM_MAX: usize = 1_024;
/// Rooms, and exceptions, that one record names.
pub const ROOMS_PER_RECORD_MAX: usize = 1_024;
/// Bytes of a record's text and attachments.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Bytes of a session's application data.
pub const DATA_BYTES_MAX: usize = 64 << 10;
/// Sessions, connected or resumable.
pub const SESSIONS_MAX: usize = 10_000_000;
/// Sessions that one tick expires; the rest wait for the next.
pub const EXPIRED_PER_TICK_MAX: usize = 10_000;
/// Records that one publish drops from a history that is too large or too old; more than it adds, so that it shrinks.
pub const PRUNED_PER_PUBLISH_MAX: usize = 64;
/// Records that one tick drops.
pub const PRUNED_PER_TICK_MAX: usize = 10_000;
/// Bytes of each URL or address that a node tells of itself.
pub const NODE_FIELD_BYTES_MAX: usize = 1_024;
/// Cluster time that one tick adds, milliseconds.
pub const TICK_MS_MAX: u32 = 10_000;
/// What a record weighs in the history besides its payload.
pub const RECORD_OVERHEAD_BYTES: u64 = 256;
/// What each room, exception or attachment of a record weighs besides its own bytes.
pub const NAME_OVERHEAD_BYTES: usize = 64;
/// Join tokens that are kept, used and expired ones included.
pub const JOIN_TOKENS_MAX: usize = 1_024;
/// How long a join token may be good for, milliseconds of cluster time: 30 days.
pub const JOIN_TOKEN_TTL_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long an expired token is still known as such, milliseconds of cluster time: a day.
pub const EXPIRED_TOKEN_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Removed nodes that are remembered; beyond it the ones removed first are forgotten.
pub const REMOVED_NODES_MAX: usize = 16_384;
/// Positions of one room that one replay step looks at.
pub(crate) const REPLAY_POSITIONS_MAX: usize = 1_024;
