//! What only a node in debug mode does for its operators: harm, so that it can be seen what comes of it.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router, middleware};
use serde::Deserialize;

use super::membership::refuse_browsers;

/// The runtime is blocked for so long at most, in seconds.
const SECONDS_MAX: u64 = 60;
/// The answer gets out first.
const PAUSE: Duration = Duration::from_millis(200);

/// The body of `POST /debug/block-runtime`.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Block {
    seconds: u64,
}

/// The routes; they are there with `WEBSOCKET_DEBUG_MODE` only.
pub fn debug_router() -> Router {
    Router::new().route("/debug/block-runtime", post(block)).layer(middleware::from_fn(refuse_browsers))
}

/// Blocks every thread of the runtime, as a deadlock would, but for a time.
async fn block(Json(Block { seconds }): Json<Block>) -> StatusCode {
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return StatusCode::BAD_REQUEST;
    }
    tracing::warn!(seconds, "debug mode: the runtime is blocked, as an operator asked");
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        std::thread::sleep(PAUSE);
        let until = Instant::now() + Duration::from_secs(seconds);
        // Each thread takes one; more of them, so that none is left out.
        for _ in 0..4 * runtime.metrics().num_workers() {
            runtime.spawn(async move { std::thread::sleep(until.saturating_duration_since(Instant::now())) });
        }
    });
    StatusCode::ACCEPTED
}
