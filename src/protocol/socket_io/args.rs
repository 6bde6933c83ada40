//! Argument arrays: JSON that is checked once and then carried as text, never built into a tree.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

/// How deep arrays and objects may be nested: below what serde_json reads (128), so that no handler fails at the depth of
/// what is accepted here, and far below the recursion limits of other clients' languages. A handler may fail at a value that
/// JSON has and Rust has not, such as half a surrogate pair, which JavaScript's strings may hold.
pub const NESTING_MAX: usize = 120;

/// Event names that mean something to the endpoints themselves; a client that sends one is closed.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Why a text is not an argument array.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ArgsError {
    /// Not UTF-8.
    #[error("arguments are not valid UTF-8")]
    NotUtf8,
    /// Not JSON, or not an array.
    #[error("arguments are not a JSON array: {0}")]
    NotAnArray(String),
    /// Not JSON, or not an object.
    #[error("the auth payload is not a JSON object: {0}")]
    NotAnObject(String),
    /// An event has a string or a number first.
    #[error("the first argument is no event name; it must be a string or a number")]
    NoEventName,
    /// The name is one of `RESERVED_EVENTS`.
    #[error("the event name \"{0}\" is reserved")]
    Reserved(&'static str),
    /// Deeper than `NESTING_MAX`.
    #[error("arguments are nested deeper than {NESTING_MAX}")]
    TooDeep,
    /// A placeholder whose `num` names no attachment.
    #[error("a placeholder names none of the {attachments} attachments")]
    PlaceholderOutOfRange {
        /// How many there are.
        attachments: usize,
    },
}

/// Checks the arguments of an event: a JSON array whose first element is a name that is not reserved, nested at most
/// `NESTING_MAX` deep, and with attachments, placeholders that are all in range.
pub fn check_event(args: &str, attachments: usize) -> Result<(), ArgsError> {
    check_nesting(args)?;
    match read_head(args)? {
        Some(Head::Text(name)) => {
            if let Some(reserved) = RESERVED_EVENTS.iter().find(|reserved| **reserved == name) {
                return Err(ArgsError::Reserved(reserved));
            }
        }
        Some(Head::Number) => {}
        Some(Head::Other) | None => return Err(ArgsError::NoEventName),
    }
    check_placeholders(args, attachments)
}

/// Checks the arguments of an ack: any JSON array.
pub fn check_ack(args: &str, attachments: usize) -> Result<(), ArgsError> {
    check_nesting(args)?;
    read_head(args)?;
    check_placeholders(args, attachments)
}

/// Checks the auth payload of a CONNECT: a JSON object.
pub fn check_object(object: &str) -> Result<(), ArgsError> {
    check_nesting(object)?;
    if !object.starts_with('{') {
        return Err(ArgsError::NotAnObject("it does not begin with {".to_owned()));
    }
    serde_json::from_str::<&RawValue>(object).map_err(|error| ArgsError::NotAnObject(error.to_string()))?;
    Ok(())
}

/// Checks arguments that an application wants to emit, at the edge where they enter: as strict as a client's event.
pub fn check_event_bytes(args: &[u8], attachments: usize) -> Result<(), ArgsError> {
    check_event(std::str::from_utf8(args).map_err(|_| ArgsError::NotUtf8)?, attachments)
}

/// The event's name out of a checked array; a numeric name in its JSON text. The rest of the array is not read.
#[must_use]
pub fn event_name(args: &[u8]) -> Option<Cow<'_, str>> {
    let rest = args.trim_ascii_start().strip_prefix(b"[")?;
    let mut first = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
    let name = first.next()?.ok()?.get();
    match name.as_bytes().first()? {
        b'"' => match name[1..name.len() - 1].contains('\\') {
            false => Some(Cow::Borrowed(&name[1..name.len() - 1])),
            true => serde_json::from_str::<String>(name).ok().map(Cow::Owned),
        },
        b'0'..=b'9' | b'-' => Some(Cow::Borrowed(name)),
        _ => None,
    }
}

/// The elements of a checked array, each as its JSON text.
pub fn elements(args: &[u8]) -> Result<Vec<&RawValue>, ArgsError> {
    serde_json::from_slice(args).map_err(|error| ArgsError::NotAnArray(error.to_string()))
}

