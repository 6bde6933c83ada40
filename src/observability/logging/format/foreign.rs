//! Lines that another formatter wrote: JSON objects, in which secrets are hidden and hostile characters escaped all the same.
//!
//! It costs a parse and is meant for those who run Bunyan's tools. A line that is no JSON object is not written as it is:
//! its text is scrubbed and escaped.

use serde_json::Value;

use super::super::escape::{Style, push, push_json_string};
use super::super::level::Category;
use super::super::masking::{self, Pii};
use super::super::redaction::{self, HIDDEN, Verdict};

/// Bytes of such a line; the rest of a longer one is cut off, and the line is then no JSON.
pub(crate) const FOREIGN_BYTES_MAX: usize = 128 << 10;

/// The line as it may be shown, without a line feed.
pub(crate) fn sanitised(line: &[u8], pii: Pii) -> String {
    let line = line.get(..FOREIGN_BYTES_MAX.min(line.len())).unwrap_or_default();
    let mut out = String::with_capacity(line.len());
    match serde_json::from_slice::<Value>(line) {
        Ok(object @ Value::Object(_)) => write(&mut out, &object, pii, true),
        _ => {
            let text = String::from_utf8_lossy(line);
            let (text, _) = redaction::scrub(text.trim_end());
            push(&mut out, &pii.text(&text, Category::Connection), Style::Plain);
        }
    }
    out
}

fn write(out: &mut String, value: &Value, pii: Pii, is_top: bool) {
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_json_string(out, name);
                out.push(':');
                // Bunyan's `pid` is the operating system's number of the process, which that schema demands.
                let is_process = is_top && name == "pid" && value.is_u64();
                match (redaction::judge(name), value) {
                    _ if is_process => write(out, value, pii, false),
                    (Verdict::Hidden, _)
                    | (Verdict::NumbersOnly, Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                        push_json_string(out, HIDDEN);
                    }
                    (_, Value::String(text)) if masking::is_address_field(name) => {
                        push_json_string(out, pii.address_field(text).as_deref().unwrap_or("-"));
                    }
                    (_, Value::String(text)) if name == "user_agent" => {
                        push_json_string(out, pii.user_agent(text).unwrap_or("-"));
                    }
                    _ => write(out, value, pii, false),
                }
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item, pii, false);
            }
            out.push(']');
        }
        // What it is about is not known: an address may be a client's.
        Value::String(text) => push_json_string(out, &pii.text(&redaction::scrub(text).0, Category::Connection)),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bunyan_record_keeps_its_form_and_loses_its_secrets() {
        let line = br#"{"v":0,"name":"x","msg":"refused token=c4n4ry","level":30,"pid":4711,"time":"t","token":"c4n4ry","deep":{"pid":"c4n4ry","body":["c4n4ry"]},"client_ip":"203.0.113.77"}"#;
        let shown = sanitised(line, Pii::Mask);
        let value: Value = serde_json::from_str(&shown).unwrap();
        assert!(!shown.contains("c4n4ry") && !shown.contains("113.77"), "{shown}");
        assert_eq!(value["pid"], 4711);
        assert_eq!(value["msg"], "refused token=***");
        assert_eq!(value["client_ip"], "203.0.113.0/24");
        assert_eq!(value["level"], 30);
    }

    #[test]
    fn what_is_no_object_stays_one_line() {
        for line in [&b"plain\n\x1b[2J\xff"[..], b"[1,2]", b"{broken", b""] {
            let shown = sanitised(line, Pii::Full);
            assert!(!shown.contains(['\n', '\u{1b}']), "{shown:?}");
        }
        assert_eq!(sanitised("{\"a\":\"\u{202e}\"}".as_bytes(), Pii::Full), r#"{"a":"\u202e"}"#);
    }

    #[test]
    fn a_line_of_any_length_has_its_bound() {
        let line = vec![b'a'; FOREIGN_BYTES_MAX * 2];
        assert_eq!(sanitised(&line, Pii::Full).len(), FOREIGN_BYTES_MAX);
    }
}
