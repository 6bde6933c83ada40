//! `/api/v1/sessions`: the sessions of a namespace, listed, looked at, disconnected, put into rooms and taken out of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::value::RawValue;
use vedfolnir_cluster::state::limits;

use super::Api;
use super::body::{Fields, read_json};
use super::problem::Problem;
use super::query::{Query, rest_of_path};
use super::target::{self, Target, check_length, check_name, check_names, unknown_session};
use crate::app::{FoundSession, Managed, Managing, MemberCursor, RemoteSocket, ServerHandle};

const SESSIONS_DEFAULT: usize = 100;

/// A session, as it is shown; nothing in it is a secret of its client.
#[derive(Serialize)]
struct SessionBody<'a> {
    sid: &'a str,
    namespace: &'a str,
    user: Option<&'a str>,
    rooms: &'a [Arc<str>],
    connected: bool,
    node: Option<&'a str>,
    /// The application's, if it is JSON.
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

impl<'a> SessionBody<'a> {
    fn of(FoundSession { session, node }: &'a FoundSession) -> Self {
        let text = String::from_utf8(session.data.to_vec()).ok();
        let data = text.and_then(|text| RawValue::from_string(text).ok());
        let is_other = data.is_none() && !session.data.is_empty();
        Self {
            sid: &session.sid,
            namespace: &session.namespace,
            user: session.user.as_deref(),
            rooms: &session.rooms,
            connected: session.connected,
            node: node.as_deref(),
            data,
            data_base64: is_other.then(|| STANDARD.encode(&session.data)),
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    sessions: Vec<SessionBody<'a>>,
    next: Option<String>,
}

/// How many sessions a change concerned.
#[derive(Serialize)]
struct Changed {
    sessions: u64,
    /// Those that are in as many rooms as a session can be.
    #[serde(skip_serializing_if = "is_zero")]
    refused: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Managed> for Changed {
    fn from(Managed { sessions, refused }: Managed) -> Self {
        Self { sessions, refused }
    }
}

pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let namespace = query.text("namespace").unwrap_or_else(|| "/".to_owned());
    let (room, user) = (query.text("room"), query.text("user"));
    let connected = query.parsed::<bool>("connected", "true, false")?;
    let limit = query.number("limit", SESSIONS_DEFAULT, limits::PRESENCE_PAGE_MAX)?;
    let after = query.text("after").map(|text| cursor(&text)).transpose()?;
    let is_linearizable = query.is_linearizable()?;
    query.end()?;
    let server = api.server()?;
    target::check_namespace(&server, &namespace)?;
    let mut fetch = server.sessions(namespace).limit(limit);
    if let Some(room) = room {
        check_name("room", &room)?;
        fetch = fetch.in_room(room);
    }
    if let Some(user) = user {
        check_length("user", &user)?;
        fetch = fetch.of_user(user);
    }
    if let Some(connected) = connected {
        fetch = fetch.connected(connected);
    }
    if let Some(after) = after {
        fetch = fetch.after(after);
    }
    let found = if is_linearizable { fetch.linearizable().await? } else { fetch.await? };
    let next = found.next.map(|cursor| URL_SAFE_NO_PAD.encode(cursor.to_bytes()));
    let sessions = found.sessions.iter().map(SessionBody::of).collect();
    Ok(Json(Page { sessions, next }).into_response())
}

/// Where a page ended. It names nobody, and is good on every node.
fn cursor(text: &str) -> Result<MemberCursor, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    let refused = || Problem::invalid("after", "it is no cursor; accepted: the `next` of another page");
    bytes.map(MemberCursor::from_bytes).ok_or_else(refused)
}

/// What a request for one session names.
struct One {
    server: ServerHandle,
    namespace: String,
    sid: Arc<str>,
}

impl One {
    fn of(api: &Api, request: &Request, query: &mut Query) -> Result<Self, Problem> {
        let sid: Arc<str> = rest_of_path(request, "/api/v1/sessions/", "session")?.into();
        let namespace = query.text("namespace").unwrap_or_else(|| "/".to_owned());
        let server = api.server()?;
        target::check_namespace(&server, &namespace)?;
        check_name("session", &sid)?;
        Ok(Self { server, namespace, sid })
    }

    fn remote(&self) -> Result<RemoteSocket, Problem> {
        remote(&self.server, &self.namespace, &self.sid)
    }
}

fn remote(server: &ServerHandle, namespace: &str, sid: &Arc<str>) -> Result<RemoteSocket, Problem> {
    server.remote(namespace, Arc::clone(sid)).ok_or_else(|| unknown_session(namespace, sid))
}

pub(super) async fn get(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let one = One::of(&api, &request, &mut query)?;
    let is_linearizable = query.is_linearizable()?;
    query.end()?;
    let look = || one.server.found_session(one.namespace.as_str(), Arc::clone(&one.sid));
    let mut found = if is_linearizable { None } else { look().await? };
    if found.is_none() {
        // It may have begun elsewhere just now.
        found = look().linearizable().await?;
    }
    let found = found.ok_or_else(|| unknown_session(&one.namespace, &one.sid))?;
    Ok(Json(SessionBody::of(&found)).into_response())
}

pub(super) async fn end(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let one = One::of(&api, &request, &mut query)?;
    query.end()?;
    let managed = one.remote()?.disconnect().await?;
    if managed.sessions == 0 {
        return Err(unknown_session(&one.namespace, &one.sid));
    }
    Ok(Json(Changed::from(managed)).into_response())
}

pub(super) async fn join(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    change(&api, request, Some("enter")).await
}

pub(super) async fn leave(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    change(&api, request, Some("leave")).await
}

pub(super) async fn disconnect(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    change(&api, request, None).await
}

/// `rooms_field`: what the rooms are called that are entered or left; `None`: sessions end.
async fn change(api: &Api, request: Request, rooms_field: Option<&'static str>) -> Result<Response, Problem> {
    let body = read_json(request).await?;
    let mut fields = Fields::of(&body)?;
    let target = Target::read(&mut fields, "/")?;
    let rooms = match rooms_field {
        Some(field) => Some((field, fields.required::<Vec<Arc<str>>>(field)?)),
        None => None,
    };
    fields.end()?;
    let server = api.server()?;
    let emitter = target.emitter(&server, limits::PRESENCE_ROOMS_MAX)?;
    if let Some((field, rooms)) = &rooms {
        if rooms.is_empty() {
            return Err(Problem::invalid(*field, "no room; accepted: at least one"));
        }
        check_names(field, rooms, limits::MANAGE_ROOMS_MAX)?;
    }
    let managing: Managing = match (&target.session, rooms) {
        (None, Some(("enter", rooms))) => emitter.sockets_join(rooms),
        (None, Some((_, rooms))) => emitter.sockets_leave(rooms),
        (None, None) => emitter.disconnect_sockets(),
        (Some(_), _) if !target.except.is_empty() => {
            return Err(Problem::invalid("except", "one session without some rooms; accepted: one of both"));
        }
        (Some(sid), rooms) => {
            let remote = remote(&server, &target.namespace, sid)?;
            match rooms {
                Some(("enter", rooms)) => remote.join(rooms),
                Some((_, rooms)) => remote.leave(rooms),
                None => remote.disconnect(),
            }
        }
    };
    let managed = managing.await?;
    match &target.session {
        Some(sid) if managed == Managed::default() => Err(unknown_session(&target.namespace, sid)),
        _ => Ok(Json(Changed::from(managed)).into_response()),
    }
}
