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

mod admission;
#[cfg(not(feature = "simulation"))]
pub mod archive;
mod arrivals;
mod autopilot;
mod background;
#[cfg(not(feature = "simulation"))]
pub mod backup;
mod bootstrap;
pub mod certificates;
mod compaction;
mod config;
mod disk_watchdog;
mod distribution;
pub mod doctor;
mod enrol;
mod events;
mod format;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod identity;
mod incarnation;
mod join;
mod join_token;
mod leader;
mod log_bytes;
mod membership;
pub mod network;
mod peer_service;
#[cfg(feature = "planted-bugs")]
#[path = "../chaos/planted/cluster.rs"]
mod planted;
#[cfg(feature = "simulation")]
#[path = "../chaos/sim/cluster/probe.rs"]
pub mod probe;
mod propose_driver;
mod proposer;
mod proposer_lines;
pub mod question;
mod raft;
mod raft_network;
mod readiness;
mod reads;
mod remove;
#[cfg(not(feature = "simulation"))]
mod replay;
mod replica;
#[cfg(not(feature = "simulation"))]
pub mod restore;
#[cfg(not(feature = "simulation"))]
mod segment;
mod server;
mod server_id;
mod signer;
mod snapshot_transfer;
mod start;
mod state_machine;
mod status;
mod transfer;
mod type_config;
mod verdicts;
mod wire;

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod suite_tests;
// What the tests of real nodes share calls the crate by its name.
#[cfg(test)]
extern crate self as vedfolnir_cluster;

pub use config::{ClusterConfig, ClusterTls, RaftTiming, ReplicatedLimits};
pub use distribution::Distribution;
pub use enrol::issued_certificate;
pub use events::{EventStream, EventsError, EventsFrom};
pub use handle::{Cluster, Identity, Notice, ProposeError, Readiness, StartError, StartKind, Ticket};
pub use join_token::{JoinToken, JoinTokenError};
pub use membership::MembershipError;
pub use peer_service::{PeerReceiver, PeerSender, PeerService, PeerStream, PeerUnreachable};
pub use reads::ReadError;
pub use status::{Batches, ClusterMetrics, ClusterStatus, NodeStatus, Role};
pub use vedfolnir_storage::StorageMetrics;

/// The replicated vocabulary, for the floors above.
pub use vedfolnir_state as state;

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod fixture_tests;
