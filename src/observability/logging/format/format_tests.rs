//! The same record in every format, and records that want to be more than a line.

use proptest::prelude::*;
use serde_json::json;

use super::super::catalogue::{EventType, LOG};
use super::super::escape::is_hostile;
use super::super::level::{Category, Level};
use super::super::masking::Pii;
use super::super::value::Value;
use super::*;

fn line(format: Format, record: &Record) -> String {
    let identity = Identity::new("web-1");
    identity.set_node("00000000000000a1");
    let mut out = String::new();
    format.write(&mut out, record, &identity);
    out
}

/// The document's example.
fn example() -> Record {
    let event = EventType::find("connection_established").unwrap();
    let mut record = Record::new(1_738_060_200_000, Level::Info, Category::Connection, event, Pii::Full);
    record.set_message("WebSocket connection established");
    record.set("session_id", "session_123".into());
    record.set("user_id", 1_u64.into());
    record.set("connection_id", "conn_456".into());
    record.set("namespace", "/user".into());
    record.set("client_ip", "192.168.1.100".into());
    record.set("user_agent", "Mozilla/5.0...".into());
    record.set("duration_ms", 150.5.into());
    record.set("additional", "context".into());
    record
}

#[test]
fn the_documents_example_is_met_to_the_letter() {
    let document = r#"{"timestamp":"2025-01-28T10:30:00.000Z","level":"INFO","category":"connection","event_type":"connection_established","message":"WebSocket connection established","session_id":"session_123","user_id":1,"connection_id":"conn_456","namespace":"/user","client_ip":"192.168.1.100","user_agent":"Mozilla/5.0...","duration_ms":150.5,"#;
    let rest = r#""server_id":"web-1","node":"00000000000000a1","metadata":{"additional":"context"}}"#;
    assert_eq!(line(Format::Json, &example()), format!("{document}{rest}"));
}

#[test]
fn logfmt_has_all_fields() {
    let expected = "timestamp=2025-01-28T10:30:00.000Z level=INFO category=connection event_type=connection_established \
                    message=\"WebSocket connection established\" session_id=session_123 user_id=1 connection_id=conn_456 \
                    namespace=/user client_ip=192.168.1.100 user_agent=Mozilla/5.0... duration_ms=150.5 server_id=web-1 \
                    node=00000000000000a1 metadata.additional=context";
    assert_eq!(line(Format::Logfmt, &example()), expected);
}

#[test]
fn people_read_what_happened_first() {
    let expected = "2025-01-28T10:30:00.000Z     INFO connection connection_established: WebSocket connection established \
                    session_id=session_123 user_id=1 connection_id=conn_456 namespace=/user client_ip=192.168.1.100 \
                    user_agent=Mozilla/5.0... duration_ms=150.5 additional=context";
    assert_eq!(line(Format::Human { colour: false }, &example()), expected);
    let mut plain = Record::new(0, Level::Warning, Category::System, &LOG, Pii::Full);
    plain.set_message("the node does not serve yet");
    plain.set("target", "vedfolnir::server".into());
    assert_eq!(
        line(Format::Human { colour: false }, &plain),
        "1970-01-01T00:00:00.000Z  WARNING vedfolnir::server: the node does not serve yet"
    );
}

#[test]
fn colours_are_added_and_nothing_else() {
    let coloured = line(Format::Human { colour: true }, &example());
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(plain + rest, line(Format::Human { colour: false }, &example()));
}

#[test]
fn odd_numbers_are_json_all_the_same() {
    let mut record = Record::new(0, Level::Info, Category::System, &LOG, Pii::Full);
    for (name, number) in
        [("big", 1e300), ("small", -1e-7), ("whole", 2.0), ("nan", f64::NAN), ("infinite", f64::INFINITY)]
    {
        record.set(name, number.into());
    }
    record.set("negative", Value::from(-5_i64));
    record.set("yes", true.into());
    let parsed: serde_json::Value = serde_json::from_str(&line(Format::Json, &record)).unwrap();
    let expected = json!({"big": 1e300, "small": -1e-7, "whole": 2.0, "nan": "NaN", "infinite": "inf", "negative": -5, "yes": true});
    assert_eq!(parsed["metadata"], expected);
}

#[test]
fn a_client_cannot_forge_a_line_a_key_or_a_colour() {
    let hostile = "x\r\n{\"level\":\"CRITICAL\"}\u{1b}[31m\u{202e}\" level=CRITICAL";
    let mut record = Record::new(0, Level::Info, Category::Message, &LOG, Pii::Full);
    for name in ["message", "session_id", "user_id", "connection_id", "namespace", "user_agent", "error_code", "event"]
    {
        record.set(name, hostile.into());
    }
    record.set(hostile, hostile.into());
    for format in [Format::Json, Format::Logfmt, Format::Human { colour: false }] {
        let line = line(format, &record);
        assert!(!line.chars().any(is_hostile), "{line:?}");
    }
    let logfmt = line(Format::Logfmt, &record);
    // Outside of quotes there is one level.
    let outside: String = logfmt.replace("\\\"", "").split('"').step_by(2).collect();
    assert_eq!(outside.matches("level=").count(), 1, "{outside}");
    let json: serde_json::Value = serde_json::from_str(&line(Format::Json, &record)).unwrap();
    assert_eq!((&json["level"], &json["message"]), (&json!("INFO"), &json!(hostile)));
}

proptest! {
    #[test]
    fn whatever_is_said_stays_one_line(text in any::<String>(), name in any::<String>(), number in any::<f64>()) {
        let mut record = Record::new(0, Level::Info, Category::Message, &LOG, Pii::Full);
        record.set("message", text.clone().into());
        record.set("user_agent", text.clone().into());
        record.set(name.clone(), text.into());
        record.set(format!("{name}2"), number.into());
        for format in [Format::Json, Format::Logfmt, Format::Human { colour: false }] {
            prop_assert!(!line(format, &record).chars().any(is_hostile));
        }
        prop_assert!(serde_json::from_str::<serde_json::Value>(&line(Format::Json, &record)).unwrap().is_object());
    }
}
