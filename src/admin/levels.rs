//! The operators' door to the log's levels: which are in force, and others from now on.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};

use super::membership::refuse_browsers;
use crate::observability::Node;
use crate::observability::log::{self, LevelRefused};
use crate::observability::logging::{Category, Level, Levels};

/// What `GET /log-level` answers, and `PUT` after its change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LevelsView {
    /// The least level of categories that have none of their own.
    pub level: String,
    /// Directives in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Each category and its least level; `off`: none of it is logged.
    pub categories: Vec<CategoryLevel>,
}

/// A category's least level.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CategoryLevel {
    /// The category.
    pub category: String,
    /// Its level.
    pub level: String,
    /// Whether it is the category's own, and not that of all.
    pub own: bool,
}

/// The body of `PUT /log-level`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LevelBody {
    /// The category; `None`: all that have no level of their own.
    #[serde(default)]
    pub category: Option<String>,
    /// Its level from now on.
    pub level: String,
}

impl LevelsView {
    fn of(levels: &Levels) -> Self {
        let of = |category: Category| {
            let own = levels.own(category);
            let level = if levels.is_muted(category) { "off" } else { own.unwrap_or(levels.global).name() };
            CategoryLevel { category: category.name().to_owned(), level: level.to_owned(), own: own.is_some() }
        };
        Self {
            level: levels.global.name().to_owned(),
            filter: levels.directives.clone(),
            categories: Category::ALL.into_iter().map(of).collect(),
        }
    }
}

/// Why no level was changed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0:?} is no level; accepted: DEBUG, INFO, WARNING, ERROR, CRITICAL")]
    Level(String),
    #[error(
        "{0:?} is no category; accepted: connection, message, security, performance, error, system, or none for all"
    )]
    Category(String),
    #[error(transparent)]
    Log(#[from] LevelRefused),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = if matches!(self, Self::Log(_)) { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST };
        (status, Json(serde_json::json!({"error": self.to_string()}))).into_response()
    }
}

/// The routes.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/log-level", get(show).put(change))
        .layer(middleware::from_fn(refuse_browsers))
        .with_state(node)
}

async fn show() -> Result<Json<LevelsView>, Refused> {
    Ok(Json(LevelsView::of(&log::levels()?)))
}

async fn change(Json(body): Json<LevelBody>) -> Result<Json<LevelsView>, Refused> {
    let level = Level::parse(&body.level).ok_or(Refused::Level(body.level))?;
    let category = body.category.map(|name| Category::parse(&name).ok_or(Refused::Category(name))).transpose()?;
    Ok(Json(LevelsView::of(&log::set_level(category, level)?)))
}
