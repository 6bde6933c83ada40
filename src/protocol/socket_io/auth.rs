//! What a CONNECT's auth object says about recovery.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The `pid` and the `offset` that a client hands back in its auth object.
///
/// A `pid` that is no string is none: the client gets a new session. An `offset` that is there but is no string comes
/// back as its JSON text, so that it is refused as garbage: only a missing one (or `null`) means "from the start".
#[must_use]
pub fn recovery_of(auth_json: &[u8]) -> (Option<String>, Option<String>) {
    serde_json::Deserializer::from_slice(auth_json).deserialize_map(Recovery).unwrap_or_default()
}

struct Recovery;

impl<'de> Visitor<'de> for Recovery {
    type Value = (Option<String>, Option<String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let (mut pid, mut offset) = (None, None);
        while let Some(key) = object.next_key::<Cow<'de, str>>()? {
            let value: &RawValue = object.next_value()?;
            match key.as_ref() {
                "pid" => pid = serde_json::from_str(value.get()).ok(),
                "offset" if value.get() == "null" => offset = None,
                "offset" => {
                    offset = Some(serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned()));
                }
                _ => {}
            }
        }
        Ok((pid, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(auth: &str, pid: Option<&str>, offset: Option<&str>) {
        assert_eq!(recovery_of(auth.as_bytes()), (pid.map(str::to_owned), offset.map(str::to_owned)), "{auth}");
    }

    #[test]
    fn both_are_picked_out_of_the_users_auth() {
        check(r#"{"pid":"p","offset":"Q85OoEN","token":{"pid":"x"}}"#, Some("p"), Some("Q85OoEN"));
        check(r#"{"pid":"p\n"}"#, Some("p\n"), None);
        check(r#"{"token":1}"#, None, None);
        check("{}", None, None);
        check(r#"{"pid":"a","pid":"b"}"#, Some("b"), None);
    }

    #[test]
    fn what_is_no_string_never_becomes_a_guess() {
        check(r#"{"pid":7,"offset":7}"#, None, Some("7"));
        check(r#"{"pid":null,"offset":null}"#, None, None);
        check(r#"{"pid":["a"],"offset":{"a":1}}"#, None, Some(r#"{"a":1}"#));
    }

    #[test]
    fn garbage_says_nothing() {
        for bad in ["", "[]", "null", "{", "\"pid\""] {
            check(bad, None, None);
        }
        assert_eq!(recovery_of(b"{\"pid\":\"\xff\"}"), (None, None));
    }
}
