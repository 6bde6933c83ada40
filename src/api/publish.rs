//! `POST /api/v1/publish` and `/api/v1/batch`: events to rooms, namespaces and sessions, committed before they are answered.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::value::RawValue;
use vedfolnir_cluster::state::{ContentHash, limits};

use super::Api;
use super::body::{Fields, read_json};
use super::problem::{Problem, ProblemView};
use super::target::{Target, unknown_session};
use crate::app::{CommittedOnce, Emission, EmitError, Emitter, EventPayload, Once, OnceEmission, ServerHandle};
use crate::app::{IdempotencyKey, content_of};

/// Publishes in one batch.
pub(super) const BATCH_PUBLISHES_MAX: usize = 1_000;

/// The header that makes a request once, however often it is sent.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header of an answer to a repetition.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a publish is answered with.
#[derive(Serialize)]
struct Published {
    /// Its offset, as receivers get it; null: committed, but a snapshot swallowed where.
    offset: Option<String>,
}

/// What a batch is answered with.
#[derive(Serialize)]
struct Results<'a> {
    results: Vec<ItemResult<'a>>,
}

/// What became of one publish of a batch.
#[derive(Serialize)]
struct ItemResult<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemView<'a>>,
}

/// A publish that can be made.
pub(crate) struct Publish {
    to: To,
    payload: EventPayload,
}

/// Whom it goes to, and how.
enum To {
    Volatile(Emitter),
    Durable(Emitter),
    Once(Once),
}

/// A publish that is made.
pub(crate) enum Made {
    Volatile(Result<(), EmitError>),
    Durable(Emission),
    Once(OnceEmission),
}

/// What came of it.
pub(crate) enum Outcome {
    Accepted,
    Committed { offset: Option<String>, is_repetition: bool },
}

impl Publish {
    /// It is proposed by this very call.
    pub(crate) fn make(self) -> Made {
        let Self { to, payload } = self;
        match to {
            To::Volatile(emitter) => Made::Volatile(emitter.volatile().emit_payload(payload)),
            To::Durable(emitter) => Made::Durable(emitter.emit_payload(payload)),
            To::Once(once) => Made::Once(once.emit_payload(payload)),
        }
    }
}

impl Made {
    pub(crate) async fn outcome(self) -> Result<Outcome, Problem> {
        match self {
            Self::Volatile(handed) => Ok(handed.map(|()| Outcome::Accepted)?),
            Self::Durable(emission) => {
                Ok(Outcome::Committed { offset: emission.await?.offset(), is_repetition: false })
            }
            Self::Once(emission) => {
                let CommittedOnce { committed, is_repetition } = emission.await?;
                Ok(Outcome::Committed { offset: committed.offset(), is_repetition })
            }
        }
    }
}

pub(super) async fn one(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers())?;
    let body = read_json(request).await?;
    let under = key.map(|key| Under { key, content: content_of(&[b"publish", &body]) });
    let publish = Reader::new(api.server()?).publish(Fields::of(&body)?, under).await?;
    let outcome = publish.make().outcome().await?;
    let is_repetition = is_repetition([&outcome]);
    let answer = match outcome {
        Outcome::Accepted => (StatusCode::ACCEPTED, Json(serde_json::json!({}))).into_response(),
        Outcome::Committed { offset, .. } => Json(Published { offset }).into_response(),
    };
    Ok(marked(answer, is_repetition))
}

pub(super) async fn batch(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let key = idempotency_key(request.headers())?;
    let body = read_json(request).await?;
    let items = items(&body)?;
    let mut reader = Reader::new(api.server()?);
    let mut publishes = Vec::with_capacity(items.len());
    // The first that is made has the key, and so stands for all.
    let mut has_key = false;
    for (index, item) in items.iter().enumerate() {
        let under = key.map(|key| Under {
            key: key.at(if has_key { index } else { 0 }),
            content: content_of(&[b"batch", &body, index.to_string().as_bytes()]),
        });
        let publish = match Fields::of(item.get().as_bytes()) {
            Ok(fields) => reader.publish(fields, under).await,
            Err(problem) => Err(problem),
        };
        has_key |= publish.is_ok();
        publishes.push(publish.map_err(|problem| problem.within(&format!("publishes[{index}]"))));
    }
    let mut outcomes = Vec::with_capacity(publishes.len());
    let mut publishes = publishes.into_iter();
    while key.is_some()
        && let Some(publish) = publishes.next()
    {
        match publish {
            Err(problem) => outcomes.push(Err(problem)),
            Ok(first) => {
                // If the key is that of another request, or nobody knows whether it is, no other is made.
                outcomes.push(Ok(first.make().outcome().await?));
                break;
            }
        }
    }
    // All are proposed before the first is waited for: they are committed in their order, most of them together.
    let made: Vec<_> = publishes.map(|publish| publish.map(Publish::make)).collect();
    let rest = join_all(made.into_iter().map(outcome));
    outcomes.extend(rest.await);
    let answer = Json(Results { results: outcomes.iter().map(ItemResult::of).collect() }).into_response();
    Ok(marked(answer, is_repetition(outcomes.iter().flatten())))
}

/// What came of a publish that was made, or why it could not be.
async fn outcome(made: Result<Made, Problem>) -> Result<Outcome, Problem> {
    made?.outcome().await
}

