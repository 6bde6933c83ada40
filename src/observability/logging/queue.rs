//! The queue between those who log and a sink: bounded in lines and bytes, and never waited at by those who log.
//!
//! A line that finds no room is dropped and counted; where lines are missing, the queue keeps a mark that says how many,
//! so that the sink can say it in their place. One consumer takes lines in batches: after the first it waits a little for
//! more, because waking a thread costs more than writing a line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::line::Line;
use super::stats::{SinkStats, add};

/// Lines that wait for a sink, unless configured otherwise.
pub const QUEUE_LINES_MAX: usize = 65_536;
/// Bytes of lines that wait for a sink, unless configured otherwise; lines in several queues are counted in each.
pub const QUEUE_BYTES_MAX: usize = 16 << 20;

/// How much waits for a sink at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// In lines.
    pub lines_max: usize,
    /// In bytes.
    pub bytes_max: usize,
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self { lines_max: QUEUE_LINES_MAX, bytes_max: QUEUE_BYTES_MAX }
    }
}

/// How much a sink takes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batching {
    pub(crate) lines_max: usize,
    pub(crate) bytes_max: usize,
    /// How long the first line waits for others.
    pub(crate) linger: Duration,
}

/// What is in the queue.
#[derive(Debug)]
pub(crate) enum Entry {
    Line(Line),
    /// So many lines are missing here.
    Dropped(u64),
}

/// Why the consumer was given control.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Files are to be opened again.
    pub(crate) reopen: bool,
    /// The end: whatever is still there at that time is lost.
    pub(crate) stop_by: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    lines: usize,
    bytes: usize,
    /// From how much on the consumer, who waits, is woken: lines and bytes.
    wake_at: Option<(usize, usize)>,
    dropped: u64,
    reopen: bool,
    /// Lines that ever came in, and those that left the consumer's hands.
    came: u64,
    done: u64,
    /// What [`Queue::flush`] waits for.
    flush_to: u64,
    stop_by: Option<Instant>,
    /// Whether the consumer was told that it ends.
    told: bool,
    ended: bool,
}

impl State {
    fn is_urgent(&self) -> bool {
        self.reopen || (self.stop_by.is_some() && !self.told)
    }

