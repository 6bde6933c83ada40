//! The operators' door to who is connected most: users of the whole cluster by their sessions.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::state::limits;

use crate::observability::{Node, readiness_reason};

/// Users that one answer shows.
const TOP_MAX: usize = 1_000;
/// Users that one answer looks at; the replica is locked for a page of them at a time.
const LOOKED_MAX: usize = 200_000;

/// The question's query.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
struct Asked {
    top: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self { top: 20 }
    }
}

/// What `GET /users` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsersView {
    /// Those with the most sessions, the most first; sessions without a user are not among them.
    pub users: Vec<UserView>,
    /// Whether all users were looked at: there is a bound of 200,000.
    pub complete: bool,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// Who.
    pub user: String,
    /// Sessions in all namespaces of the cluster, those inside their recovery window included.
    pub sessions: u64,
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new().route("/users", get(users)).with_state(node)
}

async fn users(State(node): State<Arc<Node>>, Query(Asked { top }): Query<Asked>) -> Response {
    let Some(parts) = node.parts() else {
        let error = readiness_reason(&node).unwrap_or_default();
        return (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({"error": error}))).into_response();
    };
    let mut sessions: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    let (mut looked, mut complete) = (0, true);
    'all: for (namespace, _) in parts.service.namespaces() {
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = parts
                .cluster
                .read(|state| state.room_users(&namespace, None, after.as_ref(), limits::PRESENCE_PAGE_MAX));
            looked += page.users.len();
            for user in page.users {
                *sessions.entry(user.user).or_default() += user.sessions;
            }
            let Some(next) = page.next else { break };
            if looked >= LOOKED_MAX {
                complete = false;
                break 'all;
            }
            after = Some(next);
            // Others may want the replica, and this thread.
            tokio::task::yield_now().await;
        }
    }
    let mut users: Vec<_> = sessions.into_iter().map(|(user, sessions)| (Reverse(sessions), user)).collect();
    users.sort_unstable();
    users.truncate(top.clamp(1, TOP_MAX));
    let view = |(Reverse(sessions), user): (Reverse<u64>, Arc<str>)| UserView { user: user.to_string(), sessions };
    Json(UsersView { users: users.into_iter().map(view).collect(), complete }).into_response()
}
