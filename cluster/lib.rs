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

mod bootstrap;
#[cfg(not(feature = "simulation"))]
pub mod certificates;
mod config;
mod handle;
mod identity;
mod incarnation;
mod join;
mod leader;
pub mod network;
mod propose_driver;
mod proposer;
mod raft_network;
mod readiness;
mod replica;
#[cfg_attr(feature = "simulation", path = "../chaos/sim/cluster/runtime.rs")]
mod runtime;
mod server;
mod start;
mod state_machine;
mod status;
mod type_config;
mod wire;

pub use config::{ClusterConfig, ClusterTls, RaftTiming, ReplicatedLimits};
pub use handle::{Cluster, Identity, Notice, ProposeError, Readiness, StartError, StartKind, Ticket};
pub use status::{ClusterMetrics, ClusterStatus, NodeStatus, Role};
#[cfg(feature = "simulation")]
pub use runtime::probe;
pub use vedfolnir_storage::StorageMetrics;

/// The replicated vocabulary, for the floors above.
pub use vedfolnir_state as state;

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
