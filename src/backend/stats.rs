//! Requests to the backend, by hook and by what became of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::service::Distribution;

/// What the backend is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// A CONNECT.
    Connect,
    /// An event.
    Event,
}

impl HookKind {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Connect, Self::Event];

    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Event => "event",
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend has decided.
    Ok,
    /// It could not be reached.
    Unavailable,
    /// It did not answer in time.
    Timeout,
    /// It answered something else than it may.
    BadResponse,
    /// It was not asked: too many requests are under way.
    Overloaded,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Unavailable, Self::Timeout, Self::BadResponse, Self::Overloaded];

    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::BadResponse => "bad_response",
            Self::Overloaded => "overloaded",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct BackendStats {
    requests: [[AtomicU64; Outcome::ALL.len()]; HookKind::ALL.len()],
    times: [Distribution; HookKind::ALL.len()],
    /// Requests under way.
    pub active: AtomicU64,
}

impl Default for BackendStats {
    fn default() -> Self {
        let times = std::array::from_fn(|_| Distribution::of_times());
        Self { requests: Default::default(), times, active: AtomicU64::new(0) }
    }
}

impl BackendStats {
    /// Requests of a hook that came to this.
    #[must_use]
    pub fn requests(&self, hook: HookKind, outcome: Outcome) -> u64 {
        self.requests[hook as usize][outcome as usize].load(Ordering::Relaxed)
    }

    /// How long they took.
    #[must_use]
    pub const fn times(&self, hook: HookKind) -> &Distribution {
        &self.times[hook as usize]
    }

    pub(super) fn settled(&self, hook: HookKind, outcome: Outcome, took: Duration) {
        self.requests[hook as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.times[hook as usize].observe_time(took);
    }
}
