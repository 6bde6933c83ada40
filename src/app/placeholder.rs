//! Placeholders: where attachments stand in JSON, found and renumbered without building a tree.

use std::ops::Range;

use bytes::Bytes;
use vedfolnir_protocol::socket_io::ATTACHMENTS_MAX;

/// A placeholder: which attachment, and where its number is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    pub(crate) number: usize,
    pub(crate) at: Range<usize>,
}

/// The placeholders of arguments that `socket_io::args` has checked, in order. Objects are taken for one as there, and as
/// clients do: `_placeholder` is `true`, however it is written, and of members with one name the last counts.
pub(crate) fn find(json: &[u8]) -> Vec<Placeholder> {
    /// What has been seen of an object that is not closed yet; arrays have none.
    #[derive(Default)]
    struct Open {
        object: bool,
        key: Key,
        is_placeholder: bool,
        number: Option<Placeholder>,
    }
    let mut found = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while at < json.len() {
        let start = at;
        match json[at] {
            b'{' => open.push(Open { object: true, ..Open::default() }),
            b'[' => open.push(Open::default()),
            b'}' | b']' => {
                if let Some(Open { is_placeholder: true, number: Some(number), .. }) = open.pop() {
                    found.push(number);
                }
            }
            b'"' => {
                at = end_of_string(json, at);
                let is_key = json[at..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                if is_key && let Some(object) = open.last_mut().filter(|open| open.object) {
                    object.key = Key::of(&json[start..at]);
                    match object.key {
                        Key::Placeholder => object.is_placeholder = false,
                        Key::Number => object.number = None,
                        Key::Other => {}
                    }
                }
                continue;
            }
            b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => {
                while at < json.len() && !matches!(json[at], b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
                    at += 1;
                }
                if let Some(object) = open.last_mut().filter(|open| open.object) {
                    let value = &json[start..at];
                    match object.key {
                        Key::Placeholder => object.is_placeholder = value == b"true",
                        Key::Number => {
                            object.number = number(value).map(|number| Placeholder { number, at: start..at });
                        }
                        Key::Other => {}
                    }
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found.sort_by_key(|placeholder| placeholder.at.start);
    found
}

/// The member that a value is of.
#[derive(Clone, Copy, Default)]
enum Key {
    Placeholder,
    Number,
    #[default]
    Other,
}

impl Key {
    /// By its JSON text.
    fn of(text: &[u8]) -> Self {
        let unescaped = text.contains(&b'\\').then(|| serde_json::from_slice::<String>(text).ok()).flatten();
        let quoted = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or_default();
        match unescaped.as_ref().map_or(quoted, String::as_bytes) {
            b"_placeholder" => Self::Placeholder,
            b"num" => Self::Number,
            _ => Self::Other,
        }
    }
}

/// A whole number, in whichever of JSON's forms: `1`, `1.0`, `10e-1`.
fn number(value: &[u8]) -> Option<usize> {
    let number: f64 = serde_json::from_slice(value).ok()?;
    // Attachments are few: what is whole and small is exact.
    (number.fract() == 0.0 && (0.0..=ATTACHMENTS_MAX as f64).contains(&number)).then_some(number as usize)
}

fn end_of_string(json: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

/// Keeps the attachments that `json` names, in the order of their first placeholder, and renumbers.
pub(crate) fn renumber(json: Bytes, attachments: &[Bytes]) -> (Bytes, Vec<Bytes>) {
    if attachments.is_empty() {
        return (json, Vec::new());
    }
    let found = find(&json);
    let mut order: Vec<usize> = Vec::new();
    for placeholder in &found {
        if placeholder.number < attachments.len() && !order.contains(&placeholder.number) {
            order.push(placeholder.number);
        }
    }
    let kept = order.iter().map(|number| attachments[*number].clone()).collect();
    if order.iter().enumerate().all(|(new, old)| new == *old) {
        return (json, kept);
    }
    let mut text = Vec::with_capacity(json.len());
    let mut from = 0;
    for placeholder in &found {
        if let Some(new) = order.iter().position(|old| *old == placeholder.number) {
            text.extend_from_slice(&json[from..placeholder.at.start]);
            text.extend_from_slice(new.to_string().as_bytes());
            from = placeholder.at.end;
        }
    }
    text.extend_from_slice(&json[from..]);
    (Bytes::from(text), kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachments(count: u8) -> Vec<Bytes> {
        (0..count).map(|number| Bytes::from(vec![number])).collect()
    }

    fn check(json: &'static str, count: u8, expected: &str, kept: &[u8]) {
        let (text, got) = renumber(Bytes::from_static(json.as_bytes()), &attachments(count));
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
        assert_eq!(got, kept.iter().map(|number| Bytes::from(vec![*number])).collect::<Vec<_>>());
    }

    #[test]
    fn attachments_are_kept_in_the_order_of_their_placeholders() {
        let same = r#"["a",{"_placeholder":true,"num":0},{"x":[{"num":1,"_placeholder":true}]}]"#;
        check(same, 2, same, &[0, 1]);
        check(r#"["a",{"_placeholder":true,"num":2}]"#, 3, r#"["a",{"_placeholder":true,"num":0}]"#, &[2]);
        check(
            r#"[{"_placeholder" : true , "num" : 1 },{"_placeholder":true,"num":0},{"num":1,"_placeholder":true}]"#,
            2,
            r#"[{"_placeholder" : true , "num" : 0 },{"_placeholder":true,"num":1},{"num":0,"_placeholder":true}]"#,
            &[1, 0],
        );
        check(r#"["a"]"#, 2, r#"["a"]"#, &[]);
        check(r#"["a"]"#, 0, r#"["a"]"#, &[]);
    }

    #[test]
    fn only_placeholders_are_renumbered() {
        let json = r#"["{\"_placeholder\":true,\"num\":1}",{"num":1},{"_placeholder":false,"num":1},["num",1],{"_placeholder":true,"num":1}]"#;
        let expected = r#"["{\"_placeholder\":true,\"num\":1}",{"num":1},{"_placeholder":false,"num":1},["num",1],{"_placeholder":true,"num":0}]"#;
        check(json, 2, expected, &[1]);
    }

    #[test]
    fn placeholders_are_found_however_they_are_written() {
        for json in [
            r#"["a",{"\u005fplaceholder":true,"num":1}]"#,
            r#"["a",{"_placeholder":true,"n\u0075m":1}]"#,
            r#"["a",{"_placeholder":true,"num":1.0}]"#,
            r#"["a",{"_placeholder":true,"num":10e-1}]"#,
            r#"["a",{"_placeholder":"x","_placeholder":true,"num":[0],"num":1}]"#,
        ] {
            let (text, got) = renumber(Bytes::from_static(json.as_bytes()), &attachments(2));
            assert_eq!(got, [vec![1]], "{json}");
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(vedfolnir_protocol::socket_io::args::check_event(text, got.len()), Ok(()), "{json}");
        }
    }

    #[test]
    fn a_last_member_that_is_something_else_makes_no_placeholder() {
        let json =
            r#"["a",{"_placeholder":true,"num":1,"_placeholder":"x"},{"_placeholder":true,"num":1,"_placeholder":{}}]"#;
        check(json, 2, json, &[]);
    }

    #[test]
    fn a_nested_object_does_not_leak_into_its_parent() {
        check(
            r#"[{"_placeholder":true,"x":{"num":7},"num":1}]"#,
            2,
            r#"[{"_placeholder":true,"x":{"num":7},"num":0}]"#,
            &[1],
        );
    }
}
