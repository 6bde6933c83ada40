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

mod command;
mod effect;
mod identifier;
mod response;

pub use command::{Command, Configuration, NodeInfo, Origin, Payload, Proposal, Publish, Record, Register, Resume};
pub use effect::{Applied, Effect, EffectAt, EndReason, Opened, Outcome};
pub use identifier::{Epoch, Incarnation, LogPosition, NodeId, Offset, PidHash};
pub use response::{Refusal, ResumeRefusal, Response};
