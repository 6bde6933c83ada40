//! The replicated state machine: what every node applies, in the same order, to reach the same state.
//!
//! ```text
//!   Proposal (log entry) ──► State::apply(index, Proposal) ──► Applied { outcome, effects }
//!                                │
//!        sessions · rooms · history · nodes · cluster time      (persistent, deterministic maps)
//! ```
//!
//! The crate is pure: no clock, no randomness, no disk, no network. Time enters as committed
//! [`Command::Tick`]s, limits as a committed [`Command::Configure`]. `apply` is total: whatever bytes
//! were committed, it returns; two replicas that applied the same entries hold equal states.

mod codec;
mod command;
mod effect;
mod history;
mod identifier;
pub mod limits;
mod node;
#[cfg(feature = "planted-bugs")]
#[path = "../../chaos/sim/state/planted.rs"]
pub mod planted;
mod replay;
mod response;
mod room;
mod session;
mod snapshot;
mod state;
mod time;

pub use codec::{CodecError, decode_proposal, encode_proposal};
pub use command::{Command, Configuration, NodeInfo, Origin, Payload, Proposal, Publish, Record, Register, Resume};
pub use effect::{Applied, Effect, EffectAt, EndReason, Opened, Outcome};
pub use identifier::{Epoch, Incarnation, LogPosition, NodeId, Offset, PidHash};
pub use replay::Replay;
pub use response::{Refusal, Response, ResumeRefusal};
pub use session::SessionView;
pub use state::State;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
mod tests;
