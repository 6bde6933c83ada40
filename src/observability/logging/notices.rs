//! What a sink says of itself: lines that were dropped, troubles, rotations. Such records have no `seq`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::catalogue::EventType;
use super::format::Identity;
use super::line::{Line, Wanted};
use super::masking::Pii;
use super::queue::Queue;
use super::record::Record;
use super::timestamp::unix_ms;
use super::value::Value;

/// Makes such lines.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    pub(crate) identity: Arc<Identity>,
    pub(crate) wanted: Wanted,
    pub(crate) clock: fn() -> SystemTime,
}

impl Notices {
    fn line(&self, event: &str, message: &str, metadata: &[(&'static str, Value)]) -> Line {
        let event = EventType::find(event).unwrap_or(&super::catalogue::LOG);
        let mut record = Record::new(unix_ms((self.clock)()), event.level, event.category, event, Pii::Full);
        record.set_message(message);
        for (name, value) in metadata {
            record.set(Cow::Borrowed(*name), value.clone());
        }
        Line::new(&record, &self.identity, self.wanted)
    }

    /// Lines are missing here.
    pub(crate) fn dropped(&self, sink: &str, lines: u64) -> Line {
        let message = format!("{lines} line{} dropped", if lines == 1 { "" } else { "s" });
        self.line("log_lines_dropped", &message, &[("sink", sink.into()), ("lines", lines.into())])
    }

    /// The file was full.
    pub(crate) fn rotated(&self, sink: &str, bytes: u64) -> Line {
        let message = "the log file was full and is kept under another name";
        self.line("log_rotated", message, &[("sink", sink.into()), ("bytes", bytes.into())])
    }

    /// The file was opened again.
    pub(crate) fn reopened(&self, sink: &str) -> Line {
        self.line("log_reopened", "the log file was opened again", &[("sink", sink.into())])
    }
}

/// How often a sink's trouble is told while it lasts.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// Tells standard error about a sink's troubles: at once, and once a minute while they last.
#[derive(Debug)]
pub(crate) struct Complaints {
    notices: Notices,
    sink: String,
    /// Standard error's own queue: it may stall as well.
    to: Option<Arc<Queue>>,
    told_at: Option<Instant>,
    /// Lines lost since the last time.
    lost: u64,
}

impl Complaints {
    pub(crate) fn new(notices: Notices, sink: &str, to: Option<Arc<Queue>>) -> Self {
        Self { notices, sink: sink.to_owned(), to, told_at: None, lost: 0 }
    }

    /// Something failed, and so many lines were lost by it.
    pub(crate) fn complain(&mut self, error: &str, lost: u64) {
        self.lost += lost;
        if self.told_at.is_some_and(|at| at.elapsed() < REPEAT_AFTER) {
            return;
        }
        self.told_at = Some(Instant::now());
        let lines = std::mem::take(&mut self.lost);
        let message = format!("the log's sink {:?} does not take lines: {error}", self.sink);
        let metadata = [("sink", self.sink.as_str().into()), ("error", error.into()), ("lines", lines.into())];
        self.tell("log_sink_failed", &message, &metadata);
    }

    /// It works again.
    pub(crate) fn recovered(&mut self) {
        if self.told_at.take().is_some() {
            let lines = std::mem::take(&mut self.lost);
            let message = format!("the log's sink {:?} takes lines again", self.sink);
            self.tell("log_sink_recovered", &message, &[("sink", self.sink.as_str().into()), ("lines", lines.into())]);
        }
    }

    fn tell(&self, event: &str, message: &str, metadata: &[(&'static str, Value)]) {
        if let Some(queue) = &self.to {
            queue.push(self.notices.line(event, message, metadata));
        }
    }
}
