//! Lines for people: when, how grave, what, and then everything else as `key=value`.
//!
//! What every line of a process has in common (its name, its node) is left out, and so are event types that say nothing.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::super::escape::{Style, push};
use super::super::level::Level;
use super::super::record::{Record, UserId};
use super::super::timestamp::push_rfc3339;
use super::super::value::Value;
use super::logfmt::push_value;
use super::push_tenths;

const DIM: &str = "\u{1b}[2m";
const RESET: &str = "\u{1b}[0m";

const fn colour_of(level: Level) -> &'static str {
    match level {
        Level::Trace | Level::Debug => "\u{1b}[34m",
        Level::Info => "\u{1b}[32m",
        Level::Warning => "\u{1b}[33m",
        Level::Error => "\u{1b}[31m",
        Level::Critical => "\u{1b}[1;31m",
    }
}

/// Writes the line, without a line feed.
pub(crate) fn write(out: &mut String, record: &Record, colour: bool) {
    let paint = |out: &mut String, code: &str| {
        if colour {
            out.push_str(code);
        }
    };
    paint(out, DIM);
    push_rfc3339(out, record.unix_ms);
    paint(out, RESET);
    out.push(' ');
    paint(out, colour_of(record.level));
    // Writing into a string cannot fail, here and below.
    let _ = write!(out, "{:>8}", record.level.name());
    paint(out, RESET);
    out.push(' ');
    paint(out, DIM);
    if matches!(record.event.name, "log" | "error") {
        // Who speaks says more than that somebody does.
        match record.metadata.iter().find(|(name, _)| name == "target") {
            Some((_, Value::Text(target))) => push(out, target, Style::Plain),
            _ => out.push_str(record.category.name()),
        }
    } else {
        let _ = write!(out, "{} {}", record.category.name(), record.event.name);
    }
    out.push(':');
    paint(out, RESET);
    out.push(' ');
    push(out, record.message_or_event(), Style::Plain);
    paint(out, DIM);
    write_fields(out, record);
    paint(out, RESET);
}

fn write_fields(out: &mut String, record: &Record) {
    let mut pair = |name: &str, text: Option<&str>| {
        if let Some(text) = text {
            let _ = write!(out, " {name}=");
            push_value(out, &Value::Text(text.to_owned()));
        }
    };
    pair("session_id", record.session_id.as_deref());
    let user = record.user_id.as_ref().map(|user| match user {
        UserId::Number(number) => Cow::Owned(number.to_string()),
        UserId::Text(text) => Cow::Borrowed(text.as_str()),
    });
    pair("user_id", user.as_deref());
    pair("connection_id", record.connection_id.as_deref());
    pair("namespace", record.namespace.as_deref());
    pair("client_ip", record.client_ip.as_deref());
    pair("user_agent", record.user_agent.as_deref());
    pair("error_code", record.error_code.as_deref());
    pair("trace_id", record.trace_id.as_deref());
    if let Some(tenths) = record.duration_tenths {
        out.push_str(" duration_ms=");
        push_tenths(out, tenths);
    }
    for (name, value) in record.metadata.iter().filter(|(name, _)| name != "target") {
        out.push(' ');
        push(out, name, Style::Plain);
        out.push('=');
        push_value(out, value);
    }
    if record.fields_dropped() > 0 {
        let _ = write!(out, " fields_dropped={}", record.fields_dropped());
    }
}
