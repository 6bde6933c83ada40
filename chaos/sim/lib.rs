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
mod process;
mod run;
mod service;
mod store;

use std::sync::Arc;

use parking_lot::Mutex;

pub use history::{Counts, Violation};
pub use run::{Options, Report, run};
pub use vedfolnir_planted::Bug;

/// Tasks that panicked. A panic is a finding; the runtime catches it, and nobody else would hear of it.
#[derive(Clone, Default)]
pub(crate) struct Panics(Arc<Mutex<Vec<String>>>);

impl Panics {
    /// From now on panics are collected here.
    pub(crate) fn catch() -> Self {
        let panics = Self::default();
        let caught = panics.clone();
        std::panic::set_hook(Box::new(move |panic| caught.0.lock().push(panic.to_string())));
        panics
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}
