//! What can be done with a pipeline while it runs, and at its end.

use std::borrow::Cow;
use std::io;
use std::panic;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::catalogue::{EventType, LOG};
use super::emitter::Emitter;
use super::filter::{DirectivesError, Levels, LogFilter};
use super::format::foreign::{self, FOREIGN_BYTES_MAX};
use super::level::{Category, Level};
use super::masking::Pii;
use super::queue::Queue;
use super::stats::Stats;
use super::value::Value;

/// How long a panic waits for the log.
const PANIC_FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Clones are the same pipeline. See the module.
#[derive(Clone, Debug)]
pub struct Handle {
    emitter: Arc<Emitter>,
    queues: Arc<[Arc<Queue>]>,
}

impl Handle {
    pub(crate) const fn new(emitter: Arc<Emitter>, queues: Arc<[Arc<Queue>]>) -> Self {
        Self { emitter, queues }
    }

    /// What is counted; the same until the end of the process.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.emitter.stats)
    }

    /// The filter: [`LogFilter::judge`] puts it before another formatter's layer that is to see the same events.
    #[must_use]
    pub fn filter(&self) -> LogFilter {
        self.emitter.filter.clone()
    }

    /// The levels in force.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.emitter.filter.levels()
    }

    /// Puts other levels in force, at once. Whether there is an error file stays.
    ///
    /// # Errors
    /// [`DirectivesError`]; the old ones stay.
    pub fn replace_levels(&self, mut levels: Levels) -> Result<(), DirectivesError> {
        if !self.emitter.outlets.iter().any(|outlet| outlet.route.errors) {
            levels.error_file = None;
        }
        self.emitter.filter.replace(levels)
    }

    /// Gives one category (`None`: all that have none of their own, instead of directives) another level, at once.
    pub fn set_level(&self, category: Option<Category>, level: Level) {
        self.emitter.filter.set_level(category, level);
    }

    /// Shows more or less of clients from now on.
    pub fn set_pii(&self, pii: Pii) {
        self.emitter.set_pii(pii);
    }

    /// Which node of the cluster this process is: in every record from now on. The first answer stays.
    pub fn set_node(&self, node: &str) {
        self.emitter.identity.set_node(node);
    }

    /// Logs what has no place in the code: an application's events, with fields that are known only now. `category` and
    /// `level` are as given, `event_type` from the catalogue or written as `log`.
    pub fn log(
        &self,
        level: Level,
        category: Category,
        event_type: &str,
        message: &str,
        fields: impl IntoIterator<Item = (Cow<'static, str>, Value)>,
    ) {
        let event = EventType::find(event_type);
        let destinations = self.emitter.filter.destinations_of(category, level);
        if !destinations.log && !destinations.error_file {
            return;
        }
        let mut record = self.emitter.record(event.unwrap_or(&LOG), level, category);
        record.set_message(message);
        if event.is_none() {
            record.set("unknown_event_type", event_type.into());
        }
        for (name, value) in fields {
            record.set(name, value);
        }
        self.emitter.emit(record, destinations, event.is_none());
    }

    /// Opens files again, soon: what SIGHUP asks for after somebody else rotated them.
    pub fn reopen_files(&self) {
        self.queues.iter().for_each(|queue| queue.reopen());
    }

    /// Waits until everything logged so far is out of the process, `timeout` at most. `false`: not in time.
    pub fn flush(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let late = self.queues.iter().filter(|queue| !queue.flush(until));
        late.count() == 0
    }

    /// The end: nothing is taken in any more, and what is there is written within `timeout`. What is left then is lost and
    /// counted. Returns the names of sinks that were not done; their threads may hang in the system and are left behind.
    pub fn stop(&self, timeout: Duration) -> Vec<String> {
        let until = Instant::now() + timeout;
        // A sink that gives up at the bound needs a moment to say so.
        let grace = until + Duration::from_millis(50);
        // Standard error is the first, and ends last: it tells what the others could not do.
        let (first, others) = self.queues.split_at(self.queues.len().min(1));
        let mut late = Vec::new();
        for queues in [others, first] {
            queues.iter().for_each(|queue| queue.stop(until));
            let names = queues.iter().filter(|queue| !queue.wait_for_end(grace));
            late.extend(names.map(|queue| queue.stats().name().to_owned()));
        }
        late
    }

    /// From now on a panic is logged (event type `panic`, CRITICAL) before what was done about it so far, and the log is
    /// flushed, for half a second at most: the process may end by it.
    pub fn log_panics(&self) {
        let handle = self.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A panic of a sink's thread or of a `Debug` in a record must not come back here for ever.
            if !super::worker::is_sink_thread() {
                let payload = info.payload();
                let text = payload.downcast_ref::<&str>().copied();
                let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic");
                let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
                let location = info.location().map(ToString::to_string).unwrap_or_default();
                let fields = [("thread".into(), thread.into()), ("location".into(), location.into())];
                handle.log(Level::Critical, Category::Error, "panic", text, fields);
                handle.flush(PANIC_FLUSH_TIMEOUT);
            }
            before(info);
        }));
    }

    /// The queues, in the order of the sinks in [`Stats::sinks`].
    #[cfg(test)]
    pub(crate) fn queues_for_tests(&self) -> &[Arc<Queue>] {
        &self.queues
    }

    /// Where another formatter writes lines for the log ([`Format::Foreign`](super::Format::Foreign)): each write is one line.
    #[must_use]
    pub fn foreign_writer(&self) -> ForeignWriter {
        ForeignWriter { emitter: Arc::clone(&self.emitter) }
    }
}

/// Takes another formatter's lines; never waits.
#[derive(Clone, Debug)]
pub struct ForeignWriter {
    emitter: Arc<Emitter>,
}

/// A line that grows until it is dropped.
#[derive(Debug)]
pub struct ForeignLine {
    emitter: Arc<Emitter>,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for ForeignWriter {
    type Writer = ForeignLine;

    fn make_writer(&'a self) -> Self::Writer {
        ForeignLine { emitter: Arc::clone(&self.emitter), bytes: Vec::new() }
    }
}

impl io::Write for ForeignLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FOREIGN_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        // What is beyond the bound is swallowed: an error would only make the formatter complain.
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ForeignLine {
    fn drop(&mut self) {
        for line in self.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.emitter.emit_foreign(foreign::sanitised(line, self.emitter.pii()));
        }
    }
}
