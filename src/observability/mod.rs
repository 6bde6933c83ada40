//! What a node shows of itself: health, metrics, logs.
//!
//! Health and metrics are routes of the public listener ([`router`]); they read counters that the floors keep anyway
//! and never hold a lock that a connection waits for.

mod checks;
#[cfg(test)]
mod exposition_tests;
mod families;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod json;
pub mod log;
pub mod logging;
mod metrics;
pub mod monitor;
mod node;
mod openmetrics;
mod operations;
pub(crate) mod outbound;
mod probes;
mod process;
mod server_id;
#[cfg(test)]
mod tests;
mod timestamp;
pub mod traces;
mod vitals;
mod watchdog;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::config::{CheckConfig, MetricsConfig, MonitoringConfig};
use crate::security::bearer;

pub(crate) use checks::{Checks, Part};
pub(crate) use health::readiness_reason;
pub use health::{HealthReport, HealthStatus};
use metrics::Page;
pub(crate) use metrics::{connection_errors, message_errors};
pub use node::{LeaveRequest, Node, Parts};
pub(crate) use operations::timed;
pub use operations::{Operation, Operations, Timed};
pub(crate) use probes::run as run_checks;
pub(crate) use process::resident_bytes;
pub(crate) use server_id::host_name;
pub use server_id::server_id;
pub(crate) use timestamp::unix_ms;
pub use timestamp::{read_rfc3339_ms, rfc3339_ms};
pub(crate) use vitals::run as take_vitals;
pub use watchdog::Watchdog;
pub(crate) use watchdog::start as start_watchdog;

/// Where everything is when nothing else is said; the operators' listener has it there always.
#[must_use]
pub fn usual_paths() -> MonitoringConfig {
    MonitoringConfig {
        health: Some("/websocket/health".to_owned()),
        health_alias: None,
        metrics: Some("/websocket/metrics".to_owned()),
        metrics_token: None,
        shown: MetricsConfig::default(),
        detailed_health: false,
        checks: CheckConfig::default(),
        alerts: None,
        traces: None,
        thresholds: crate::alerts::Thresholds::default(),
    }
}

/// The same for operators, at the usual paths; who may ask there is judged before.
pub fn operators_router(node: Arc<Node>, shown: MetricsConfig, details: bool) -> Router {
    let paths = usual_paths();
    let public = MonitoringConfig { metrics: None, ..usual_paths() };
    let mut router = router(Arc::clone(&node), &MonitoringConfig { health: None, ..public });
    if let Some(path) = &paths.health {
        let health = if details { get(health::detailed) } else { get(health::health) };
        router = router.merge(probes_below(path).route(path, health).with_state(Arc::clone(&node)));
    }
    if let Some(path) = &paths.metrics {
        let page = Page { node, config: shown };
        let read = |State(page): State<Page>, headers: HeaderMap| async move {
            metrics::answer(&page.node, &page.config, &headers)
        };
        router = router.merge(Router::new().route(path, get(read)).with_state(page));
    }
    router
}

/// The routes beside Socket.IO: health with `/ready`, `/live` and `/startup` below it, a load balancer's own path, metrics, and a word
/// of welcome at `/`.
pub fn router(node: Arc<Node>, paths: &MonitoringConfig) -> Router {
    let mut router = Router::new().route("/", get(welcome));
    if let Some(path) = &paths.health {
        router = router.merge(probes_below(path)).route(path, get(health::health));
    }
    if let Some(path) = &paths.health_alias {
        router = router.route(path, get(health::ready));
    }
    let mut router = router.with_state(Arc::clone(&node));
    if let Some(path) = &paths.metrics {
        let page = Page { node, config: paths.shown };
        router = router.merge(Router::new().route(path, get(scrape)).with_state(page));
    }
    router
}

fn probes_below(path: &str) -> Router<Arc<Node>> {
    Router::new()
        .route(&format!("{path}/ready"), get(health::ready))
        .route(&format!("{path}/live"), get(health::live))
        .route(&format!("{path}/startup"), get(health::startup))
}

/// Metrics, for those who show the token if there is one.
async fn scrape(State(page): State<Page>, headers: HeaderMap) -> Response {
    match page.node.metrics_token() {
        Some(token) if !bearer::shows(&headers, &token) => bearer::unauthorized(),
        _ => metrics::answer(&page.node, &page.config, &headers),
    }
}

async fn welcome() -> Response {
    const WELCOME: &str = "Vedfolnir, a clustered Socket.IO server.\nSocket.IO   /socket.io/\n";
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], WELCOME).into_response()
}
