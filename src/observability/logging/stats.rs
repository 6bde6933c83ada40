//! What the pipeline counts: plain atomics that metrics read and no lock guards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::level::{Category, Level};

/// What a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SinkKind {
    /// Standard output or standard error.
    Console,
    /// A file.
    File,
    /// A syslog receiver.
    Syslog,
    /// A receiver over HTTP.
    Http,
}

impl SinkKind {
    /// As a metric's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::File => "file",
            Self::Syslog => "syslog",
            Self::Http => "http",
        }
    }
}

/// The counters of one sink.
#[derive(Debug)]
pub struct SinkStats {
    name: String,
    kind: SinkKind,
    pub(crate) written: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) rotated: AtomicU64,
    pub(crate) queued_lines: AtomicU64,
    pub(crate) queued_bytes: AtomicU64,
}

/// One reading of a sink's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkReading {
    /// Lines that were handed over (to the kernel, or to a receiver that confirmed them).
    pub written: u64,
    /// Lines that are not in it: the queue was full, or the receiver did not take them.
    pub dropped: u64,
    /// Bytes of those written, framing included, before compression.
    pub bytes: u64,
    /// Attempts that failed: writes, connections, requests.
    pub errors: u64,
    /// Rotations of a file.
    pub rotated: u64,
    /// Lines that wait now.
    pub queued_lines: u64,
    /// Bytes that wait now.
    pub queued_bytes: u64,
}

impl SinkStats {
    pub(crate) fn new(name: &str, kind: SinkKind) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            kind,
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            rotated: AtomicU64::new(0),
            queued_lines: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
        })
    }

    /// Few and stable, such as `log`, `security`, `syslog`: as a metric's label.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> SinkKind {
        self.kind
    }

    /// What is counted now.
    #[must_use]
    pub fn read(&self) -> SinkReading {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SinkReading {
            written: get(&self.written),
            dropped: get(&self.dropped),
            bytes: get(&self.bytes),
            errors: get(&self.errors),
            rotated: get(&self.rotated),
            queued_lines: get(&self.queued_lines),
            queued_bytes: get(&self.queued_bytes),
        }
    }

    pub(crate) fn wrote(&self, lines: u64, bytes: usize) {
        add(&self.written, lines);
        add(&self.bytes, bytes as u64);
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// The counters of the pipeline, and of each of its sinks.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records by category and level.
    records: [[AtomicU64; Level::SHOWN.len()]; Category::ALL.len()],
    pub(crate) unknown_event_types: AtomicU64,
    pub(crate) secrets_hidden: AtomicU64,
    pub(crate) fields_dropped: AtomicU64,
    pub(crate) sinks: Vec<Arc<SinkStats>>,
}

impl Stats {
    pub(crate) fn count(&self, category: Category, level: Level) {
        if let Some(counter) = self.records.get(category.index()).and_then(|levels| levels.get(level.index())) {
            add(counter, 1);
        }
    }

    /// Records so far, whatever became of them.
    #[must_use]
    pub fn records(&self, category: Category, level: Level) -> u64 {
        let levels = self.records.get(category.index());
        levels.and_then(|levels| levels.get(level.index())).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Records whose event type is not in the catalogue; they were written as `log`.
    #[must_use]
    pub fn unknown_event_types(&self) -> u64 {
        self.unknown_event_types.load(Ordering::Relaxed)
    }

    /// Secrets that were hidden: each is a place in the code that should not log what it logs.
    #[must_use]
    pub fn secrets_hidden(&self) -> u64 {
        self.secrets_hidden.load(Ordering::Relaxed)
    }

    /// Fields that found no room in a record.
    #[must_use]
    pub fn fields_dropped(&self) -> u64 {
        self.fields_dropped.load(Ordering::Relaxed)
    }

    /// The sinks.
    #[must_use]
    pub fn sinks(&self) -> &[Arc<SinkStats>] {
        &self.sinks
    }

    /// Lines that some sink does not have: the sum over all.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.read().dropped).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_apart() {
        let stats = Stats::default();
        stats.count(Category::Security, Level::Critical);
        stats.count(Category::Security, Level::Critical);
        stats.count(Category::Connection, Level::Trace);
        assert_eq!(stats.records(Category::Security, Level::Critical), 2);
        assert_eq!(stats.records(Category::Connection, Level::Debug), 1);
        let all = Category::ALL.iter().flat_map(|c| Level::SHOWN.iter().map(|l| stats.records(*c, *l)));
        assert_eq!(all.sum::<u64>(), 3);
    }

    #[test]
    fn drops_are_the_sum_over_sinks() {
        let mut stats = Stats::default();
        for (name, kind) in [("log", SinkKind::File), ("syslog", SinkKind::Syslog)] {
            let sink = SinkStats::new(name, kind);
            add(&sink.dropped, 3);
            stats.sinks.push(sink);
        }
        assert_eq!(stats.dropped(), 6);
        assert_eq!(stats.sinks()[1].kind().name(), "syslog");
    }
}
