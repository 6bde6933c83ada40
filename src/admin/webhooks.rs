//! The operators' doors to webhooks: how far the receiver was told, what was given up, telling it again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::Cluster;

use super::membership::{Refused, parts, refuse_browsers};
use crate::observability::Node;
use crate::webhooks::{Cursor, DeadLetter, DeadLetterPage, LetterError, Replayed, Webhooks, dead_letters};

/// One request tells dead letters again for no longer than this; whoever asks goes on with another.
const REPLAY_WITHIN: Duration = Duration::from_secs(15);

/// What `GET /webhooks` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WebhooksView {
    /// The receiver, without the query of its address.
    pub receiver: String,
    /// What it is told.
    pub types: Vec<String>,
    /// Whether this node tells it: the leader does.
    pub leads: bool,
    /// Everything up to this event was taken or given up; `None`: nothing yet.
    pub after: Option<String>,
    /// Kept events behind it, counted up to 1000.
    pub events_behind: u64,
    /// Messages that wait to be taken, on the leader.
    pub pending: u64,
    /// Attempts that failed since the last one that did not, on the leader.
    pub failed_in_a_row: u64,
    /// Why the last one failed, while they fail.
    pub last_error: Option<String>,
    /// Dead letters.
    pub dead_letters: u64,
    /// Dead letters that were dropped because there were too many.
    pub dead_letters_dropped: u64,
    /// Times that events were no longer kept when it was their turn.
    pub lost: u64,
}

/// Which dead letters: one, or all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LettersBody {
    /// The event's id; `None`: all.
    pub id: Option<String>,
}

/// What was dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LettersDropped {
    /// The events' ids.
    pub dropped: Vec<String>,
}

/// Where a list begins.
#[derive(Debug, Deserialize)]
struct After {
    after: Option<String>,
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/webhooks", get(status))
        .route("/webhooks/dead-letters", get(list))
        .route("/webhooks/dead-letters/{id}", get(show))
        .route("/webhooks/dead-letters/replay", post(replay))
        .route("/webhooks/dead-letters/drop", post(drop_letters))
        .layer(from_fn(refuse_browsers))
        .with_state(node)
}

impl From<LetterError> for Refused {
    fn from(error: LetterError) -> Self {
        let status = match error {
            LetterError::BadId(_) => StatusCode::UNPROCESSABLE_ENTITY,
            LetterError::Unknown(_) => StatusCode::NOT_FOUND,
            LetterError::NoQuorum(_) | LetterError::NotRemoved => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

/// The floors, and the receiver that this node was told of.
fn of(node: &Node) -> Result<(Cluster, &Arc<Webhooks>), Refused> {
    let cluster = parts(node)?.cluster.clone();
    let nobody = || {
        let reason = "this node was told of no receiver of webhooks: set --webhook-url (WEBSOCKET_WEBHOOK_URL)";
        Refused(StatusCode::CONFLICT, reason.to_owned())
    };
    Ok((cluster, node.webhooks().ok_or_else(nobody)?))
}

async fn status(State(node): State<Arc<Node>>) -> Result<Json<WebhooksView>, Refused> {
    let (cluster, webhooks) = of(&node)?;
    let (config, stats) = (webhooks.config(), webhooks.stats());
    let view = cluster.read(|state| {
        let cursor = Cursor::read(state).0;
        WebhooksView {
            receiver: config.endpoint.to_string(),
            types: config.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
            leads: cluster.leads(),
            after: cursor.after.map(|id| id.to_string()),
            events_behind: state.events_after(cursor.after, usize::MAX).events.len() as u64,
            pending: stats.pending.load(Relaxed),
            failed_in_a_row: stats.failed_in_a_row.load(Relaxed),
            last_error: stats.last_error.lock().clone(),
            dead_letters: dead_letters::count(state) as u64,
            dead_letters_dropped: cursor.dead_dropped,
            lost: cursor.lost,
        }
    });
    Ok(Json(view))
}

async fn list(
    State(node): State<Arc<Node>>,
    Query(After { after }): Query<After>,
) -> Result<Json<DeadLetterPage>, Refused> {
    let cluster = parts(&node)?.cluster.clone();
    Ok(Json(dead_letters::list(&cluster, after.as_deref()).await?))
}

async fn show(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Result<Json<DeadLetter>, Refused> {
    let cluster = parts(&node)?.cluster.clone();
    Ok(Json(dead_letters::show(&cluster, &id).await?))
}

async fn replay(State(node): State<Arc<Node>>, Json(body): Json<LettersBody>) -> Result<Json<Replayed>, Refused> {
    let (cluster, webhooks) = of(&node)?;
    let deadline = tokio::time::Instant::now() + REPLAY_WITHIN;
    Ok(Json(webhooks.replay(&cluster, body.id.as_deref(), deadline).await?))
}

async fn drop_letters(
    State(node): State<Arc<Node>>,
    Json(body): Json<LettersBody>,
) -> Result<Json<LettersDropped>, Refused> {
    let cluster = parts(&node)?.cluster.clone();
    Ok(Json(LettersDropped { dropped: dead_letters::drop_some(&cluster, body.id.as_deref()).await? }))
}
