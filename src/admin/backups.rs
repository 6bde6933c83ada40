//! The operators' doors to backups: what there is, making one here or for whoever asks, rereading, removing.
//!
//! Restoring is no request: it needs a node that does not run, see `vedfolnir backup restore`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::backup::{BackupId, in_background};

use super::membership::{Refused, parts, refuse_browsers};
use crate::backup::json::{self, ConvertError};
use crate::backup::{self, Backups, Created, ListedBackup, Location, LocationError, VerifyView, verify_one};
use crate::observability::{Node, rfc3339_ms};

/// Bytes of a document that a node takes; larger ones are for `vedfolnir backup import`.
const IMPORT_BYTES_MAX: usize = 64 << 20;

/// What `GET /backups` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupsView {
    /// The place.
    pub location: String,
    /// Bytes that are free there, if that can be told.
    pub free_bytes: Option<u64>,
    /// The newest first.
    pub backups: Vec<ListedBackup>,
}

/// The schedule, as `/status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScheduleView {
    /// The place.
    pub location: String,
    /// Seconds from one to the next; `None`: only when somebody asks for one.
    pub interval: Option<u64>,
    /// When the newest one that this node knows of was begun.
    pub newest: Option<String>,
    /// Backups that this node made since its start.
    pub made: u64,
    /// And could not make.
    pub failed: u64,
    /// Why the last one was not made.
    pub last_error: Option<String>,
    /// Whether one is being made here.
    pub running: bool,
    /// Bytes that were free in the place a few seconds ago, if that can be told.
    pub free_bytes: Option<u64>,
    /// The log between them; `None`: it is not archived.
    #[serde(default)]
    pub archive: Option<ArchiveView>,
}

/// The log between backups, as `/status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArchiveView {
    /// Seconds from one piece to the next.
    pub interval: u64,
    /// The last log index that this node has archived.
    pub raft_index: Option<u64>,
    /// When that entry had been applied.
    pub until: Option<String>,
    /// Pieces in the place, as far as this node has looked.
    pub kept: u64,
    /// Times that entries were purged before they were archived.
    pub gaps: u64,
    /// Why the log is not being archived.
    pub error: Option<String>,
}

/// The body of `POST /backups/stream`, and of `POST /backups/export`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateBody {
    /// What it is to be called; of an export, which one.
    pub backup_id: BackupId,
}

/// The body of `POST /backups/verify`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerifyBody {
    /// Which one.
    pub backup_id: BackupId,
    /// Whether its state is read and its hash compared as well.
    #[serde(default)]
    pub deep: bool,
}

/// The body of `POST /backups/prune`: nothing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PruneBody {}

/// What was removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pruned {
    /// The oldest first.
    pub pruned: Vec<BackupId>,
}

impl ScheduleView {
    /// Of a node's backups.
    pub(crate) fn of(backups: &Backups) -> Option<Self> {
        let (location, stats) = (backups.location()?, backups.stats());
        let newest = stats.newest_unix_seconds.load(Relaxed);
        Some(Self {
            location: location.name(),
            interval: backups.config().interval.map(|interval| interval.as_secs()),
            newest: (newest > 0).then(|| rfc3339_ms(newest * 1_000)),
            made: stats.made_total.load(Relaxed),
            failed: stats.failed_total.load(Relaxed),
            last_error: stats.last_error.lock().clone(),
            running: stats.running.load(Relaxed) > 0,
            free_bytes: backups.free_bytes(),
            archive: ArchiveView::of(backups),
        })
    }
}

impl ArchiveView {
    fn of(backups: &Backups) -> Option<Self> {
        let (interval, stats) = (backups.config().archive_interval?, backups.stats());
        let known = |value: u64| (value > 0).then_some(value);
        Some(Self {
            interval: interval.as_secs(),
            raft_index: known(stats.archived_index.load(Relaxed)),
            until: known(stats.archived_unix_ms.load(Relaxed)).map(rfc3339_ms),
            kept: stats.segments_kept.load(Relaxed),
            gaps: stats.archive_gaps_total.load(Relaxed),
            error: stats.archive_error.lock().clone(),
        })
    }
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/backups", get(list).post(create))
        .route("/backups/stream", post(stream))
        .route("/backups/export", post(export))
        .route("/backups/import", post(import).layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX)))
        .route("/backups/verify", post(reread))
        .route("/backups/prune", post(prune))
        .layer(from_fn(refuse_browsers))
        .with_state(node)
}

