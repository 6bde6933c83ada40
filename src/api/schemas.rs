//! What requests hold and what they are answered, as JSON Schemas (2020-12): one for each name that `routes.rs` uses.

use serde_json::{Map, Value, json};
use vedfolnir_cluster::state::limits;

use super::problem::TYPE_PREFIX;
use super::publish::BATCH_PUBLISHES_MAX;

/// Names that the Socket.IO protocol keeps for itself.
const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
/// Of rooms and keys those are the server's own that begin with U+0000.
pub(super) const NOT_RESERVED: &str = "^[^\\u0000]";

/// By name.
pub(super) fn all() -> Value {
    let schemas = [of_publishing(), of_sessions(), of_rooms(), of_the_store(), of_all()];
    let parts = schemas.into_iter().filter_map(|part| match part {
        Value::Object(part) => Some(part),
        _ => None,
    });
    Value::Object(parts.flatten().collect::<Map<_, _>>())
}

/// A reference to one of them.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn of_all() -> Value {
    json!({
        "Name": {
            "type": "string",
            "description": format!("1 to {} bytes of UTF-8.", limits::NAME_BYTES_MAX),
            "minLength": 1,
            "maxLength": limits::NAME_BYTES_MAX,
            "pattern": NOT_RESERVED,
        },
        "Empty": {"type": "object", "maxProperties": 0},
        "Problem": problem(),
        "Description": object(&["openapi", "info", "paths"], json!({
            "openapi": {"type": "string"}, "info": {"type": "object"}, "paths": {"type": "object"},
        })),
    })
}

fn of_publishing() -> Value {
    let status = json!({
        "type": "integer", "description": "The status that it would have been answered with alone.", "minimum": 200, "maximum": 599,
    });
    json!({
        "Publish": publish(),
        "Published": object(&["offset"], json!({"offset": offset()})),
        "Batch": {
            "type": "object",
            "required": ["publishes"],
            "additionalProperties": false,
            "properties": {
                "publishes": {
                    "type": "array",
                    "description": "Each is a Publish. What is wrong with one of them is in its result, and keeps no other back.",
                    "minItems": 1,
                    "maxItems": BATCH_PUBLISHES_MAX,
                    "items": {},
                    "examples": [[{"room": "a", "event": "m", "args": [1]}, {"room": "b", "event": "m", "volatile": true}]],
                },
            },
        },
        "Results": object(&["results"], json!({"results": {"type": "array", "items": reference("Result")}})),
        "Result": object(&["status"], json!({"status": status, "offset": offset(), "problem": reference("Problem")})),
    })
}

fn of_sessions() -> Value {
    let rooms = |description: &str| {
        json!({
            "type": "array", "description": description, "minItems": 1, "maxItems": limits::MANAGE_ROOMS_MAX, "items": reference("Name"),
        })
    };
    json!({
        "Sessions": page("sessions", "Session"),
        "Session": object(&["sid", "namespace", "user", "rooms", "connected", "node", "data"], json!({
            "sid": {"type": "string", "description": "Its socket.id."},
            "namespace": {"type": "string"},
            "user": {"type": ["string", "null"], "description": "Whom it has authenticated as."},
            "rooms": {"type": "array", "items": {"type": "string"}},
            "connected": {"type": "boolean", "description": "False: inside its recovery window."},
            "node": {"type": ["string", "null"], "description": "The server_id of the node that it is on, or was on. Null: a member no more."},
            "data": {"description": "What the application keeps with it, if that is JSON."},
            "data_base64": {"type": "string", "description": "If it is not."},
        })),
        "Join": changing(Some(("enter", rooms("The rooms that they enter.")))),
        "Leave": changing(Some(("leave", rooms("The rooms that they leave.")))),
        "Disconnect": changing(None),
        "Changed": object(&["sessions"], json!({
            "sessions": count("So many are now as was wanted."),
            "refused": count("So many are in as many rooms as a session can be."),
        })),
    })
}

fn of_rooms() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    json!({
        "Presence": object(&["sessions", "users"], json!({"sessions": count("Sessions."), "users": count("Users.")})),
        "Users": page("users", "User"),
        "User": object(&["user", "sessions"], json!({"user": text, "sessions": count("Its sessions there.")})),
        "History": object(&["events", "next", "reached"], json!({
            "events": {"type": "array", "items": reference("Event")},
            "next": {"type": ["string", "null"], "description": "There is more after this offset. Null: there is not."},
            "reached": {"type": "string", "description": "Everything up to this offset is shown."},
        })),
        "Event": object(&["offset", "event", "args", "rooms", "except"], json!({
            "offset": text,
            "event": text,
            "args": {"type": "array", "items": {}},
            "rooms": texts,
            "users": texts,
            "except": texts,
            "except_users": texts,
            "attachments_base64": {"type": "array", "description": "As the placeholders in args number them.", "items": text},
        })),
    })
}

fn of_the_store() -> Value {
    let revision = json!({"type": "string", "description": "Where it was last written."});
    json!({
        "Entries": page("entries", "Entry"),
        "Entry": object(&["key", "revision", "expires_in_ms"], json!({
            "key": {"type": "string"},
            "revision": revision,
            "value": {"type": "string", "description": "If it is UTF-8."},
            "value_base64": {"type": "string", "description": "If it is not."},
            "expires_in_ms": {"type": ["integer", "null"], "description": "So long it lives, in cluster time. Null: it does not end."},
        })),
        "Stored": object(&["revision"], json!({"revision": revision})),
        "Deleted": object(&["existed"], json!({"existed": {"type": "boolean", "description": "Whether it was there."}})),
    })
}

