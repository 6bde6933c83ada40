//! How long operations took, by kind: operators' requests, and what an embedding application names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::RwLock;

use super::node::Node;
use crate::service::{Distribution, tenths};

/// Kinds that are told apart; what is named beyond it is counted as [`Operation::Other`].
const KINDS_MAX: usize = 64;
/// Bytes of a kind's name.
const NAME_BYTES_MAX: usize = 64;

/// A kind of operator's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The status was read.
    Status,
    /// Members were listed.
    Members,
    /// The membership was changed: leave, remove, transfer of the leadership.
    Membership,
    /// A token was made.
    Token,
    /// The log's levels were read or changed.
    LogLevel,
    /// Metrics were read.
    Metrics,
    /// Anything else.
    Other,
}

impl Operation {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Status, Self::Members, Self::Membership, Self::Token, Self::LogLevel, Self::Metrics, Self::Other];

    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Members => "members",
            Self::Membership => "membership",
            Self::Token => "token",
            Self::LogLevel => "log_level",
            Self::Metrics => "metrics",
            Self::Other => "other",
        }
    }

    /// By the request's path.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        match path {
            "/status" => Self::Status,
            "/members" => Self::Members,
            "/members/remove" | "/leave" | "/leadership/transfer" => Self::Membership,
            "/tokens/join" => Self::Token,
            "/log-level" => Self::LogLevel,
            _ if path.ends_with("/metrics") => Self::Metrics,
            _ => Self::Other,
        }
    }
}

/// Operations of one kind.
#[derive(Debug)]
pub struct Timed {
    /// How long they took, those that failed included.
    pub times: Distribution,
    /// How many failed.
    pub failed_total: AtomicU64,
}

impl Default for Timed {
    fn default() -> Self {
        Self { times: Distribution::of_times(), failed_total: AtomicU64::new(0) }
    }
}

/// See the module. Invariant: every [`Operation`] is among the kinds, from the start.
#[derive(Debug)]
pub struct Operations(RwLock<BTreeMap<Arc<str>, Arc<Timed>>>);

impl Default for Operations {
    fn default() -> Self {
        let kinds = Operation::ALL.map(|operation| (Arc::from(operation.as_str()), Arc::default()));
        Self(RwLock::new(BTreeMap::from(kinds)))
    }
}

impl Operations {
    /// One is done, or has failed.
    pub(crate) fn observe(&self, kind: &str, time: Duration, failed: bool) {
        let timed = self.of(kind);
        timed.times.observe_time(time);
        timed.failed_total.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    fn of(&self, kind: &str) -> Arc<Timed> {
        if let Some(timed) = self.0.read().get(kind) {
            return Arc::clone(timed);
        }
        let mut kinds = self.0.write();
        let is_name = !kind.is_empty() && kind.len() <= NAME_BYTES_MAX;
        let kind = if is_name && kinds.len() < KINDS_MAX { kind } else { Operation::Other.as_str() };
        Arc::clone(kinds.entry(Arc::from(kind)).or_default())
    }

    /// Every kind, sorted by name.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Timed>)> {
        self.0.read().iter().map(|(kind, timed)| (Arc::clone(kind), Arc::clone(timed))).collect()
    }
}

/// Passes a request on and counts how long it took; an answer of an error's status is a failure.
pub(crate) async fn timed(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let operation = Operation::of_path(request.uri().path());
    let began = Instant::now();
    let response = next.run(request).await;
    let (took, status) = (began.elapsed(), response.status());
    node.operations().observe(operation.as_str(), took, status.is_client_error() || status.is_server_error());
    // Metrics, health and status are asked for again and again.
    if !matches!(operation, Operation::Metrics | Operation::Status | Operation::Other) {
        tracing::info!(
            event_type = "operation_completed",
            operation = operation.as_str(),
            duration_ms = tenths(took),
            status = status.as_u16(),
            "an operator's request was answered"
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_names_so_many_kinds_and_no_more() {
        let operations = Operations::default();
        for number in 0..1_000 {
            operations.observe(&format!("upload_{number}"), Duration::from_millis(1), number % 2 == 0);
        }
        operations.observe("", Duration::ZERO, false);
        operations.observe(&"x".repeat(NAME_BYTES_MAX + 1), Duration::ZERO, false);
        operations.observe("status", Duration::ZERO, true);
        let all = operations.all();
        assert_eq!(all.len(), KINDS_MAX);
        let count = |timed: &Timed| timed.times.buckets().map(|(_, count)| count).sum::<u64>();
        assert_eq!(all.iter().map(|(_, timed)| count(timed)).sum::<u64>(), 1_003);
        let of = |name: &str| all.iter().find(|(kind, _)| &**kind == name).map(|(_, timed)| Arc::clone(timed)).unwrap();
        assert_eq!((count(&of("upload_0")), of("upload_0").failed_total.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(count(&of("status")), 1, "a name of the server's own is that kind");
        assert!(count(&of("other")) > 900);
    }
}
