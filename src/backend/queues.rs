//! Events of one client one after the other: the next is not sent before the answer to the one before, also if the client
//! is gone meanwhile.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

/// Events of one session that wait behind its earlier ones. A connection has fewer under way; one that comes again and
/// again while the backend hangs has not.
const PER_SESSION_MAX: usize = 256;
/// Bytes of all that wait.
const BYTES_MAX: usize = 64 << 20;

/// As much waits as may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

struct Job {
    bytes: usize,
    work: BoxFuture<'static, ()>,
}

/// See the module.
///
/// Invariants: a session is in the table exactly while a task works off its jobs; `bytes` are those of all jobs in it.
#[derive(Default)]
pub(super) struct Queues(Mutex<Table>);

#[derive(Default)]
struct Table {
    sessions: HashMap<Arc<str>, VecDeque<Job>>,
    bytes: usize,
}

impl Queues {
    /// Has something done behind all that was given for the same session before. It needs a runtime.
    pub(super) fn push(
        self: &Arc<Self>,
        sid: Arc<str>,
        bytes: usize,
        work: BoxFuture<'static, ()>,
    ) -> Result<(), Full> {
        let mut table = self.0.lock();
        let Table { sessions, bytes: all_bytes } = &mut *table;
        match sessions.entry(Arc::clone(&sid)) {
            Entry::Occupied(mut waiting) => {
                if waiting.get().len() >= PER_SESSION_MAX || *all_bytes + bytes > BYTES_MAX {
                    return Err(Full);
                }
                *all_bytes += bytes;
                waiting.get_mut().push_back(Job { bytes, work });
            }
            Entry::Vacant(idle) => {
                idle.insert(VecDeque::new());
                tokio::spawn(Arc::clone(self).work_off(sid, work));
            }
        }
        Ok(())
    }

    async fn work_off(self: Arc<Self>, sid: Arc<str>, first: BoxFuture<'static, ()>) {
        let mut work = Some(first);
        while let Some(current) = work {
            // What waits behind it is done all the same.
            if AssertUnwindSafe(current).catch_unwind().await.is_err() {
                tracing::error!(event_type = "internal_error", "handling an event for the backend panicked");
            }
            work = self.next(&sid);
        }
    }

    fn next(&self, sid: &Arc<str>) -> Option<BoxFuture<'static, ()>> {
        let mut table = self.0.lock();
        match table.sessions.get_mut(sid).and_then(VecDeque::pop_front) {
            Some(Job { bytes, work }) => {
                table.bytes -= bytes;
                Some(work)
            }
            None => {
                table.sessions.remove(sid);
                None
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_session_has_one_at_a_time_in_order_and_others_do_not_wait() {
        let queues = Arc::new(Queues::default());
        let (done, mut seen) = mpsc::channel(8);
        let (go, gate) = tokio::sync::oneshot::channel::<()>();
        queues.push("a".into(), 1, Box::pin(async move { gate.await.unwrap() })).unwrap();
        for number in 0..3 {
            let done = done.clone();
            queues.push("a".into(), 1, Box::pin(async move { done.try_send(number).unwrap() })).unwrap();
        }
        queues.push("a".into(), 1, Box::pin(async { panic!("a bug") })).unwrap();
        let last = done.clone();
        queues.push("a".into(), 1, Box::pin(async move { last.try_send(3).unwrap() })).unwrap();
        queues.push("b".into(), 1, Box::pin(async move { done.try_send(100).unwrap() })).unwrap();
        assert_eq!(seen.recv().await, Some(100));
        go.send(()).unwrap();
        for number in 0..4 {
            assert_eq!(seen.recv().await, Some(number));
        }
        // Its task takes it out of the table behind the last one.
        while !queues.0.lock().sessions.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(queues.0.lock().bytes, 0);
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_number_and_bytes() {
        let queues = Arc::new(Queues::default());
        queues.push("a".into(), 1, Box::pin(std::future::pending())).unwrap();
        for _ in 0..PER_SESSION_MAX {
            queues.push("a".into(), 1, Box::pin(std::future::pending())).unwrap();
        }
        assert_eq!(queues.push("a".into(), 1, Box::pin(std::future::pending())), Err(Full));
        queues.push("b".into(), BYTES_MAX, Box::pin(std::future::pending())).unwrap();
        assert_eq!(queues.push("b".into(), BYTES_MAX, Box::pin(std::future::pending())), Err(Full));
    }
}
