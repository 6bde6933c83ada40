//! The simulator's world: one clock, one source of randomness, hosts, links, a trace.
//!
//! A process runs one world in its life, on one thread: whatever could differ between two runs of a seed comes from
//! here, the system's own clock and randomness included.

pub mod clock;
pub mod hosts;
pub mod links;
pub mod random;
mod system;
pub mod trace;

/// A world without hosts or events, at time zero. The first of a process, and its last.
pub fn begin(seed: u64) {
    random::reset(seed);
    system::begin(seed);
}
