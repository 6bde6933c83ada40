//! The documented example and hostile relatives of it; a living state there and back.

use serde_json::{Value, json};
use vedfolnir_cluster::state::{Configuration, SidKey, user_room};

use super::*;

const ALL: Keep = Keep { connections: true, subscriptions: true, session_data: true };

fn configuration() -> Configuration {
    Configuration {
        history_id: 7,
        recovery_window_ms: 120_000,
        history_age_ms_max: 180_000,
        history_bytes_max: 1 << 20,
        sid_key: SidKey([7; 32]),
    }
}

/// The example of the production-readiness document.
fn example() -> Value {
    json!({
        "metadata": {"backup_type": "full", "timestamp": "2025-01-28T10:30:00.000Z", "version": "1.0"},
        "connections": {
            "conn_456": {
                "session_id": "session_123",
                "user_id": 1,
                "connection_id": "conn_456",
                "namespace": "/user",
                "rooms": ["room_1", "room_2"],
                "connected_at": "2025-01-28T10:25:00.000Z",
                "last_activity": "2025-01-28T10:29:30.000Z",
                "client_info": {"ip": "192.168.1.100", "user_agent": "Mozilla/5.0..."},
                "subscription_data": {"notifications": true, "updates": ["type_1", "type_2"]}
            }
        },
        "sessions": {
            "session_123": {
                "data": {"user_id": 1, "platform_id": 1, "preferences": {}},
                "timestamp": "2025-01-28T10:25:00.000Z"
            }
        },
        "redis_sessions": {
            "vedfolnir:session:session_123": {"user_id": 1, "username": "user1", "platform_connection_id": 1}
        }
    })
}

fn read(document: &Value) -> Result<Imported, ImportError> {
    import(document.to_string().as_bytes(), configuration())
}

fn write(imported: &Imported, keep: Keep) -> (Value, Exported) {
    let mut text = Vec::new();
    let exported = export(&imported.state, &imported.facts, 0, keep, &mut text).unwrap();
    (serde_json::from_slice(&text).unwrap(), exported)
}

#[test]
fn the_documented_example_comes_back_as_it_was() {
    let imported = read(&example()).unwrap();
    assert_eq!(imported.counts, Counts { connections: 1, sessions: 1, redis_sessions: 1 });
    let (document, exported) = write(&imported, ALL);
    assert_eq!(document, example());
    assert_eq!(exported, Exported { connections: 1, sessions: 1, redis_sessions: 1, skipped: 0 });
    let again = read(&document).unwrap();
    assert_eq!(write(&again, ALL).0, document);
    assert_eq!(again.state.state_hash(), imported.state.state_hash());
}

#[test]
fn what_is_written_is_in_the_published_schema() {
    let schema = serde_json::from_str(include_str!("../../../docs/backup-export.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let (document, _) = write(&read(&example()).unwrap(), ALL);
    assert!(validator.is_valid(&document), "{:?}", validator.iter_errors(&document).next());
    let mut other = document;
    other["sessions"]["session_123"]["more"] = json!(1);
    assert!(!validator.is_valid(&other));
}

#[test]
fn what_it_holds_is_where_the_cluster_looks_for_it() {
    let state = read(&example()).unwrap().state;
    let session = state.sessions().next().unwrap();
    assert_eq!((session.user.as_deref(), session.namespace.as_ref(), session.connected), (Some("1"), "/user", true));
    let rooms: Vec<&str> = session.rooms.iter().map(AsRef::as_ref).collect();
    assert_eq!(rooms, ["conn_456", "room_1", "room_2"]);
    let users = state.room_count(&session.namespace, Some(&user_room("1")));
    assert_eq!(users.sessions, 1, "what is for its user is for it");
    let entry = state.kv_get("vedfolnir:session:session_123").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&entry.value).unwrap()["username"], "user1");
}

#[test]
fn texts_of_all_kinds_and_empty_parts_come_back() {
    let mut document = example();
    document["connections"]["conn_456"]["user_id"] = Value::Null;
    document["connections"]["conn_456"]["subscription_data"] = json!({});
    document["sessions"]["ünïcödé \"x\""] = json!({"data": {"preferences": {"a": [1.5, null, {"ß": "\u{1F600}\n"}]}}, "timestamp": "2025-01-28T10:25:00.123Z"});
    document["redis_sessions"] = json!({});
    assert_eq!(write(&read(&document).unwrap(), ALL).0, document);
    let empty = json!({"metadata": document["metadata"]});
    let (written, _) = write(&read(&empty).unwrap(), ALL);
    assert_eq!((&written["connections"], &written["sessions"]), (&json!({}), &json!({})));
}

#[test]
fn a_part_that_is_not_kept_is_empty() {
    let imported = read(&example()).unwrap();
    let (document, _) = write(&imported, Keep { connections: false, ..ALL });
    assert_eq!(document["connections"], json!({}));
    assert_eq!(document["sessions"], example()["sessions"]);
    let (document, _) = write(&imported, Keep { subscriptions: false, ..ALL });
    assert_eq!(document["connections"]["conn_456"]["rooms"], json!([]));
    assert_eq!(document["connections"]["conn_456"]["subscription_data"], json!({}));
    let (document, _) = write(&imported, Keep { session_data: false, ..ALL });
    assert_eq!((&document["sessions"], &document["redis_sessions"]), (&json!({}), &json!({})));
    assert_eq!(document["connections"], example()["connections"]);
}

#[test]
fn a_document_that_cannot_be_taken_as_a_whole_is_refused_with_the_place_and_the_reason() {
    let changed = |pointer: &str, value: Value| {
        let mut document = example();
        *document.pointer_mut(pointer).unwrap() = value;
        read(&document).map(|_| ()).unwrap_err().to_string()
    };
    let connection = "/connections/conn_456";
    for (error, words) in [
        (changed("/metadata/version", json!("9.0")), "the document is of version \"9.0\"; supported: \"1.0\""),
        (changed("/metadata/timestamp", json!("yesterday")), "metadata.timestamp: \"yesterday\" is no time"),
        (changed(&format!("{connection}/connection_id"), json!("other")), "connections.conn_456: its connection_id is"),
        (changed(&format!("{connection}/namespace"), json!("user")), "\"user\" is no namespace"),
        (changed(&format!("{connection}/user_id"), json!(true)), "connections.conn_456.user_id: true is neither"),
        (
            changed(&format!("{connection}/connected_at"), json!("1")),
            "connections.conn_456.connected_at: \"1\" is no time",
        ),
        (
            changed(&format!("{connection}/rooms"), json!([""])),
            "connections.conn_456.rooms: the cluster would refuse it",
        ),
        (
            changed(&format!("{connection}/rooms"), json!(["\0user:ada"])),
            "connections.conn_456.rooms: the cluster would refuse it",
        ),
        (changed(&format!("{connection}/rooms"), json!("x")), "not in the layout"),
        (changed("/redis_sessions", json!({"session:1": {}})), "redis_sessions.session:1: its key does not begin"),
        (changed("/sessions", json!({"s": {"data": 1}})), "missing field `timestamp`"),
        (changed("/sessions", json!({"s": {"data": 1, "timestamp": "x", "more": 2}})), "unknown field `more`"),
        (changed("/metadata", json!({"version": "1.0", "timestamp": "", "x": 1})), "unknown field `x`"),
    ] {
        assert!(error.contains(words), "{error}");
    }
    for text in [&b""[..], b"{", b"[]", b"\xff", b"{\"connections\":{}}"] {
        assert!(matches!(import(text, configuration()), Err(ImportError::Layout(_))));
    }
}