/// The key of a request, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut shown = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = shown.next() else { return Ok(None) };
    let refused = |detail: String| Problem::invalid(IDEMPOTENCY_KEY, detail);
    if shown.next().is_some() {
        return Err(refused("two keys; accepted: one".to_owned()));
    }
    let key = IdempotencyKey::of(value.to_str().unwrap_or_default()).map_err(|error| refused(error.to_string()))?;
    Ok(Some(key))
}

/// Whether everything that is committed had been committed before.
fn is_repetition<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> bool {
    let mut committed = outcomes.into_iter().filter_map(|outcome| match outcome {
        Outcome::Accepted => None,
        Outcome::Committed { is_repetition, .. } => Some(*is_repetition),
    });
    committed.next().is_some_and(|first| first && committed.all(|is_repetition| is_repetition))
}

fn marked(mut answer: Response, is_repetition: bool) -> Response {
    if is_repetition {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    answer
}

/// The publishes of a batch, each as its JSON text: one that is wrong does not keep the others back.
fn items(body: &[u8]) -> Result<Vec<Box<RawValue>>, Problem> {
    let mut fields = Fields::of(body)?;
    let items: Vec<Box<RawValue>> = fields.required("publishes")?;
    fields.end()?;
    if items.is_empty() || items.len() > BATCH_PUBLISHES_MAX {
        let detail = format!("{} publishes; accepted: 1 to {BATCH_PUBLISHES_MAX} in a batch", items.len());
        return Err(Problem::invalid("publishes", detail));
    }
    Ok(items)
}

impl<'a> ItemResult<'a> {
    fn of(outcome: &'a Result<Outcome, Problem>) -> Self {
        let done = |status: StatusCode, offset| Self { status: status.as_u16(), offset, problem: None };
        match outcome {
            Ok(Outcome::Accepted) => done(StatusCode::ACCEPTED, None),
            Ok(Outcome::Committed { offset, .. }) => done(StatusCode::OK, Some(offset.clone())),
            Err(problem) => Self { status: problem.status().as_u16(), offset: None, problem: Some(problem.view()) },
        }
    }
}

/// The key that a publish is made under.
#[derive(Clone, Copy)]
pub(crate) struct Under {
    key: IdempotencyKey,
    /// Of the request as it came.
    content: ContentHash,
}

/// Makes publishes of what requests say, and of what a backend answers.
pub(crate) struct Reader {
    server: ServerHandle,
    /// Where what names no namespace goes.
    namespace: String,
    /// Whether this node's replica has shown everything that was committed when the request came.
    is_fresh: bool,
}

impl Reader {
    fn new(server: ServerHandle) -> Self {
        Self::within(server, "/")
    }

    /// What names no namespace is for this one.
    pub(crate) fn within(server: ServerHandle, namespace: &str) -> Self {
        Self { server, namespace: namespace.to_owned(), is_fresh: false }
    }

    pub(crate) async fn publish(&mut self, mut fields: Fields, under: Option<Under>) -> Result<Publish, Problem> {
        let target = Target::read(&mut fields, &self.namespace)?;
        let event: String = fields.required("event")?;
        let args = fields.optional::<Vec<Box<RawValue>>>("args")?.unwrap_or_default();
        let is_volatile = fields.optional::<bool>("volatile")?.unwrap_or_default();
        fields.end()?;

        if is_volatile && under.is_some() {
            let detail =
                format!("nothing is kept of a volatile event, its key neither: leave out {IDEMPOTENCY_KEY} or this");
            return Err(Problem::invalid("volatile", detail));
        }
        let emitter = target.emitter(&self.server, limits::ROOMS_PER_RECORD_MAX)?;
        let payload = payload(&event, &args)?;
        let to = match under {
            Some(Under { key, content }) => To::Once(emitter.once_under(key, content)),
            None if is_volatile => To::Volatile(emitter),
            None => To::Durable(emitter),
        };
        if let Some(sid) = &target.session {
            let is_repetition = || matches!(&to, To::Once(once) if once.is_repetition());
            self.check_session(&target.namespace, sid, is_repetition).await?;
        }
        Ok(Publish { to, payload })
    }

    /// A session that this node does not know may have begun elsewhere just now: a quorum is asked, once for each request.
    /// One that has ended since the request was made for the first time is no reason to answer otherwise.
    async fn check_session(
        &mut self,
        namespace: &str,
        sid: &Arc<str>,
        is_repetition: impl Fn() -> bool,
    ) -> Result<(), Problem> {
        let look = || self.server.session(namespace, Arc::clone(sid));
        let mut found = look().await?;
        if found.is_none() && !self.is_fresh {
            found = look().linearizable().await?;
            self.is_fresh = true;
        }
        if found.is_none() && !is_repetition() {
            return Err(unknown_session(namespace, sid));
        }
        Ok(())
    }
}

/// An event that clients accept.
fn payload(event: &str, args: &[Box<RawValue>]) -> Result<EventPayload, Problem> {
    EventPayload::new(event, args).map_err(|error| {
        let is_name = EventPayload::new::<()>(event, &[]).is_err();
        Problem::invalid(if is_name { "event" } else { "args" }, error.to_string())
    })
}
