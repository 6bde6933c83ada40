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
/// Bytes of a key of the key-value store.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// Bytes of a value of the key-value store.
pub const KV_VALUE_BYTES_MAX: usize = 256 << 10;
/// Entries of the key-value store.
pub const KV_ENTRIES_MAX: usize = 1_000_000;
/// Bytes of the key-value store: keys, values and [`KV_OVERHEAD_BYTES`] for each entry.
pub const KV_BYTES_MAX: u64 = 256 << 20;
/// What an entry of the key-value store weighs besides its key and value.
pub const KV_OVERHEAD_BYTES: u64 = 128;
/// Entries of the key-value store that one tick removes because their time is over; the rest wait for the next. No read
/// shows them meanwhile.
pub const KV_EXPIRED_PER_TICK_MAX: usize = 10_000;
/// Entries that one page of a list shows.
pub const KV_PAGE_ENTRIES_MAX: usize = 1_000;
/// Bytes of keys and values that one page of a list shows (at least one entry).
pub const KV_PAGE_BYTES_MAX: u64 = 1 << 20;
/// Events kept for those who follow them: more than the sessions of one full node, so that its death does not push out
/// what it says before anybody can read it.
pub const EVENTS_MAX: usize = 262_144;
/// Bytes of kept events.
pub const EVENTS_BYTES_MAX: u64 = 96 << 20;
/// Committed cluster time for which events are kept, milliseconds.
pub const EVENTS_AGE_MS_MAX: u64 = 3_600_000;
/// What an event weighs besides the names in it.
pub const EVENT_OVERHEAD_BYTES: u64 = 160;
/// Events that one event drops when there are too many; more than it adds, so that they become fewer.
pub const EVENTS_PRUNED_PER_EVENT_MAX: usize = 2;
/// Events that one tick drops.
pub const EVENTS_PRUNED_PER_TICK_MAX: usize = 10_000;
/// Events that one page shows.
pub const EVENTS_PAGE_MAX: usize = 1_000;
/// Idempotency keys that are remembered; beyond it the oldest go before their time, and are counted.
pub const ONCE_KEYS_MAX: usize = 500_000;
/// Committed cluster time for which an idempotency key is remembered, milliseconds: a day.
pub const ONCE_AGE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Idempotency keys that one publish forgets when there are too many; more than it adds, so that they become fewer.
pub const ONCE_PRUNED_PER_PUBLISH_MAX: usize = 2;
/// Idempotency keys that one tick forgets.
pub const ONCE_PRUNED_PER_TICK_MAX: usize = 10_000;
/// Members or users of a room that one page shows.
pub const PRESENCE_PAGE_MAX: usize = 1_000;
/// Members that one page looks at, those left out included.
pub const PRESENCE_LOOKS_MAX: usize = 8_192;
/// Rooms, and exceptions, that one question about members names.
pub const PRESENCE_ROOMS_MAX: usize = 64;
/// Bytes of sessions, with rooms and data, that one page of a list shows (at least one session).
pub const SESSIONS_PAGE_BYTES_MAX: usize = 1 << 20;
/// Events of a room's history that one page shows.
pub const HISTORY_PAGE_EVENTS_MAX: usize = 1_000;
/// Bytes of events that one page of a room's history shows (at least one event).
pub const HISTORY_PAGE_BYTES_MAX: usize = 1 << 20;
/// Sessions that one command changes from outside.
pub const MANAGE_SESSIONS_MAX: usize = 1_000;
/// Rooms that each of them enters or leaves by it.
pub const MANAGE_ROOMS_MAX: usize = 64;
/// Sessions times rooms of such a command.
pub const MANAGE_CHANGES_MAX: usize = 8_192;
/// Sessions that one tick puts into the rooms of their users, after the cluster's format has risen so far.
pub const ADOPTED_PER_TICK_MAX: usize = 2_000;
/// Join tokens that are kept, used and expired ones included.
pub const JOIN_TOKENS_MAX: usize = 1_024;
/// How long a join token may be good for, milliseconds of cluster time: 30 days.
pub const JOIN_TOKEN_TTL_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long an expired token is still known as such, milliseconds of cluster time: a day.
pub const EXPIRED_TOKEN_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Removed nodes that are remembered; beyond it the ones removed first are forgotten.
pub const REMOVED_NODES_MAX: usize = 16_384;
/// Histories of clusters whose backups were restored that a history remembers; beyond it the oldest are forgotten, and
/// clients that come back from them begin anew.
pub const ANCESTORS_MAX: usize = 16;
/// Positions of one room that one replay step looks at.
pub(crate) const REPLAY_POSITIONS_MAX: usize = 1_024;
