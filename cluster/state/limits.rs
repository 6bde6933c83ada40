//! Every bound of the state. They belong to the format: all replicas of one version obey the same ones.

/// Bytes of a sid, room, namespace or user name.
pub const NAME_BYTES_MAX: usize = 256;
/// Stays in rooms of one session, its present ones and those that the history still needs.
pub const STAYS_PER_SESSION_MAX: usize = 4_096;
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
/// Positions of one room that one replay step looks at.
pub(crate) const REPLAY_POSITIONS_MAX: usize = 1_024;
