//! Invariant I8, liveness: after healing there is a leader, all replicas catch up, publishes are acknowledged, every
//! live session can be resumed, and no node stops by itself at any time.

use std::collections::BTreeSet;

/// After healing every client must have had a publish acknowledged within this time, milliseconds.
pub(crate) const SERVED_WITHIN_MS: u64 = 30_000;
/// After the last publish all replicas must be equal and all clients have everything within this time, milliseconds.
pub(crate) const SETTLED_WITHIN_MS: u64 = 20_000;
/// Then every session must be resumed on another node within this time, milliseconds.
pub(crate) const RESUMED_WITHIN_MS: u64 = 15_000;

/// Who is still waited for, in words.
pub(crate) fn missing(clients: u32, those: &BTreeSet<u32>) -> Vec<u32> {
    (0..clients).filter(|client| !those.contains(client)).collect()
}
