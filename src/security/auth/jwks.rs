//! The issuer's keys, kept fresh: one task that fetches them, and what others ask of it.
//!
//! ```text
//!   CONNECT ─ unknown kid ─► Jwks::refreshed ─► Schedule ─► task ─► Fetcher ─► Keyring
//!      ▲                                                              │ good: replaced; bad: kept, and the age grows
//!      └───────────────────── judged once more ◄──────────────────────┘
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::jwk::{JwksError, Secrets, keys_from_jwks};
use super::jwks_fetch::{FetchError, Fetcher};
use super::keyring::Keyring;
use super::keys::KeyError;
use super::schedule::Schedule;

/// Time between fetches, unless configured otherwise.
pub const REFRESH: Duration = Duration::from_secs(600);
/// Time between fetches at least, unless configured otherwise.
pub const REFRESH_MIN: Duration = Duration::from_secs(30);

/// Why a fetch left the keys as they were.
#[derive(Debug, thiserror::Error)]
pub enum JwksUpdateError {
    /// Nothing came.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What came is no set.
    #[error(transparent)]
    Set(#[from] JwksError),
    /// With the configuration's keys it is too many.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// How the issuer's keys are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwksStatus {
    /// Keys of the last good fetch.
    pub keys: usize,
    /// Entries of the last good fetch that could not be used.
    pub skipped: usize,
    /// How long ago that was; `None`: there was none.
    pub age: Option<Duration>,
    /// Good fetches.
    pub fetched_total: u64,
    /// Fetches that left the keys as they were.
    pub failed_total: u64,
    /// Why the last fetch failed; `None`: it did not.
    pub error: Option<String>,
}

/// The issuer's keys.
#[derive(Debug)]
pub struct Jwks {
    keyring: Arc<Keyring>,
    state: Mutex<State>,
    wake: Notify,
    /// Counts fetches that are over, for those who wait.
    over: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    status: JwksStatus,
    good_at: Option<Instant>,
    /// The task runs.
    driven: bool,
}

impl Jwks {
    /// Keys for `keyring`, fetched every `refresh`, and never twice within `refresh_min`.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, refresh: Duration, refresh_min: Duration) -> Self {
        let state = State {
            schedule: Schedule::new(refresh, refresh_min),
            status: JwksStatus::default(),
            good_at: None,
            driven: false,
        };
        Self { keyring, state: Mutex::new(state), wake: Notify::new(), over: watch::Sender::new(0) }
    }

    /// How they are at `now`.
    #[must_use]
    pub fn status(&self, now: Instant) -> JwksStatus {
        let state = self.state.lock();
        let age = state.good_at.map(|at| now.saturating_duration_since(at));
        JwksStatus { age, ..state.status.clone() }
    }

    /// A token names a key that is not there: waits for a fetch if one is under way or may start now, otherwise returns at
    /// once. It takes as long as a fetch at most; it may be dropped.
    pub async fn refreshed(&self) {
        let mut over = self.over.subscribe();
        {
            let mut state = self.state.lock();
            if !state.driven {
                return;
            }
            let comes_now = state.schedule.handle_unknown_key(now());
            drop(state);
            // Also where it is too soon: the task has to look at the schedule, which has an earlier fetch now.
            self.wake.notify_one();
            if !comes_now {
                return;
            }
        }
        // An error means that nobody fetches any more.
        let _ = over.changed().await;
    }

    /// Fetches until `stop`: run it once, as a task.
    pub async fn run(&self, fetcher: &Fetcher, stop: &CancellationToken) {
        self.state.lock().driven = true;
        let _driving = Driving(self);
        loop {
            let due = self.state.lock().schedule.due_at(now());
            let Some(due) = due else { return };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.wake.notified() => continue,
            }
            self.state.lock().schedule.handle_started(now());
            let fetched = tokio::select! {
                () = stop.cancelled() => return,
                fetched = fetcher.fetch() => fetched,
            };
            self.take(fetcher, fetched.map_err(JwksUpdateError::from));
        }
    }

    /// Takes in what a fetch came to. The keys stay when it is no good.
    fn take(&self, fetcher: &Fetcher, fetched: Result<bytes::Bytes, JwksUpdateError>) {
        let url = fetcher.url();
        let replaced = fetched.and_then(|body| {
            let read = keys_from_jwks(&body, Secrets::Skipped)?;
            let count = read.keys.len();
            self.keyring.replace_fetched(read.keys)?;
            Ok((count, read.skipped))
        });
        let mut state = self.state.lock();
        match replaced {
            Ok((keys, skipped)) => {
                state.schedule.handle_good();
                state.good_at = Some(now());
                let fetched_total = state.status.fetched_total + 1;
                let first = skipped.first().map(ToString::to_string);
                if (state.status.keys, state.status.skipped) != (keys, skipped.len()) || state.status.error.is_some() {
                    tracing::info!(%url, keys, skipped = skipped.len(), skipped_first = first, "signing keys fetched");
                }
                let failed_total = state.status.failed_total;
                state.status =
                    JwksStatus { keys, skipped: skipped.len(), age: None, fetched_total, failed_total, error: None };
            }
            Err(error) => {
                state.schedule.handle_failed();
                state.status.failed_total += 1;
                tracing::warn!(%url, %error, keys = state.status.keys, "signing keys not fetched; those at hand stay");
                state.status.error = Some(error.to_string());
            }
        }
        drop(state);
        self.over.send_modify(|count| *count += 1);
    }
}

/// Whoever waits must not wait for a task that has ended.
struct Driving<'a>(&'a Jwks);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.state.lock().driven = false;
        self.0.over.send_modify(|count| *count += 1);
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
