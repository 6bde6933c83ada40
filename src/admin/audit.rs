//! The operators' door to the replicated state itself: one session as the cluster has it, and the hash of everything.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::state::{LogPosition, State as Replicated};

use super::membership::Done;
use crate::observability::{Node, readiness_reason};

/// A quorum that has not confirmed a linearizable read by then does not.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

/// Which session, and how surely.
#[derive(Debug, Deserialize)]
struct Question {
    /// The session's public id.
    session: String,
    #[serde(default = "root")]
    namespace: String,
    /// Whether a quorum is asked first how far the log is; else this node's replica answers as it is.
    #[serde(default)]
    linearizable: bool,
}

fn root() -> String {
    "/".to_owned()
}

/// What `GET /session` answers.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// Its public id.
    pub sid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its user.
    pub user: Option<String>,
    /// Its rooms.
    pub rooms: Vec<String>,
    /// How many owners it has had.
    pub epoch: u64,
    /// Whether a transport is connected.
    pub connected: bool,
    /// Until when it can be resumed, in milliseconds of cluster time from now; `None`: it is connected.
    pub recoverable_ms: Option<u64>,
    /// The log index that the answer is of.
    pub applied_index: u64,
}

/// What `GET /state-hash` answers: nodes that have applied the same have the same hash.
#[derive(Clone, Debug, Serialize)]
pub struct StateHashView {
    /// Cluster id.
    pub cluster_id: String,
    /// The log index up to which this node is.
    pub applied_index: u64,
    /// The hash of the whole replicated state, sixteen hexadecimal digits.
    pub hash: String,
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new().route("/session", get(session)).route("/state-hash", get(state_hash)).with_state(node)
}

fn refused(status: StatusCode, error: String) -> Response {
    (status, Json(Done { error: Some(error), ..Done::default() })).into_response()
}

async fn session(State(node): State<Arc<Node>>, Query(question): Query<Question>) -> Response {
    let Some(parts) = node.parts() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, readiness_reason(&node).unwrap_or_default());
    };
    if question.linearizable
        && let Err(error) = parts.cluster.read_index(CONFIRMED_WITHIN).await
    {
        return refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    }
    let (sid, namespace): (Arc<str>, Arc<str>) = (question.session.as_str().into(), question.namespace.as_str().into());
    let found = parts.cluster.read(|state| {
        let pid = state.sessions_called(&sid, Some(&namespace)).first().copied()?;
        Some((state.session(&pid)?, state.cluster_time_ms(), state.applied()))
    });
    let Some((session, now_ms, LogPosition { index, .. })) = found else {
        let (sid, namespace) = (&question.session, &question.namespace);
        return refused(StatusCode::NOT_FOUND, format!("namespace {namespace:?} has no session {sid:?}"));
    };
    Json(SessionView {
        sid: session.sid.to_string(),
        namespace: session.namespace.to_string(),
        user: session.user.as_ref().map(ToString::to_string),
        rooms: session.rooms.iter().map(ToString::to_string).collect(),
        epoch: session.epoch,
        connected: session.connected,
        recoverable_ms: session.deadline_ms.map(|deadline| deadline.saturating_sub(now_ms)),
        applied_index: index,
    })
    .into_response()
}

async fn state_hash(State(node): State<Arc<Node>>) -> Response {
    let Some(parts) = node.parts() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, readiness_reason(&node).unwrap_or_default());
    };
    let cluster_id = parts.cluster.status().cluster_id;
    // A clone costs nothing, and reading all of it must not keep the node from applying more.
    let state = parts.cluster.read(Replicated::clone);
    let hashed = tokio::task::spawn_blocking(move || (state.applied().index, state.state_hash())).await;
    // It fails only if the process is ending.
    let Ok((applied_index, hash)) = hashed else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the node is shutting down".to_owned());
    };
    Json(StateHashView { cluster_id, applied_index, hash: format!("{hash:016x}") }).into_response()
}
