//! Where fields go, what is cut and what is hidden.

use super::super::catalogue::LOG;
use super::*;

fn record(pii: Pii) -> Record {
    Record::new(0, Level::Info, Category::Connection, &LOG, pii)
}

fn text(record: &Record, name: &str) -> Option<String> {
    record.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone().into_text())
}

#[test]
fn fields_of_the_schema_go_to_their_places() {
    let mut record = record(Pii::Full);
    record.set("session_id", "session_123".into());
    record.set("user_id", 1_u64.into());
    record.set("connection_id", "conn_456".into());
    record.set("namespace", "/user".into());
    record.set("client_ip", "192.168.1.100".into());
    record.set("user_agent", "Mozilla/5.0...".into());
    record.set("duration_ms", 150.46.into());
    record.set("error_code", "AUTH_FAILED".into());
    record.set("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into());
    record.set("span_id", "00f067aa0ba902b7".into());
    record.set("additional", "context".into());
    assert_eq!(record.user_id, Some(UserId::Number(1)));
    assert_eq!(record.client_ip.as_deref(), Some("192.168.1.100"));
    assert_eq!(record.duration_tenths, Some(1505));
    assert_eq!(record.span_id.as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!(record.metadata, [("additional".into(), Value::from("context"))]);
}

#[test]
fn what_has_not_the_schemas_form_goes_to_the_metadata() {
    let mut record = record(Pii::Full);
    record.set("client_ip", "unix".into());
    record.set("duration_ms", "soon".into());
    record.set("duration_ms", f64::NAN.into());
    record.set("trace_id", "4BF92F3577B34DA6A3CE929D0E0E4736".into());
    record.set("node", "another node".into());
    record.set("timestamp", "yesterday".into());
    assert_eq!((record.client_ip.as_ref(), record.duration_tenths, record.trace_id.as_ref()), (None, None, None));
    let names: Vec<_> = record.metadata.iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(names, ["client_ip", "duration_ms", "trace_id", "node", "timestamp"]);
}

#[test]
fn an_anonymous_client_has_no_user() {
    for value in [0_u64.into(), "".into(), Value::from(0_i64)] {
        let mut record = record(Pii::Full);
        record.set("user_id", value);
        assert_eq!(record.user_id, None);
    }
    let mut record = record(Pii::Full);
    record.set("user_id", "0".into());
    assert_eq!(record.user_id, Some(UserId::Text("0".to_owned())));
}

#[test]
fn durations_have_a_resolution_of_a_tenth_and_no_sign() {
    for (given, expected) in [(0.04, 0), (0.05, 1), (150.5, 1505), (-3.0, 0), (1e300, u64::MAX)] {
        let mut record = record(Pii::Full);
        record.set("duration_ms", given.into());
        assert_eq!(record.duration_tenths, Some(expected));
    }
}

#[test]
fn addresses_are_canonical() {
    for (given, shown) in [
        ("2001:0DB8::0001", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:443", "10.0.0.1"),
        ("[::1]:443", "::1"),
    ] {
        let mut record = record(Pii::Full);
        record.set("client_ip", given.into());
        assert_eq!(record.client_ip.as_deref(), Some(shown));
    }
}

#[test]
fn everything_has_its_bound() {
    let long = "é".repeat(20_000);
    let mut record = record(Pii::Full);
    record.set("message", Value::Text(long.clone()));
    record.set("user_agent", Value::Text(long.clone()));
    record.set("session_id", Value::Text(long.clone()));
    record.set("error_code", Value::Text(long.clone()));
    assert_eq!(record.message.len(), MESSAGE_BYTES_MAX);
    assert_eq!(record.user_agent.as_ref().map(String::len), Some(USER_AGENT_BYTES_MAX));
    assert_eq!(record.session_id.as_ref().map(String::len), Some(ID_BYTES_MAX));
    assert_eq!(record.error_code.as_ref().map(String::len), Some(ERROR_CODE_BYTES_MAX));
    for index in 0..100 {
        record.set(format!("field{index}"), Value::Text(long.clone()));
    }
    let bytes: usize = record.metadata.iter().map(|(name, value)| name.len() + value.bytes()).sum();
    assert!(bytes <= METADATA_BYTES_MAX && record.metadata.len() <= METADATA_FIELDS_MAX);
    assert_eq!(record.fields_dropped() + record.metadata.len() as u64, 100);
}

#[test]
fn a_later_value_replaces_an_earlier_one() {
    let mut record = record(Pii::Full);
    record.set("room", "a".into());
    record.set("room", "b".into());
    assert_eq!(record.metadata, [("room".into(), Value::from("b"))]);
}

#[test]
fn secrets_do_not_get_in_by_name_or_by_text() {
    const CANARY: &str = "c4n4ry";
    let mut record = record(Pii::Full);
    for name in ["token", "client_secret", "pid", "authorization", "Cookie", "password", "payload"] {
        record.set(name, CANARY.into());
        assert_eq!(text(&record, name).as_deref(), Some(HIDDEN), "{name}");
    }
    record.set("pid", 4_711_u64.into());
    record.set("payload_bytes", 17_u64.into());
    record.set("error", format!("no such token={CANARY}").into());
    record.set("message", format!("refused: {{\"pid\":\"{CANARY}\"}}").into());
    assert_eq!(text(&record, "pid").as_deref(), Some(HIDDEN));
    assert_eq!(text(&record, "payload_bytes").as_deref(), Some("17"));
    assert!(!format!("{record:?}").contains(CANARY), "{record:?}");
    assert_eq!(record.secrets_hidden(), 10);
}

#[test]
fn masking_reaches_every_place_of_an_address() {
    const ADDRESS: &str = "203.0.113.77";
    for pii in [Pii::Mask, Pii::None] {
        let mut record = record(pii);
        record.set("client_ip", ADDRESS.into());
        record.set("remote", format!("{ADDRESS}:5000").into());
        record.set("reason", format!("{ADDRESS} went away").into());
        record.set("message", format!("closed {ADDRESS}").into());
        record.set("user_agent", "Mozilla/5.0 (X11)".into());
        assert!(!format!("{record:?}").contains(ADDRESS), "{record:?}");
        assert_eq!(record.client_ip.as_deref(), (pii == Pii::Mask).then_some("203.0.113.0/24"));
        assert_eq!(record.user_agent.as_deref(), (pii == Pii::Mask).then_some("Mozilla/5.0"));
        assert_eq!(text(&record, "remote").as_deref(), (pii == Pii::Mask).then_some("203.0.113.0/24"));
    }
}

#[test]
fn a_record_without_a_message_says_its_event() {
    assert_eq!(record(Pii::Full).message_or_event(), "log");
}

#[test]
fn a_brief_record_is_small_whatever_was_said() {
    let mut record = record(Pii::Full);
    for name in ["message", "user_agent", "session_id", "connection_id", "namespace", "user_id", "error_code", "other"]
    {
        record.set(name, Value::Text("\u{1b}".repeat(9_000)));
    }
    let identity = super::super::format::Identity::new("server");
    let mut out = String::new();
    super::super::format::json::write(&mut out, &record.brief(), &identity);
    // Each of these characters is six bytes in JSON.
    assert!(out.len() < 6_000, "{}", out.len());
}
