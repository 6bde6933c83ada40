//! Cluster time: the sum of what leaders measured, and what happens as it passes.

use serde::{Deserialize, Serialize};

use crate::limits::TICK_MS_MAX;

/// Milliseconds since the history began; stands still while nothing commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterTime {
    now_ms: u64,
}

impl ClusterTime {
    pub(crate) fn now_ms(self) -> u64 {
        self.now_ms
    }

    pub(crate) fn advance(&mut self, elapsed_ms: u32) {
        let elapsed_ms = elapsed_ms.min(TICK_MS_MAX);
        #[cfg(feature = "planted-bugs")]
        let elapsed_ms = crate::planted::elapsed_ms(self.now_ms, elapsed_ms);
        self.now_ms = self.now_ms.saturating_add(u64::from(elapsed_ms));
    }
}
