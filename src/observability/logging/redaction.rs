//! What must never be read in a log: secrets, by the names of their fields and by how they stand in texts.
//!
//! A field is judged by its name ([`judge`]); its value becomes [`HIDDEN`]. Texts are searched for `name=value`,
//! `name: value` and `"name":"value"` of such a name, for `Bearer` and `Basic` credentials and for JSON Web Tokens
//! ([`scrub`]): that is a net below the names, for errors of libraries that quote what they were given. It prefers to hide
//! a harmless word to showing a secret.

use std::borrow::Cow;

/// What stands for a secret.
pub const HIDDEN: &str = "***";

/// What becomes of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is shown.
    Shown,
    /// It is a secret.
    Hidden,
    /// It is what a client said: only a number (a size, a count) or a truth is shown.
    NumbersOnly,
}

/// Anywhere in a name, in whatever letters.
const SECRET_PARTS: [&str; 10] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "authorization",
    "cookie",
    "credential",
    "bearer",
    "privatekey",
];
/// As a whole word of a name: they are parts of harmless ones (`rapid`).
const SECRET_WORDS: [&str; 7] = ["pid", "pids", "jwt", "csrf", "apikey", "pwd", "cookies"];
/// What clients say, as a whole word of a name.
const PAYLOAD_WORDS: [&str; 5] = ["payload", "payloads", "body", "packet", "packets"];

/// Judges a field's name: `access_token`, `sessionPid`, `Set-Cookie`.
#[must_use]
pub fn judge(name: &str) -> Verdict {
    let bytes = name.as_bytes();
    if (0..bytes.len()).any(|at| SECRET_PARTS.iter().any(|part| begins(bytes, at, part, true))) {
        return Verdict::Hidden;
    }
    let mut verdict = Verdict::Shown;
    let (mut start, mut is_first_kept) = (0, None);
    for at in 0..=bytes.len() {
        let ends = match (at.checked_sub(1).and_then(|before| bytes.get(before)), bytes.get(at)) {
            (_, None) => true,
            (_, Some(byte)) if !byte.is_ascii_alphanumeric() => true,
            (Some(before), Some(byte)) => before.is_ascii_lowercase() && byte.is_ascii_uppercase(),
            (None, _) => false,
        };
        if ends {
            let word = bytes.get(start..at).unwrap_or_default();
            if is_any(word, &SECRET_WORDS) {
                return Verdict::Hidden;
            }
            // `api_key`, `private key`: two words make the name.
            if word.eq_ignore_ascii_case(b"key")
                && is_first_kept.is_some_and(|first| is_any(first, &["api", "private"]))
            {
                return Verdict::Hidden;
            }
            if is_any(word, &PAYLOAD_WORDS) {
                verdict = Verdict::NumbersOnly;
            }
            is_first_kept = Some(word);
            start = if bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) { at } else { at + 1 };
        }
    }
    verdict
}

