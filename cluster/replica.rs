//! The local replica of the state, and the one bounded channel on which its effects go up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use vedfolnir_state::State;

use crate::arrivals::Arrivals;
use crate::handle::Notice;
use crate::status::ClusterMetrics;

/// Applied entries whose effects the service has not taken yet; beyond it `apply` waits.
pub(crate) const NOTICES_MAX: usize = 4096;

/// What the state machine writes and everybody reads.
///
/// Invariants: only the state machine's task writes `state`; notices leave in the order of application; nothing is
/// sent before `attached`, because before that no socket exists that could have missed it.
pub(crate) struct Replica {
    state: RwLock<State>,
    attached: AtomicBool,
    notices: mpsc::Sender<Notice>,
    applied_index: AtomicU64,
    /// The same, for those who wait for it.
    applied: watch::Sender<u64>,
    /// The last index that said something to those who follow events.
    said: watch::Sender<u64>,
    pub(crate) arrivals: Arrivals,
    pub(crate) metrics: Arc<ClusterMetrics>,
}

impl Replica {
    pub(crate) fn new(metrics: Arc<ClusterMetrics>) -> (Arc<Self>, mpsc::Receiver<Notice>) {
        let (notices, receiver) = mpsc::channel(NOTICES_MAX);
        let replica = Self {
            state: RwLock::new(State::default()),
            attached: AtomicBool::new(false),
            notices,
            applied_index: AtomicU64::new(0),
            applied: watch::channel(0).0,
            said: watch::channel(0).0,
            arrivals: Arrivals::default(),
            metrics,
        };
        (Arc::new(replica), receiver)
    }

    pub(crate) fn read<R>(&self, view: impl FnOnce(&State) -> R) -> R {
        view(&self.state.read())
    }

    /// `None`: it is being changed just now.
    pub(crate) fn try_read<R>(&self, view: impl FnOnce(&State) -> R) -> Option<R> {
        self.state.try_read().map(|state| view(&state))
    }

    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.write();
        let result = change(&mut state);
        let index = state.applied().index;
        drop(state);
        self.applied_index.store(index, Ordering::Release);
        self.applied.send_replace(index);
        result
    }

    /// The last applied log index.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied_index.load(Ordering::Acquire)
    }

    /// Waits until everything up to `index` has been applied; false: the replica is gone.
    pub(crate) async fn applied(&self, index: u64) -> bool {
        self.applied.subscribe().wait_for(|applied| *applied >= index).await.is_ok()
    }

    /// There are events that were not there before.
    pub(crate) fn say(&self, index: u64) {
        self.said.send_replace(index);
    }

    /// Those who follow events look again, whether there are new ones or not.
    pub(crate) fn wake_followers(&self) {
        self.said.send_modify(|_| {});
    }

    /// Changes whenever there are new events.
    pub(crate) fn said(&self) -> watch::Receiver<u64> {
        self.said.subscribe()
    }

    /// From here on effects go up.
    pub(crate) fn attach(&self) {
        self.attached.store(true, Ordering::Release);
    }

    /// Sends a notice up, waiting when the service is behind; a service that is gone is not waited for.
    pub(crate) async fn notify(&self, notice: Notice) {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_kept_back(&notice) {
            return;
        }
        if self.attached.load(Ordering::Acquire) {
            // The receiver is dropped only when the node stops; there is nobody left to tell.
            let _ = self.notices.send(notice).await;
        }
    }

    /// Sends a notice that may be lost; says whether it was taken.
    pub(crate) fn try_notify(&self, notice: Notice) -> bool {
        self.attached.load(Ordering::Acquire) && self.notices.try_send(notice).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_being_changed_is_not_waited_for() {
        let (replica, _notices) = Replica::new(Arc::default());
        let busy = replica.write(|_| replica.try_read(|_| ()).is_none());
        assert!(busy && replica.try_read(|_| ()).is_some());
    }
}