impl From<LocationError> for Refused {
    fn from(error: LocationError) -> Self {
        let status = match error {
            LocationError::Missing { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

fn backups(node: &Node) -> Result<&Arc<Backups>, Refused> {
    node.backups().ok_or_else(|| Refused(StatusCode::SERVICE_UNAVAILABLE, "the node is starting".to_owned()))
}

fn kept(node: &Node) -> Result<(&Arc<Backups>, Arc<dyn Location>), Refused> {
    let backups = backups(node)?;
    let nowhere = || {
        let reason = "this node was told of no place for backups: set --backup-location (WEBSOCKET_BACKUP_LOCATION)";
        Refused(StatusCode::CONFLICT, reason.to_owned())
    };
    Ok((backups, backups.location().ok_or_else(nowhere)?))
}

fn busy() -> Refused {
    Refused(StatusCode::CONFLICT, "a backup is being made already; ask again when it is done".to_owned())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    let ending = |_| Refused(StatusCode::SERVICE_UNAVAILABLE, "the node is shutting down".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(ending)
}

async fn list(State(node): State<Arc<Node>>) -> Result<Json<BackupsView>, Refused> {
    let (_, location) = kept(&node)?;
    let view = blocking(move || {
        let listed = backup::list(location.as_ref())?;
        Ok::<_, LocationError>(BackupsView {
            location: location.name(),
            free_bytes: location.free_bytes(),
            backups: listed,
        })
    });
    Ok(Json(view.await??))
}

async fn create(State(node): State<Arc<Node>>, Json(_): Json<serde_json::Value>) -> Result<Response, Refused> {
    let (backups, location) = kept(&node)?;
    let made = backup::make(&parts(&node)?.cluster, backups, &location).await.ok_or_else(busy)?;
    let created: Created = made.map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// The bytes of a backup, as this node writes them; they are kept by whoever asks.
async fn stream(State(node): State<Arc<Node>>, Json(body): Json<CreateBody>) -> Result<Response, Refused> {
    let cluster = parts(&node)?.cluster.clone();
    let backups = backups(&node)?;
    let held = backups.begin().ok_or_else(busy)?;
    let (packing, contents) = (backups.config().packing.clone(), backups.config().contents);
    let request = backup::request(body.backup_id, SystemTime::now(), packing, contents);
    let streamed = backup::stream(cluster, request, held).await;
    let body: Body = streamed.map_err(|error| Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

async fn reread(State(node): State<Arc<Node>>, Json(body): Json<VerifyBody>) -> Result<Json<VerifyView>, Refused> {
    let (backups, location) = kept(&node)?;
    let key = backups.config().packing.key.clone();
    let view = blocking(move || verify_one(location.as_ref(), body.backup_id, key.as_ref(), body.deep)).await??;
    Ok(Json(view))
}

/// A backup in the node's location as a JSON document.
async fn export(State(node): State<Arc<Node>>, Json(body): Json<CreateBody>) -> Result<Response, Refused> {
    let (backups, location) = kept(&node)?;
    let (key, keep) = (backups.config().packing.key.clone(), backups.config().exported);
    let input = blocking(move || location.open(body.backup_id)).await??;
    let written = backup::written(move |mut out| async move {
        in_background(move || json::export_backup(input, key.as_ref(), keep, &mut out).map(drop)).await?
    });
    let body: Body = written.await.map_err(|error: ConvertError| refused(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// A JSON document as a backup in the node's location; the living state stays as it is.
async fn import(State(node): State<Arc<Node>>, document: Bytes) -> Result<Response, Refused> {
    let (backups, location) = kept(&node)?;
    let _alone = backups.begin().ok_or_else(busy)?;
    let packing = backups.config().packing.clone();
    let configuration = parts(&node)?.cluster.limits().configuration().map_err(|error| failed(&error))?;
    let import = move || json::import_backup(document.as_ref(), configuration, location.as_ref(), &packing);
    let made = in_background(import).await.map_err(|error| failed(&error))?.map_err(|error| refused(&error))?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

fn failed(error: &impl ToString) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// What is wrong with a document is its sender's to mend.
fn refused(error: &ConvertError) -> Refused {
    let status = match error {
        ConvertError::Import(_) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refused(status, error.to_string())
}

async fn prune(State(node): State<Arc<Node>>, Json(PruneBody {}): Json<PruneBody>) -> Result<Json<Pruned>, Refused> {
    let (backups, location) = kept(&node)?;
    let (_alone, keep) = (backups.begin().ok_or_else(busy)?, backups.config().keep);
    let pruned = blocking(move || backup::prune(location.as_ref(), &keep)).await??;
    backups.stats().pruned_total.fetch_add(pruned.len() as u64, Relaxed);
    Ok(Json(Pruned { pruned }))
}