/// The array `["name",…]` of an event and its further arguments.
pub fn event_array<'a>(name: &str, arguments: impl IntoIterator<Item = &'a RawValue>) -> Bytes {
    let mut array = String::with_capacity(64);
    array.push('[');
    array.push_str(&json_string(name));
    for argument in arguments {
        array.push(',');
        array.push_str(argument.get());
    }
    array.push(']');
    Bytes::from(array)
}

/// The JSON text of a string.
pub(crate) fn json_string(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain { format!("\"{text}\"") } else { serde_json::Value::from(text).to_string() }
}

/// A text that is nested too deep needs two bytes for each level: most are settled by their length.
fn check_nesting(json: &str) -> Result<(), ArgsError> {
    if json.len() <= 2 * NESTING_MAX {
        return Ok(());
    }
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(ArgsError::TooDeep);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// What stands first in an array.
enum Head<'a> {
    Text(Cow<'a, str>),
    Number,
    Other,
}

/// Reads a whole array, validates it, and keeps its first element.
fn read_head(args: &str) -> Result<Option<Head<'_>>, ArgsError> {
    let mut deserializer = serde_json::Deserializer::from_str(args);
    let head = deserializer.deserialize_seq(HeadVisitor);
    head.and_then(|head| deserializer.end().map(|()| head)).map_err(|error| ArgsError::NotAnArray(error.to_string()))
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = Option<Head<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let Some(first) = array.next_element::<&RawValue>()? else {
            return Ok(None);
        };
        while array.next_element::<IgnoredAny>()?.is_some() {}
        let text = first.get();
        Ok(Some(match text.as_bytes().first() {
            Some(b'"') if !text.contains('\\') => Head::Text(Cow::Borrowed(&text[1..text.len() - 1])),
            Some(b'"') => Head::Text(Cow::Owned(serde_json::from_str(text).map_err(A::Error::custom)?)),
            Some(b'0'..=b'9' | b'-') => Head::Number,
            _ => Head::Other,
        }))
    }
}

/// Walks the values of an array and judges every object that calls itself a placeholder.
fn check_placeholders(args: &str, attachments: usize) -> Result<(), ArgsError> {
    if attachments == 0 {
        return Ok(());
    }
    let out_of_range = Cell::new(false);
    let walk = Walk { attachments, out_of_range: &out_of_range };
    let walked = walk.deserialize(&mut serde_json::Deserializer::from_str(args));
    if out_of_range.get() {
        return Err(ArgsError::PlaceholderOutOfRange { attachments });
    }
    walked.map(|_| ()).map_err(|error| ArgsError::NotAnArray(error.to_string()))
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    attachments: usize,
    out_of_range: &'a Cell<bool>,
}

