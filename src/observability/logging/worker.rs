//! A sink's thread: takes lines from its queue, hands them to the sink, says where some are missing.
//!
//! A thread and no task: a runtime that stalls is when logs are needed most, and a write to a stalled disk blocks.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::line::Line;
use super::notices::Notices;
use super::queue::{Batching, Entry, Queue};
use super::stats::add;

/// Where lines go.
pub(crate) trait Sink: Send {
    /// How many it takes at once.
    fn batching(&self) -> Batching;

    /// Handles lines from the front and removes those that are done with, written or lost; it counts both. `Some`: the
    /// rest is to be tried again after that time.
    fn write(&mut self, lines: &mut VecDeque<Line>) -> Option<Duration>;

    /// Opens what it writes to again.
    fn reopen(&mut self) {}
}

thread_local! {
    /// Whether this thread is a sink's: what its libraries log would only beget more of the same.
    static IS_SINK: Cell<bool> = const { Cell::new(false) };
}

/// Whether the current thread's events are passed over.
pub(crate) fn is_sink_thread() -> bool {
    IS_SINK.try_with(Cell::get).unwrap_or(true)
}

/// Starts the thread.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn spawn(queue: Arc<Queue>, sink: Box<dyn Sink>, notices: Notices) -> std::io::Result<()> {
    let name: String = format!("log-{}", queue.stats().name()).chars().take(15).collect();
    thread::Builder::new().name(name).spawn(move || run(&queue, sink, &notices)).map(drop)
}

/// Tells the queue that nobody takes from it any more, however the thread ends.
struct Ending<'a>(&'a Queue);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn run(queue: &Queue, mut sink: Box<dyn Sink>, notices: &Notices) {
    IS_SINK.set(true);
    let _ending = Ending(queue);
    let (mut entries, mut lines) = (VecDeque::new(), VecDeque::new());
    let mut retry_at = None;
    loop {
        let turn = queue.take(sink.batching(), &mut entries, retry_at);
        if turn.reopen {
            sink.reopen();
        }
        lines.extend(entries.drain(..).map(|entry| match entry {
            Entry::Line(line) => line,
            Entry::Dropped(count) => notices.dropped(queue.stats().name(), count),
        }));
        let before = lines.len();
        retry_at = None;
        if before > 0 {
            let delay = sink.write(&mut lines);
            queue.done((before - lines.len()) as u64);
            if !lines.is_empty() {
                retry_at = Some(Instant::now() + delay.unwrap_or_default());
            }
        }
        if turn.stop_by.is_some_and(|by| before == 0 || Instant::now() >= by) {
            add(&queue.stats().dropped, lines.len() as u64);
            return;
        }
    }
}
