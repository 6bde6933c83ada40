//! Requests of the API, by route and by what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use crate::observability::Node;
use crate::service::Distribution;

/// A route, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiRoute {
    /// `/api/v1/publish`.
    Publish,
    /// `/api/v1/batch`.
    Batch,
    /// `/api/v1/sessions` and those below it: listed, looked at, ended.
    Sessions,
    /// `/api/v1/sessions/join`, `leave` and `disconnect`.
    SessionsChange,
    /// `/api/v1/presence` and `/api/v1/presence/users`.
    Presence,
    /// `/api/v1/history`.
    History,
    /// `/api/v1/store` and its entries.
    Store,
    /// `/api/v1/openapi.json`.
    Openapi,
    /// None that there is.
    Other,
}

impl ApiRoute {
    /// Every route.
    pub const ALL: [Self; 9] = [
        Self::Publish,
        Self::Batch,
        Self::Sessions,
        Self::SessionsChange,
        Self::Presence,
        Self::History,
        Self::Store,
        Self::Openapi,
        Self::Other,
    ];

    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Batch => "batch",
            Self::Sessions => "sessions",
            Self::SessionsChange => "sessions_change",
            Self::Presence => "presence",
            Self::History => "history",
            Self::Store => "store",
            Self::Openapi => "openapi",
            Self::Other => "other",
        }
    }

    /// By a request's path.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        match path {
            "/api/v1/publish" => Self::Publish,
            "/api/v1/batch" => Self::Batch,
            "/api/v1/sessions/join" | "/api/v1/sessions/leave" | "/api/v1/sessions/disconnect" => Self::SessionsChange,
            "/api/v1/presence" | "/api/v1/presence/users" => Self::Presence,
            "/api/v1/history" => Self::History,
            "/api/v1/sessions" => Self::Sessions,
            "/api/v1/store" => Self::Store,
            "/api/v1/openapi.json" => Self::Openapi,
            _ if path.starts_with("/api/v1/sessions/") => Self::Sessions,
            _ if path.starts_with("/api/v1/store/") => Self::Store,
            _ => Self::Other,
        }
    }
}

/// What became of a request, by its answer's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 2xx, and 3xx, which nothing here is answered with but conditional reads.
    Success,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
}

impl StatusClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Success, Self::ClientError, Self::ServerError];

    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }

    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
            _ => Self::Success,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct ApiStats {
    requests: [[AtomicU64; StatusClass::ALL.len()]; ApiRoute::ALL.len()],
    times: [Distribution; ApiRoute::ALL.len()],
}

impl Default for ApiStats {
    fn default() -> Self {
        Self { requests: Default::default(), times: std::array::from_fn(|_| Distribution::of_times()) }
    }
}

impl ApiStats {
    /// Requests of a route that were answered so.
    #[must_use]
    pub fn requests(&self, route: ApiRoute, class: StatusClass) -> u64 {
        self.requests[route as usize][class as usize].load(Ordering::Relaxed)
    }

    /// How long its requests took.
    #[must_use]
    pub const fn times(&self, route: ApiRoute) -> &Distribution {
        &self.times[route as usize]
    }
}

/// Passes a request on, and counts it.
pub(super) async fn counted(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let route = ApiRoute::of_path(request.uri().path());
    let began = Instant::now();
    let response = next.run(request).await;
    let stats = node.api();
    stats.times(route).observe_time(began.elapsed());
    stats.requests[route as usize][StatusClass::of(response.status()) as usize].fetch_add(1, Ordering::Relaxed);
    response
}
