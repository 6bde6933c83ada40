//! The operators' doors to this node's clients: drain it, keep it in maintenance, see whom it is bound to.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use vedfolnir_cluster::NodeStatus;

use super::membership::{Done, refuse_browsers};
use crate::observability::{Node, Parts, readiness_reason};
use crate::service::{DrainStatus, MaintenanceError, Service, Standing, Vitals};

/// The body of `POST /drain`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainBody {
    /// Clients a second; `None`: what the node's settings say.
    pub rate: Option<u32>,
    /// Also when there is no other node to go to.
    pub force: bool,
}

/// The body of `PUT /maintenance`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MaintenanceBody {
    /// Whether it is to be.
    pub on: bool,
    /// Also when too few nodes are left.
    #[serde(default)]
    pub force: bool,
}

/// What `GET` and `PUT /maintenance` answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MaintenanceView {
    /// Whether this node is in maintenance.
    pub on: bool,
    /// The nodes that are.
    pub nodes: Vec<MaintainedNode>,
}

/// What `GET /affinity` answers: clients that are bound to a node.
#[derive(Clone, Debug, Serialize)]
pub struct AffinityView {
    /// Whether clients are told which node they were given to.
    pub enabled: bool,
    /// Sessions that are connected to a node, or were within the time-out and can still be resumed; the whole cluster's.
    pub total_affinities: u64,
    /// After so many seconds without a connection, at the latest, a client is bound to no node any more.
    pub timeout: u64,
    /// Connected sessions of each node.
    pub nodes: Vec<NodeAffinities>,
}

/// One node's share.
#[derive(Clone, Debug, Serialize)]
pub struct NodeAffinities {
    /// Its id.
    pub id: String,
    /// Sessions connected to it.
    pub connected: u64,
}

/// A node in maintenance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MaintainedNode {
    /// Its id.
    pub id: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// A member, how it stands towards clients, and how it feels.
#[derive(Debug, Serialize)]
pub(super) struct MemberStatus {
    #[serde(flatten)]
    status: NodeStatus,
    /// `serving`, `maintenance`, `draining` or `stopping`; `null`: not known.
    standing: Option<Standing>,
    /// Its figures of the last seconds; `null`: it does not say.
    vitals: Option<Vitals>,
}

/// Members, with what is known of them here: asks nobody.
pub(super) fn known(service: &Service, members: Vec<NodeStatus>) -> Vec<MemberStatus> {
    let heard = service.vitals_heard();
    let maintained = service.maintained();
    let of = |status: NodeStatus| {
        let vitals = heard.get(&status.id).copied();
        // That is replicated: known of a node that is down, too.
        let maintained = maintained.iter().any(|(id, _)| *id == status.id);
        let said = vitals.and_then(|vitals| vitals.standing).filter(|standing| *standing != Standing::Maintenance);
        let standing = match said {
            Some(Standing::Serving) | None if maintained => Some(Standing::Maintenance),
            said => said.or(vitals.map(|_| Standing::Serving)),
        };
        MemberStatus { status, standing, vitals }
    };
    members.into_iter().map(of).collect()
}

/// The same, each asked now.
pub(super) async fn asked(service: &Service, members: Vec<NodeStatus>) -> Vec<MemberStatus> {
    let asked = members.into_iter().map(|status| async move {
        let vitals = service.vitals_of(&status.id).await;
        MemberStatus { standing: vitals.and_then(|vitals| vitals.standing), vitals, status }
    });
    futures_util::future::join_all(asked).await
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/drain", get(status).post(start))
        .route("/drain/stop", post(stop))
        .route("/maintenance", get(maintenance).put(set_maintenance))
        .route("/affinity", get(affinity))
        .layer(middleware::from_fn(refuse_browsers))
        .with_state(node)
}

fn refused(status: StatusCode, reason: String) -> Response {
    (status, Json(Done { error: Some(reason), ..Done::default() })).into_response()
}

/// The floors, or the answer of a node that has none yet.
fn parts(node: &Node) -> Result<&Parts, Box<Response>> {
    let missing = || refused(StatusCode::SERVICE_UNAVAILABLE, readiness_reason(node).unwrap_or_default());
    node.parts().ok_or_else(|| Box::new(missing()))
}

