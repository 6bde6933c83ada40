//! `GET /api/v1/presence` and `/api/v1/presence/users`: how many are in a room, and which users.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use vedfolnir_cluster::state::limits;

use super::Api;
use super::problem::Problem;
use super::query::Query;
use super::target::{self, check_length, check_name};
use crate::app::Emitter;

const USERS_DEFAULT: usize = 100;

#[derive(Serialize)]
struct Count {
    sessions: u64,
    users: u64,
}

#[derive(Serialize)]
struct User<'a> {
    user: &'a str,
    sessions: u64,
}

#[derive(Serialize)]
struct Users<'a> {
    users: Vec<User<'a>>,
    next: Option<&'a str>,
}

/// The room, or the namespace, that a question is about.
fn asked(api: &Api, query: &mut Query) -> Result<Emitter, Problem> {
    let namespace = query.text("namespace").unwrap_or_else(|| "/".to_owned());
    let emitter = target::namespace(&api.server()?, &namespace)?;
    match query.text("room") {
        None => Ok(emitter),
        Some(room) => {
            check_name("room", &room)?;
            Ok(emitter.to(room))
        }
    }
}

pub(super) async fn count(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let asked = asked(&api, &mut query)?;
    let user = query.text("user");
    let is_linearizable = query.is_linearizable()?;
    query.end()?;
    let count = match user {
        None => {
            let read = asked.count();
            let count = if is_linearizable { read.linearizable().await? } else { read.await? };
            Count { sessions: count.sessions, users: count.users }
        }
        Some(user) => {
            check_length("user", &user)?;
            let read = asked.sessions_of(user);
            let sessions = if is_linearizable { read.linearizable().await? } else { read.await? };
            Count { sessions, users: u64::from(sessions > 0) }
        }
    };
    Ok(Json(count).into_response())
}

pub(super) async fn users(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let mut fetch = asked(&api, &mut query)?.users();
    fetch = fetch.limit(query.number("limit", USERS_DEFAULT, limits::PRESENCE_PAGE_MAX)?);
    if let Some(after) = query.text("after") {
        check_length("after", &after)?;
        fetch = fetch.after(after);
    }
    let is_linearizable = query.is_linearizable()?;
    query.end()?;
    let page = if is_linearizable { fetch.linearizable().await? } else { fetch.await? };
    let users = page.users.iter().map(|user| User { user: &user.user, sessions: user.sessions }).collect();
    Ok(Json(Users { users, next: page.next.as_deref() }).into_response())
}
