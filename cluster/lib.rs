//! Raft over QUIC: propose a command, have a quorum commit it, see it applied on every node in one order.
//!
//! ```text
//!   service ──propose──► Proposer ──batch──► leader (own Raft, or over QUIC) ──► log on a quorum (fsync)
//!      ▲                    ▲                                                       │ committed
//!      │ Notice             │ completes the Ticket once its OWN replica applied      ▼
//!      └──── one bounded channel ◄──────────────── state machine: State::apply ◄────┘
//! ```
//!
//! The crate knows nothing of WebSocket, HTTP or frames. `openraft` types stay inside it.

mod config;
mod handle;
pub mod network;
mod status;

pub use config::{ClusterConfig, ClusterTls, RaftTiming, ReplicatedLimits};
pub use handle::{Cluster, Identity, Notice, ProposeError, Readiness, StartError, StartKind, Ticket};
pub use status::{ClusterMetrics, ClusterStatus, NodeStatus, Role};

/// The replicated vocabulary, for the floors above.
pub use vedfolnir_state as state;
