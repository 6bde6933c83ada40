//! The local replica of the state, and the one bounded channel on which its effects go up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::mpsc;
use vedfolnir_state::State;

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
            metrics,
        };
        (Arc::new(replica), receiver)
    }

    pub(crate) fn read<R>(&self, view: impl FnOnce(&State) -> R) -> R {
        view(&self.state.read())
    }

    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.write();
        let result = change(&mut state);
        self.applied_index.store(state.applied().index, Ordering::Release);
        result
    }

    /// The last applied log index.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied_index.load(Ordering::Acquire)
    }

    /// From here on effects go up.
    pub(crate) fn attach(&self) {
        self.attached.store(true, Ordering::Release);
    }

    /// Sends a notice up, waiting when the service is behind; a service that is gone is not waited for.
    pub(crate) async fn notify(&self, notice: Notice) {
        #[cfg(feature = "planted-bugs")]
        if vedfolnir_state::planted::is(vedfolnir_state::planted::Bug::ResyncNotTold)
            && matches!(notice, Notice::Resync { .. })
        {
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
