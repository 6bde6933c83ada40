//! Attacks the replicated core: the cluster's and the state's own code on a simulated network, disk and clock.
//!
//! ```text
//!   seed ─► nemesis ─► crashes, partitions, pauses, slow disks
//!           clients ─► a model of the service floor on every node ─► Cluster ─► openraft ─► links, disks of the world
//!                                                                        │
//!           invariants ◄── every entry on every replica, every operation of every client
//! ```
//!
//! docs/simulation.md says what is real and what is not.

mod client;
mod history;
pub mod invariants;
mod nemesis;
mod node;
mod pipe;
mod run;
mod service;

use std::cell::RefCell;

pub use history::{Counts, Violation};
pub use run::{Options, Report, run};
pub use vedfolnir_cluster::state::planted::Bug;

thread_local! {
    /// Tasks that panicked in the present run.
    pub(crate) static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on a panic of a task is a finding instead of a message.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // A thread that ends has no table any more.
        let _ = PANICS.try_with(|panics| panics.borrow_mut().push(panic.to_string()));
    }));
}
