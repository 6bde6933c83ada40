//! Breaks a cluster on purpose and checks that nothing was lost.
//!
//! What is here so far is the part that judges: [`oracle`] reads a recorded [`history`] and says which promises it
//! breaks. It is pure (no clock, no network), so that the load generator, the end-to-end tests and every scenario to come
//! can share one judge.

pub mod history;
pub mod oracle;
pub mod proxy;

#[cfg(test)]
mod oracle_tests;

pub use history::{History, Membership, MessageId, Outcome, Publish, Reception};
pub use oracle::{Verdict, check_delivery};
