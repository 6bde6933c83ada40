//! Every operation of the API, once: the router is made of this table, and so is its description.
//!
//! A new one is an entry here, and a schema in `schemas.rs` for what it takes and answers. Nothing else has routes.

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde_json::{Value, json};
use vedfolnir_cluster::state::limits;

use super::keeper::Role;
use super::parameters as with;
use super::problem::Type;
use super::schemas::reference;
use super::{Api, ApiRoute, history, openapi, presence, publish, sessions, store};

/// What any request may be answered.
const ALWAYS: &[Type] =
    &[Type::Unauthorized, Type::Forbidden, Type::TooManyWrongTokens, Type::Overloaded, Type::NotReady];
/// What one with a body may be answered besides.
const OF_BODIES: &[Type] = &[Type::Malformed, Type::TooLarge, Type::NotJson, Type::Invalid, Type::Timeout];
/// What one that reads may be answered besides.
const OF_READS: &[Type] = &[Type::Invalid, Type::NoQuorum];

/// A body, by its media types: the schema of each.
type Content = Vec<(&'static str, Value)>;

/// What a request does and is answered: where, by whom, and in which words.
pub(super) struct Operation {
    pub(super) method: Method,
    /// As axum reads it: `{name}` is a segment, `{*name}` all that is left.
    path: &'static str,
    handler: MethodRouter<Api>,
    /// What generated clients call it.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// Parameter objects of OpenAPI.
    pub(super) parameters: Vec<Value>,
    /// Its body.
    pub(super) takes: Content,
    pub(super) answers: Vec<Answer>,
    /// Those of any request among them.
    pub(super) problems: Vec<Type>,
}

/// An answer that is no problem.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) content: Content,
    /// Header objects of OpenAPI, by name.
    pub(super) headers: Vec<(&'static str, Value)>,
}

impl Operation {
    fn new(method: Method, path: &'static str, handler: MethodRouter<Api>, id: &'static str) -> Self {
        let (tag, summary, description) = ("", "", "");
        let (parameters, takes, answers, problems) = (Vec::new(), Vec::new(), Vec::new(), ALWAYS.to_vec());
        Self { method, path, handler, id, tag, summary, description, parameters, takes, answers, problems }
    }

    fn get(path: &'static str, handler: MethodRouter<Api>, id: &'static str) -> Self {
        Self::new(Method::GET, path, handler, id)
    }

    fn post(path: &'static str, handler: MethodRouter<Api>, id: &'static str) -> Self {
        Self::new(Method::POST, path, handler, id)
    }

    fn about(self, tag: &'static str, summary: &'static str, description: &'static str) -> Self {
        Self { tag, summary, description, ..self }
    }

    fn parameters(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// A JSON object of this schema.
    fn takes(self, schema: &'static str) -> Self {
        Self { takes: vec![("application/json", reference(schema))], ..self }.problems(OF_BODIES)
    }

    /// Bytes of whatever kind, or JSON.
    fn takes_value(self) -> Self {
        Self { takes: vec![("application/octet-stream", json!({})), ("application/json", json!({}))], ..self }
            .problems(OF_BODIES)
    }

    /// A JSON object of this schema.
    fn answers(self, status: u16, description: &'static str, schema: &'static str) -> Self {
        self.answers_with(status, description, vec![("application/json", reference(schema))])
    }

    fn answers_with(mut self, status: u16, description: &'static str, content: Content) -> Self {
        self.answers.push(Answer { status, description, content, headers: Vec::new() });
        self
    }

    /// The last answer has these headers.
    fn headers(mut self, headers: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        if let Some(last) = self.answers.last_mut() {
            last.headers.extend(headers);
        }
        self
    }

    fn problems(mut self, problems: &[Type]) -> Self {
        for problem in problems {
            if !self.problems.contains(problem) {
                self.problems.push(*problem);
            }
        }
        self
    }

    /// As OpenAPI writes it.
    pub(super) fn described_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// The role that it needs, unless it is an administrator's.
    pub(super) fn role(&self) -> Role {
        Role::needed(&self.method, ApiRoute::of_path(self.path))
    }
}

/// The table.
pub(super) fn operations() -> Vec<Operation> {
    let mut operations: Vec<_> = of_publishing().into();
    operations.extend(of_sessions());
    operations.extend(of_rooms());
    operations.extend(of_the_store());
    operations.push(
        Operation::get("/api/v1/openapi.json", get(openapi::show), "describe")
            .about("about", "This description", "The API as this node serves it.")
            .answers(200, "An OpenAPI 3.1 document.", "Description"),
    );
    operations
}

/// The routes, as they are in the table.
pub(super) fn router() -> Router<Api> {
    operations().into_iter().fold(Router::new(), |router, operation| router.route(operation.path, operation.handler))
}

fn of_publishing() -> [Operation; 2] {
    [
        Operation::post("/api/v1/publish", post(publish::one), "publish")
            .about(
                "publish",
                "Publish an event",
                "To everybody in a namespace, to rooms, to a user or to one client. What is answered with 200 is committed on a majority of the nodes.",
            )
            .parameters([with::idempotency_key()])
            .takes("Publish")
            .answers(200, "Committed, and on its way to clients.", "Published")
            .headers([("Idempotent-Replayed", with::replayed())])
            .answers(202, "Volatile: handed on to those who are connected.", "Empty")
            .problems(&[
                Type::UnknownNamespace,
                Type::UnknownSession,
                Type::KeyReused,
                Type::NoQuorum,
                Type::OldFormat,
            ]),
        Operation::post("/api/v1/batch", post(publish::batch), "publishBatch")
            .about(
                "publish",
                "Publish several events",
                "They are committed in their order, most of them in one log entry. It is no transaction: one that is wrong does not keep the others back.",
            )
            .parameters([with::idempotency_key()])
            .takes("Batch")
            .answers(200, "One result for each publish, in order, each as it would have been answered alone.", "Results")
            .headers([("Idempotent-Replayed", with::replayed())])
            .problems(&[Type::KeyReused, Type::NoQuorum, Type::OldFormat]),
    ]
}

fn of_sessions() -> [Operation; 6] {
    let change = |path, handler, id, summary, schema| {
        Operation::post(path, handler, id)
            .about(
                "sessions",
                summary,
                "Whichever nodes they are on, those inside their recovery window too. The change has a place in the order of all that is committed.",
            )
            .takes(schema)
            .answers(200, "So many are now as was wanted.", "Changed")
            .problems(&[Type::UnknownNamespace, Type::UnknownSession, Type::NoQuorum, Type::OldFormat])
    };
    let one = || [with::path("sid", "Its socket.id.", limits::NAME_BYTES_MAX), with::namespace()];
    [
        Operation::get("/api/v1/sessions", get(sessions::list), "listSessions")
            .about("sessions", "Sessions of a namespace", "Connected ones, and those inside their recovery window.")
            .parameters([
                with::namespace(),
                with::name("room", "Those in this room."),
                with::user("user", "Those of this user."),
                with::query(
                    "connected",
                    "Those that are connected, or those that are not.",
                    json!({"type": "boolean"}),
                ),
                with::limit(limits::PRESENCE_PAGE_MAX),
                with::query("after", "The `next` of another page.", with::cursor()),
                with::consistency(),
            ])
            .answers(200, "A page of them.", "Sessions")
            .problems(OF_READS)
            .problems(&[Type::UnknownNamespace]),
        change("/api/v1/sessions/join", post(sessions::join), "joinRooms", "Have sessions enter rooms", "Join"),
        change("/api/v1/sessions/leave", post(sessions::leave), "leaveRooms", "Have sessions leave rooms", "Leave"),
        change(
            "/api/v1/sessions/disconnect",
            post(sessions::disconnect),
            "disconnectSessions",
            "Disconnect clients",
            "Disconnect",
        ),
        Operation::get("/api/v1/sessions/{sid}", get(sessions::get), "getSession")
            .about("sessions", "A session", "One that the node does not know is asked a quorum for.")
            .parameters(one())
            .parameters([with::consistency()])
            .answers(200, "The session.", "Session")
            .problems(OF_READS)
            .problems(&[Type::UnknownNamespace, Type::UnknownSession]),
        Operation::new(Method::DELETE, "/api/v1/sessions/{sid}", delete(sessions::end), "disconnectSession")
            .about("sessions", "Disconnect a client", "Its session ends; it does not reconnect by itself.")
            .parameters(one())
            .answers(200, "It is over.", "Changed")
            .problems(OF_READS)
            .problems(&[Type::UnknownNamespace, Type::UnknownSession, Type::OldFormat]),
    ]
}

fn of_rooms() -> [Operation; 3] {
    let room = || [with::namespace(), with::name("room", "The room; without it, the whole namespace.")];
    [
        Operation::get("/api/v1/presence", get(presence::count), "countPresence")
            .about("rooms", "How many are in a room", "Sessions inside their recovery window count.")
            .parameters(room())
            .parameters([with::user("user", "Only this user's sessions."), with::consistency()])
            .answers(200, "How many.", "Presence")
            .problems(OF_READS)
            .problems(&[Type::UnknownNamespace]),
        Operation::get("/api/v1/presence/users", get(presence::users), "listUsers")
            .about("rooms", "Which users are in a room", "Sorted by name; sessions without a user are not among them.")
            .parameters(room())
            .parameters([
                with::limit(limits::PRESENCE_PAGE_MAX),
                with::user("after", "The `next` of another page."),
                with::consistency(),
            ])
            .answers(200, "A page of them.", "Users")
            .problems(OF_READS)
            .problems(&[Type::UnknownNamespace]),
        Operation::get("/api/v1/history", get(history::read), "readHistory")
            .about(
                "rooms",
                "What was said to a room",
                "Or to a user, or to the whole namespace: one of `room` and `user`, or neither. After an offset, or all that is retained.",
            )
            .parameters(room())
            .parameters([
                with::user("user", "What was said to this user."),
                with::query("after", "An offset of this cluster's history: a publish's, an event's, or `reached`.", json!({"type": "string"})),
                with::limit(limits::HISTORY_PAGE_EVENTS_MAX),
                with::consistency(),
            ])
            .answers(200, "A page of it.", "History")
            .problems(OF_READS)
            .problems(&[Type::UnknownNamespace, Type::HistoryGone]),
    ]
}

fn of_the_store() -> [Operation; 4] {
    let key = || with::path("key", "The rest of the path, slashes included.", limits::KV_KEY_BYTES_MAX);
    const ENTRY: &str = "/api/v1/store/{*key}";
    [
        Operation::get("/api/v1/store", get(store::list), "listEntries")
            .about("store", "Entries of the store", "In the order of their keys.")
            .parameters([
                with::query("prefix", "Those whose keys begin so.", json!({"type": "string"})),
                with::query("after", "A key: those behind it. The `next` of another page.", json!({"type": "string"})),
                with::limit(limits::KV_PAGE_ENTRIES_MAX),
                with::consistency(),
            ])
            .answers(200, "A page of them.", "Entries")
            .problems(OF_READS),
        Operation::get(ENTRY, get(store::get), "getEntry")
            .about("store", "An entry of the store", "The value as it was put.")
            .parameters([
                key(),
                with::consistency(),
                with::header("If-None-Match", "A revision in quotes: 304 if the entry is that.", json!({"type": "string"})),
            ])
            .answers_with(200, "Its value.", vec![("application/octet-stream", json!({}))])
            .headers([("ETag", with::etag()), ("Vedfolnir-Expires-In-Ms", with::expires())])
            .answers_with(304, "It is still at that revision.", Vec::new())
            .headers([("ETag", with::etag()), ("Vedfolnir-Expires-In-Ms", with::expires())])
            .problems(OF_READS)
            .problems(&[Type::NotFound]),
        Operation::new(Method::PUT, ENTRY, put(store::put), "putEntry")
            .about(
                "store",
                "Write an entry",
                "Whatever was there; with If-Match only over this revision, with If-None-Match only where nothing is. Not with both.",
            )
            .parameters([
                key(),
                with::query("ttl_ms", "It ends after so many milliseconds of cluster time; without it, it does not.", with::milliseconds()),
                with::header("If-Match", "A revision in quotes.", with::revision()),
                with::header("If-None-Match", "An asterisk.", json!({"type": "string", "const": "*"})),
            ])
            .takes_value()
            .answers(200, "It is written.", "Stored")
            .headers([("ETag", with::etag())])
            .problems(&[Type::Conflict, Type::StoreFull, Type::NoQuorum]),
        Operation::new(Method::DELETE, ENTRY, delete(store::delete), "deleteEntry")
            .about("store", "Delete an entry", "With If-Match only if it is at this revision.")
            .parameters([key(), with::header("If-Match", "A revision in quotes.", with::revision())])
            .answers(200, "It is not there any more.", "Deleted")
            .problems(OF_READS)
            .problems(&[Type::Conflict]),
    ]
}
