//! Errors as `application/problem+json` (RFC 9457), with the `field` of the request that is wrong where it is one.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::publish::IDEMPOTENCY_KEY;
use crate::app::{EmitError, ReadError};

/// What problems' types begin with: a name to compare, not an address to fetch.
pub(super) const TYPE_PREFIX: &str = "urn:vedfolnir:problem:";

/// A type of problem: programs go by it, so that it keeps its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Malformed,
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    UnknownNamespace,
    UnknownSession,
    HistoryGone,
    Conflict,
    StoreFull,
    MethodNotAllowed,
    Timeout,
    TooLarge,
    NotJson,
    TooManyWrongTokens,
    NoQuorum,
    Overloaded,
    OldFormat,
    NotReady,
    KeyReused,
}

impl Type {
    /// What follows [`TYPE_PREFIX`].
    pub(super) const fn name(self) -> &'static str {
        self.parts().0
    }

    /// The status of every answer with it.
    pub(super) const fn status(self) -> StatusCode {
        self.parts().1
    }

    /// The same for people.
    pub(super) const fn title(self) -> &'static str {
        self.parts().2
    }

    /// Its answers say when to come back.
    pub(super) fn is_temporary(self) -> bool {
        matches!(self.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Its name, status and title.
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST, "The body is not what it says it is"),
            Self::Invalid => ("invalid", StatusCode::UNPROCESSABLE_ENTITY, "The request is not valid"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A token is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "This is not allowed"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::UnknownNamespace => ("unknown-namespace", StatusCode::NOT_FOUND, "There is no such namespace"),
            Self::UnknownSession => ("unknown-session", StatusCode::NOT_FOUND, "There is no such session"),
            Self::HistoryGone => ("history-gone", StatusCode::GONE, "This is no longer retained"),
            Self::Conflict => ("conflict", StatusCode::PRECONDITION_FAILED, "The entry is another one"),
            Self::StoreFull => ("store-full", StatusCode::INSUFFICIENT_STORAGE, "The store is full"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "There is no such method here")
            }
            Self::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "The request did not come in time"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
            Self::NotJson => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another type")
            }
            Self::TooManyWrongTokens => {
                ("too-many-wrong-tokens", StatusCode::TOO_MANY_REQUESTS, "There were too many wrong tokens")
            }
            Self::NoQuorum => ("no-quorum", StatusCode::SERVICE_UNAVAILABLE, "No quorum has answered"),
            Self::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "The node has too much to do"),
            Self::OldFormat => {
                ("old-format", StatusCode::SERVICE_UNAVAILABLE, "Not all nodes of the cluster are upgraded")
            }
            Self::NotReady => ("not-ready", StatusCode::SERVICE_UNAVAILABLE, "The node does not serve yet"),
            Self::KeyReused => ("idempotency-key-reused", StatusCode::CONFLICT, "The key is that of another request"),
        }
    }
}

/// Why a request, or a part of a batch, is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Type,
    detail: String,
    field: Option<String>,
    /// What a program needs to go on.
    hint: Option<(&'static str, Option<String>)>,
    retry_after_seconds: Option<u64>,
}

/// As it is written.
#[derive(Serialize)]
pub(crate) struct ProblemView<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(flatten)]
    hint: BTreeMap<&'static str, Option<&'a str>>,
}

impl Problem {
    /// With what is wrong this time, for people.
    pub(crate) fn new(kind: Type, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None, hint: None, retry_after_seconds: None }
    }

    /// A field is not as it must be.
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Type::Invalid, detail).about(field)
    }

    /// It is this field, or header, that is wrong.
    pub(crate) fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// With what a program needs to go on.
    pub(super) fn with(self, name: &'static str, value: impl Into<Option<String>>) -> Self {
        Self { hint: Some((name, value.into())), ..self }
    }

    /// The same in a part of the request.
    pub(crate) fn within(self, part: &str) -> Self {
        let field = Some(self.field.map_or_else(|| part.to_owned(), |field| format!("{part}.{field}")));
        Self { field, ..self }
    }

    /// It may be otherwise later.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// What is wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Its type as the code that clients of the service see.
    pub(crate) fn code(&self) -> String {
        self.kind.parts().0.replace('-', "_")
    }

    /// The answer's status.
    pub(crate) const fn status(&self) -> StatusCode {
        self.kind.parts().1
    }

    /// As it is written.
    pub(crate) fn view(&self) -> ProblemView<'_> {
        let (name, status, title) = self.kind.parts();
        ProblemView {
            r#type: format!("{TYPE_PREFIX}{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            hint: self.hint.iter().map(|(name, value)| (*name, value.as_deref())).collect(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status(), Json(self.view())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind == Type::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<EmitError> for Problem {
    fn from(error: EmitError) -> Self {
        let detail = error.to_string();
        match error {
            EmitError::BadRequest(_) | EmitError::LimitExceeded => Self::new(Type::Invalid, detail),
            EmitError::Forbidden => Self::new(Type::Forbidden, detail),
            EmitError::KeyReused => Self::new(Type::KeyReused, detail).about(IDEMPOTENCY_KEY),
            EmitError::OldFormat => Self::new(Type::OldFormat, detail).retry_after(1),
            EmitError::Overloaded => Self::new(Type::Overloaded, detail).retry_after(1),
            // Of the server's own emits none is stale: this node's life is over for the others, and it begins a new one.
            EmitError::NoQuorum(_) | EmitError::ShuttingDown | EmitError::StaleSession => {
                Self::new(Type::NoQuorum, detail).retry_after(1)
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        match error {
            ReadError::TooBroad | ReadError::ReservedRoom => Self::new(Type::Invalid, detail),
            ReadError::Overloaded => Self::new(Type::Overloaded, detail).retry_after(1),
            ReadError::NoQuorum(_) | ReadError::ShuttingDown => Self::new(Type::NoQuorum, detail).retry_after(1),
        }
    }
}
