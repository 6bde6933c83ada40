//! The one log as all replicas together show it, entry by entry: what the other invariants read.

use std::collections::BTreeMap;

use vedfolnir_cluster::probe::Entry;

use crate::history::Recorder;
use crate::invariants::delivery::Expected;
use crate::invariants::owner::Owners;
use crate::invariants::session::Windows;
use crate::invariants::split_brain;

/// Entries by index, as the first replica applied them, and what follows from them.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// Entries whose effects were looked at: all up to here.
    read_up_to: u64,
    pub(crate) expected: Expected,
    pub(crate) owners: Owners,
    pub(crate) windows: Windows,
    /// The highest index each host has applied in its present life.
    pub(crate) applied: BTreeMap<usize, u64>,
}

impl Log {
    /// A replica applied something.
    pub(crate) fn observe(&mut self, entry: Entry, recorder: &Recorder) {
        self.applied.insert(entry.host, entry.index);
        match self.entries.get(&entry.index) {
            Some(known) => split_brain::same(known, &entry, recorder),
            None if entry.digest.is_some() => {
                self.entries.insert(entry.index, entry);
            }
            None => {}
        }
        while let Some(next) = self.entries.get(&(self.read_up_to + 1)) {
            self.read_up_to += 1;
            self.owners.read(next, recorder);
            self.windows.read(next, recorder);
            self.expected.read(next, recorder);
        }
    }

    /// The last index known to be committed.
    pub(crate) fn end(&self) -> u64 {
        self.read_up_to
    }
}
