//! `GET /api/v1/history`: what was said to a room, by offset.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use vedfolnir_cluster::state::limits;

use super::Api;
use super::problem::{Problem, Type};
use super::query::Query;
use super::target::{self, check_length, check_name};
use crate::app::{HistoryError, HistoryEvent};

const EVENTS_DEFAULT: usize = 100;

#[derive(Serialize)]
struct EventBody<'a> {
    offset: &'a str,
    event: std::borrow::Cow<'a, str>,
    args: Vec<&'a RawValue>,
    rooms: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    users: Vec<&'a str>,
    except: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except_users: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments_base64: Vec<String>,
}

impl<'a> EventBody<'a> {
    fn of(event: &'a HistoryEvent) -> Self {
        Self {
            offset: &event.offset,
            event: event.event(),
            args: event.args(),
            rooms: event.rooms().collect(),
            users: event.users().collect(),
            except: event.except().collect(),
            except_users: event.except_users().collect(),
            attachments_base64: event.attachments().iter().map(|bytes| STANDARD.encode(bytes)).collect(),
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    events: Vec<EventBody<'a>>,
    next: Option<&'a str>,
    reached: &'a str,
}

pub(super) async fn read(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let namespace = query.text("namespace").unwrap_or_else(|| "/".to_owned());
    let (room, user, after) = (query.text("room"), query.text("user"), query.text("after"));
    let limit = query.number("limit", EVENTS_DEFAULT, limits::HISTORY_PAGE_EVENTS_MAX)?;
    let is_linearizable = query.is_linearizable()?;
    query.end()?;
    let server = api.server()?;
    target::check_namespace(&server, &namespace)?;
    let mut read = server.history(namespace).limit(limit);
    match (room, user) {
        (None, None) => {}
        (Some(room), None) => {
            check_name("room", &room)?;
            read = read.room(room);
        }
        (None, Some(user)) => {
            check_length("user", &user)?;
            read = read.user(user);
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("user", "\"room\" and \"user\": accepted is one of them, or none"));
        }
    }
    if let Some(after) = after {
        read = read.after(after);
    }
    let history = if is_linearizable { read.linearizable().await? } else { read.await? };
    let events = history.events.iter().map(EventBody::of).collect();
    let next = history.has_more.then_some(history.reached.as_str());
    Ok(Json(Page { events, next, reached: &history.reached }).into_response())
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        let detail = error.to_string();
        match error {
            HistoryError::Gone { oldest } => Self::new(Type::HistoryGone, detail).about("after").with("oldest", oldest),
            HistoryError::BadOffset => Self::invalid("after", detail),
            HistoryError::Read(error) => error.into(),
        }
    }
}
