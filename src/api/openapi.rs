//! The API described for machines: OpenAPI 3.1, made of the table of operations.
//!
//! Written by hand over `serde_json`: a generator that reads types would see neither which fields exclude each other nor
//! which problems an operation has, and those are most of the description.

use std::collections::BTreeMap;

use axum::Json;
use serde_json::{Map, Value, json};

use super::problem::{TYPE_PREFIX, Type};
use super::routes::{Answer, Operation, operations};
use super::schemas::{self, reference};

/// As `vedfolnir api openapi` prints it, which is what docs/openapi.json holds.
#[must_use]
pub fn text() -> String {
    // Keys are texts, and nothing in it fails.
    let text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text + "\n"
}

pub(super) async fn show() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let operations = operations();
    let mut paths = Map::new();
    for operation in &operations {
        let path = paths.entry(operation.described_path()).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Vedfolnir HTTP API",
            "summary": "Publish events to Socket.IO clients, see and move them, keep entries in a store; on any node.",
            "description": "Any node serves any request. Errors are application/problem+json (RFC 9457).",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": "http://127.0.0.1:5003", "description": "A node on this machine, started with --api-addr 127.0.0.1:5003."}],
        "security": [{"token": []}],
        "tags": [
            {"name": "publish", "description": "Events to rooms, namespaces, users and clients."},
            {"name": "sessions", "description": "Clients, connected or inside their recovery window."},
            {"name": "rooms", "description": "Who is in a room, and what was said there."},
            {"name": "store", "description": "What applications keep beside their clients' sessions."},
            {"name": "about", "description": "The API itself."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the tokens of the settings; each has a role: publish, read, admin (everything). A node without any, on loopback, asks for none.",
                },
            },
            "schemas": schemas::all(),
        },
    })
}

fn described(operation: &Operation) -> Value {
    let Operation { id, tag, summary, description, parameters, takes, answers, problems, .. } = operation;
    let mut responses = Map::new();
    for answer in answers {
        responses.insert(answer.status.to_string(), described_answer(answer));
    }
    let mut by_status: BTreeMap<u16, Vec<Type>> = BTreeMap::new();
    for problem in problems {
        by_status.entry(problem.status().as_u16()).or_default().push(*problem);
    }
    for (status, types) in by_status {
        responses.insert(status.to_string(), described_problems(&types));
    }
    let mut described = json!({
        "operationId": id,
        "tags": [tag],
        "summary": summary,
        "description": format!("{description} Needs the role {} or admin.", operation.role().as_str()),
        "responses": responses,
    });
    if !parameters.is_empty() {
        described["parameters"] = Value::from(parameters.clone());
    }
    if !takes.is_empty() {
        described["requestBody"] = json!({"required": true, "content": content(takes)});
    }
    described
}

fn described_answer(answer: &Answer) -> Value {
    let mut described = json!({"description": answer.description});
    if !answer.content.is_empty() {
        described["content"] = content(&answer.content);
    }
    if !answer.headers.is_empty() {
        let headers = answer.headers.iter().map(|(name, header)| ((*name).to_owned(), header.clone()));
        described["headers"] = Value::Object(headers.collect());
    }
    described
}

/// A body, by its media types.
fn content(types: &[(&'static str, Value)]) -> Value {
    Value::Object(types.iter().map(|(name, schema)| ((*name).to_owned(), json!({"schema": schema}))).collect())
}

/// The problems of one status.
fn described_problems(types: &[Type]) -> Value {
    let words: Vec<String> =
        types.iter().map(|problem| format!("`{TYPE_PREFIX}{}`: {}.", problem.name(), problem.title())).collect();
    let mut described = json!({
        "description": words.join(" "),
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    });
    if types.iter().all(|problem| problem.is_temporary()) {
        described["headers"] = json!({
            "Retry-After": {"description": "In so many seconds it may be otherwise.", "schema": {"type": "integer", "minimum": 0}},
        });
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_description_is_what_the_program_says() {
        let committed = include_str!("../../docs/openapi.json");
        assert!(committed == text(), "the API has changed: vedfolnir api openapi > docs/openapi.json");
    }

    #[test]
    fn every_schema_that_is_named_is_there_and_every_one_that_is_there_is_named() {
        let text = text();
        for name in schemas::all().as_object().expect("an object").keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name}");
        }
        let document = document();
        for named in text.split("\"#/components/schemas/").skip(1) {
            let name = named.split('"').next().expect("a name");
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn no_route_is_made_beside_the_table() {
        let routes = concat!(include_str!("mod.rs"), include_str!("routes.rs")).matches(".route(").count();
        assert_eq!(routes, 1, "each route is an entry of `operations`");
    }
}
