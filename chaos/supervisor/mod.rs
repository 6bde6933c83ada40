//! Real processes of the real program: planned, started, killed, frozen, watched, and ended with the harness.

mod cluster;
mod guard;
mod node;
mod ports;
mod roster;

pub use cluster::Cluster;
pub use node::{Launch, Member, Node, Status};
pub use roster::Roster;
