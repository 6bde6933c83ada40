//! Breaks a cluster on purpose and checks that nothing was lost.
//!
//! ```text
//!   scenario ──► world: supervisor (real processes), proxy (their network), workload (clients)
//!                  │ record: what everybody saw, on one monotonic clock
//!                  └─► invariants I1-I8 ──► report: live table, text, JSON, HTML
//! ```
//!
//! The harness knows the program only from outside: it starts it, talks to it as clients and operators do, and ends it. What
//! judges ([`oracle`], [`linearizability`], [`invariants`]) is pure, so that the load generator and the simulator share it.

pub mod cli;
pub mod client;
pub mod clock;
pub mod drill;
pub mod error;
pub mod history;
mod http;
pub mod inject;
pub mod invariants;
pub mod linearizability;
mod monitor;
pub mod oracle;
pub mod proxy;
pub mod record;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod supervisor;
pub mod workload;
pub mod world;

#[cfg(test)]
mod linearizability_tests;
#[cfg(test)]
mod oracle_tests;

pub use error::HarnessError;
pub use history::{History, Membership, MessageId, Outcome, Publish, Reception};
pub use oracle::{Verdict, check_delivery};
