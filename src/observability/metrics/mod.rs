//! `/websocket/metrics`: every family from the first scrape on, in the form that the scraper understands.
//!
//! Nothing is counted here: a page is read from counters that the floors keep anyway.

mod alerts;
mod api;
mod backend;
mod backup;
mod cluster;
mod connections;
mod errors;
mod log;
mod messages;
mod process;
mod raft;
mod security;
mod sessions;
mod storage;
mod tables;
mod tls;
mod traces;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;
use vedfolnir_cluster::{ClusterMetrics, StorageMetrics};

use super::families::Families;
use super::health::readiness_reason;
use super::node::{Node, Parts};
use super::{json, openmetrics};
use crate::alerts::Ledger;
use crate::backend::BackendStats;
use crate::config::{MetricFamilies, MetricsConfig, MetricsForm};
use crate::security::events::SecurityCounters;
use crate::service::ServiceStats;
use crate::service::Standing;
use crate::webhooks::{Cursor, WebhookStats, dead_letters};
pub(crate) use connections::connection_errors;
pub(crate) use errors::message_errors;
use tables::Tables;

/// A page, in the configured form; a scraper that understands OpenMetrics gets that instead of Prometheus' text.
pub(super) fn answer(node: &Node, config: &MetricsConfig, headers: &HeaderMap) -> Response {
    let families = gather(node, config.families);
    let form = match config.form {
        MetricsForm::Prometheus if accepts_openmetrics(headers) => MetricsForm::OpenMetrics,
        form => form,
    };
    match form {
        MetricsForm::Prometheus => match TextEncoder::new().encode_to_string(&families) {
            Ok(page) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], page).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        },
        MetricsForm::OpenMetrics => {
            ([(header::CONTENT_TYPE, openmetrics::CONTENT_TYPE)], openmetrics::encode(&families)).into_response()
        }
        MetricsForm::Json => axum::Json(json::encode(&families)).into_response(),
    }
}

fn accepts_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|form| {
        let mut parts = form.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(openmetrics::MEDIA_TYPE))
            && parts.all(|part| !part.replace(' ', "").eq_ignore_ascii_case("q=0"))
    })
}

fn gather(node: &Node, shown: MetricFamilies) -> Vec<MetricFamily> {
    let mut families = Families::default();
    of_node(&mut families, node);
    match node.parts() {
        Some(parts) => {
            let (service, cluster) = (&parts.service, &parts.cluster);
            of_service(&mut families, shown, service.stats(), service.security_counters());
            let namespaces = service.namespaces();
            let users = cluster
                .read(|state| namespaces.iter().map(|(namespace, _)| state.room_count(namespace, None).users).sum());
            connections::of_namespaces(&mut families, &service.labelled_namespaces(), users);
            tls::of_tls(&mut families, parts.tls.as_deref());
            cluster::of_cluster(&mut families, cluster.metrics());
            storage::of_storage(&mut families, cluster.storage_metrics());
            raft::of_status(&mut families, Some(&cluster.status()));
            tables::of_tables(&mut families, &cluster.read(Tables::of));
        }
        // Not a member yet: everything is there, and zero.
        None => {
            of_service(&mut families, shown, &ServiceStats::default(), &SecurityCounters::default());
            connections::of_namespaces(&mut families, &[], 0);
            tls::of_tls(&mut families, None);
            cluster::of_cluster(&mut families, &ClusterMetrics::default());
            storage::of_storage(&mut families, &StorageMetrics::default());
            raft::of_status(&mut families, None);
            tables::of_tables(&mut families, &Tables::default());
        }
    }
    let firing = |parts: &Parts| parts.cluster.read(|state| Ledger::read(state).0.firing().collect::<Vec<_>>());
    alerts::of_alerts(&mut families, node.alerts(), &node.parts().map(firing).unwrap_or_default());
    if let Some(backups) = node.backups() {
        backup::of_backups(&mut families, backups);
    }
    api::of_api(&mut families, node.api());
    match node.backend() {
        Some(stats) => backend::of_backend(&mut families, stats),
        None => backend::of_backend(&mut families, &BackendStats::default()),
    }
    let kept = |parts: &Parts| {
        parts.cluster.read(|state| webhooks::Kept {
            dead_letters: dead_letters::count(state) as u64,
            dead_dropped: Cursor::read(state).0.dead_dropped,
        })
    };
    match (node.webhooks(), node.parts()) {
        (Some(webhooks), Some(parts)) => webhooks::of_webhooks(&mut families, webhooks.stats(), kept(parts)),
        _ => webhooks::of_webhooks(&mut families, &WebhookStats::default(), webhooks::Kept::default()),
    }
    traces::of_traces(&mut families, node.traces());
    log::of_log(&mut families, super::log::stats().as_deref());
    if shown.performance {
        process::of_process(&mut families);
        process::of_operations(&mut families, node.operations());
    }
    families.into_inner()
}

fn of_service(families: &mut Families, shown: MetricFamilies, stats: &ServiceStats, security: &SecurityCounters) {
    if shown.connections {
        connections::of_connections(families, stats, security);
    }
    connections::of_transports(families, stats);
    if shown.messages {
        messages::of_messages(families, stats);
    }
    messages::of_traffic(families, stats);
    if shown.errors {
        errors::of_errors(families, stats, security);
    }
    sessions::of_sessions(families, stats);
    security::of_security(families, security);
}

fn get(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

fn of_node(families: &mut Families, node: &Node) {
    families.gauges(
        "vedfolnir_build_info",
        "Always 1; the program's version is the label",
        &[("version", env!("CARGO_PKG_VERSION"), 1.0)],
    );
    let started = node.started_at().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    families.gauge("process_start_time_seconds", "When the process started, since the Unix epoch", started);
    let ready = readiness_reason(node).is_none();
    families.gauge("vedfolnir_ready", "1 while the node can serve", f64::from(u8::from(ready)));
    families.counter(
        "vedfolnir_runtime_stalls_total",
        "Times that every thread of the runtime was blocked for seconds",
        get(&node.watchdog().stalls_total),
    );
    let standing = node.standing();
    let is = |yes: bool| f64::from(u8::from(yes));
    families.gauge(
        "vedfolnir_draining",
        "1 while the node is shutting down or its clients are moved away",
        is(matches!(standing, Standing::Draining | Standing::Stopping)),
    );
    families.gauge(
        "vedfolnir_maintenance",
        "1 while an operator keeps new clients away",
        is(standing == Standing::Maintenance),
    );
    families.counter(
        "vedfolnir_drained_connections_total",
        "Clients that were let go because the node was drained or shut down",
        node.parts().map_or(0.0, |parts| parts.service.drained_total() as f64),
    );
}

/// The page's routes' state.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) node: Arc<Node>,
    pub(super) config: MetricsConfig,
}