/// What is answered may have more in later releases.
fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

fn page(field: &str, item: &str) -> Value {
    let next = json!({"type": ["string", "null"], "description": "What to give as `after`, on whichever node. Null: there is nothing more."});
    object(&[field, "next"], json!({field: {"type": "array", "items": reference(item)}, "next": next}))
}

fn count(description: &str) -> Value {
    json!({"type": "integer", "description": description, "minimum": 0})
}

fn publish() -> Value {
    let mut properties = targets(limits::ROOMS_PER_RECORD_MAX);
    let more = json!({
        "event": {"type": "string", "description": "The event's name.", "not": {"enum": RESERVED_EVENTS}},
        "args": {"type": ["array", "null"], "description": "Its arguments, any JSON.", "items": {}, "default": []},
        "volatile": {
            "type": ["boolean", "null"],
            "description": "Only to those who are connected now; not in the log, may be lost. Not with an Idempotency-Key.",
            "default": false,
        },
    });
    extend(&mut properties, more);
    json!({
        "type": "object",
        "description": "An event, and whom it is for: one of `room`, `rooms`, `session` and `user`, or none of them, which is everybody in the namespace.",
        "required": ["event"],
        "additionalProperties": false,
        "allOf": exclusive(),
        "properties": properties,
        "examples": [{"room": "order:42", "event": "progress", "args": [70, {"step": "packing"}]}],
    })
}

/// A change of sessions, with the rooms that it is about.
fn changing(rooms: Option<(&str, Value)>) -> Value {
    let mut properties = targets(limits::PRESENCE_ROOMS_MAX);
    let mut required = Vec::new();
    if let Some((name, rooms)) = rooms {
        extend(&mut properties, json!({name: rooms}));
        required.push(name);
    }
    let mut rules = exclusive();
    let except = json!({"required": ["except"], "properties": {"except": {"type": "array", "minItems": 1}}});
    rules.push(json!({"not": {"allOf": [is_there("session"), except]}}));
    json!({
        "type": "object",
        "description": "Whom it concerns: one of `room`, `rooms`, `session` and `user`, or none of them, which is everybody in the namespace; `except` not with `session`.",
        "required": required,
        "additionalProperties": false,
        "allOf": rules,
        "properties": properties,
    })
}

/// The fields that say whom a request is for.
fn targets(names_max: usize) -> Value {
    let names = |description: &str, least: usize| {
        json!({
            "type": ["array", "null"], "description": description, "minItems": least, "maxItems": names_max, "items": reference("Name"),
        })
    };
    let name = |description: &str| {
        json!({
            "type": ["string", "null"], "description": description, "minLength": 1, "maxLength": limits::NAME_BYTES_MAX, "pattern": NOT_RESERVED,
        })
    };
    json!({
        "namespace": {"type": ["string", "null"], "description": "The namespace; the application must have it.", "default": "/"},
        "room": name("Who is in this room."),
        "rooms": names("Who is in any of these rooms.", 1),
        "session": name("The one client with this socket.id."),
        "user": name("Every client of this user."),
        "except": names("But nobody who is in one of these rooms; a client's socket.id is a room.", 0),
    })
}

/// At most one of them; one that is null is none.
fn exclusive() -> Vec<Value> {
    let fields = ["room", "rooms", "session", "user"];
    let pairs = fields
        .iter()
        .enumerate()
        .flat_map(|(index, first)| fields[index + 1..].iter().map(move |second| (first, second)));
    pairs.map(|(first, second)| json!({"not": {"allOf": [is_there(first), is_there(second)]}})).collect()
}

fn is_there(field: &str) -> Value {
    json!({"required": [field], "properties": {field: {"not": {"type": "null"}}}})
}

fn extend(properties: &mut Value, more: Value) {
    if let (Value::Object(properties), Value::Object(more)) = (properties, more) {
        properties.extend(more);
    }
}

fn offset() -> Value {
    json!({
        "type": ["string", "null"],
        "description": "Where it is in the one order of everything that is published, as clients receive it with the event. Null: committed, but the node was behind so far that it does not know where.",
    })
}

fn problem() -> Value {
    let kind = json!({"type": "string", "description": "Which one; a name to compare.", "pattern": format!("^{TYPE_PREFIX}[a-z-]+$")});
    let properties = json!({
        "type": kind,
        "title": {"type": "string", "description": "The same for people."},
        "status": {"type": "integer", "description": "The answer's status.", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What is wrong this time, for people."},
        "field": {"type": "string", "description": "The field, parameter or header that is wrong, if it is one; in a batch with its place: publishes[2].event."},
        "oldest": {"type": ["string", "null"], "description": "Of `history-gone`: the offset after which everything is there."},
        "current": {"type": ["string", "null"], "description": "Of `conflict`: the entry's revision; null: there is no entry."},
    });
    let mut problem = object(&["type", "title", "status", "detail"], properties);
    problem["description"] = "An error (RFC 9457). Go by the type and the status; texts are for people.".into();
    problem["examples"] = json!([{
        "type": format!("{TYPE_PREFIX}unknown-namespace"),
        "title": "There is no such namespace",
        "status": 404,
        "detail": "the application has no namespace \"/nowhere\"",
        "field": "namespace",
    }]);
    problem
}
