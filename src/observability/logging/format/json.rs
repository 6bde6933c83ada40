//! One JSON object a line: the document's schema, its fields in the document's order.

use std::fmt::Write as _;

use super::super::escape::push_json_string;
use super::super::record::{Record, UserId};
use super::super::timestamp::push_rfc3339;
use super::super::value::Value;
use super::{Identity, push_tenths};

/// Writes the object, without a line feed.
pub(crate) fn write(out: &mut String, record: &Record, identity: &Identity) {
    out.push_str("{\"timestamp\":\"");
    push_rfc3339(out, record.unix_ms);
    // Names of levels, categories and events need no escape.
    for (name, value) in [
        ("\",\"level\":\"", record.level.name()),
        ("\",\"category\":\"", record.category.name()),
        ("\",\"event_type\":\"", record.event.name),
    ] {
        out.push_str(name);
        out.push_str(value);
    }
    out.push_str("\",\"message\":");
    push_json_string(out, record.message_or_event());
    push_text(out, ",\"session_id\":", record.session_id.as_deref());
    match &record.user_id {
        // Writing into a string cannot fail, here and below.
        Some(UserId::Number(number)) => drop(write!(out, ",\"user_id\":{number}")),
        Some(UserId::Text(text)) => push_text(out, ",\"user_id\":", Some(text)),
        None => {}
    }
    push_text(out, ",\"connection_id\":", record.connection_id.as_deref());
    push_text(out, ",\"namespace\":", record.namespace.as_deref());
    push_text(out, ",\"client_ip\":", record.client_ip.as_deref());
    push_text(out, ",\"user_agent\":", record.user_agent.as_deref());
    if let Some(tenths) = record.duration_tenths {
        out.push_str(",\"duration_ms\":");
        push_tenths(out, tenths);
    }
    push_text(out, ",\"error_code\":", record.error_code.as_deref());
    push_text(out, ",\"server_id\":", Some(identity.server_id()));
    push_text(out, ",\"node\":", identity.node());
    push_text(out, ",\"trace_id\":", record.trace_id.as_deref());
    push_text(out, ",\"span_id\":", record.span_id.as_deref());
    if let Some(seq) = record.seq {
        let _ = write!(out, ",\"seq\":{seq}");
    }
    out.push_str(",\"metadata\":{");
    let mut is_first = true;
    for (name, value) in &record.metadata {
        if !is_first {
            out.push(',');
        }
        is_first = false;
        push_json_string(out, name);
        out.push(':');
        push_value(out, value);
    }
    if record.fields_dropped() > 0 {
        let comma = if is_first { "" } else { "," };
        let _ = write!(out, "{comma}\"fields_dropped\":{}", record.fields_dropped());
    }
    out.push_str("}}");
}

fn push_text(out: &mut String, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        out.push_str(name);
        push_json_string(out, text);
    }
}

fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Text(text) => push_json_string(out, text),
        Value::Int(number) => drop(write!(out, "{number}")),
        Value::Uint(number) => drop(write!(out, "{number}")),
        // `Debug` writes an exponent where it is shorter, and so JSON's form of a number.
        Value::Float(number) if number.is_finite() => drop(write!(out, "{number:?}")),
        Value::Float(number) => drop(write!(out, "\"{number}\"")),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
    }
}
