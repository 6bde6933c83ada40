//! What must hold, one file each (the numbers are those of docs/reliability.md). All are pure: they read a record and say what it
//! proves.

mod delivery;
mod failover;
mod hole;
mod leadership;
mod liveness;
mod memory;
mod moving;
mod owner;
pub(crate) mod registry;
mod session;
mod split_brain;

use serde::Serialize;

use crate::record::Record;
use hole::Holes;

pub use failover::{Resume, ResumeTimes, resumes, times};
pub use hole::Retention;
pub use leadership::{Moves, moves};
pub use memory::MemoryBound;
pub use moving::{Moving, moving};

/// Violations that are kept word for word.
const EXAMPLES_MAX: usize = 10;

/// What one invariant's judge found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `I1` to `I8`.
    pub invariant: &'static str,
    /// What is promised.
    pub promise: &'static str,
    /// How much was looked at, in words.
    pub checked: String,
    /// How often the promise was broken.
    pub violations: u64,
    /// The first few of them.
    pub examples: Vec<String>,
}

impl Finding {
    pub(crate) const fn new(invariant: &'static str, promise: &'static str) -> Self {
        Self { invariant, promise, checked: String::new(), violations: 0, examples: Vec::new() }
    }

    pub(crate) fn broken(&mut self, words: impl FnOnce() -> String) {
        self.violations += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words());
        }
    }
}

/// What the judges must know besides the record.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How long a session can be taken up again, in nanoseconds.
    pub recovery_window: u64,
    /// What a node's memory may come to.
    pub memory: MemoryBound,
    /// Who has missed more than this has a hole, and is told so.
    pub retention: Retention,
    /// The share of the clients, from 0 to 1, that may be on their way at once; `None`: as many as there are.
    pub moving_max: Option<f64>,
}

/// Every invariant's finding.
#[must_use]
pub fn judge(record: &Record, bounds: &Bounds) -> Vec<Finding> {
    let holes = Holes::of(record, bounds.retention);
    let mut findings = vec![
        registry::judge(record),
        delivery::judge(record, &holes),
        session::judge(record, bounds, &holes),
        owner::judge(record),
        split_brain::judge(record),
        failover::judge(record),
        memory::judge(record, &bounds.memory),
        liveness::judge(record),
    ];
    findings.extend(bounds.moving_max.map(|share_max| moving::judge(record, share_max)));
    findings
}
