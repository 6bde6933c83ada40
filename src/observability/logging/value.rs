//! What a field of a record holds.

use std::fmt::{self, Write as _};

/// Bytes of one text in a record's metadata; the rest is cut off.
pub const TEXT_BYTES_MAX: usize = 2 << 10;

/// A scalar. Whoever hands a text in need not escape or shorten it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number below zero.
    Int(i64),
    /// Any other whole number.
    Uint(u64),
    /// A fraction; where it is none (NaN, infinite), it is written as text.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl Value {
    /// As text, whatever it is.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Int(number) => number.to_string(),
            Self::Uint(number) => number.to_string(),
            Self::Float(number) => format!("{number:?}"),
            Self::Bool(yes) => yes.to_string(),
        }
    }

    /// As a number, if it is one or is written like one.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Int(number) => Some(*number as f64),
            Self::Uint(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Bool(_) => None,
        }
    }

    /// Bytes that it adds to a line, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            _ => 8,
        }
    }

    /// What a `Debug` or `Display` says, [`TEXT_BYTES_MAX`] at most: the formatting stops there, however much would follow.
    pub(crate) fn written(arguments: fmt::Arguments<'_>) -> Self {
        Self::Text(bounded(arguments, TEXT_BYTES_MAX))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(cut(text, TEXT_BYTES_MAX).to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Int(number), Self::Uint)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Uint(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

/// The longest beginning of `text` that has at most `bytes_max` bytes and ends between characters.
#[must_use]
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The same in place.
pub(crate) fn shorten(text: &mut String, bytes_max: usize) {
    let end = cut(text, bytes_max).len();
    text.truncate(end);
}

/// Formats until `bytes_max` bytes are there, and an ellipsis where there would be more.
pub(crate) fn bounded(arguments: fmt::Arguments<'_>, bytes_max: usize) -> String {
    struct Bounded {
        text: String,
        bytes_max: usize,
    }
    impl fmt::Write for Bounded {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            let room = self.bytes_max - self.text.len();
            let fits = cut(piece, room);
            self.text.push_str(fits);
            if fits.len() == piece.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }
    const ELLIPSIS: &str = "…";
    if let Some(text) = arguments.as_str()
        && text.len() <= bytes_max
    {
        return text.to_owned();
    }
    let mut out = Bounded { text: String::new(), bytes_max: bytes_max.saturating_sub(ELLIPSIS.len()) };
    // An error is the bound, or a `Display` that failed: what it said until then is worth having.
    if out.write_fmt(arguments).is_err() {
        out.text.push_str(ELLIPSIS);
    }
    out.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_between_characters() {
        for (text, bytes, expected) in [("abc", 3, "abc"), ("abc", 2, "ab"), ("aé", 2, "a"), ("é", 1, ""), ("", 0, "")]
        {
            assert_eq!(cut(text, bytes), expected);
        }
    }

    #[test]
    fn formatting_stops_at_the_bound() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("more ")?;
                }
            }
        }
        let text = bounded(format_args!("{Endless}"), 20);
        assert_eq!(text, "more more more mo…");
        assert!(text.len() <= 20);
        assert_eq!(bounded(format_args!("{}", 7), 20), "7");
        assert_eq!(bounded(format_args!("plain"), 4), "p…");
    }

    #[test]
    fn numbers_are_found_in_texts_and_not_in_truths() {
        assert_eq!(Value::from("1.5").as_number(), Some(1.5));
        assert_eq!(Value::from(-3_i64).as_number(), Some(-3.0));
        assert_eq!(Value::from(3_i64), Value::Uint(3));
        assert_eq!(Value::from(true).as_number(), None);
        assert_eq!(Value::from("1.5 s").as_number(), None);
    }
}
