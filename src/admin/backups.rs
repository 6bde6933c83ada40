//! The operators' doors to backups: what there is, making one here or for whoever asks, rereading, removing.
//!
//! Restoring is no request: it needs a node that does not run, see `vedfolnir backup restore`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::backup::{About, BackupError, BackupId, BackupKey, STATE_BYTES_MAX, load, verify};

use super::membership::{Refused, parts, refuse_browsers};
use crate::backup::{self, Backups, Created, ListedBackup, Location, LocationError};
use crate::observability::{Node, rfc3339_ms};

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
    /// Bytes that are free in the place, if that can be told.
    pub free_bytes: Option<u64>,
}

/// The body of `POST /backups/stream`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateBody {
    /// What it is to be called.
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

/// What rereading a backup came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerifyView {
    /// Which one.
    pub backup_id: BackupId,
    /// Whether it is sound from its first byte to its last.
    pub valid: bool,
    /// What is wrong with it.
    pub error: Option<String>,
    /// Bytes of the file.
    pub bytes: Option<u64>,
    /// SHA-256 of the file.
    pub checksum: Option<String>,
    /// Whether its state was read and its hash compared as well.
    pub deep: bool,
    /// What it says of itself.
    pub about: Option<About>,
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
            free_bytes: location.free_bytes(),
        })
    }
}

/// Rereads a backup; what is wrong with it is in the answer.
///
/// # Errors
/// [`LocationError`]: there is none of this name, or it cannot be read at all.
pub fn verify_one(
    location: &dyn Location,
    id: BackupId,
    key: Option<&BackupKey>,
    deep: bool,
) -> Result<VerifyView, LocationError> {
    let input = location.open(id)?;
    let read = || -> Result<_, BackupError> {
        if deep {
            let loaded = load(input, key)?;
            loaded.compare_hashes()?;
            return Ok((loaded.about, loaded.verified));
        }
        let (manifest, verified) = verify(input, key, STATE_BYTES_MAX)?;
        Ok((vedfolnir_cluster::backup::about(&manifest.about)?, verified))
    };
    let view = VerifyView { backup_id: id, valid: false, error: None, bytes: None, checksum: None, deep, about: None };
    Ok(match read() {
        Ok((about, verified)) => VerifyView {
            valid: true,
            bytes: Some(verified.bytes),
            checksum: Some(verified.sha256),
            about: Some(about),
            ..view
        },
        Err(error) => VerifyView { error: Some(error.to_string()), ..view },
    })
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/backups", get(list).post(create))
        .route("/backups/stream", post(stream))
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
    let packing = backups.config().packing.clone();
    let streamed = backup::stream(cluster, body.backup_id, packing, held).await;
    let body: Body = streamed.map_err(|error| Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

async fn reread(State(node): State<Arc<Node>>, Json(body): Json<VerifyBody>) -> Result<Json<VerifyView>, Refused> {
    let (backups, location) = kept(&node)?;
    let key = backups.config().packing.key.clone();
    let view = blocking(move || verify_one(location.as_ref(), body.backup_id, key.as_ref(), body.deep)).await??;
    Ok(Json(view))
}

async fn prune(State(node): State<Arc<Node>>, Json(PruneBody {}): Json<PruneBody>) -> Result<Json<Pruned>, Refused> {
    let (backups, location) = kept(&node)?;
    let (_alone, keep) = (backups.begin().ok_or_else(busy)?, backups.config().keep);
    let pruned = blocking(move || backup::prune(location.as_ref(), &keep)).await??;
    backups.stats().pruned_total.fetch_add(pruned.len() as u64, Relaxed);
    Ok(Json(Pruned { pruned }))
}
