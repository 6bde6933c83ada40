//! The replicated state machine: what every node applies, in the same order, to reach the same state.
//!
//! ```text
//!   Proposal (log entry) ──► State::apply(index, Proposal) ──► Applied { outcome, effects }
//!                                │
//!   sessions · rooms · history · nodes · key-value store · events · idempotency keys · cluster time   (persistent, deterministic maps)
//! ```
//!
//! The crate is pure: no clock, no randomness, no disk, no network. Time enters as committed
//! [`Command::Tick`]s, limits as a committed [`Command::Configure`]. `apply` is total: whatever bytes
//! were committed, it returns; two replicas that applied the same entries hold equal states.

mod audit;
mod codec;
mod command;
mod contents;
mod effect;
mod event;
mod format;
mod history;
mod identifier;
mod kv;
pub mod limits;
mod manage;
mod membership;
mod names;
mod node;
mod once;
mod packed;
#[cfg(feature = "planted-bugs")]
#[path = "../../chaos/planted/state.rs"]
mod planted;
mod presence;
mod replay;
mod response;
mod restored;
mod room;
mod session;
mod snapshot;
mod state;
mod table;
mod time;
mod user_rooms;
mod view;

pub use audit::{AUDIT_RECORDS_MAX, Audit, SessionEnd};
pub use codec::{CodecError, decode_proposal, encode_proposal, origin_of, written_in};
pub use command::{Change, KvDelete, KvExpected, KvPut, Manage, Whom};
pub use command::{
    Command, Configuration, NodeInfo, Origin, Payload, Proposal, Publish, PublishOnce, Record, Register, Resume,
    TraceContext,
};
pub use contents::Contents;
pub use effect::{Applied, Effect, EffectAt, EndReason, Opened, Outcome};
pub use event::{Event, EventId, EventIdError, EventKind, EventPage, EventStats, SessionRef};
pub use format::{Format, UnknownFormat};
pub use history::{HistoryGone, HistoryPage};
pub use identifier::{Epoch, Incarnation, LogPosition, NodeId, Offset, PidHash, SidKey};
pub use kv::{KV_RESERVED_PREFIX, KvEntry, KvPage, KvStats};
pub use membership::{JoinTokenView, KeyHash, TokenHash};
pub use once::{ContentHash, OnceKey, OnceStats, OnceView};
pub use presence::{Audience, Member, MemberCursor, MemberPage, RoomCount, UserPage, UserSessions};
pub use presence::{SessionFilter, SessionPage};
pub use replay::Replay;
pub use response::{KvRefusal, Refusal, Response, ResumeRefusal};
pub use restored::{Restoration, StateCounts};
pub use room::{RESERVED_ROOM_PREFIX, is_reserved_room, user_of_room, user_room};
pub use session::SessionView;
pub use state::State;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
mod tests;
