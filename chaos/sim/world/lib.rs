//! The simulator's world: one clock, one source of randomness, hosts, links, a trace.
//!
//! Everything is of the thread that runs the simulation: a thread runs one world at a time, and two threads share
//! nothing. Whatever could differ between two runs of a seed comes from here.

pub mod clock;
pub mod hosts;
pub mod links;
pub mod random;
pub mod trace;

/// A world without hosts or events, at time zero.
pub fn begin(seed: u64) {
    clock::reset();
    hosts::reset();
    links::reset();
    random::reset(seed);
    trace::reset();
}
