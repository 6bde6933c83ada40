//! How far the dispatcher has come in the one total order, and who waits for it to come further.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Invariants: `completed <= dispatched`; both only grow; a waiter for an index is woken once `completed` reaches it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    dispatched: AtomicU64,
    completed: AtomicU64,
    /// At most one for each handler in flight.
    waiting: Mutex<BTreeMap<u64, Vec<oneshot::Sender<()>>>>,
}

impl Progress {
    /// The effects of `index` are about to be carried out; stored before any socket is visited for them.
    pub(crate) fn begin(&self, index: u64) {
        self.dispatched.fetch_max(index, Ordering::SeqCst);
    }

    /// Every effect up to `index` has been carried out.
    pub(crate) fn complete(&self, index: u64) {
        self.dispatched.fetch_max(index, Ordering::SeqCst);
        let mut waiting = self.waiting.lock();
        self.completed.fetch_max(index, Ordering::SeqCst);
        while let Some(first) = waiting.first_entry() {
            if *first.key() > index {
                break;
            }
            for waiter in first.remove() {
                // A waiter that has gone away needs no word.
                let _ = waiter.send(());
            }
        }
    }

    /// The last index whose effects were begun.
    pub(crate) fn dispatched(&self) -> u64 {
        self.dispatched.load(Ordering::SeqCst)
    }

    /// The last index whose effects are all carried out.
    pub(crate) fn completed(&self) -> u64 {
        self.completed.load(Ordering::SeqCst)
    }

    /// Waits until every effect up to `index` has been carried out.
    pub(crate) async fn reached(&self, index: u64) {
        if self.completed() >= index {
            return;
        }
        let receiver = {
            let mut waiting = self.waiting.lock();
            if self.completed() >= index {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            waiting.entry(index).or_default().push(sender);
            receiver
        };
        // The sender is dropped unsent only with the service itself.
        let _ = receiver.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_in_time_and_not_before() {
        let progress = Progress::default();
        progress.complete(4);
        progress.reached(4).await;
        let mut later = Box::pin(progress.reached(6));
        assert!(futures_util::FutureExt::now_or_never(&mut later).is_none());
        progress.begin(6);
        progress.complete(5);
        assert!(futures_util::FutureExt::now_or_never(&mut later).is_none());
        progress.complete(7);
        later.await;
        assert_eq!((progress.dispatched(), progress.completed()), (7, 7));
    }
}