/// As much of a value as a placeholder consists of.
enum Seen {
    True,
    Number(f64),
    Other,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
        Ok(if value { Seen::True } else { Seen::Other })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Seen, E> {
        Ok(Seen::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Seen, E> {
        Ok(Seen::Number(value))
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Seen, A::Error> {
        while array.next_element_seed(self)?.is_some() {}
        Ok(Seen::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Seen, A::Error> {
        // A member that comes twice counts as it does in JavaScript: the last one wins.
        let mut placeholder = false;
        let mut number = None;
        while let Some(key) = object.next_key::<Cow<'de, str>>()? {
            let value = object.next_value_seed(self)?;
            match key.as_ref() {
                "_placeholder" => placeholder = matches!(value, Seen::True),
                "num" => number = if let Seen::Number(value) = value { Some(value) } else { None },
                _ => {}
            }
        }
        if placeholder {
            let in_range = number.is_some_and(|num| num >= 0.0 && num.fract() == 0.0 && num < self.attachments as f64);
            if !in_range {
                self.out_of_range.set(true);
                return Err(A::Error::custom("placeholder out of range"));
            }
        }
        Ok(Seen::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_need_a_name() {
        assert_eq!(check_event(r#"["a",1]"#, 0), Ok(()));
        assert_eq!(check_event(r#"["",1]"#, 0), Ok(()));
        assert_eq!(check_event("[1.5e3]", 0), Ok(()));
        assert_eq!(check_event("[-1]", 0), Ok(()));
        for bad in ["[]", "[null]", "[true]", "[[\"a\"]]", "[{\"a\":1}]"] {
            assert_eq!(check_event(bad, 0), Err(ArgsError::NoEventName), "{bad}");
        }
        for bad in
            ["", "{}", "\"a\"", "1", "[\"a\"", "[\"a\"]]", "[\"a\",]", "[\"a\"] x", "[\"\u{1}\"]", "[\"\\ud800\"]"]
        {
            assert!(matches!(check_event(bad, 0), Err(ArgsError::NotAnArray(_))), "{bad}");
        }
    }

    #[test]
    fn reserved_names_are_refused_even_in_disguise_and_error_is_allowed() {
        for name in RESERVED_EVENTS {
            assert_eq!(check_event(&format!("[\"{name}\"]"), 0), Err(ArgsError::Reserved(name)));
        }
        assert_eq!(check_event(r#"["\u0063onnect"]"#, 0), Err(ArgsError::Reserved("connect")));
        assert_eq!(check_event(r#"["error"]"#, 0), Ok(()));
        assert_eq!(check_event(r#"["connecting"]"#, 0), Ok(()));
        assert_eq!(check_ack(r#"["connect"]"#, 0), Ok(()));
    }

    #[test]
    fn values_that_only_javascript_holds_are_passed_on() {
        for args in [r#"["a","\ud83d"]"#, r#"["a",1e999]"#] {
            assert_eq!(check_event(args, 0), Ok(()));
            assert!(serde_json::from_str::<serde_json::Value>(args).is_err(), "{args}");
        }
        assert!(matches!(check_event(r#"["\ud83d"]"#, 0), Err(ArgsError::NotAnArray(_))), "not as an event's name");
    }

    #[test]
    fn placeholders_must_be_in_range() {
        let check = |args: &str| check_event(args, 2);
        assert_eq!(check(r#"["a",{"_placeholder":true,"num":0},[{"x":{"num":1,"_placeholder":true}}]]"#), Ok(()));
        assert_eq!(check(r#"["a",{"_placeholder":false,"num":9},{"num":9},{"_placeholder":"true"}]"#), Ok(()));
        assert_eq!(check(r#"["a"]"#), Ok(()));
        assert_eq!(check(r#"["a",{"_placeholder":true,"num":9,"num":1}]"#), Ok(()));
        for bad in ["2", "-1", "0.5", "\"0\"", "null", "true", "[0]"] {
            let args = format!(r#"["a",{{"_placeholder":true,"num":{bad}}}]"#);
            assert_eq!(check(&args), Err(ArgsError::PlaceholderOutOfRange { attachments: 2 }), "{args}");
        }
        assert!(check(r#"["a",[{"deep":{"_placeholder":true}}]]"#).is_err());
        assert!(check(r#"["a",{"\u005fplaceholder":true,"num":2}]"#).is_err());
        assert_eq!(check_event(r#"["a",{"_placeholder":true,"num":7}]"#, 0), Ok(()), "only text: it is an object");
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |depth: usize| format!("[\"a\",{}{}]", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check_event(&nested(NESTING_MAX - 1), 1), Ok(()));
        assert!(serde_json::from_str::<serde_json::Value>(&nested(NESTING_MAX - 1)).is_ok());
        assert_eq!(check_event(&nested(NESTING_MAX), 0), Err(ArgsError::TooDeep));
        assert_eq!(check_event(&nested(100_000), 1), Err(ArgsError::TooDeep));
        assert_eq!(check_event(&format!("[\"{}\\\"[[\"]", "[".repeat(1_000)), 1), Ok(()));
    }

    #[test]
    fn names_are_read_without_the_rest() {
        assert_eq!(event_name(br#"["publish","x"]"#).as_deref(), Some("publish"));
        assert_eq!(event_name(br#" [ "a\"b" ,1]"#).as_deref(), Some("a\"b"));
        assert_eq!(event_name(b"[42,1]").as_deref(), Some("42"));
        assert_eq!(event_name(b"[42]").as_deref(), Some("42"));
        for bad in [&b""[..], b"[]", b"[null]", b"{}", b"[\"a", b"\xff"] {
            assert_eq!(event_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn arrays_are_taken_apart_and_put_together() {
        let elements = elements(br#"["publish","room","ev\n",{"a": 1},2]"#).unwrap();
        assert_eq!(elements.len(), 5);
        assert_eq!(event_array("e\n", elements[3..].iter().copied()), r#"["e\n",{"a": 1},2]"#);
        assert_eq!(event_array("e", []), r#"["e"]"#);
    }

    #[test]
    fn auth_is_an_object() {
        assert_eq!(check_object(r#"{"token":"x"}"#), Ok(()));
        for bad in ["", "[]", "null", "\"a\"", "{", "{}}"] {
            assert!(matches!(check_object(bad), Err(ArgsError::NotAnObject(_))), "{bad}");
        }
    }
}