/// The node as a whole may have begun to end before its service has heard of it.
fn drain_status(node: &Node, parts: &Parts) -> DrainStatus {
    DrainStatus { standing: node.standing(), ..parts.service.drain_status() }
}

async fn status(State(node): State<Arc<Node>>) -> Response {
    match parts(&node) {
        Ok(parts) => Json(drain_status(&node, parts)).into_response(),
        Err(missing) => *missing,
    }
}

async fn start(State(node): State<Arc<Node>>, Json(body): Json<DrainBody>) -> Response {
    let parts = match parts(&node) {
        Ok(parts) => parts,
        Err(missing) => return *missing,
    };
    if !body.force && !parts.service.has_open_peer().await {
        let reason = "no other node takes clients: a drain would leave them with nobody; --force does it all the same";
        return refused(StatusCode::CONFLICT, reason.to_owned());
    }
    let rate = body.rate.unwrap_or(parts.drain_rate);
    if rate == 0 {
        return refused(StatusCode::BAD_REQUEST, "a rate of 0 moves nobody; accepted: 1 or more a second".to_owned());
    }
    if let Err(already) = parts.service.start_drain(rate) {
        return refused(StatusCode::CONFLICT, already.to_string());
    }
    // Clients that leave need a leader to be resumed by, and this one may be about to go.
    let cluster = parts.cluster.clone();
    tokio::spawn(async move { cluster.transfer_leadership().await });
    Json(drain_status(&node, parts)).into_response()
}

async fn stop(State(node): State<Arc<Node>>, Json(_): Json<serde_json::Value>) -> Response {
    let parts = match parts(&node) {
        Ok(parts) => parts,
        Err(missing) => return *missing,
    };
    if parts.service.stop_drain() {
        return Json(drain_status(&node, parts)).into_response();
    }
    let standing = node.standing().as_str();
    refused(StatusCode::CONFLICT, format!("the node is not being drained by an operator: it is {standing}"))
}

fn view(service: &Service, own: &str) -> MaintenanceView {
    let nodes: Vec<MaintainedNode> = service
        .maintained()
        .into_iter()
        .map(|(id, since_ms)| MaintainedNode { id, since: crate::observability::rfc3339_ms(since_ms) })
        .collect();
    MaintenanceView { on: nodes.iter().any(|node| node.id == own), nodes }
}

async fn maintenance(State(node): State<Arc<Node>>) -> Response {
    match parts(&node) {
        Ok(parts) => Json(view(&parts.service, &parts.cluster.status().node_id)).into_response(),
        Err(missing) => *missing,
    }
}

/// How many clients are bound to a node.
pub(super) fn total_affinities(parts: &Parts) -> u64 {
    let within_ms = parts.affinity_timeout.as_millis();
    parts.cluster.read(|state| state.connected_within(u64::try_from(within_ms).unwrap_or(u64::MAX)))
}

async fn affinity(State(node): State<Arc<Node>>) -> Response {
    let parts = match parts(&node) {
        Ok(parts) => parts,
        Err(missing) => return *missing,
    };
    let share = |member: NodeStatus| NodeAffinities { id: member.id, connected: member.sessions };
    Json(AffinityView {
        enabled: parts.service.affinity().is_some(),
        total_affinities: total_affinities(parts),
        timeout: parts.affinity_timeout.as_secs(),
        nodes: parts.cluster.status().nodes.into_iter().map(share).collect(),
    })
    .into_response()
}

async fn set_maintenance(State(node): State<Arc<Node>>, Json(body): Json<MaintenanceBody>) -> Response {
    let parts = match parts(&node) {
        Ok(parts) => parts,
        Err(missing) => return *missing,
    };
    match parts.service.set_maintenance(body.on, body.force).await {
        Ok(changed) => {
            if changed && body.on {
                let cluster = parts.cluster.clone();
                tokio::spawn(async move { cluster.transfer_leadership().await });
            }
            Json(view(&parts.service, &parts.cluster.status().node_id)).into_response()
        }
        Err(error @ MaintenanceError::TooFew(_)) => refused(StatusCode::CONFLICT, error.to_string()),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
