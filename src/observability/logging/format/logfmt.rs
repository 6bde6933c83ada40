//! `key=value`, separated by spaces; texts with anything but plain characters in double quotes, JSON's escapes in them.

use std::fmt::Write as _;

use super::super::escape::push_json_string;
use super::super::record::{Record, UserId};
use super::super::timestamp::push_rfc3339;
use super::super::value::Value;
use super::{Identity, push_tenths};

/// Writes the pairs, without a line feed.
pub(crate) fn write(out: &mut String, record: &Record, identity: &Identity) {
    out.push_str("timestamp=");
    push_rfc3339(out, record.unix_ms);
    push_pair(out, "level", record.level.name());
    push_pair(out, "category", record.category.name());
    push_pair(out, "event_type", record.event.name);
    push_pair(out, "message", record.message_or_event());
    push_optional(out, "session_id", record.session_id.as_deref());
    match &record.user_id {
        // Writing into a string cannot fail, here and below.
        Some(UserId::Number(number)) => drop(write!(out, " user_id={number}")),
        Some(UserId::Text(text)) => push_pair(out, "user_id", text),
        None => {}
    }
    push_optional(out, "connection_id", record.connection_id.as_deref());
    push_optional(out, "namespace", record.namespace.as_deref());
    push_optional(out, "client_ip", record.client_ip.as_deref());
    push_optional(out, "user_agent", record.user_agent.as_deref());
    if let Some(tenths) = record.duration_tenths {
        out.push_str(" duration_ms=");
        push_tenths(out, tenths);
    }
    push_optional(out, "error_code", record.error_code.as_deref());
    push_pair(out, "server_id", identity.server_id());
    push_optional(out, "node", identity.node());
    push_optional(out, "trace_id", record.trace_id.as_deref());
    push_optional(out, "span_id", record.span_id.as_deref());
    if let Some(seq) = record.seq {
        let _ = write!(out, " seq={seq}");
    }
    for (name, value) in &record.metadata {
        out.push_str(" metadata.");
        push_key(out, name);
        out.push('=');
        push_value(out, value);
    }
    if record.fields_dropped() > 0 {
        let _ = write!(out, " metadata.fields_dropped={}", record.fields_dropped());
    }
}

fn push_optional(out: &mut String, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        push_pair(out, name, text);
    }
}

fn push_pair(out: &mut String, name: &str, text: &str) {
    out.push(' ');
    out.push_str(name);
    out.push('=');
    push_text(out, text);
}

/// A key has no quotes: what would need them is replaced.
fn push_key(out: &mut String, name: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    out.extend(name.chars().map(|c| if is_plain(c) { c } else { '_' }));
}

fn push_text(out: &mut String, text: &str) {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
    if !text.is_empty() && text.bytes().all(is_plain) {
        out.push_str(text);
    } else {
        push_json_string(out, text);
    }
}

/// A value; shared with the lines for people.
pub(super) fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Text(text) => push_text(out, text),
        Value::Int(number) => drop(write!(out, "{number}")),
        Value::Uint(number) => drop(write!(out, "{number}")),
        Value::Float(number) => drop(write!(out, "{number:?}")),
        Value::Bool(yes) => drop(write!(out, "{yes}")),
    }
}