fn is_any(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether `part` stands at `at`, in whatever letters.
fn begins(bytes: &[u8], at: usize, part: &str, quick: bool) -> bool {
    let first = part.as_bytes().first().copied().unwrap_or_default();
    if quick && bytes.get(at).is_none_or(|byte| byte | 0x20 != first) {
        return false;
    }
    bytes.get(at..at + part.len()).is_some_and(|piece| piece.eq_ignore_ascii_case(part.as_bytes()))
}

/// Hides what looks like a secret in a text. The second is whether there was any.
#[must_use]
pub fn scrub(text: &str) -> (Cow<'_, str>, bool) {
    let bytes = text.as_bytes();
    // Most texts have none of what all the patterns begin by.
    let is_suspicious = |at: usize| match bytes.get(at) {
        Some(b'=' | b':') => true,
        Some(b'e') => begins(bytes, at, "eyJ", false),
        Some(b'B' | b'b') => begins(bytes, at, "bearer ", false) || begins(bytes, at, "basic ", false),
        _ => false,
    };
    let Some(first) = (0..bytes.len()).find(|at| is_suspicious(*at)) else { return (Cow::Borrowed(text), false) };
    let mut out = String::new();
    let (mut kept, mut at) = (0, first);
    while at < bytes.len() {
        let secret = match bytes.get(at) {
            Some(b'=' | b':') => secret_name(text, at).and_then(|name| value_after(bytes, at + 1, name)),
            Some(b'B' | b'b') if is_suspicious(at) && is_word_start(bytes, at) => scheme_value(bytes, at),
            Some(b'e') if is_suspicious(at) && is_word_start(bytes, at) => json_web_token(bytes, at),
            _ => None,
        };
        match secret {
            Some((start, end)) if start < end => {
                out.push_str(text.get(kept..start).unwrap_or_default());
                out.push_str(HIDDEN);
                (kept, at) = (end, end);
            }
            _ => at += 1,
        }
    }
    if kept == 0 {
        return (Cow::Borrowed(text), false);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    (Cow::Owned(out), true)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_word_start(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|byte| !is_word(*byte))
}

/// The secret's name that stands before a `=` or `:`, quoted or not.
fn secret_name(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut end = at;
    while end > 0 && bytes.get(end - 1).is_some_and(|byte| matches!(byte, b'"' | b'\'' | b' ' | b'\\')) {
        end -= 1;
    }
    let mut start = end;
    while start > 0 && bytes.get(start - 1).is_some_and(|byte| is_word(*byte)) {
        start -= 1;
    }
    text.get(start..end).filter(|name| !name.is_empty() && judge(name) != Verdict::Shown)
}

/// From where to where the value is that begins at `from` or after some quotes and wrappers.
fn value_after(bytes: &[u8], from: usize, name: &str) -> Option<(usize, usize)> {
    const WRAPPERS: [&str; 3] = ["Some(", "String(", "Ok("];
    let mut start = from;
    let mut quote = None;
    loop {
        if let Some(wrapper) = WRAPPERS.iter().find(|wrapper| begins(bytes, start, wrapper, false)) {
            start += wrapper.len();
            continue;
        }
        match bytes.get(start)? {
            byte @ (b'"' | b'\'') => {
                quote = Some(*byte);
                start += 1;
                break;
            }
            b' ' | b'\\' | b'=' | b'>' => start += 1,
            _ => break,
        }
    }
    // `Authorization: Bearer abc`: the scheme tells nothing, what follows does.
    let start = scheme_value(bytes, start).map_or(start, |(inner, _)| inner);
    // A list of cookies has separators in it; all of it is secret.
    if quote.is_none() && name.to_ascii_lowercase().contains("cookie") {
        let rest = bytes.get(start..).unwrap_or_default();
        return Some((start, rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| start + length)));
    }
    Some((start, value_end(bytes, start, quote)))
}

fn value_end(bytes: &[u8], start: usize, quote: Option<u8>) -> usize {
    let ends = |byte: u8| match quote {
        Some(quote) => byte == quote || byte == b'\\',
        None => byte.is_ascii_whitespace() || matches!(byte, b',' | b'&' | b';' | b')' | b'}' | b']' | b'"' | b'\''),
    };
    let rest = bytes.get(start..).unwrap_or_default();
    rest.iter().position(|byte| ends(*byte)).map_or(bytes.len(), |length| start + length)
}

/// The value of `Bearer VALUE` or `Basic VALUE`.
fn scheme_value(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let scheme = ["Bearer ", "Basic "].iter().find(|scheme| begins(bytes, at, scheme, false))?;
    let start = at + scheme.len();
    // "basic authentication": credentials are longer than a word or are no word.
    let end = value_end(bytes, start, None);
    let value = bytes.get(start..end)?;
    let is_plain_word =
        value.len() < 24 && value.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b':'));
    (!is_plain_word).then_some((start, end))
}

/// A token that nobody named: `eyJ…` with two dots.
fn json_web_token(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let length = rest.iter().position(|byte| !is_word(*byte) && *byte != b'.').unwrap_or(rest.len());
    let dots = rest.get(..length)?.iter().filter(|byte| **byte == b'.').count();
    (dots >= 2 && length >= 20).then_some((at, at + length))
}

#[cfg(test)]
#[path = "redaction_tests.rs"]
mod tests;
