//! `GET /trace`: what became of one session's messages, over the whole cluster. Any member answers.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use vedfolnir_cluster::state::{EndReason, SessionEnd};

use super::membership::Done;
use crate::observability::{Node, readiness_reason};
use crate::service::TraceError;

/// Records that are listed unless more or fewer are asked for.
const LISTED: usize = 20;

/// What is asked.
#[derive(Deserialize)]
struct Question {
    /// The session's public id.
    session: String,
    /// In this namespace only.
    namespace: Option<String>,
    /// How many records are listed.
    last: Option<usize>,
}

/// The route.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new().route("/trace", get(trace)).with_state(node)
}

async fn trace(State(node): State<Arc<Node>>, Query(question): Query<Question>) -> Response {
    let refused = |status: StatusCode, error: String| (status, Json(Done { error: Some(error), ..Done::default() }));
    let Some(parts) = node.parts() else {
        let reason = readiness_reason(&node).unwrap_or_default();
        return refused(StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
    };
    let Question { session, namespace, last } = question;
    match parts.service.trace(&session, namespace.as_deref(), last.unwrap_or(LISTED)).await {
        Ok(trace) => Json(trace).into_response(),
        Err(TraceError::Unknown(end)) => refused(StatusCode::NOT_FOUND, unknown(&session, end)).into_response(),
        Err(TraceError::Ambiguous(count)) => {
            let error = format!("{count} namespaces have a session {session:?}: say which with --namespace");
            refused(StatusCode::CONFLICT, error).into_response()
        }
    }
}

fn unknown(session: &str, end: Option<SessionEnd>) -> String {
    let Some(SessionEnd { position, ago_ms, reason }) = end else {
        return format!(
            "no session goes by the id {session:?}: it never did, or ended longer ago than the cluster keeps events for \
             (the id is the client's socket.id, not its secret pid)"
        );
    };
    let why = match reason {
        EndReason::Closed => "its client or the server closed it",
        EndReason::Expired => "its recovery window passed",
    };
    format!("the session {session:?} ended {} s of cluster time ago at {position}: {why}", ago_ms / 1_000)
}
