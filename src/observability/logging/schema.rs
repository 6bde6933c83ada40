//! The JSON Schema of a log line (draft 2020-12): what `jq`, collectors and tests may rely on.

use serde_json::{Value, json};

use super::catalogue::EVENT_TYPES;
use super::level::{Category, Level};
use super::record::{ERROR_CODE_BYTES_MAX, ID_BYTES_MAX, METADATA_FIELDS_MAX, USER_AGENT_BYTES_MAX};

/// The schema; nothing but its fields is at the top of a line.
#[must_use]
pub fn schema() -> Value {
    let text = |bytes_max: usize| json!({"type": "string", "minLength": 1, "maxLength": bytes_max});
    let names = |names: Vec<&str>| json!({"enum": names});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A log line",
        "type": "object",
        "required": ["timestamp", "level", "category", "event_type", "message", "server_id", "metadata"],
        "additionalProperties": false,
        "properties": {
            "timestamp": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$"},
            "level": names(Level::SHOWN.iter().map(|level| level.name()).collect()),
            "category": names(Category::ALL.iter().map(|category| category.name()).collect()),
            "event_type": names(EVENT_TYPES.iter().map(|event| event.name).collect()),
            "message": {"type": "string", "minLength": 1},
            "session_id": text(ID_BYTES_MAX),
            "user_id": {"anyOf": [{"type": "integer", "not": {"const": 0}}, text(ID_BYTES_MAX)]},
            "connection_id": text(ID_BYTES_MAX),
            "namespace": text(ID_BYTES_MAX),
            "client_ip": {"type": "string", "pattern": "^[0-9a-f.:]+(/24|/48)?$"},
            "user_agent": {"type": "string", "maxLength": USER_AGENT_BYTES_MAX},
            "duration_ms": {"type": "number", "minimum": 0},
            "error_code": text(ERROR_CODE_BYTES_MAX),
            "server_id": {"type": "string", "minLength": 1},
            "node": {"type": "string", "minLength": 1},
            "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "seq": {"type": "integer", "minimum": 1},
            "metadata": {
                "type": "object",
                // One more says how many found no room.
                "maxProperties": METADATA_FIELDS_MAX + 1,
                "additionalProperties": {"type": ["string", "number", "boolean"]},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::format::{Format, Identity};
    use super::super::masking::Pii;
    use super::super::record::Record;
    use super::super::value::Value as Field;
    use super::*;

    fn field() -> impl Strategy<Value = Field> {
        prop_oneof![
            any::<String>().prop_map(Field::Text),
            any::<i64>().prop_map(Field::from),
            any::<u64>().prop_map(Field::from),
            any::<f64>().prop_map(Field::from),
            any::<bool>().prop_map(Field::from),
        ]
    }

    fn name() -> impl Strategy<Value = String> {
        const KNOWN: [&str; 20] = [
            "message",
            "session_id",
            "user_id",
            "connection_id",
            "namespace",
            "client_ip",
            "user_agent",
            "duration_ms",
            "error_code",
            "trace_id",
            "span_id",
            "seq",
            "server_id",
            "node",
            "timestamp",
            "level",
            "category",
            "event_type",
            "metadata",
            "token",
        ];
        prop_oneof![proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned), "[a-z_]{1,12}", any::<String>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_record_is_valid(
            unix_ms in any::<u64>(),
            event in 0..EVENT_TYPES.len(),
            level in 0..5_usize,
            category in 0..6_usize,
            pii in proptest::sample::select(&[Pii::Full, Pii::Mask, Pii::None][..]),
            seq in proptest::option::of(1..u64::MAX),
            fields in proptest::collection::vec((name(), field()), 0..60),
            address in any::<std::net::IpAddr>(),
        ) {
            thread_local!(static VALIDATOR: jsonschema::Validator = jsonschema::validator_for(&schema()).unwrap());
            let mut record = Record::new(unix_ms, Level::SHOWN[level], Category::ALL[category], &EVENT_TYPES[event], pii);
            record.seq = seq;
            for (name, value) in fields {
                record.set(name, value);
            }
            record.set("client_ip", address.to_string().into());
            for record in [record.brief(), record] {
                let mut line = String::new();
                Format::Json.write(&mut line, &record, &Identity::new("server"));
                let value = serde_json::from_str(&line).unwrap();
                VALIDATOR.with(|validator| {
                    let problems: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
                    prop_assert!(problems.is_empty(), "{line}: {problems:?}");
                    Ok(())
                })?;
            }
        }
    }

    #[test]
    fn the_schema_refuses_what_no_line_may_be() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let good = json!({
            "timestamp": "2025-01-28T10:30:00.000Z", "level": "INFO", "category": "system", "event_type": "log", "message": "m",
            "server_id": "s", "metadata": {},
        });
        assert!(validator.is_valid(&good));
        for (name, value) in [
            ("extra", json!(1)),
            ("level", json!("WARN")),
            ("event_type", json!("made_up")),
            ("message", json!("")),
            ("user_id", json!(0)),
            ("user_id", json!(null)),
            ("timestamp", json!("2025-01-28T10:30:00Z")),
            ("metadata", json!({"a": {"b": 1}})),
            ("client_ip", json!("example.com")),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(!validator.is_valid(&bad), "{bad}");
        }
    }
}
