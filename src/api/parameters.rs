//! Parameters and headers of the API's operations, as OpenAPI's objects.

use serde_json::{Value, json};
use vedfolnir_cluster::state::limits;

use super::publish::IDEMPOTENCY_KEY;
use super::schemas::{NOT_RESERVED, reference};

fn parameter(place: &str, name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": place, "description": description, "schema": schema})
}

/// A parameter of the query.
pub(super) fn query(name: &str, description: &str, schema: Value) -> Value {
    parameter("query", name, description, schema)
}

/// A header of the request.
pub(super) fn header(name: &str, description: &str, schema: Value) -> Value {
    parameter("header", name, description, schema)
}

/// A part of the path: a name of so many bytes.
pub(super) fn path(name: &str, description: &str, bytes_max: usize) -> Value {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": bytes_max, "pattern": NOT_RESERVED});
    let mut parameter = parameter("path", name, description, schema);
    parameter["required"] = true.into();
    parameter
}

/// A room, or what is named like one.
pub(super) fn name(name: &str, description: &str) -> Value {
    query(name, description, reference("Name"))
}

/// A user.
pub(super) fn user(name: &str, description: &str) -> Value {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": limits::NAME_BYTES_MAX});
    query(name, description, schema)
}

pub(super) fn namespace() -> Value {
    query("namespace", "The namespace; the application must have it.", json!({"type": "string", "default": "/"}))
}

pub(super) fn limit(max: usize) -> Value {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": max, "default": 100});
    query("limit", "At most so many on this page.", schema)
}

pub(super) fn consistency() -> Value {
    let schema = json!({"type": "string", "enum": ["local", "linearizable"], "default": "local"});
    query(
        "consistency",
        "Whether a quorum is asked first, so that the answer shows all that any node had answered before.",
        schema,
    )
}

/// Where a page of sessions ended.
pub(super) fn cursor() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$"})
}

pub(super) fn milliseconds() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": (1_u64 << 53) - 1})
}

/// An entity tag of the store.
pub(super) fn revision() -> Value {
    json!({"type": "string", "pattern": "^\"(0|[1-9][0-9]{0,17})\\.(0|[1-9][0-9]{0,8})\"$"})
}

pub(super) fn idempotency_key() -> Value {
    header(
        IDEMPOTENCY_KEY,
        "What is sent again under the same key, with the same body, to whichever node, is published once. Remembered for 24 hours.",
        json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
    )
}

fn answered(description: &str, schema: Value) -> Value {
    json!({"description": description, "schema": schema})
}

/// The header of an answer to a repetition.
pub(super) fn replayed() -> Value {
    answered(
        "There if everything that is answered as committed had been committed by an earlier request under the same key.",
        json!({"type": "string", "const": "true"}),
    )
}

pub(super) fn etag() -> Value {
    answered("The entry's revision, in quotes.", revision())
}

pub(super) fn expires() -> Value {
    answered("So long it lives, in cluster time. Missing: it does not end.", json!({"type": "integer", "minimum": 0}))
}
