//! The admin listener's routes: `/status`, and those of the membership.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use vedfolnir_cluster::ClusterStatus;

use super::membership;
use crate::observability::{Node, readiness_reason};

/// What `/status` answers with 200.
#[derive(Clone, Debug, Serialize)]
pub struct AdminStatus {
    /// The cluster as this node sees it.
    #[serde(flatten)]
    pub cluster: ClusterStatus,
    /// Name of this process.
    pub server_id: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// Transports open on this node.
    pub connections: u64,
    /// Where this node keeps its state.
    pub data_dir: String,
}

/// What `/status` answers with 503, before the node is a member.
#[derive(Serialize)]
struct NotYet {
    ready: bool,
    reason: String,
    server_id: String,
    uptime: u64,
}

/// The operators' routes.
pub fn router(node: Arc<Node>) -> Router {
    Router::new().route("/status", get(status)).with_state(Arc::clone(&node)).merge(membership::router(node))
}

async fn status(State(node): State<Arc<Node>>) -> Response {
    let Some(parts) = node.parts() else {
        let reason = readiness_reason(&node).unwrap_or_default();
        let body =
            NotYet { ready: false, reason, server_id: node.server_id().to_owned(), uptime: node.uptime_seconds() };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    };
    let mut cluster = parts.cluster.status();
    if let Some(reason) = readiness_reason(&node) {
        cluster.ready = false;
        cluster.reason = Some(reason);
    }
    Json(AdminStatus {
        cluster,
        server_id: node.server_id().to_owned(),
        uptime: node.uptime_seconds(),
        connections: node.connections(),
        data_dir: node.data_dir().display().to_string(),
    })
    .into_response()
}
