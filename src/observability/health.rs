//! Health of one node: what a load balancer, an orchestrator and a person ask.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::checks::Condition;
use super::node::Node;
use super::timestamp::rfc3339;
use crate::service::Standing;

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// It serves, and nothing is wrong.
    Healthy,
    /// It serves, and something is wrong.
    Degraded,
    /// It does not serve.
    Unhealthy,
    /// It does not serve because it is shutting down, or its clients are moved away.
    Draining,
    /// It takes no new clients because an operator says so.
    Maintenance,
}

impl HealthStatus {
    /// As answers show it.
    #[must_use]
    pub const fn value(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
        }
    }

    /// Whether it can be given clients.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

/// The health of a node, by what was found last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// How it is.
    pub status: HealthStatus,
    /// Why it is not healthy.
    pub reason: Option<String>,
    /// Name of its process.
    pub server_id: String,
    /// Transports open on it.
    pub connections: u64,
    /// Seconds since the process started.
    pub uptime_seconds: u64,
}

/// A node's health now; it waits for nothing.
pub(crate) fn report(node: &Node) -> HealthReport {
    let (status, reason) = status(node);
    HealthReport {
        status,
        reason,
        server_id: node.server_id().to_owned(),
        connections: node.connections(),
        uptime_seconds: node.uptime_seconds(),
    }
}

fn status(node: &Node) -> (HealthStatus, Option<String>) {
    let (condition, worst) = node.checks().lock().condition();
    let standing = node.standing();
    if let Some(reason) = standing.reason() {
        let status = if standing == Standing::Maintenance { HealthStatus::Maintenance } else { HealthStatus::Draining };
        return (status, Some(reason.to_owned()));
    }
    match (cluster_reason(node), condition) {
        (Some(reason), _) => (HealthStatus::Unhealthy, Some(reason)),
        (None, Condition::Unhealthy) => (HealthStatus::Unhealthy, worst),
        (None, Condition::Degraded) => (HealthStatus::Degraded, worst),
        (None, Condition::Healthy) => (HealthStatus::Healthy, None),
    }
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    server_id: &'a str,
    timestamp: String,
    connections: u64,
    uptime: u64,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    server_id: &'a str,
    timestamp: String,
}

/// The same, with each part's state.
#[derive(Serialize)]
struct Detailed<'a> {
    #[serde(flatten)]
    health: Health<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    checks: serde_json::Map<String, serde_json::Value>,
}

/// 200 `healthy` or `degraded`; 503 `unhealthy`, `draining` or `maintenance`: what a load balancer should route by.
pub(super) async fn health(State(node): State<Arc<Node>>) -> Response {
    let (code, health, _) = judge(&node);
    uncached(code, Json(health))
}

/// [`health`], with each part's state: for operators.
pub(super) async fn detailed(State(node): State<Arc<Node>>) -> Response {
    let (code, health, reason) = judge(&node);
    let mut checks = serde_json::Map::new();
    let raft = match cluster_reason(&node) {
        None => serde_json::json!({"status": "ok", "message": "in contact with a quorum, caught up", "age": 0.0}),
        Some(reason) => serde_json::json!({"status": "failed", "message": reason, "age": 0.0}),
    };
    checks.insert("raft".to_owned(), raft);
    for (part, view) in node.checks().lock().view(Instant::now()) {
        checks.insert(part.to_owned(), serde_json::json!(view));
    }
    uncached(code, Json(Detailed { health, reason, checks }))
}

fn judge(node: &Node) -> (StatusCode, Health<'_>, Option<String>) {
    let (status, reason) = status(node);
    let code = if status.serves() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = Health {
        status: status.value(),
        server_id: node.server_id(),
        timestamp: rfc3339(SystemTime::now()),
        connections: node.connections(),
        uptime: node.uptime_seconds(),
    };
    (code, health, reason)
}

/// 200 when the node can be given clients; 503 with the reason when it cannot.
pub(super) async fn ready(State(node): State<Arc<Node>>) -> Response {
    let reason = unready_reason(&node);
    let code = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body =
        Ready { ready: reason.is_none(), reason, server_id: node.server_id(), timestamp: rfc3339(SystemTime::now()) };
    uncached(code, Json(body))
}

/// 503 until the node could serve for the first time, then 200 for good: an orchestrator's probe of its start.
pub(super) async fn startup(State(node): State<Arc<Node>>) -> Response {
    #[derive(Serialize)]
    struct Startup<'a> {
        started: bool,
        server_id: &'a str,
    }
    let started = node.has_served() || cluster_reason(&node).is_none();
    if started {
        node.set_served();
    }
    let code = if started { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    uncached(code, Json(Startup { started, server_id: node.server_id() }))
}

/// 200 as long as the process turns: restarting it would not bring back a quorum.
pub(super) async fn live(State(node): State<Arc<Node>>) -> Response {
    #[derive(Serialize)]
    struct Live<'a> {
        live: bool,
        server_id: &'a str,
    }
    uncached(StatusCode::OK, Json(Live { live: true, server_id: node.server_id() }))
}

/// Why the node should be given no new clients.
fn unready_reason(node: &Node) -> Option<String> {
    readiness_reason(node).or_else(|| {
        if node.is_shedding() {
            return Some("the node has no memory for more clients".to_owned());
        }
        let (condition, worst) = node.checks().lock().condition();
        worst.filter(|_| condition == Condition::Unhealthy)
    })
}

/// Why the node cannot serve, or is not to; `None`: it can.
pub(crate) fn readiness_reason(node: &Node) -> Option<String> {
    node.standing().reason().map(str::to_owned).or_else(|| cluster_reason(node))
}

/// Why the node cannot serve; `None`: it can.
fn cluster_reason(node: &Node) -> Option<String> {
    let Some(parts) = node.parts() else {
        return Some("the node is not a member of its cluster yet".to_owned());
    };
    let readiness = parts.cluster.readiness();
    let readiness = readiness.borrow();
    (!readiness.ready).then(|| readiness.reason.clone().unwrap_or_else(|| "the node is catching up".to_owned()))
}

fn uncached(code: StatusCode, body: impl IntoResponse) -> Response {
    (code, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], body).into_response()
}
