//! Health of one node: what a load balancer, an orchestrator and a person ask.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::node::Node;
use super::timestamp::rfc3339;

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

/// 200 `healthy`; 503 `unhealthy` or `draining`: what a load balancer should route by.
pub(super) async fn health(State(node): State<Arc<Node>>) -> Response {
    let status = match readiness_reason(&node) {
        None => "healthy",
        Some(_) if node.draining() => "draining",
        Some(_) => "unhealthy",
    };
    let code = if status == "healthy" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Health {
        status,
        server_id: node.server_id(),
        timestamp: rfc3339(SystemTime::now()),
        connections: node.connections(),
        uptime: node.uptime_seconds(),
    };
    uncached(code, Json(body))
}

/// 200 when the node can serve; 503 with the reason when it cannot.
pub(super) async fn ready(State(node): State<Arc<Node>>) -> Response {
    let reason = readiness_reason(&node);
    let code = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body =
        Ready { ready: reason.is_none(), reason, server_id: node.server_id(), timestamp: rfc3339(SystemTime::now()) };
    uncached(code, Json(body))
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

/// Why the node cannot serve; `None`: it can.
pub(crate) fn readiness_reason(node: &Node) -> Option<String> {
    if node.draining() {
        return Some("the node is shutting down".to_owned());
    }
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
