//! The HTTP API `/api/v1`: what applications in any language do on any node; its own listener, off unless it is given one.
//!
//! ```text
//!   program ─► counted ─► no browser ─► token, role ─► room for one more ─► handler ─► app::ServerHandle ─► Cluster
//!                                                                             errors: problem+json (RFC 9457)
//! ```
//!
//! It goes through the same seam as an embedding application: what it can do, that can, too. docs/http-api.md says what
//! each endpoint takes and answers, docs/openapi.json says it to machines; both are of `routes.rs`, the table of all.

mod body;
pub mod client;
mod history;
mod keeper;
mod openapi;
mod parameters;
mod presence;
mod problem;
mod publish;
mod query;
mod routes;
mod schemas;
mod sessions;
mod stats;
mod store;
mod target;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::app::ServerHandle;
use crate::observability::{Node, readiness_reason};

pub(crate) use body::Fields;
pub use keeper::{Keeper, Role};
pub use openapi::text as openapi;
pub(crate) use problem::Problem;
use problem::Type;
pub(crate) use publish::{Made, Publish, Reader};
pub use stats::{ApiRoute, ApiStats, StatusClass};
pub(crate) use target::{check_length, check_names};

/// Requests that are served at once, each with a body in memory; who comes while there are so many is told to come back.
const REQUESTS_AT_ONCE_MAX: usize = 256;

/// What the routes share.
#[derive(Clone)]
struct Api {
    node: Arc<Node>,
    keeper: Arc<Keeper>,
    room: Arc<Semaphore>,
}

impl Api {
    /// The seam; until the node is a member of its cluster there is none.
    fn server(&self) -> Result<ServerHandle, Problem> {
        let Some(parts) = self.node.parts() else {
            let reason = readiness_reason(&self.node).unwrap_or_default();
            return Err(Problem::new(Type::NotReady, reason).retry_after(1));
        };
        Ok(parts.service.handle())
    }
}

/// The routes, with everything that stands before them.
pub fn router(node: Arc<Node>, keeper: Arc<Keeper>) -> Router {
    let api = Api { node, keeper, room: Arc::new(Semaphore::new(REQUESTS_AT_ONCE_MAX)) };
    routes::router()
        .method_not_allowed_fallback(other_method)
        .fallback(no_route)
        .layer(from_fn_with_state(api.clone(), keeper::judge))
        .layer(from_fn_with_state(Arc::clone(&api.node), stats::counted))
        .with_state(api)
}

async fn no_route(request: Request) -> Response {
    let detail = format!("there is no {}; see docs/http-api.md for what there is", request.uri().path());
    Problem::new(Type::NotFound, detail).into_response()
}

async fn other_method(request: Request) -> Response {
    let detail = format!("{} is not for {}", request.method(), request.uri().path());
    Problem::new(Type::MethodNotAllowed, detail).into_response()
}

#[cfg(test)]
#[path = "api_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
