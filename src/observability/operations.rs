//! How long operators' requests took, by kind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::node::Node;
use crate::service::{Distribution, tenths};

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
    /// Metrics were read.
    Metrics,
    /// Anything else.
    Other,
}

impl Operation {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Status, Self::Members, Self::Membership, Self::Token, Self::Metrics, Self::Other];

    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Members => "members",
            Self::Membership => "membership",
            Self::Token => "token",
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
            _ if path.ends_with("/metrics") => Self::Metrics,
            _ => Self::Other,
        }
    }
}

/// A distribution of times for each kind.
#[derive(Debug)]
pub struct Operations([Distribution; Operation::ALL.len()]);

impl Default for Operations {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Distribution::of_times()))
    }
}

impl Operations {
    /// One was answered.
    pub(crate) fn observe(&self, operation: Operation, time: Duration) {
        self.0[operation as usize].observe_time(time);
    }

    /// Of one kind.
    #[must_use]
    pub const fn times(&self, operation: Operation) -> &Distribution {
        &self.0[operation as usize]
    }
}

/// Passes a request on and counts how long it took.
pub(crate) async fn timed(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let operation = Operation::of_path(request.uri().path());
    let began = Instant::now();
    let response = next.run(request).await;
    let took = began.elapsed();
    node.operations().observe(operation, took);
    // Metrics and health are asked for again and again.
    if !matches!(operation, Operation::Metrics | Operation::Other) {
        tracing::info!(
            event_type = "operation_completed",
            operation = operation.as_str(),
            duration_ms = tenths(took),
            status = response.status().as_u16(),
            "an operator's request was answered"
        );
    }
    response
}