    fn hurries(&self) -> bool {
        self.is_urgent() || self.stop_by.is_some() || self.flush_to > self.done
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    to_consumer: Condvar,
    to_waiters: Condvar,
    bounds: QueueBounds,
    stats: Arc<SinkStats>,
}

impl Queue {
    pub(crate) fn new(bounds: QueueBounds, stats: Arc<SinkStats>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            to_consumer: Condvar::new(),
            to_waiters: Condvar::new(),
            bounds,
            stats,
        })
    }

    pub(crate) fn stats(&self) -> &Arc<SinkStats> {
        &self.stats
    }

    /// Puts a line in, or drops and counts it; returns at once either way.
    pub(crate) fn push(&self, line: Line) -> bool {
        let bytes = line.bytes();
        let mut state = self.state.lock();
        let is_full = state.lines >= self.bounds.lines_max || state.bytes + bytes > self.bounds.bytes_max;
        if is_full || state.stop_by.is_some() || state.ended {
            state.dropped += 1;
            drop(state);
            add(&self.stats.dropped, 1);
            return false;
        }
        if state.dropped > 0 {
            let dropped = std::mem::take(&mut state.dropped);
            state.entries.push_back(Entry::Dropped(dropped));
            // The mark becomes a line.
            state.came += 1;
        }
        state.entries.push_back(Entry::Line(line));
        state.lines += 1;
        state.bytes += bytes;
        state.came += 1;
        let wakes = state.wake_at.is_some_and(|(lines, bytes)| state.lines >= lines || state.bytes >= bytes);
        if wakes {
            state.wake_at = None;
        }
        self.note(&state);
        drop(state);
        if wakes {
            self.to_consumer.notify_one();
        }
        true
    }

    fn note(&self, state: &State) {
        self.stats.queued_lines.store(state.lines as u64, Ordering::Relaxed);
        self.stats.queued_bytes.store(state.bytes as u64, Ordering::Relaxed);
    }

    /// Waits for something to do and moves a batch to `into`. With `retry_at`, the consumer has the rest of an earlier
    /// batch in its hands: it is given control at that time, and nothing more until that is done with.
    pub(crate) fn take(&self, batching: Batching, into: &mut VecDeque<Entry>, retry_at: Option<Instant>) -> Turn {
        let mut state = self.state.lock();
        loop {
            if state.is_urgent() {
                break;
            }
            match (retry_at, state.stop_by) {
                (Some(retry_at), stop_by) => {
                    let until = stop_by.map_or(retry_at, |stop_by| stop_by.min(retry_at));
                    if Instant::now() >= until {
                        break;
                    }
                    self.wait(&mut state, None, Some(until));
                }
                (None, Some(_)) => break,
                (None, None) if !state.entries.is_empty() || state.dropped > 0 => break,
                (None, None) => self.wait(&mut state, Some((1, 1)), None),
            }
        }
        if retry_at.is_none() {
            let until = Instant::now() + batching.linger;
            while !state.hurries()
                && state.lines < batching.lines_max
                && state.bytes < batching.bytes_max
                && Instant::now() < until
            {
                self.wait(&mut state, Some((batching.lines_max, batching.bytes_max)), Some(until));
            }
        }
        if retry_at.is_none() {
            self.fill(&mut state, batching, into);
        }
        state.told = state.stop_by.is_some();
        Turn { reopen: std::mem::take(&mut state.reopen), stop_by: state.stop_by }
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>, wake_at: Option<(usize, usize)>, until: Option<Instant>) {
        state.wake_at = wake_at;
        match until {
            Some(until) => drop(self.to_consumer.wait_until(state, until)),
            None => self.to_consumer.wait(state),
        }
        state.wake_at = None;
    }

    fn fill(&self, state: &mut State, batching: Batching, into: &mut VecDeque<Entry>) {
        let mut bytes = 0;
        while into.len() < batching.lines_max {
            match state.entries.front() {
                Some(Entry::Line(line)) if into.is_empty() || bytes + line.bytes() <= batching.bytes_max => {
                    bytes += line.bytes();
                    state.bytes = state.bytes.saturating_sub(line.bytes());
                    state.lines = state.lines.saturating_sub(1);
                }
                Some(Entry::Dropped(_)) => {}
                _ => break,
            }
            into.extend(state.entries.pop_front());
        }
        if state.entries.is_empty() && state.dropped > 0 {
            into.push_back(Entry::Dropped(std::mem::take(&mut state.dropped)));
            state.came += 1;
        }
        self.note(state);
    }

    /// So many lines left the consumer's hands, for good or bad.
    pub(crate) fn done(&self, lines: u64) {
        let mut state = self.state.lock();
        state.done += lines;
        if state.flush_to > 0 && state.done >= state.flush_to {
            self.to_waiters.notify_all();
        }
    }

    /// The consumer is gone; whatever is left is lost, and counted.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        add(&self.stats.dropped, state.lines as u64);
        state.entries.clear();
        (state.lines, state.bytes, state.ended) = (0, 0, true);
        self.note(&state);
        self.to_waiters.notify_all();
    }

    /// Files are to be opened again.
    pub(crate) fn reopen(&self) {
        self.state.lock().reopen = true;
        self.to_consumer.notify_one();
    }

    /// Waits until what is in the queue now has been handled. `false`: not in time.
    pub(crate) fn flush(&self, until: Instant) -> bool {
        let mut state = self.state.lock();
        let came = state.came;
        state.flush_to = state.flush_to.max(came);
        self.to_consumer.notify_one();
        while state.done < came && !state.ended {
            if self.to_waiters.wait_until(&mut state, until).timed_out() {
                return state.done >= came;
            }
        }
        state.done >= came
    }

    /// No line comes in any more; the consumer has until then for what is there.
    pub(crate) fn stop(&self, by: Instant) {
        let mut state = self.state.lock();
        state.stop_by = Some(state.stop_by.map_or(by, |earlier| earlier.min(by)));
        self.to_consumer.notify_one();
    }

    /// Waits until the consumer is gone. `false`: not in time.
    pub(crate) fn wait_for_end(&self, until: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.ended {
            if self.to_waiters.wait_until(&mut state, until).timed_out() {
                return state.ended;
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
