//! `/api/v1/store`: the key-value store for applications; values as they were put, revisions as entity tags (RFC 9110,
//! section 8.8.3).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::IgnoredAny;
use vedfolnir_cluster::state::limits;

use super::Api;
use super::body::read_value;
use super::problem::{Problem, Type};
use super::query::{Query, rest_of_path};
use crate::app::{KvEntry, LogPosition, StoreError};

const ENTRIES_DEFAULT: usize = 100;
/// Committed cluster time until an entry ends, milliseconds.
const EXPIRES_IN_MS: HeaderName = HeaderName::from_static("vedfolnir-expires-in-ms");

#[derive(Serialize)]
struct EntryBody<'a> {
    key: &'a str,
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    expires_in_ms: Option<u64>,
}

impl<'a> EntryBody<'a> {
    fn of(entry: &'a KvEntry) -> Self {
        let text = std::str::from_utf8(&entry.value).ok();
        Self {
            key: &entry.key,
            revision: entry.revision.to_string(),
            value: text,
            value_base64: text.is_none().then(|| STANDARD.encode(&entry.value)),
            expires_in_ms: entry.expires_in_ms,
        }
    }
}

#[derive(Serialize)]
struct Page<'a> {
    entries: Vec<EntryBody<'a>>,
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct Stored {
    revision: String,
}

#[derive(Serialize)]
struct Deleted {
    existed: bool,
}

pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let prefix = query.text("prefix").unwrap_or_default();
    let after = query.text("after").map(Arc::from);
    let limit = query.number("limit", ENTRIES_DEFAULT, limits::KV_PAGE_ENTRIES_MAX)?;
    let is_linearizable = query.is_linearizable()?;
    query.end()?;
    let read = api.server()?.store().list(prefix, after, limit);
    let page = if is_linearizable { read.linearizable().await? } else { read.await? };
    let entries = page.entries.iter().map(EntryBody::of).collect();
    Ok(Json(Page { entries, next: page.next.as_deref() }).into_response())
}

fn key(request: &Request) -> Result<Arc<str>, Problem> {
    Ok(rest_of_path(request, "/api/v1/store/", "key")?.into())
}

pub(super) async fn get(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let is_linearizable = query.is_linearizable()?;
    query.end()?;
    let key = key(&request)?;
    let read = api.server()?.store().get(Arc::clone(&key));
    let entry = if is_linearizable { read.linearizable().await? } else { read.await? };
    let Some(entry) = entry else {
        return Err(Problem::new(Type::NotFound, format!("the store has no entry {key:?}")).about("key"));
    };
    let tag = tag(entry.revision);
    let is_known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(entry.value)),
    };
    let headers = response.headers_mut();
    if !is_known {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(expires_in_ms) = entry.expires_in_ms {
        headers.insert(EXPIRES_IN_MS, expires_in_ms.into());
    }
    Ok(response)
}

pub(super) async fn put(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::of(request.uri())?;
    let ttl_ms = query.parsed::<u64>("ttl_ms", "a number of milliseconds, 1 or more")?;
    query.end()?;
    if ttl_ms == Some(0) {
        return Err(Problem::invalid("ttl_ms", "0; accepted: a number of milliseconds, 1 or more"));
    }
    let (key, expected) = (key(&request)?, expected(request.headers())?);
    let (value, is_json) = read_value(request, limits::KV_VALUE_BYTES_MAX).await?;
    if is_json && let Err(error) = serde_json::from_slice::<IgnoredAny>(&value) {
        return Err(Problem::new(Type::Malformed, format!("the body says that it is JSON, and is not: {error}")));
    }
    let (store, ttl) = (api.server()?.store(), ttl_ms.map(Duration::from_millis));
    let write = match expected {
        None => store.put(key, value, ttl),
        Some(expected) => store.cas(key, value, ttl, expected),
    };
    let revision = write.await?;
    let headers = [(header::ETAG, tag(revision))];
    Ok((headers, Json(Stored { revision: revision.to_string() })).into_response())
}

pub(super) async fn delete(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    Query::of(request.uri())?.end()?;
    let (key, store) = (key(&request)?, api.server()?.store());
    let existed = match expected(request.headers())? {
        None => store.delete(key).await?,
        Some(Some(revision)) => store.delete_at(key, revision).await?,
        Some(None) => {
            return Err(Problem::invalid("If-None-Match", "what is not there cannot be deleted; accepted: If-Match"));
        }
    };
    Ok(Json(Deleted { existed }).into_response())
}

/// A revision as an entity tag.
fn tag(revision: LogPosition) -> HeaderValue {
    // Digits, a dot and quotes are a header's value.
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// What a write expects (RFC 9110, sections 13.1.1 and 13.1.2): an entry of a revision, or none; `None`: anything.
fn expected(headers: &HeaderMap) -> Result<Option<Option<LogPosition>>, Problem> {
    let header = |name: HeaderName, shown: &'static str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(|value| value.to_str().unwrap_or_default().trim())),
            _ => Err(Problem::invalid(shown, format!("{shown} is there twice; accepted: once"))),
        }
    };
    match (header(header::IF_MATCH, "If-Match")?, header(header::IF_NONE_MATCH, "If-None-Match")?) {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(None)),
        (None, Some(_)) => Err(Problem::invalid("If-None-Match", "accepted: *")),
        (Some(text), None) => match revision(text) {
            Some(revision) => Ok(Some(Some(revision))),
            None => Err(Problem::invalid("If-Match", "accepted: one revision in quotes, as it was answered")),
        },
        (Some(_), Some(_)) => Err(Problem::invalid("If-None-Match", "accepted: this or If-Match, not both")),
    }
}

fn revision(text: &str) -> Option<LogPosition> {
    let (index, ordinal) = text.strip_prefix('"')?.strip_suffix('"')?.split_once('.')?;
    let revision = LogPosition::new(index.parse().ok()?, ordinal.parse().ok()?);
    // Exactly one text for each.
    (format!("\"{revision}\"") == text).then_some(revision)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Conflict { current } => {
                let current = current.map(|revision| revision.to_string());
                Self::new(Type::Conflict, detail).with("current", current)
            }
            StoreError::BadKey { .. } | StoreError::ReservedKey => Self::invalid("key", detail),
            StoreError::ValueTooLarge { .. } => Self::new(Type::TooLarge, detail),
            StoreError::TooManyEntries | StoreError::Full => Self::new(Type::StoreFull, detail),
            StoreError::Overloaded => Self::new(Type::Overloaded, detail).retry_after(1),
            StoreError::NoQuorum(_) | StoreError::Unknown | StoreError::ShuttingDown => {
                Self::new(Type::NoQuorum, detail).retry_after(1)
            }
        }
    }
}
