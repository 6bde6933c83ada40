//! The admin listener's routes: `/status`, and those of the membership and of the log's levels.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use vedfolnir_cluster::ClusterStatus;

use super::drain::{self, MemberStatus};
use super::{audit, backups, levels, membership, trace, users, webhooks};
use crate::alerts::{ClusterAlert, Ledger};
use crate::observability::monitor::Versions;
use crate::observability::{Node, readiness_reason, unix_ms};
use crate::service::Standing;
use crate::tls::doctor::certificate_expires;
use crate::tls::{CertificateReport, ListenerTls};

/// What `/status` answers with 200.
#[derive(Debug, Serialize)]
pub struct AdminStatus {
    /// The cluster as this node sees it.
    #[serde(flatten)]
    pub cluster: ClusterStatus,
    /// How this node stands towards clients.
    pub standing: Standing,
    /// Members, sorted by id.
    pub(super) nodes: Vec<MemberStatus>,
    /// Name of this process.
    pub server_id: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// Transports open on this node.
    pub connections: u64,
    /// Clients of the whole cluster that are bound to a node.
    pub total_affinities: u64,
    /// Where this node keeps its state.
    pub data_dir: String,
    /// Its clock, in milliseconds since 1970.
    pub unix_ms: u64,
    /// When its certificate for its peers expires, in seconds since 1970, if it has one.
    pub cluster_certificate_expires: Option<i64>,
    /// TLS of the public listener.
    pub tls: TlsView,
    /// Names the configuration that was read last: [`Config::hash`](crate::config::Config::hash).
    pub config_hash: String,
    /// What runs.
    pub versions: Versions,
    /// Alerts about the whole cluster that fire.
    pub alerts: Vec<ClusterAlert>,
    /// Backups; `None`: the node was told of no place for them.
    pub backups: Option<backups::ScheduleView>,
}

/// TLS of the public listener, as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct TlsView {
    /// Whether there is any.
    pub enabled: bool,
    /// The lowest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<&'static str>,
    /// Suites, as OpenSSL calls them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<&'static str>,
    /// Certificates in use, the default first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateView>,
}

/// A certificate in use.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateView {
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// Its names.
    pub names: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

impl TlsView {
    /// Of a listener, if there is one.
    pub(crate) fn of(tls: Option<&ListenerTls>) -> Self {
        let Some(status) = tls.map(ListenerTls::status) else {
            return Self { enabled: false, min_version: None, suites: Vec::new(), certificates: Vec::new() };
        };
        let view = |report: CertificateReport| CertificateView {
            subject: report.subject,
            issuer: report.issuer,
            serial: report.serial,
            names: report.names,
            expires: report.not_after,
        };
        Self {
            enabled: true,
            min_version: Some(status.minimum_version),
            suites: status.suites,
            certificates: status.certificates.into_iter().map(view).collect(),
        }
    }
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
    Router::new()
        .route("/status", get(status))
        .with_state(Arc::clone(&node))
        .merge(trace::router(Arc::clone(&node)))
        .merge(audit::router(Arc::clone(&node)))
        .merge(levels::router(Arc::clone(&node)))
        .merge(users::router(Arc::clone(&node)))
        .merge(drain::router(Arc::clone(&node)))
        .merge(backups::router(Arc::clone(&node)))
        .merge(webhooks::router(Arc::clone(&node)))
        .merge(membership::router(node))
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
        standing: node.standing(),
        nodes: drain::known(&parts.service, std::mem::take(&mut cluster.nodes)),
        config_hash: node.config_hash(),
        versions: Versions::with_format(cluster.format),
        cluster,
        server_id: node.server_id().to_owned(),
        uptime: node.uptime_seconds(),
        connections: node.connections(),
        total_affinities: drain::total_affinities(parts),
        data_dir: node.data_dir().display().to_string(),
        unix_ms: unix_ms(SystemTime::now()),
        cluster_certificate_expires: node.cluster_certificate().and_then(certificate_expires),
        tls: TlsView::of(parts.tls.as_deref()),
        alerts: parts.cluster.read(|state| Ledger::read(state).0.firing().collect()),
        backups: node.backups().and_then(|backups| backups::ScheduleView::of(backups)),
    })
    .into_response()
}
