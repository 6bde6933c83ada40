//! What a node shows of itself: health, metrics, logs.
//!
//! Health and metrics are routes of the public listener ([`router`]); they read counters that the floors keep anyway
//! and never hold a lock that a connection waits for.

mod families;
mod health;
pub mod log;
mod metrics;
mod node;
mod process;
mod server_id;
#[cfg(test)]
mod tests;
mod timestamp;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub(crate) use health::readiness_reason;
pub use node::{LeaveRequest, Node, Parts};
pub(crate) use server_id::host_name;
pub use server_id::server_id;

/// The public routes beside Socket.IO: `/websocket/health`, `/ready`, `/live`, `/websocket/metrics`, and a word of
/// welcome at `/`.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/", get(welcome))
        .route("/websocket/health", get(health::health))
        .route("/websocket/health/ready", get(health::ready))
        .route("/websocket/health/live", get(health::live))
        .route("/websocket/metrics", get(metrics::metrics))
        .with_state(node)
}

async fn welcome() -> Response {
    const WELCOME: &str = "Vedfolnir, a clustered Socket.IO server.\n\
        Socket.IO   /socket.io/\n\
        health      /websocket/health  /websocket/health/ready  /websocket/health/live\n\
        metrics     /websocket/metrics\n";
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], WELCOME).into_response()
}
